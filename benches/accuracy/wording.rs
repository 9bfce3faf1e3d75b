//! An address put into words, whole or in parts.

use super::sample::Address;

/// `UNIT 1, LEVEL 2, 12-14 SMITH STREET NORTH, HORSHAM VIC 3400`, as G-NAF's own labels go.
pub(crate) fn label(address: &Address) -> String {
    with_unit(address, &street_line(address))
}

/// Everything about a unit in front of `line`, and the place behind it.
pub(crate) fn with_unit(address: &Address, line: &str) -> String {
    let unit = spaced(&[&address.flat_type, &address.flat]);
    let level = spaced(&[&address.level_type, &address.level]);
    let parts = [unit.as_str(), level.as_str(), line, &place(address)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Words joined by one space, empty ones left out.
pub(crate) fn spaced(words: &[&str]) -> String {
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
