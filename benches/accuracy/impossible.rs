//! Addresses that do not exist, made by altering one part of a real one. None of them may validate.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::ask::{Ask, Question};
use super::sample::{Address, Sample};
use super::wording::{label, spaced, titled};

/// Adds the questions that must not validate.
pub(crate) fn write(address: &Address, sample: &Sample, rng: &mut StdRng, out: &mut Vec<Question>) {
    let mut ask = |class: &'static str, changed: Address| {
        out.push(Question { class, text: titled(&label(&changed)), expected: None, ask: Ask::Validate });
    };
    if let Some(first) = missing_number(address, sample, rng) {
        ask("no such number", Address { first, last: String::new(), ..address.clone() });
    }
    if let Some((street, street_type)) = missing_street(address, sample, rng) {
        ask("no such street", Address { street, street_type, suffix: String::new(), ..address.clone() });
    }
    if let Some(flat) = missing_flat(address, sample, rng) {
        ask("no such unit", Address { flat_type: "UNIT".to_owned(), flat, ..address.clone() });
    }
    if let Some((locality, state, postcode)) = far_locality(address, sample, rng) {
        ask("wrong locality", Address { locality, state, postcode, ..address.clone() });
    }
    // Not even a number: whatever it is taken for, it must not be called valid.
    let street = spaced(&[&address.street, &address.street_type, &address.suffix]);
    let nameless = sample.numbers.get(&address.street_key()).is_some_and(|numbers| numbers.contains(""));
    if !nameless {
        let text = match rng.random_range(0..4) {
            0 => address.street.clone(),
            1 => street,
            2 => address.locality.clone(),
            _ => format!("{street}, {}", address.locality),
        };
        out.push(Question { class: "vague", text: titled(&text), expected: None, ask: Ask::Validate });
    }
}

fn missing_number(address: &Address, sample: &Sample, rng: &mut StdRng) -> Option<String> {
    let known = sample.numbers.get(&address.street_key())?;
    let near: u32 = address.first.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok()?;
    (0..20).map(|_| near.saturating_add(rng.random_range(1..200)).to_string()).find(|number| !known.contains(number))
}

fn missing_street(address: &Address, sample: &Sample, rng: &mut StdRng) -> Option<(String, String)> {
    let known = sample.streets.get(&(address.locality.clone(), address.state.clone()))?;
    (0..20)
        .filter_map(|_| sample.street_names.choose(rng))
        .find(|(name, kind)| !kind.is_empty() && !known.iter().any(|other| similar(other, name)))
        .cloned()
}

/// Names so alike that one may be taken for a misspelling of the other.
fn similar(one: &str, other: &str) -> bool {
    strsim::osa_distance(one, other) <= 2 || one.contains(other) || other.contains(one)
}

fn missing_flat(address: &Address, sample: &Sample, rng: &mut StdRng) -> Option<String> {
    if address.first.is_empty() || !address.level.is_empty() {
        return None;
    }
    let known = sample.flats.get(&(address.street_key(), address.first.clone()))?;
    (0..20).map(|_| rng.random_range(1..500_u32).to_string()).find(|flat| !known.contains(flat))
}

/// A locality in which no street of this name is known.
fn far_locality(address: &Address, sample: &Sample, rng: &mut StdRng) -> Option<(String, String, String)> {
    (0..20)
        .filter_map(|_| sample.localities.choose(rng))
        .find(|(name, state, _)| {
            let streets = sample.streets.get(&(name.clone(), state.clone()));
            *state != address.state
                && !streets.is_some_and(|all| all.iter().any(|other| similar(other, &address.street)))
        })
        .cloned()
}
