//! How well an address of the data fits a reading of what was typed: 100 points less what each component costs. Pure and
//! additive, so a missing or wrong component can only lower the confidence. The confidence measures the match, never the
//! quality of the record.

mod area;
mod issue;
mod left;
mod order;
mod premises;
mod spelling;
mod street;

use std::collections::{HashMap, HashSet};

pub(crate) use self::issue::{Issue, Kind, Severity, Verdict};
pub(crate) use self::order::{Scored, ranked};
use crate::parse::{Left, Reading, Street, Town, streets_named};
use crate::place::Precision;
use crate::record::{Record, Spot};

/// Confidence from which an address counts as valid.
pub(crate) const VALID: u8 = 80;
/// Confidence of an answer that several different addresses fit equally well: never valid.
pub(crate) const AMBIGUOUS: u8 = 75;
/// The most that an input with a mere difference of notation loses, such as `1/23` or a state left out beside a postcode.
pub(crate) const EXACT: u8 = 99;
/// A correction is suspect when what was typed exists as it stands: below valid.
const SUSPECT: u16 = 15;
/// A name that may be a street's or a suburb's: below valid.
const EITHER: u16 = 12;
/// Without a street nothing is valid.
const NO_STREET: u16 = 22;
/// Places that cost more than this are not looked into.
const FAR: u16 = 85;
/// Readings of one place that are worth a look.
const FITS: usize = 8;

/// How well one address fits.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Score {
    /// 0 to 100.
    pub confidence: u8,
    pub issues: Vec<Issue>,
    /// The reading's oddity, to tell equals apart.
    pub oddity: u8,
    /// Words were passed over of which only the data can tell what they are.
    pub leaves_names: bool,
    /// Such words stand where street and locality do.
    pub leaves_parts: bool,
}

/// How well a street or an area fits one of the readings.
#[derive(Clone, Debug)]
pub(crate) struct Fit<'r> {
    pub reading: &'r Reading,
    pub verdict: Verdict,
}

/// What is known to exist as it was typed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Names of localities, in search form.
    pub localities: HashMap<String, Vec<Town>>,
    /// Streets that words left over name.
    pub others: Vec<Spot>,
    /// What words left over may name as a street, with the number in front.
    pub named: HashMap<String, (Option<String>, Vec<Street>)>,
    /// The street, in the locality or postcode that was typed.
    pub street: bool,
}

impl Known {
    /// The localities, and what the words that `readings` leave over may name.
    pub(crate) fn of(readings: &[Reading], localities: HashMap<String, Vec<Town>>) -> Self {
        let mut named = HashMap::new();
        for left in readings.iter().flat_map(|reading| reading.left.iter()) {
            if let Left::Name { words, .. } = left
                && !named.contains_key(words)
            {
                named.insert(words.clone(), streets_named(words));
            }
        }
        Self { localities, named, ..Self::default() }
    }
}

/// What `spot` costs under `reading`, none when it can't be meant. Misspellings count only when `tolerant`.
fn spot_verdict(reading: &Reading, spot: &Spot, known: &Known, tolerant: bool) -> Option<Verdict> {
    let street = match (&reading.street, spot.street_pid.is_empty()) {
        (Some(street), false) => {
            let verdict = street::fit(street, spot, tolerant)?;
            let suspect = known.street && street.name != spot.asked_name && !street.open;
            verdict.and(Verdict::quiet(if suspect { SUSPECT } else { 0 }))
        }
        // A number in a town is no address, though the data may have one without a street.
        (None, true) => Verdict::missing(NO_STREET, "There is no street"),
        // Any street of the town has such a number.
        (None, false) if reading.head.has_number() => return Some(Verdict::quiet(FAR + 1)),
        (None, false) => Verdict::missing(NO_STREET, "The street is missing"),
        (Some(_), true) => return None,
    };
    let locality = match &reading.locality {
        None => {
            // A name without a type or a suburb is as likely a suburb's as a street's.
            let bare = |street: &Street| street.types.is_empty() && !street.open && spot.asked_type.is_some();
            let numbered = reading.head.has_number();
            let either = if numbered && reading.street.as_ref().is_some_and(bare) { EITHER } else { 0 };
            area::no_locality(&reading.tail).and(Verdict::quiet(either))
        }
        Some(locality) => {
            let verdict = area::locality(locality, spot, tolerant)?;
            let corrected = spot.neighbour_of.is_none() && locality.name != spot.asked_locality && !locality.open;
            let suspect = corrected && known.localities.contains_key(&locality.name);
            verdict.and(Verdict::quiet(if suspect { SUSPECT } else { 0 }))
        }
    };
    let swapped = Verdict::quiet(if reading.swapped { 3 } else { 0 });
    Some(street.and(locality).and(area::state(&reading.tail, spot)).and(swapped))
}

/// The readings, with what they have in common compared only once.
pub(crate) struct Readings<'r> {
    readings: &'r [Reading],
    tolerant: bool,
    /// Per reading the number of its street and of its locality among the distinct ones.
    parts: Vec<(usize, usize)>,
}

impl<'r> Readings<'r> {
    /// `tolerant`: misspellings count.
    pub(crate) fn new(readings: &'r [Reading], tolerant: bool) -> Self {
        let (mut streets, mut localities) = (HashMap::new(), HashMap::new());
        let number = |reading: &'r Reading| {
            let next = streets.len();
            let street = *streets
                .entry(reading.street.as_ref().map(|s| (&s.name, s.open, &s.types, s.type_open, s.suffix)))
                .or_insert(next);
            let next = localities.len();
            let locality = *localities.entry(reading.locality.as_ref().map(|l| (&l.name, l.open))).or_insert(next);
            (street, locality)
        };
        let parts = readings.iter().map(number).collect();
        Self { readings, tolerant, parts }
    }

    /// The readings under which `spot` may be meant, the best first.
    pub(crate) fn fits(&self, spot: &Spot, known: &Known) -> Vec<Fit<'r>> {
        // A street or a locality that doesn't fit rules out every reading that shares it.
        let (mut no_street, mut no_locality) = (HashSet::new(), HashSet::new());
        let mut fits = Vec::new();
        for (reading, &(street, locality)) in self.readings.iter().zip(&self.parts) {
            if no_street.contains(&street) || no_locality.contains(&locality) {
                continue;
            }
            match spot_verdict(reading, spot, known, self.tolerant) {
                Some(verdict) if verdict.points <= FAR => fits.push(Fit { reading, verdict }),
                Some(_) => {}
                None => {
                    let unfit =
                        reading.locality.as_ref().is_some_and(|l| area::locality(l, spot, self.tolerant).is_none());
                    if unfit {
                        no_locality.insert(locality)
                    } else {
                        no_street.insert(street)
                    };
                }
            }
        }
        fits.sort_by_key(|fit| (fit.verdict.points, fit.reading.oddity));
        fits.truncate(FITS);
        fits
    }
}

/// The score of `record`, whose place fits as `fit` says.
pub(crate) fn score(fit: &Fit<'_>, record: &Record, known: &Known) -> Score {
    let Fit { reading, verdict } = fit;
    let (head, tail) = (&reading.head, &reading.tail);
    let numbered = premises::number(head, record);
    let verdict = numbered
        .and(premises::unit(head, record))
        .and(verdict.clone())
        .and(area::postcode(tail, record))
        .and(left::verdict(reading, record, known))
        .and(Verdict::quiet(if record.is_alias { 3 } else { 0 }));
    let confidence = 100_u16.saturating_sub(verdict.points) as u8;
    let (leaves_names, leaves_parts) = (reading.leaves_names(), reading.leaves_parts());
    Score { confidence, issues: verdict.issues, oddity: reading.oddity, leaves_names, leaves_parts }
}

/// How well a street or a locality, as a record without a number, fits a reading: what number and unit say is passed over. None
/// where it can't be meant.
pub(crate) fn part_confidence(reading: &Reading, record: &Record, known: &Known, precision: Precision) -> Option<u8> {
    let spot = &record.spot;
    // Digits beside what is hardly a street are no house number, but a postcode or another's number.
    if reading.head.has_number() && reading.street.as_ref().is_none_or(|street| street.types.is_empty()) {
        return None;
    }
    let street = match precision {
        Precision::Locality => Verdict::good(),
        _ => street::fit(reading.street.as_ref()?, spot, true)?,
    };
    let locality = match (&reading.locality, precision) {
        (Some(locality), _) => area::locality(locality, spot, true)?,
        (None, Precision::Locality) => return None,
        (None, _) => area::no_locality(&reading.tail),
    };
    let verdict = street
        .and(locality)
        .and(area::state(&reading.tail, spot))
        .and(area::postcode(&reading.tail, record))
        .and(left::verdict(reading, record, known));
    Some(100_u16.saturating_sub(verdict.points) as u8)
}

/// The best score of `record` among the readings its place fits.
pub(crate) fn best(fits: &[Fit<'_>], record: &Record, known: &Known) -> Option<Score> {
    let scores = fits.iter().map(|fit| score(fit, record, known));
    scores.max_by_key(|score| (score.confidence, std::cmp::Reverse(score.oddity)))
}

#[cfg(test)]
#[path = "rank/tests.rs"]
mod tests;
