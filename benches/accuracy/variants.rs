//! One address in the many ways in which people write it.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::ask::{Expected, Question};
use crate::codes::Codes;
use crate::sample::{Address, Sample};

/// `UNIT 1, LEVEL 2, 12-14 SMITH STREET NORTH, HORSHAM VIC 3400`, as G-NAF's own labels go.
pub(crate) fn label(address: &Address) -> String {
    let mut head = String::new();
    for (kind, number) in [(&address.flat_type, &address.flat), (&address.level_type, &address.level)] {
        let words = spaced(&[kind, number]);
        if !words.is_empty() {
            head.push_str(&format!("{words}, "));
        }
    }
    format!("{head}{}, {}", street_line(address), place(address))
}

/// Words joined by one space, empty ones left out.
fn spaced(words: &[&str]) -> String {
    words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

fn number(address: &Address) -> String {
    match (address.first.is_empty(), address.last.is_empty(), address.lot.is_empty()) {
        (true, _, false) => format!("LOT {}", address.lot),
        (true, _, true) => String::new(),
        (false, false, _) => format!("{}-{}", address.first, address.last),
        (false, true, _) => address.first.clone(),
    }
}

/// Number and street.
pub(crate) fn street_line(address: &Address) -> String {
    spaced(&[&number(address), &address.street, &address.street_type, &address.suffix])
}

/// Locality, state and postcode.
pub(crate) fn place(address: &Address) -> String {
    spaced(&[&address.locality, &address.state, &address.postcode])
}

/// `Smith Street`, the way people hold the shift key.
pub(crate) fn titled(text: &str) -> String {
    let mut start = true;
    text.chars()
        .map(|c| {
            let shown = if start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            start = !c.is_alphanumeric() && c != '\'';
            shown
        })
        .collect()
}

/// Everything about a unit in front of the street line.
fn with_unit(address: &Address, line: &str) -> String {
    let whole = label(address);
    let plain = street_line(address);
    whole.replacen(&format!("{plain}, "), &format!("{line}, "), 1)
}

/// Adds the questions about `address`.
pub(crate) fn write(address: &Address, sample: &Sample, codes: &Codes, rng: &mut StdRng, out: &mut Vec<Question>) {
    let mut ask = |class: &'static str, text: String| {
        let expected = Expected { pid: address.pid.clone(), label: address.label.clone() };
        out.push(Question { class, text, expected: Some(expected) });
    };
    ask("clean", address.label.clone());
    ask("lower case", address.label.to_lowercase().replace(',', ""));
    ask("abbreviations", abbreviated(address, codes));
    ask("no postcode", titled(&label(&Address { postcode: String::new(), ..address.clone() })));
    ask("no state", titled(&label(&Address { state: String::new(), ..address.clone() })));
    if !address.flat.is_empty() && !address.first.is_empty() {
        ask("unit forms", unit_form(address, rng));
    }
    if let Some(text) = range_end(address, sample, rng) {
        ask("range end points", text);
    }
    if let Some(text) = typo(address, rng) {
        ask("one typo", text);
    }
    let unit = spaced(&[&address.flat_type, &address.flat]);
    let comma = if unit.is_empty() { String::new() } else { format!("{unit}, ") };
    let tail = spaced(&[&address.state, &address.postcode]);
    if address.level_type.is_empty() {
        ask("swapped order", titled(&format!("{}, {comma}{} {tail}", address.locality, street_line(address))));
    }
    if let Some(other) =
        sample.nearby.get(&(address.locality.clone(), address.state.clone())).and_then(|all| all.choose(rng))
    {
        ask("alias or neighbour", titled(&label(&Address { locality: other.clone(), ..address.clone() })));
    }
    let junk = ["Australia", "near the park", "attn reception", "(leave at front door)", "ph 0400 000 000"];
    let junk = junk.choose(rng).copied().unwrap_or_default();
    ask("trailing junk", format!("{} {junk}", titled(&address.label)));
}

/// Short forms of the street type and suffix, and the other forms of unit and level words.
fn abbreviated(address: &Address, codes: &Codes) -> String {
    let short = |table: &std::collections::HashMap<String, String>, word: &str| {
        table.iter().find(|(_, name)| name.as_str() == word).map_or(word.to_owned(), |(code, _)| code.clone())
    };
    let street_type = codes.street_types.get(&address.street_type).cloned().unwrap_or(address.street_type.clone());
    let changed = Address {
        street_type,
        suffix: short(&codes.suffixes, &address.suffix),
        flat_type: short(&codes.flat_types, &address.flat_type),
        level_type: short(&codes.level_types, &address.level_type),
        ..address.clone()
    };
    titled(&label(&changed)).replace(&titled(&address.state), &address.state)
}

fn unit_form(address: &Address, rng: &mut StdRng) -> String {
    let (unit, line) = (&address.flat, titled(&street_line(address)));
    let word = titled(&address.flat_type);
    let level = spaced(&[&address.level_type, &address.level]);
    let plain = level.is_empty();
    let start = match rng.random_range(0..5) {
        0 if plain => format!("{unit}/{line}"),
        1 if plain && address.flat_type == "UNIT" => format!("U{unit} {line}"),
        2 if plain && address.flat_type == "UNIT" && unit.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{unit} {line}")
        }
        3 if plain => format!("{word} {unit}/{line}"),
        4 if !plain => format!("{word} {unit} Lvl {} {line}", address.level),
        _ => format!("{word} {unit} {} {line}", titled(&level)).replace("  ", " "),
    };
    format!("{start}, {}", titled(&place(address)))
}

/// One end of a range, unless that number is an address of its own.
fn range_end(address: &Address, sample: &Sample, rng: &mut StdRng) -> Option<String> {
    if address.last.is_empty() || address.first.is_empty() {
        return None;
    }
    let end = if rng.random() { &address.first } else { &address.last };
    let street = address.street_key();
    let shared = sample.addresses_with(&street, end);
    if shared > 1 {
        return None;
    }
    let line = spaced(&[end, &address.street, &address.street_type, &address.suffix]);
    Some(titled(&with_unit(address, &line)))
}

impl Sample {
    /// How many street lines of `street` have this number at an end.
    fn addresses_with(&self, street: &crate::sample::Street, number: &str) -> usize {
        self.lines.get(&(street.clone(), number.to_owned())).map_or(0, std::collections::HashSet::len)
    }
}

/// One slip of the finger in a word of five or more letters.
fn typo(address: &Address, rng: &mut StdRng) -> Option<String> {
    let words: Vec<&str> = [&address.street, &address.street_type, &address.locality]
        .into_iter()
        .flat_map(|part| part.split(' '))
        .filter(|word| word.len() >= 5 && word.bytes().all(|b| b.is_ascii_uppercase()))
        .collect();
    let word = words.choose(rng)?;
    let mut letters = word.as_bytes().to_vec();
    let at = rng.random_range(1..letters.len());
    let letter = rng.random_range(b'A'..=b'Z');
    match rng.random_range(0..4) {
        0 => letters[at] = if letters[at] == letter { b'Z' - (letter - b'A') } else { letter },
        1 => drop(letters.remove(at)),
        2 => letters.insert(at, letter),
        _ if letters[at] != letters[at - 1] => letters.swap(at - 1, at),
        _ => drop(letters.remove(at)),
    }
    let wrong = String::from_utf8(letters).ok().filter(|wrong| wrong != word)?;
    let lined = with_unit(address, &street_line(address));
    Some(titled(&lined.replacen(word, &wrong, 1)))
}
