//! What to ask the database for, gathered from readings: parallel arrays without duplicates, bounded by the readings.

use std::collections::BTreeSet;

use crate::parse::{Left, Reading, Street};
use crate::rank::Known;

/// Letters of an unfinished word that are enough to look it up by.
const ENOUGH: usize = 3;

/// Columns of keys; row `n` of each belongs together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pairs {
    pub streets: Vec<String>,
    pub localities: Vec<String>,
}

impl Pairs {
    fn gather<'r>(pairs: impl Iterator<Item = (&'r str, &'r str)>) -> Self {
        let distinct: BTreeSet<(&str, &str)> = pairs.collect();
        let (streets, localities) = distinct.into_iter().map(|(s, l)| (s.to_owned(), l.to_owned())).unzip();
        Self { streets, localities }
    }

    /// Finished street names with the finished localities beside them.
    pub(super) fn finished(readings: &[Reading]) -> Self {
        Self::gather(readings.iter().filter_map(|reading| {
            let street = reading.street.as_ref().filter(|street| !street.open)?;
            let locality = reading.locality.as_ref().filter(|locality| !locality.open)?;
            Some((street.name.as_str(), locality.name.as_str()))
        }))
    }

    /// Street names, finished or not, with the localities beside them, finished or not.
    pub(super) fn all(readings: &[Reading]) -> Self {
        Self::gather(readings.iter().filter_map(|reading| {
            Some((reading.street.as_ref()?.name.as_str(), reading.locality.as_ref()?.name.as_str()))
        }))
    }
}

/// Names left over that end in a street type.
#[derive(Debug, Default)]
pub(super) struct LeftOver {
    /// With the localities of their readings.
    pub pairs: Pairs,
    /// Of readings without a locality.
    pub alone: Vec<String>,
}

impl LeftOver {
    /// Names looked for at most: a text of many streets is no address.
    const MOST: usize = 24;

    pub(super) fn gather(readings: &[Reading], known: &Known) -> Self {
        let (mut pairs, mut alone) = (BTreeSet::new(), BTreeSet::new());
        for reading in readings {
            for left in reading.left.iter() {
                let Left::Name { words, .. } = left else { continue };
                for street in known.named.get(words).iter().flat_map(|(_, streets)| streets) {
                    match &reading.locality {
                        Some(locality) if pairs.len() < Self::MOST => {
                            _ = pairs.insert((street.name.clone(), locality.name.clone()))
                        }
                        None if alone.len() < Self::MOST => _ = alone.insert(street.name.clone()),
                        _ => {}
                    }
                }
            }
        }
        let (streets, localities) = pairs.into_iter().unzip();
        Self { pairs: Pairs { streets, localities }, alone: alone.into_iter().collect() }
    }
}

/// The least text after every text that begins with `prefix`, in byte order.
pub(super) fn end_of_range(prefix: &str) -> String {
    let mut end = prefix.to_owned();
    if let Some(last) = end.pop() {
        // Words are A-Z and 0-9, so the next character exists and is ASCII.
        end.push((last as u8 + 1) as char);
    }
    end
}

/// Names in search form, distinct.
pub(super) fn distinct<'r>(names: impl Iterator<Item = &'r str>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}

/// The postcode that is written out in one of the readings.
pub(super) fn postcode(readings: &[Reading]) -> Option<String> {
    readings.iter().find_map(|r| r.tail.postcode.clone().filter(|_| !r.tail.postcode_open))
}

/// The state that all readings agree on; one without a state allows any.
pub(super) fn state(readings: &[Reading]) -> Option<String> {
    if readings.iter().any(|r| r.tail.states.is_empty()) {
        return None;
    }
    let states: BTreeSet<_> = readings.iter().flat_map(|r| &r.tail.states).collect();
    (states.len() == 1).then(|| states.first().map(|state| (**state).to_owned())).flatten()
}

/// Finished street names without a locality, for a look at the postcode.
pub(super) fn streets_by_postcode(readings: &[Reading]) -> Vec<String> {
    let alone = readings.iter().filter(|r| r.locality.is_none()).filter_map(|r| r.street.as_ref());
    distinct(alone.filter(|s| !s.open).map(|s| s.name.as_str()))
}

/// Keys of `streets_begun.sql`: what may be completed.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// Finished street, range of localities.
    pub street: Vec<String>,
    pub locality_low: Vec<String>,
    pub locality_high: Vec<String>,
    /// Range of streets, finished locality.
    pub low: Vec<String>,
    pub high: Vec<String>,
    pub locality: Vec<String>,
    /// Range of streets in a postcode.
    pub in_postcode_low: Vec<String>,
    pub in_postcode_high: Vec<String>,
}

impl Begun {
    pub(super) fn gather(readings: &[Reading]) -> Self {
        let mut begun = Self::default();
        let (mut first, mut second, mut third) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for reading in readings {
            match (&reading.street, &reading.locality) {
                (Some(street), Some(locality)) if !street.open && locality.open && locality.name.len() >= ENOUGH => {
                    first.insert((&street.name, &locality.name));
                }
                (Some(street), Some(locality)) if street.open && !locality.open => {
                    second.insert((&street.name, &locality.name));
                }
                (Some(street), None) if street.open && reading.tail.postcode.is_some() => {
                    third.insert(&street.name);
                }
                _ => {}
            }
        }
        for (street, locality) in first {
            begun.street.push(street.clone());
            begun.locality_low.push(locality.clone());
            begun.locality_high.push(end_of_range(locality));
        }
        for (street, locality) in second {
            begun.low.push(street.clone());
            begun.high.push(end_of_range(street));
            begun.locality.push(locality.clone());
        }
        for street in third {
            begun.in_postcode_low.push(street.clone());
            begun.in_postcode_high.push(end_of_range(street));
        }
        begun
    }

    pub(super) fn is_empty(&self) -> bool {
        self.street.is_empty() && self.low.is_empty() && self.in_postcode_low.is_empty()
    }
}

/// Keys of `streets_anywhere.sql`: streets that only their name tells, or with too little of a locality to begin there.
#[derive(Debug, Default)]
pub(super) struct Anywhere {
    pub street: Vec<String>,
    pub types: Vec<String>,
    pub locality: Vec<String>,
    pub low: Vec<String>,
    pub high: Vec<String>,
}

impl Anywhere {
    pub(super) fn gather(readings: &[Reading]) -> Self {
        let (mut exact, mut begun) = (BTreeSet::new(), BTreeSet::new());
        for reading in readings {
            let Some(street) = &reading.street else { continue };
            let beginning = match &reading.locality {
                None => "",
                Some(locality) if locality.open && locality.name.len() < ENOUGH => locality.name.as_str(),
                Some(_) => continue,
            };
            if !street.open {
                exact.insert((street.name.clone(), types(street), beginning.to_owned()));
            } else if street.name.len() >= ENOUGH {
                begun.insert(street.name.clone());
            }
        }
        let mut keys = Self::default();
        for (street, types, locality) in exact {
            keys.street.push(street);
            keys.types.push(types);
            keys.locality.push(locality);
        }
        for low in begun {
            keys.high.push(end_of_range(&low));
            keys.low.push(low);
        }
        keys
    }

    pub(super) fn is_empty(&self) -> bool {
        self.street.is_empty() && self.low.is_empty()
    }
}

/// The types a street may have as `streets_anywhere.sql` reads them.
fn types(street: &Street) -> String {
    street.types.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Parsed, Typing};

    #[test]
    fn a_range_holds_exactly_what_begins_so() {
        assert_eq!(end_of_range("COLL"), "COLM");
        assert_eq!(end_of_range("Z"), "[");
        assert_eq!(end_of_range(""), "");
    }

    #[test]
    fn keys_come_without_duplicates_and_in_one_order() {
        let parsed = Parsed::new("12 Collins St Melbourne VIC 3000", Typing::Done);
        let pairs = Pairs::finished(&parsed.readings);
        let listed: BTreeSet<_> = pairs.streets.iter().zip(&pairs.localities).collect();
        assert_eq!(listed.len(), pairs.streets.len());
        assert!(listed.contains(&(&"COLLINS".to_owned(), &"MELBOURNE".to_owned())));
        let stateless = parsed.readings.iter().find(|reading| reading.tail.states.is_empty());
        assert_eq!(stateless, None);
        assert_eq!((postcode(&parsed.readings), state(&parsed.readings)), (Some("3000".into()), Some("VIC".into())));
    }

    #[test]
    fn a_word_that_only_may_be_a_state_limits_nothing() {
        // North Melbourne, on the way; a town in New South Wales.
        for (text, typing) in [("108 haines st no", Typing::Going), ("mount victoria", Typing::Done)] {
            assert_eq!(state(&Parsed::new(text, typing).readings), None, "{text}");
        }
    }

    #[test]
    fn what_is_being_typed_may_be_street_or_locality() {
        let parsed = Parsed::new("6 collins st mel", Typing::Going);
        let begun = Begun::gather(&parsed.readings);
        let listed: Vec<_> = begun.street.iter().zip(&begun.locality_low).collect();
        assert!(listed.contains(&(&"COLLINS".to_owned(), &"MEL".to_owned())));
        assert!(Anywhere::gather(&parsed.readings).low.contains(&"COLLINS ST MEL".to_owned()));
        assert!(Anywhere::gather(&Parsed::new("6 co", Typing::Going).readings).is_empty());
    }
}
