//! How well number, unit and level of the data fit those written. Numbers match exactly or not at all.

use super::issue::Verdict;
use crate::parse::{Head, Unit};
use crate::record::Record;

/// Not the number that was asked for: never an answer, at most a suggestion.
const OTHER_NUMBER: u16 = 50;
/// No number at all.
const NO_NUMBER: u16 = 45;
/// Another unit of the building than the one asked for.
const OTHER_UNIT: u16 = 45;
/// The building for one of its units, or a unit for its building: below valid.
const BUILDING: u16 = 28;

/// Kinds of unit that people don't keep apart; G-NAF's codes.
const DWELLINGS: &[&str] =
    &["UNIT", "FLAT", "APT", "VLLA", "TNHS", "DUPL", "MSNT", "STU", "HSE", "STR", "PTHS", "BNGW", "CTGE", "LOFT"];
const BUSINESSES: &[&str] =
    &["SHOP", "SE", "OFFC", "FCTY", "WHSE", "SHRM", "WKSH", "TNCY", "KSK", "STLL", "STOR", "SHED"];

/// Buildings of a site, which have units.
const BLOCKS: &[&str] = &["BLCK", "BLDG", "TWR", "SITE", "WARD", "SEC"];

/// House number or lot.
pub(super) fn number(head: &Head, record: &Record) -> Verdict {
    let (first, last) = (record.number_first.as_deref(), record.number_last.as_deref());
    match (head.number.as_deref(), head.number_last.as_deref()) {
        (Some(asked), None) if first == Some(asked) && last.is_none() => Verdict::good(),
        (Some(asked), None) if first == Some(asked) || (first.is_some() && last == Some(asked)) => {
            Verdict::differs(3, format!("The number is one end of {}", record.place().number().unwrap_or_default()))
        }
        (Some(asked), Some(asked_last)) if first == Some(asked) && last == Some(asked_last) => Verdict::good(),
        (Some(asked), Some(_)) if first == Some(asked) => Verdict::differs(24, "The range of numbers is another"),
        (Some(_), _) if first.is_none() && head.lot.is_some() && head.lot == record.lot_number => {
            Verdict::differs(6, "The lot has no street number in the data")
        }
        (Some(_), _) => Verdict::differs(OTHER_NUMBER, "There is no such number on the street"),
        (None, _) => return lot(head, record),
    }
    .and(other_lot(head, record))
}

/// A lot named beside the number.
fn other_lot(head: &Head, record: &Record) -> Verdict {
    match (&head.lot, &record.lot_number) {
        (None, _) => Verdict::good(),
        (Some(asked), Some(lot)) if asked == lot => Verdict::good(),
        // With its plan it names a parcel of land, of which the data knows little.
        (Some(_), _) if head.parcel => Verdict::missing(3, "The lot on its plan is not in the data"),
        (Some(_), None) => Verdict::differs(BUILDING, "The lot is not in the data"),
        (Some(_), Some(lot)) => Verdict::differs(BUILDING, format!("The lot is {lot}")),
    }
}

fn lot(head: &Head, record: &Record) -> Verdict {
    match (&head.lot, &record.lot_number, &record.number_first) {
        (Some(asked), Some(lot), None) if asked == lot => Verdict::good(),
        (Some(asked), Some(lot), Some(_)) if asked == lot => {
            Verdict::missing(3, format!("The lot has the number {}", record.place().number().unwrap_or_default()))
        }
        (Some(_), ..) => Verdict::differs(OTHER_NUMBER, "There is no such lot on the street"),
        (None, ..) => Verdict::missing(NO_NUMBER, "The street number is missing"),
    }
}

/// Unit and level together: a building's address is not the address of one of its units.
pub(super) fn unit(head: &Head, record: &Record) -> Verdict {
    let inside = record.flat_number.is_some() || record.flat_type.is_some();
    let flat = match &head.flat {
        None if !inside => Verdict::good(),
        None => Verdict::missing(BUILDING, format!("The unit is missing: {}", record.unit_words())),
        Some(_) if !inside => Verdict::differs(BUILDING, "There is no such unit at this number"),
        Some(asked) => same_unit(asked, record),
    };
    let block = match &head.block {
        None => Verdict::good(),
        Some(_) if inside => Verdict::quiet(2),
        Some(_) => Verdict::differs(BUILDING, "The building is not in the data"),
    };
    flat.and(block).and(level(head, record, inside))
}

fn same_unit(asked: &Unit, record: &Record) -> Verdict {
    if asked.number != record.flat_number {
        return Verdict::differs(OTHER_UNIT, "There is no such unit at this number");
    }
    let label = || format!("The unit is {}", record.unit_words());
    match (asked.kind, record.flat_type.as_deref()) {
        // `1/23` is unit 1 rather than shop 1, where there are both.
        (None, Some(kind)) if !DWELLINGS.contains(&kind) => Verdict::quiet(2),
        (None, _) => Verdict::quiet(1),
        (Some(asked), Some(kind)) if asked == kind => Verdict::good(),
        (Some(_), None) => Verdict::quiet(1),
        (Some(asked), Some(kind)) => {
            let alike = |kinds: &[&str]| kinds.contains(&asked) && kinds.contains(&kind);
            match () {
                () if BLOCKS.contains(&asked) => Verdict::differs(OTHER_UNIT, label()),
                () if alike(DWELLINGS) => Verdict::differs(4, label()),
                // A unit is what everything may be called that has no better word.
                () if asked == "UNIT" || alike(BUSINESSES) || (kind == "UNIT" && !BLOCKS.contains(&asked)) => {
                    Verdict::differs(8, label())
                }
                () => Verdict::differs(22, label()),
            }
        }
    }
}

fn level(head: &Head, record: &Record, in_unit: bool) -> Verdict {
    let has = record.level_type.is_some() || record.level_number.is_some();
    match &head.level {
        None if !has => Verdict::good(),
        None if in_unit => Verdict::quiet(2),
        None => Verdict::missing(BUILDING, format!("The level is missing: {}", record.level_words())),
        // A house stands on the ground.
        Some(asked) if !has && asked.kind == Some("G") => Verdict::quiet(2),
        Some(_) if !has => Verdict::differs(BUILDING, "The level is not in the data"),
        Some(asked) => {
            let alike = |kind: &str| matches!(kind, "L" | "FL");
            let same_kind = match (asked.kind, record.level_type.as_deref()) {
                (Some(asked), Some(kind)) => asked == kind || (alike(asked) && alike(kind)),
                _ => true,
            };
            match same_kind && asked.number == record.level_number {
                true => Verdict::good(),
                false => Verdict::differs(30, format!("The level is {}", record.level_words())),
            }
        }
    }
}
