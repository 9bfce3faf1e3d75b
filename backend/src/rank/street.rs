//! How well a street of the data fits a street as written.

use super::issue::Verdict;
use super::spelling::{edits, prefix_edits};
use crate::parse::Street;
use crate::record::Spot;

/// What one corrected word costs; a further edit costs [`EDIT`] more.
const CORRECTED: u16 = 14;
const EDIT: u16 = 3;
/// Another street type than the one written: below valid.
const OTHER_TYPE: u16 = 28;

/// The points `typed` costs for `spot`, none when it can't be meant. Misspellings count only when `tolerant`.
pub(super) fn fit(typed: &Street, spot: &Spot, tolerant: bool) -> Option<Verdict> {
    if let Some(name) = name(typed, spot, tolerant) {
        let unusual = Verdict::quiet(if typed.unusual { 3 } else { 0 });
        return Some(name.and(kind(typed, spot)).and(suffix(typed, spot)).and(unusual));
    }
    if tolerant { with_corrected_type(typed, spot) } else { None }
}

fn name(typed: &Street, spot: &Spot, tolerant: bool) -> Option<Verdict> {
    let meant = spot.asked_name.as_str();
    let alias = || match spot.street_alias {
        true => Verdict::differs(6, format!("The street is officially {}", spot.street_label())),
        false => Verdict::good(),
    };
    if typed.name == meant {
        return Some(alias());
    }
    if typed.open && meant.starts_with(&typed.name) {
        let (have, whole) = (typed.name.len() as u16, meant.len().max(1) as u16);
        return Some(alias().and(Verdict::quiet(4 + 12 * (whole - have.min(whole)) / whole)));
    }
    if !tolerant {
        return None;
    }
    let found = if typed.open { prefix_edits(&typed.name, meant) } else { edits(&typed.name, meant) }?;
    Some(alias().and(corrected(found, &typed.name, meant)))
}

/// A name that was not written quite so.
pub(super) fn corrected(edits: usize, typed: &str, meant: &str) -> Verdict {
    let points = CORRECTED + EDIT * (edits.max(1) as u16 - 1);
    Verdict::differs(points, format!("\"{typed}\" was read as {meant}"))
}

fn kind(typed: &Street, spot: &Spot) -> Verdict {
    match (typed.types.is_empty(), spot.asked_type.as_deref()) {
        (true, None) => Verdict::good(),
        // A street name that is being typed has not come to its type yet.
        (true, Some(_)) if typed.open => Verdict::good(),
        (true, Some(kind)) => Verdict::missing(5, format!("The street type is missing: {kind}")),
        (false, Some(kind)) if typed.types.contains(&kind) => match &typed.misspelt {
            Some(misspelt) => corrected(1, misspelt, kind),
            None => Verdict::quiet(u16::from(typed.type_open)),
        },
        (false, Some(kind)) => {
            let near = typed.types.iter().any(|typed| edits(typed, kind).is_some_and(|edits| edits == 1));
            let message = format!("The street type is {kind}");
            if near { Verdict::differs(6, message) } else { Verdict::differs(OTHER_TYPE, message) }
        }
        (false, None) => Verdict::differs(OTHER_TYPE, "The street has no type"),
    }
}

fn suffix(typed: &Street, spot: &Spot) -> Verdict {
    match (typed.suffix, spot.asked_suffix.as_deref()) {
        (None, None) => Verdict::good(),
        (None, Some(_)) if typed.open || typed.type_open => Verdict::quiet(1),
        (None, Some(suffix)) => Verdict::missing(6, format!("The street suffix is missing: {suffix}")),
        (Some(typed), Some(suffix)) if typed == suffix => Verdict::good(),
        (Some(_), Some(suffix)) => Verdict::differs(30, format!("The street suffix is {suffix}")),
        (Some(_), None) => Verdict::differs(22, "The street has no suffix"),
    }
}

/// `COLLINS STERET`: the last word as a misspelt type.
fn with_corrected_type(typed: &Street, spot: &Spot) -> Option<Verdict> {
    let meant = spot.asked_type.as_deref().filter(|_| typed.types.is_empty())?;
    let (stem, last) = typed.name.rsplit_once(' ')?;
    let found = if typed.open { prefix_edits(last, meant) } else { edits(last, meant) }.filter(|&edits| edits > 0)?;
    let street = Street { name: stem.to_owned(), open: false, suffix: typed.suffix, ..Street::default() };
    let name = name(&street, spot, true)?;
    Some(name.and(corrected(found, last, meant)).and(suffix(&street, spot)))
}
