//! One address in the many ways in which people write it.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::ask::{Ask, Expected, Question};
use super::codes::Codes;
use super::sample::{Address, Sample};
use super::typos::typo;
use super::units;
use super::wording::{label, spaced, street_line, titled, with_unit};

/// What people write that no code table has.
const HABITS: &[(&str, &str)] = &[
    ("AVENUE", "Ave"),
    ("CRESCENT", "Cres"),
    ("BOULEVARD", "Blvd"),
    ("COURT", "Crt"),
    ("PARADE", "Pde"),
    ("PLACE", "Pl"),
    ("STREET", "Str"),
    ("ROAD", "Rd."),
    ("DRIVE", "Drv"),
    ("HIGHWAY", "Hwy"),
    ("TERRACE", "Tce"),
];
const JUNK: &[&str] = &["Australia", "near the park", "attn reception", "(leave at front door)", "ph 0400 000 000"];

/// Adds the questions about `address`.
pub(crate) fn write(address: &Address, sample: &Sample, codes: &Codes, rng: &mut StdRng, out: &mut Vec<Question>) {
    let mut ask = |class: &'static str, text: String| {
        let expected = Expected { pid: address.pid.clone(), label: address.label.clone() };
        out.push(Question { class, text, expected: Some(expected), ask: Ask::Search });
    };
    ask("clean", address.label.clone());
    ask("lower case", address.label.to_lowercase().replace(',', ""));
    ask("abbreviated", abbreviated(address, codes));
    if let Some((_, habit)) = HABITS.iter().find(|(word, _)| *word == address.street_type) {
        ask("habits: Ave, Cres", titled(&label(&Address { street_type: (*habit).to_owned(), ..address.clone() })));
    }
    if address.first.is_empty() && !address.lot.is_empty() {
        ask("lot", titled(&with_unit(address, &street_line(address).replacen("LOT ", "L", 1))));
    }
    for (class, text) in units::forms(address, codes) {
        ask(class, text);
    }
    if let Some(text) = range_end(address, sample, rng) {
        ask("range end points", text);
    }
    if let Some((class, text)) = typo(address, sample, rng) {
        ask(class, text);
    }
    ask("no postcode", titled(&label(&Address { postcode: String::new(), ..address.clone() })));
    ask("no state", titled(&label(&Address { state: String::new(), ..address.clone() })));
    if address.level_type.is_empty() {
        let unit = spaced(&[&address.flat_type, &address.flat]);
        let comma = if unit.is_empty() { String::new() } else { format!("{unit}, ") };
        let tail = spaced(&[&address.state, &address.postcode]);
        ask("swapped order", titled(&format!("{}, {comma}{} {tail}", address.locality, street_line(address))));
    }
    let own = (address.locality.clone(), address.state.clone());
    if let Some(other) = sample.aliases.get(&own).and_then(|all| all.choose(rng)) {
        ask("locality alias", titled(&label(&Address { locality: other.clone(), ..address.clone() })));
    }
    if let Some(other) = sample.neighbours.get(&own).and_then(|all| all.choose(rng)) {
        ask("neighbour locality", titled(&label(&Address { locality: other.clone(), ..address.clone() })));
    }
    let junk = JUNK.choose(rng).copied().unwrap_or_default();
    ask("trailing junk", format!("{} {junk}", titled(&address.label)));
}

/// The short forms of the code tables, wherever a part has one.
fn abbreviated(address: &Address, codes: &Codes) -> String {
    let changed = Address {
        street_type: codes.street_types.get(&address.street_type).cloned().unwrap_or(address.street_type.clone()),
        suffix: codes.suffix_code(&address.suffix),
        flat_type: codes.flat_code(&address.flat_type),
        level_type: codes.level_code(&address.level_type),
        ..address.clone()
    };
    titled(&label(&changed)).replace(&titled(&address.state), &address.state)
}

/// One end of a range, unless another address of the street has that number at an end.
fn range_end(address: &Address, sample: &Sample, rng: &mut StdRng) -> Option<String> {
    if address.last.is_empty() || address.first.is_empty() {
        return None;
    }
    let end = if rng.random() { &address.first } else { &address.last };
    let with_number = sample.lines.get(&(address.street_key(), end.clone())).map_or(0, std::collections::HashSet::len);
    if with_number > 1 {
        return None;
    }
    Some(titled(&with_unit(address, &spaced(&[end, &address.street, &address.street_type, &address.suffix]))))
}
