//! How well locality, state and postcode of the data fit those written.

use super::issue::Verdict;
use super::spelling::{edits, prefix_edits};
use super::street::corrected;
use crate::parse::{Locality, Tail};
use crate::record::{Record, Spot};

/// A neighbouring locality was written: about 75 points are left.
const NEIGHBOUR: u16 = 25;
/// Nothing says where the street is: far from valid.
pub(super) const NOWHERE: u16 = 40;

/// The points a locality as written costs for `spot`, none when it can't be meant.
pub(super) fn locality(typed: &Locality, spot: &Spot, tolerant: bool) -> Option<Verdict> {
    let meant = spot.asked_locality.as_str();
    if let Some(neighbour) = spot.neighbour_of.as_deref() {
        let message = format!("The street is in {}, next to {neighbour}", spot.locality_name);
        return (typed.name == neighbour).then(|| Verdict::differs(NEIGHBOUR, message));
    }
    let alias = || match spot.locality_alias {
        true => Verdict::differs(10, format!("The locality is officially {}", spot.locality_name)),
        false => Verdict::good(),
    };
    if typed.name == meant {
        return Some(alias());
    }
    if typed.open && meant.starts_with(&typed.name) {
        let (have, whole) = (typed.name.len() as u16, meant.len().max(1) as u16);
        return Some(alias().and(Verdict::quiet(2 + 8 * (whole - have.min(whole)) / whole)));
    }
    if !tolerant {
        return None;
    }
    let found = if typed.open { prefix_edits(&typed.name, meant) } else { edits(&typed.name, meant) }?;
    Some(alias().and(corrected(found, &typed.name, meant)))
}

/// No locality was written: the postcode may stand for it.
pub(super) fn no_locality(tail: &Tail) -> Verdict {
    match tail.postcode {
        Some(_) => Verdict::missing(6, "The locality is missing"),
        None => Verdict::missing(NOWHERE, "The locality is missing, and there is no postcode to tell it"),
    }
}

/// The state.
pub(super) fn state(tail: &Tail, spot: &Spot) -> Verdict {
    match tail.states.as_slice() {
        [] => Verdict::missing(1, format!("The state is missing: {}", spot.state)),
        states if states.contains(&spot.state.as_str()) => Verdict::quiet(u16::from(states.len() > 1)),
        _ => Verdict::differs(32, format!("The state is {}", spot.state)),
    }
}

/// The postcode.
pub(super) fn postcode(tail: &Tail, record: &Record) -> Verdict {
    match (tail.postcode.as_deref(), record.postcode.as_deref()) {
        (None, None) => Verdict::good(),
        (None, Some(postcode)) => Verdict::missing(2, format!("The postcode is missing: {postcode}")),
        (Some(_), None) => Verdict::missing(3, "The address has no postcode in the data"),
        (Some(typed), Some(postcode)) if typed == postcode => Verdict::good(),
        (Some(typed), Some(postcode)) if tail.postcode_open && postcode.starts_with(typed) => Verdict::quiet(2),
        (Some(_), Some(postcode)) => Verdict::differs(26, format!("The postcode is {postcode}")),
    }
}
