//! What an addressr instance answers, as records like our own: from one line of text, or from its parts.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::input::coordinates::Position;
use crate::parse::codes::{FLAT_TYPE, LEVEL_TYPE, SUFFIX, Table};
use crate::parse::normal::search_form;
use crate::parse::{Parsed, Reading, Typing};
use crate::record::{Record, Spot};

/// One line of a list of addresses.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    /// Older instances only have it in `links.self.href`.
    pid: Option<String>,
    /// `UNIT 1, 24 FIREBRACE ST, HORSHAM VIC 3400`
    sla: String,
    #[serde(default)]
    links: Value,
}

/// One address. Numbers come as numbers or as text, hence `Value`.
#[derive(Debug, Deserialize)]
pub(super) struct Address {
    pid: Option<String>,
    structured: Structured,
    geocoding: Option<Geocoding>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Structured {
    building_name: Option<String>,
    lot_number: Option<Number>,
    flat: Option<Inside>,
    level: Option<Inside>,
    number: Option<Number>,
    street: Option<Street>,
    locality: Named,
    state: State,
    postcode: Option<Value>,
    confidence: Option<i16>,
}

/// A number with its letters; sometimes only that.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Parts { prefix: Option<Value>, number: Option<Value>, suffix: Option<Value>, last: Option<Box<Number>> },
    Whole(Value),
}

#[derive(Debug, Deserialize)]
struct Inside {
    #[serde(rename = "type")]
    kind: Option<Coded>,
    prefix: Option<Value>,
    number: Option<Value>,
    suffix: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Street {
    name: String,
    /// Its code is the long word, its name the short form.
    #[serde(rename = "type")]
    kind: Option<Coded>,
    suffix: Option<Coded>,
}

/// A code with its name; sometimes only the code.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Coded {
    Both { code: Option<Value>, name: Option<String> },
    Code(Value),
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
struct State {
    abbreviation: String,
}

#[derive(Debug, Deserialize)]
struct Geocoding {
    #[serde(default)]
    geocodes: Vec<Geocode>,
}

#[derive(Debug, Deserialize)]
struct Geocode {
    #[serde(default)]
    default: bool,
    latitude: f64,
    longitude: f64,
    #[serde(rename = "type")]
    kind: Option<Coded>,
    reliability: Option<Coded>,
}

/// Text or a number, as text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_uppercase()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn joined(parts: [&Option<Value>; 3]) -> Option<String> {
    let text: String = parts.into_iter().flatten().filter_map(text).collect();
    (!text.is_empty()).then_some(text)
}

impl Number {
    fn text(&self) -> Option<String> {
        match self {
            Self::Parts { prefix, number, suffix, .. } => joined([prefix, number, suffix]),
            Self::Whole(value) => text(value),
        }
    }

    fn last(&self) -> Option<String> {
        match self {
            Self::Parts { last: Some(last), .. } => last.text(),
            _ => None,
        }
    }
}

impl Inside {
    fn number(&self) -> Option<String> {
        joined([&self.prefix, &self.number, &self.suffix])
    }
}

impl Coded {
    fn code(&self) -> Option<String> {
        match self {
            Self::Both { code, .. } => code.as_ref().and_then(text),
            Self::Code(value) => text(value),
        }
    }

    /// The code of `table` that its code or its name stands for: which is which differs from table to table.
    fn code_in(&self, table: &Table) -> Option<String> {
        let name = match self {
            Self::Both { name, .. } => name.clone(),
            Self::Code(_) => None,
        };
        let known = [self.code(), name].into_iter().flatten().find_map(|word| table.code(&search_form(&word)));
        known.map(str::to_owned).or_else(|| self.code())
    }
}

impl Line {
    /// Its identifier.
    pub(super) fn pid(&self) -> Option<&str> {
        let linked = || self.links["self"]["href"].as_str().and_then(|path| path.rsplit('/').next());
        self.pid.as_deref().or_else(linked).filter(|pid| !pid.is_empty())
    }

    /// What the line says; nothing when it can't be read as an address.
    pub(super) fn record(&self) -> Option<Record> {
        let pid = self.pid()?.to_owned();
        let (before, area) = self.sla.rsplit_once(',')?;
        let words: Vec<&str> = area.split_whitespace().collect();
        let [locality @ .., state, postcode] = words.as_slice() else { return None };
        let (locality, form) = (locality.join(" ").to_uppercase(), search_form(&locality.join(" ")));
        let parsed = Parsed::new(&self.sla, Typing::Done);
        // The line has its commas in the right places.
        let reading = parsed.readings.into_iter().find(|r| r.locality.as_ref().is_some_and(|l| l.name == form))?;
        let Reading { head, street, .. } = reading;
        let street = street?;
        let code = |unit: Option<&crate::parse::Unit>| unit.and_then(|unit| unit.kind).map(str::to_owned);
        let spot = Spot {
            street_name: as_written(before, &street.name),
            street_type: street.types.first().map(|code| (*code).to_owned()),
            street_suffix: street.suffix.map(str::to_owned),
            locality_name: locality,
            state: state.to_uppercase(),
            ..Spot::default()
        };
        Some(Record {
            pid,
            lot_number: head.lot.clone(),
            flat_type: code(head.flat.as_ref()),
            flat_number: head.flat.as_ref().and_then(|flat| flat.number.clone()),
            level_type: code(head.level.as_ref()),
            level_number: head.level.as_ref().and_then(|level| level.number.clone()),
            number_first: head.number.clone(),
            number_last: head.number_last.clone(),
            postcode: Some((*postcode).to_owned()),
            spot: Arc::new(asked_by_its_own_names(spot)),
            ..Record::default()
        })
    }
}

impl Address {
    /// The address, and in how many sources beside the first it is.
    pub(super) fn record(&self, pid: &str) -> (Record, Option<i16>) {
        let Structured { flat, level, number, street, .. } = &self.structured;
        let spot = Spot {
            street_name: street.as_ref().map(|street| street.name.to_uppercase()).unwrap_or_default(),
            street_type: street.as_ref().and_then(|street| street.kind.as_ref()).and_then(Coded::code),
            street_suffix: street
                .as_ref()
                .and_then(|street| street.suffix.as_ref())
                .and_then(|suffix| suffix.code_in(&SUFFIX)),
            locality_name: self.structured.locality.name.to_uppercase(),
            state: self.structured.state.abbreviation.to_uppercase(),
            ..Spot::default()
        };
        let kind = |inside: &Option<Inside>, table: &Table| {
            inside.as_ref().and_then(|inside| inside.kind.as_ref()).and_then(|kind| kind.code_in(table))
        };
        let geocodes = self.geocoding.as_ref().map(|geocoding| geocoding.geocodes.as_slice()).unwrap_or_default();
        let geocode = geocodes.iter().find(|geocode| geocode.default).or(geocodes.first());
        let reliability = geocode.and_then(|geocode| geocode.reliability.as_ref()).and_then(Coded::code);
        let record = Record {
            pid: self.pid.clone().unwrap_or_else(|| pid.to_owned()),
            building_name: self.structured.building_name.as_ref().map(|name| name.to_uppercase()),
            lot_number: self.structured.lot_number.as_ref().and_then(Number::text),
            flat_type: kind(flat, &FLAT_TYPE),
            flat_number: flat.as_ref().and_then(Inside::number),
            level_type: kind(level, &LEVEL_TYPE),
            level_number: level.as_ref().and_then(Inside::number),
            number_first: number.as_ref().and_then(Number::text),
            number_last: number.as_ref().and_then(Number::last),
            postcode: self.structured.postcode.as_ref().and_then(text),
            geocode_type: geocode.and_then(|geocode| geocode.kind.as_ref()).and_then(Coded::code),
            reliability: reliability.and_then(|code| code.parse().ok()),
            point: geocode.map(|at| Position { latitude: at.latitude, longitude: at.longitude }),
            is_alias: false,
            spot: Arc::new(asked_by_its_own_names(spot)),
        };
        (record, self.structured.confidence)
    }
}

/// The names by which a search came upon the place are its own.
fn asked_by_its_own_names(spot: Spot) -> Spot {
    Spot {
        // What is empty has no street.
        street_pid: spot.street_name.clone(),
        asked_name: search_form(&spot.street_name),
        asked_type: spot.street_type.clone(),
        asked_suffix: spot.street_suffix.clone(),
        asked_locality: search_form(&spot.locality_name),
        ..spot
    }
}

/// The words of `line` whose search form is `form`: with their apostrophes and hyphens.
fn as_written(line: &str, form: &str) -> String {
    let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let windows = (1..=words.len()).flat_map(|length| words.windows(length)).map(|window| window.join(" "));
    let written = windows.into_iter().find(|window| search_form(window) == form);
    written.map_or_else(|| form.to_owned(), |window| window.to_uppercase())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn label(value: Value) -> Option<String> {
        let line: Line = serde_json::from_value(value).unwrap();
        line.record().map(|record| record.place().label())
    }

    #[rstest]
    #[case("24 FIREBRACE ST, HORSHAM VIC 3400", "24 FIREBRACE STREET, HORSHAM VIC 3400")]
    #[case("UNIT 1, 2 ALEXANDER AV, HORSHAM VIC 3400", "UNIT 1, 2 ALEXANDER AVENUE, HORSHAM VIC 3400")]
    #[case(
        "LEVEL 25, TOWER 3, 300 BARANGAROO AV, BARANGAROO NSW 2000",
        "TOWER 3, LEVEL 25, 300 BARANGAROO AVENUE, BARANGAROO NSW 2000"
    )]
    #[case(
        "103-107 O'CONNELL ST N, NORTH MELBOURNE VIC 3051",
        "103-107 O'CONNELL STREET NORTH, NORTH MELBOURNE VIC 3051"
    )]
    #[case("LOT 7 SMITH-JONES RD, ACTON ACT 2601", "LOT 7 SMITH-JONES ROAD, ACTON ACT 2601")]
    #[case("12 BROADWAY, ULTIMO NSW 2007", "12 BROADWAY, ULTIMO NSW 2007")]
    fn a_line_is_read_as_the_address_it_is(#[case] sla: &str, #[case] expected: &str) {
        assert_eq!(label(json!({"pid": "GAVIC1", "sla": sla})).as_deref(), Some(expected));
        let linked = json!({"sla": sla, "score": 1, "links": {"self": {"href": "/addresses/GAVIC1"}}});
        assert_eq!(label(linked).as_deref(), Some(expected));
    }

    #[rstest]
    #[case(json!({"pid": "GAVIC1", "sla": ""}))]
    #[case(json!({"pid": "GAVIC1", "sla": "SOMEWHERE"}))]
    #[case(json!({"pid": "GAVIC1", "sla": ",,,"}))]
    #[case(json!({"sla": "24 FIREBRACE ST, HORSHAM VIC 3400"}))]
    fn what_is_no_address_is_passed_over(#[case] line: Value) {
        assert_eq!(label(line), None);
    }

    #[test]
    fn parts_are_put_together_whichever_way_round_their_codes_are() {
        let address: Address = serde_json::from_value(json!({
            "pid": "GAVIC1",
            "structured": {
                "buildingName": "Como Centre",
                "flat": {"type": {"code": "SE", "name": "SUITE"}, "number": 11, "suffix": "A"},
                "level": {"type": {"code": "L", "name": "LEVEL"}, "number": 3},
                "number": {"prefix": "LG", "number": 12, "last": {"number": "14", "suffix": "B"}},
                "street": {"name": "KING", "type": {"code": "STREET", "name": "ST"}, "suffix": {"code": "N", "name": "NORTH"}},
                "locality": {"name": "HORSHAM"}, "state": {"name": "VICTORIA", "abbreviation": "VIC"},
                "postcode": "3400", "confidence": 2
            },
            "geocoding": {"geocodes": [
                {"default": false, "latitude": 1.0, "longitude": 2.0, "type": "STL", "reliability": 4},
                {"default": true, "latitude": -36.7, "longitude": 142.2, "type": {"code": "FCS", "name": "FRONTAGE CENTRE SETBACK"},
                 "reliability": {"code": "2", "name": "WITHIN ADDRESS SITE BOUNDARY"}}
            ]}
        }))
        .unwrap();
        let (record, confidence) = address.record("GAVIC1");
        assert_eq!(record.place().label(), "SUITE 11A, LEVEL 3, LG12-14B KING STREET NORTH, HORSHAM VIC 3400");
        assert_eq!(record.point, Some(Position { latitude: -36.7, longitude: 142.2 }));
        assert_eq!((record.geocode_type.as_deref(), record.reliability, confidence), (Some("FCS"), Some(2), Some(2)));
        assert_eq!(record.building_name.as_deref(), Some("COMO CENTRE"));
    }
}
