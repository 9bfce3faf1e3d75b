//! The ways in which people write a unit in front of a street line.

use super::codes::Codes;
use super::sample::Address;
use super::wording::{place, spaced, street_line, titled};

/// Class and text of each way that this address can be written in.
pub(crate) fn forms(address: &Address, codes: &Codes) -> Vec<(&'static str, String)> {
    if address.flat.is_empty() || address.first.is_empty() {
        return Vec::new();
    }
    let (unit, line, place) = (&address.flat, titled(&street_line(address)), titled(&place(address)));
    let word = titled(&address.flat_type);
    let short = titled(&codes.flat_code(&address.flat_type));
    let mut forms = Vec::new();
    if address.level_type.is_empty() {
        let is_number = unit.bytes().all(|b| b.is_ascii_digit());
        let is_unit = address.flat_type == "UNIT" || address.flat_type.is_empty();
        forms.push(("unit: 1/23", format!("{unit}/{line}, {place}")));
        forms.push(("unit: Unit 1, 23", format!("{word} {unit}, {line}, {place}")));
        forms.push(("unit: Unit 1 23", format!("{word} {unit} {line} {place}")));
        forms.push(("unit: Unit 1/23", format!("{word} {unit}/{line}, {place}")));
        if is_unit {
            forms.push(("unit: U1 23", format!("U{unit} {line}, {place}")));
        }
        if is_unit && is_number {
            forms.push(("unit: 1 23", format!("{unit} {line}, {place}")));
        }
        if short != word {
            forms.push(("unit: code", format!("{short} {unit} {line}, {place}")));
        }
    } else {
        let level = spaced(&[&address.level_type, &address.level]);
        forms.push(("level: Level 2", format!("{word} {unit} {} {line}, {place}", titled(&level))));
        forms.push(("level: first", format!("{}, {word} {unit}, {line}, {place}", titled(&level))));
        if address.level_type == "LEVEL" {
            forms.push(("level: Lvl 2", format!("{word} {unit} Lvl {} {line}, {place}", address.level)));
            forms.push(("level: L2", format!("{word} {unit}, L{}, {line}, {place}", address.level)));
        }
    }
    forms
}
