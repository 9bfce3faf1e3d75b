//! The order of answers: the best first, equals always the same way.

use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

use super::Score;
use crate::record::Record;

/// An address with its score and its label.
#[derive(Clone, Debug)]
pub(crate) struct Scored {
    pub record: Record,
    pub score: Score,
    pub label: String,
}

/// Compares texts with numbers in them the way people do: 9 before 12, 12 before 12A.
fn natural(a: &str, b: &str) -> Ordering {
    fn key(text: &str) -> (&str, u64, &str) {
        let from = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
        let digits = text[from..].find(|c: char| !c.is_ascii_digit()).map_or(text.len(), |count| from + count);
        (&text[..from], text[from..digits].parse().unwrap_or(0), &text[digits..])
    }
    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
}

fn natural_option(a: Option<&String>, b: Option<&String>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => natural(a, b),
        // An address comes before its units.
        (a, b) => a.is_some().cmp(&b.is_some()),
    }
}

fn compare(a: &Scored, b: &Scored) -> Ordering {
    let (x, y) = (&a.record, &b.record);
    Reverse(a.score.confidence)
        .cmp(&Reverse(b.score.confidence))
        .then_with(|| a.score.oddity.cmp(&b.score.oddity))
        .then_with(|| y.spot.addresses.cmp(&x.spot.addresses))
        .then_with(|| x.spot.street_pid.cmp(&y.spot.street_pid))
        .then_with(|| natural_option(x.number_first.as_ref(), y.number_first.as_ref()))
        .then_with(|| natural_option(x.level_number.as_ref(), y.level_number.as_ref()))
        .then_with(|| natural_option(x.flat_number.as_ref(), y.flat_number.as_ref()))
        .then_with(|| x.pid.cmp(&y.pid))
}

/// The best first; of records with one label, which are one address, the best, and of equals the one with a published
/// identifier.
pub(crate) fn ranked(scored: Vec<Scored>) -> Vec<Scored> {
    let mut by_label: HashMap<String, Scored> = HashMap::with_capacity(scored.len());
    for candidate in scored {
        let rank = |s: &Scored| {
            (Reverse(s.score.confidence), s.record.pid.starts_with("GX"), s.score.oddity, s.record.pid.clone())
        };
        match by_label.get(&candidate.label) {
            Some(known) if rank(known) <= rank(&candidate) => {}
            _ => {
                by_label.insert(candidate.label.clone(), candidate);
            }
        }
    }
    let mut ranked: Vec<Scored> = by_label.into_values().collect();
    ranked.sort_by(compare);
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("9", "12", Ordering::Less)]
    #[case("12", "12A", Ordering::Less)]
    #[case("12A", "12B", Ordering::Less)]
    #[case("G04", "G12", Ordering::Less)]
    #[case("7", "7", Ordering::Equal)]
    #[case("07", "7", Ordering::Less)]
    #[case("999999999999999999999", "1", Ordering::Less)]
    fn numbers_count_as_numbers(#[case] a: &str, #[case] b: &str, #[case] expected: Ordering) {
        assert_eq!(natural(a, b), expected);
    }
}
