//! An address in parts instead of one text, as forms have it.

use crate::error::ApiError;
use crate::input::{Fields, Text, refuse};
use crate::record::Record;
use crate::state;
use crate::validate::ADDRESS;

const CODE: &str = "INVALID_COMPONENTS";
const PART: Text = Text { max: 100, invalid: CODE, too_long: CODE };

/// The parts that are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Components {
    unit: Option<String>,
    number: Option<String>,
    street: Option<String>,
    suburb: Option<String>,
    state: Option<String>,
    postcode: Option<String>,
}

/// What is asked about: a text, parts, or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// The address as one text.
    pub(crate) text: String,
    parts: Option<Components>,
    /// The text came beside the parts, and was not made of them.
    both: bool,
}

impl Asked {
    /// Reads `address` and `components`; a query string has the parts as parameters of their own.
    ///
    /// # Errors
    /// `MISSING_ADDRESS` when neither is given, `INVALID_ADDRESS`, `ADDRESS_TOO_LONG`, `INVALID_COMPONENTS`.
    pub(crate) fn read(fields: &Fields) -> Result<Self, ApiError> {
        let parts = match fields.members("components", CODE)? {
            Some(members) => Components::read(&members)?,
            None => None,
        };
        match (fields.text("address", ADDRESS)?, parts) {
            (Some(text), parts) => Ok(Self { text, both: parts.is_some(), parts }),
            (None, Some(parts)) => Ok(Self { text: parts.text(), both: false, parts: Some(parts) }),
            (None, None) => refuse("MISSING_ADDRESS", "`address` or `components` is required"),
        }
    }

    /// The first part that is another one in `record`. Names may be misspelt where the parts stand alone; beside a text they
    /// must be those of the address that the text means.
    pub(crate) fn disagreement(&self, record: &Record) -> Option<&'static str> {
        let parts = self.parts.as_ref()?;
        let differs =
            |part: &Option<String>, fits: &dyn Fn(&str) -> bool| part.as_deref().is_some_and(|part| !fits(part));
        match () {
            () if differs(&parts.unit, &|unit| is_unit(unit, record)) => Some("unit"),
            () if differs(&parts.number, &|number| is_number(number, record)) => Some("streetNumber"),
            () => self.other_place(record),
        }
    }

    /// The same without number and unit: for a street or a locality.
    pub(crate) fn other_place(&self, record: &Record) -> Option<&'static str> {
        let parts = self.parts.as_ref()?;
        let differs =
            |part: &Option<String>, fits: &dyn Fn(&str) -> bool| part.as_deref().is_some_and(|part| !fits(part));
        let spot = &record.spot;
        let checks: [(&'static str, bool); 4] = [
            (
                "suburb",
                self.both
                    && differs(&parts.suburb, &|suburb| {
                        [&spot.locality_name, &spot.asked_locality].iter().any(|name| form(name) == form(suburb))
                    }),
            ),
            ("state", differs(&parts.state, &|state| state::abbreviation(state) == Some(spot.state.as_str()))),
            (
                "postcode",
                differs(&parts.postcode, &|postcode| record.postcode.as_deref() == Some(&*format!("{postcode:0>4}"))),
            ),
            // The last, since a locality that stands for an address has none.
            ("street", self.both && differs(&parts.street, &|street| is_street(street, record))),
        ];
        checks.into_iter().find(|(_, differs)| *differs).map(|(name, _)| name)
    }
}

impl Components {
    fn read(members: &Fields) -> Result<Option<Self>, ApiError> {
        let part = |name| members.word(name, PART);
        let parts = Self {
            unit: part("unit")?,
            number: part("streetNumber")?,
            street: part("street")?,
            suburb: part("suburb")?,
            state: part("state")?,
            postcode: part("postcode")?,
        };
        Ok((parts != Self::default()).then_some(parts))
    }

    /// As one text, in the usual order.
    fn text(&self) -> String {
        // A bare `3` or `3A` would be read as a house number.
        let unit =
            self.unit.as_ref().map(|unit| match unit.chars().any(|c| c.is_ascii_digit()) && !unit.contains(' ') {
                true if unit.starts_with(|c: char| c.is_ascii_digit()) => format!("UNIT {unit}"),
                _ => unit.clone(),
            });
        let state = self.state.as_deref().map(|state| state::abbreviation(state).unwrap_or(state).to_owned());
        let postcode = self.postcode.as_ref().map(|postcode| format!("{postcode:0>4}"));
        let joined = |parts: [Option<String>; 3]| {
            let parts: Vec<String> = parts.into_iter().flatten().collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        };
        let street = joined([self.number.clone(), self.street.clone(), None]);
        let tail = joined([self.suburb.clone(), state, postcode]);
        [unit, street, tail].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Letters and digits in capitals, words apart by one space.
fn form(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !matches!(c, '\'' | '’' | '.')).collect();
    let upper = plain.to_uppercase();
    let words = upper.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// `3`, `Unit 3` or `U3` for unit 3; `Level 2` for a level.
fn is_unit(unit: &str, record: &Record) -> bool {
    let asked = form(unit);
    let last = asked.rsplit(' ').next().unwrap_or_default();
    let bare = last.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let numbers = [&record.flat_number, &record.level_number];
    let is_number = |number: &&Option<String>| {
        number.as_deref().is_some_and(|number| number == last || (number == bare && !bare.is_empty()))
    };
    asked == record.unit_words() || asked == record.level_words() || numbers.iter().any(is_number)
}

/// `12`, `12A`, `12-14` or either end of it, `Lot 3`.
fn is_number(number: &str, record: &Record) -> bool {
    let asked: String = number.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_uppercase()).collect();
    let asked = asked.replace(['–', '—'], "-");
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let (first, last, lot) = (text(&record.number_first), text(&record.number_last), text(&record.lot_number));
    let known = [first.clone(), last.clone(), format!("{first}-{last}"), lot.clone(), format!("LOT{lot}")];
    !asked.is_empty() && asked != "-" && asked != "LOT" && known.contains(&asked)
}

/// `High`, `High St` or `High Street`, by its own name or the one it was asked for by.
fn is_street(street: &str, record: &Record) -> bool {
    let asked = form(street);
    let names = [&record.spot.street_name, &record.spot.asked_name];
    names.iter().map(|name| form(name)).any(|name| {
        !name.is_empty() && (asked == name || asked.strip_prefix(&name).is_some_and(|rest| rest.starts_with(' ')))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::record::Spot;

    fn asked(body: Value) -> Result<Asked, &'static str> {
        let Value::Object(values) = body else { panic!("not an object") };
        Asked::read(&Fields::from_object(values)).map_err(|error| error.code)
    }

    #[rstest::rstest]
    #[case(json!({"unit": "3", "streetNumber": 12, "street": "High St", "suburb": "Horsham", "state": "Victoria", "postcode": 3400}),
        "UNIT 3, 12 High St, Horsham VIC 3400")]
    #[case(json!({"unit": "Level 2", "streetNumber": "12-14", "street": "High St"}), "Level 2, 12-14 High St")]
    #[case(json!({"suburb": "Darwin", "postcode": 800}), "Darwin 0800")]
    fn parts_become_one_text(#[case] components: Value, #[case] text: &str) {
        assert_eq!(asked(json!({"components": components})).unwrap().text, text);
    }

    #[rstest::rstest]
    #[case(json!({}), "MISSING_ADDRESS")]
    #[case(json!({"components": {}}), "MISSING_ADDRESS")]
    #[case(json!({"components": {"unit": null, "street": " "}}), "MISSING_ADDRESS")]
    #[case(json!({"components": "12 High St"}), "INVALID_COMPONENTS")]
    #[case(json!({"components": {"street": ["High St"]}}), "INVALID_COMPONENTS")]
    #[case(json!({"components": {"street": "x".repeat(101)}}), "INVALID_COMPONENTS")]
    #[case(json!({"components": {"postcode": 34.5}}), "INVALID_COMPONENTS")]
    fn each_fault_has_its_code(#[case] body: Value, #[case] code: &str) {
        assert_eq!(asked(body).err(), Some(code));
    }

    #[rstest::rstest]
    #[case(json!({"unit": "3", "streetNumber": "12", "street": "high st", "suburb": "horsham", "state": "vic", "postcode": "3400"}), None)]
    #[case(json!({"unit": "U3", "streetNumber": "14", "street": "High"}), None)]
    #[case(json!({"unit": "Unit 3", "streetNumber": "12 - 14"}), None)]
    #[case(json!({"unit": "4"}), Some("unit"))]
    #[case(json!({"streetNumber": "13"}), Some("streetNumber"))]
    #[case(json!({"street": "Highfield St"}), Some("street"))]
    #[case(json!({"suburb": "Dimboola"}), Some("suburb"))]
    #[case(json!({"state": "NSW"}), Some("state"))]
    #[case(json!({"state": "Bavaria"}), Some("state"))]
    #[case(json!({"postcode": "3401"}), Some("postcode"))]
    fn parts_that_are_others_are_named(#[case] components: Value, #[case] wanted: Option<&str>) {
        let text = |text: &str| Some(text.to_owned());
        let record = Record {
            flat_type: text("UNIT"),
            flat_number: text("3"),
            number_first: text("12"),
            number_last: text("14"),
            postcode: text("3400"),
            spot: Arc::new(Spot {
                street_name: "HIGH".into(),
                street_type: text("STREET"),
                locality_name: "HORSHAM".into(),
                state: "VIC".into(),
                ..Spot::default()
            }),
            ..Record::default()
        };
        let both = asked(json!({"address": "3/12-14 High St Horsham", "components": components})).unwrap();
        assert_eq!(both.disagreement(&record), wanted);
    }
}
