//! What the text says besides the address. Nothing is passed over for free: a name in front is nobody's harm, what names
//! another place contradicts, and a contradiction is never valid.

use super::Known;
use super::issue::Verdict;
use crate::parse::{Left, QUALIFIERS, Reading, Street, Town, Where, is_city, is_foreign, state_named};
use crate::record::{Record, Spot};

/// Says that another place is meant: below valid whatever else is right.
const CONTRADICTS: u16 = 30;
/// May say so.
const DOUBTFUL: u16 = 22;
/// A name in front.
const FRONT: u16 = 3;
/// A name set apart from the address.
const APART: u16 = 5;
/// All the names together, none of which says otherwise.
const NAMES: u16 = 10;

/// From the middle of a city to its last suburb, in kilometres.
const CITY: f64 = 80.0;
/// A degree of latitude.
const KILOMETRES: f64 = 111.2;

/// Types that no building or company has in its name, so that a street is meant even where its type is another.
const ROADS: &[&str] = &["AVENUE", "CRESCENT", "DRIVE", "HIGHWAY", "LANE", "ROAD", "STREET"];

/// What is left of `reading` beside `record`.
pub(super) fn verdict(reading: &Reading, record: &Record, known: &Known) -> Verdict {
    let mut verdict = Verdict::good();
    let mut harmless = 0;
    for left in reading.left.iter() {
        let one = one(left, reading, record, known);
        // Many harmless words are no more harmful than a few.
        let is_name = matches!(left, Left::Name { .. }) && one.points < DOUBTFUL;
        let points = if is_name { one.points.min(NAMES - harmless) } else { one.points };
        harmless += if is_name { points } else { 0 };
        verdict = verdict.and(Verdict { points, ..one });
    }
    verdict
}

fn one(left: &Left, reading: &Reading, record: &Record, known: &Known) -> Verdict {
    let spot = &record.spot;
    match left {
        Left::State(states) if states.contains(&spot.state.as_str()) => Verdict::good(),
        Left::State(_) => Verdict::differs(CONTRADICTS, format!("The state is {}", spot.state)),
        Left::Postcode(postcode) if record.postcode.as_ref() == Some(postcode) => Verdict::good(),
        Left::Postcode(postcode) => Verdict::differs(CONTRADICTS, format!("{postcode} is not the postcode")),
        Left::Foreign(country) => {
            Verdict::differs(CONTRADICTS, format!("The address is in Australia, not in {country}"))
        }
        Left::Beside(word) => {
            Verdict::differs(CONTRADICTS, format!("What is \"{word}\" the address is not the address"))
        }
        Left::Digits(digits) => Verdict::differs(CONTRADICTS, format!("\"{digits}\" has no place in the address")),
        Left::Cut => Verdict::differs(CONTRADICTS, "The text has more words than an address"),
        // Found before the house, and not valid.
        Left::Guessed => Verdict::differs(DOUBTFUL - 2, "The first number was read as a unit"),
        Left::Notation => Verdict::differs(6, "It is not usual to write the numbers so"),
        Left::Several => Verdict::differs(6, "More than one was named; the first was taken"),
        Left::Postal => Verdict::differs(1, "The post office box was passed over"),
        Left::Aside(words) => Verdict::differs(APART, passed_over(words)),
        Left::Name { words, at, apart, numbered } => {
            let said = |points| Verdict::differs(points, passed_over(words));
            // Where no suburb was read, this may be it, misspelt or another.
            if reading.locality.is_none() && *at != Where::Front {
                return said(DOUBTFUL);
            }
            if let Some(verdict) = again(words, reading, spot, known) {
                return verdict;
            }
            if let Some(street) = another_street(words, spot, known) {
                return Verdict::differs(CONTRADICTS, format!("The street is {}, not {street}", spot.street_label()));
            }
            if let Some(towns) = known.localities.get(words) {
                let region = *at != Where::Front && *at != Where::Sealed && is_region(words, towns, reading, record);
                return match region {
                    true => Verdict::differs(FRONT, format!("{words} was taken for the region")),
                    false => Verdict::differs(
                        CONTRADICTS,
                        format!("The street is in {}, not in {words}", spot.locality_name),
                    ),
                };
            }
            if let Some(state) = state_named(words) {
                return match state == spot.state {
                    true => Verdict::quiet(1),
                    false => Verdict::differs(CONTRADICTS, format!("The state is {}", spot.state)),
                };
            }
            if is_foreign(words) {
                return Verdict::differs(CONTRADICTS, format!("The address is in Australia, not in {words}"));
            }
            let told = !reading.tail.states.is_empty() || reading.tail.postcode.is_some();
            // `Wetherill Park Sydney NSW 2164`, but not `Belmont North` for Belmont.
            let confirmed = reading.tail.postcode.is_some() && reading.tail.postcode == record.postcode;
            let beside = confirmed && !words.split(' ').next().is_some_and(|word| QUALIFIERS.contains(&word));
            match at {
                // `Bay 3, 12 Smith St` may be a part of the building.
                Where::Front if *numbered => said(DOUBTFUL),
                Where::Front => said(FRONT),
                _ if *numbered => said(CONTRADICTS),
                Where::Sealed | Where::Inside if *apart => said(APART),
                Where::Behind if (*apart && told) || beside => said(APART),
                _ => said(DOUBTFUL),
            }
        }
    }
}

/// The suburb, a number or the street said again: nothing new. The street with another number is another address.
fn again(words: &str, reading: &Reading, spot: &Spot, known: &Known) -> Option<Verdict> {
    let head = &reading.head;
    let number = |number: &Option<String>| number.as_deref() == Some(words);
    if *words == spot.asked_locality
        || search_name(spot) == words
        || number(&head.number)
        || head.flat.as_ref().is_some_and(|flat| number(&flat.number))
    {
        return Some(Verdict::quiet(1));
    }
    let (told, streets) = known.named.get(words)?;
    let same_type = |street: &Street| spot.asked_type.as_deref().is_some_and(|kind| street.types.contains(&kind));
    let mut same_name = streets.iter().filter(|street| street.name == spot.asked_name).peekable();
    let first = same_name.peek()?;
    // `Patrick Street, Patrick Avenue`; a building may be called Patrick Court.
    if first.types.iter().any(|kind| ROADS.contains(kind))
        && !first.types.iter().any(|kind| spot.asked_type.as_deref() == Some(*kind))
    {
        return Some(Verdict::differs(CONTRADICTS, format!("The street is {}, not {words}", spot.street_label())));
    }
    same_name.find(|street| same_type(street))?;
    Some(match told {
        Some(other) if head.number.as_ref() != Some(other) => {
            Verdict::differs(CONTRADICTS, format!("There is a second number: {other}"))
        }
        _ => Verdict::quiet(1),
    })
}

/// `Liverpool, Sydney NSW 2170`: a city, or the town that the post goes through, where state or postcode confirm the suburb.
fn is_region(words: &str, towns: &[Town], reading: &Reading, record: &Record) -> bool {
    let state = record.spot.state.as_str();
    let confirmed = reading.tail.postcode.is_some() && reading.tail.postcode == record.postcode;
    let here = |town: &&Town| town.state == state;
    let by_post = |town: &Town| record.postcode.as_ref().is_some_and(|postcode| town.postcodes.contains(postcode));
    (confirmed || reading.tail.states.contains(&state))
        && towns.iter().filter(here).any(|town| (is_city(words) && is_near(town, record)) || by_post(town))
}

/// Whether a city is so near that the address may be in a suburb of it, as far as is known where they are.
fn is_near(town: &Town, record: &Record) -> bool {
    let (Some(city), Some(address)) = (town.point, record.point) else { return true };
    let north = (city.latitude - address.latitude) * KILOMETRES;
    let east = (city.longitude - address.longitude) * KILOMETRES * address.latitude.to_radians().cos();
    north.hypot(east) < CITY
}

/// The other street of the same locality that these words name.
fn another_street(words: &str, spot: &Spot, known: &Known) -> Option<String> {
    let others: Vec<&Spot> = known
        .others
        .iter()
        .filter(|other| other.locality_pid == spot.locality_pid && other.street_pid != spot.street_pid)
        .collect();
    if others.is_empty() {
        return None;
    }
    let (_, named) = known.named.get(words)?;
    let is_named = |other: &&&Spot| {
        named.iter().any(|street| {
            let same_type = other.asked_type.as_deref().is_some_and(|kind| street.types.contains(&kind));
            street.name == other.asked_name && (same_type || street.types.iter().any(|kind| ROADS.contains(kind)))
        })
    };
    others.iter().find(is_named).map(|other| other.street_label())
}

fn passed_over(words: &str) -> String {
    format!("\"{words}\" was passed over")
}

fn search_name(spot: &Spot) -> String {
    crate::parse::normal::search_form(&spot.locality_name)
}
