//! An address as stored, with its street and locality, and its label.

use std::sync::Arc;

use tokio_postgres::Row;

use crate::parse::codes::{FLAT_TYPE, LEVEL_TYPE, SUFFIX};

/// A street of the data and its locality, with the names under which a search came upon them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Empty for addresses that have no street.
    pub street_pid: String,
    pub street_name: String,
    pub street_type: Option<String>,
    pub street_suffix: Option<String>,
    pub locality_pid: String,
    pub locality_name: String,
    pub state: String,
    /// Served addresses on the street.
    pub addresses: i32,
    /// The street's name in search form, type and suffix as they were asked for: its own or an alias's.
    pub asked_name: String,
    pub asked_type: Option<String>,
    pub asked_suffix: Option<String>,
    pub street_alias: bool,
    /// The locality's name in search form as it was asked for: its own or an alias's.
    pub asked_locality: String,
    pub locality_alias: bool,
    /// The search form of the neighbouring locality that was asked for instead.
    pub neighbour_of: Option<String>,
}

impl Place {
    /// Reads the columns that every `sql/lookup/*.sql` about streets gives.
    pub(crate) fn from_row(row: &Row) -> Self {
        Self {
            street_pid: row.get("street_pid"),
            street_name: row.get("street_name"),
            street_type: row.get("street_type"),
            street_suffix: row.get("street_suffix"),
            locality_pid: row.get("locality_pid"),
            locality_name: row.get("locality_name"),
            state: row.get("state"),
            addresses: row.get("addresses"),
            asked_name: row.get("asked_name"),
            asked_type: row.get("asked_type"),
            asked_suffix: row.get("asked_suffix"),
            street_alias: row.get("street_alias"),
            asked_locality: row.get("asked_locality"),
            locality_alias: row.get("locality_alias"),
            neighbour_of: row.get("neighbour_of"),
        }
    }

    /// `COMO PARADE WEST`; empty without a street.
    pub(crate) fn street_label(&self) -> String {
        let suffix = self.street_suffix.as_deref().map(|code| SUFFIX.name(code).unwrap_or(code));
        let parts = [Some(self.street_name.as_str()), self.street_type.as_deref(), suffix];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// An address of the data.
#[derive(Clone, Debug, PartialEq, Default)]
pub(crate) struct Record {
    pub pid: String,
    pub building_name: Option<String>,
    pub lot_number: Option<String>,
    pub flat_type: Option<String>,
    pub flat_number: Option<String>,
    pub level_type: Option<String>,
    pub level_number: Option<String>,
    pub number_first: Option<String>,
    pub number_last: Option<String>,
    pub postcode: Option<String>,
    /// GEOCODE_TYPE code.
    pub geocode_type: Option<String>,
    /// GEOCODE_RELIABILITY, 1 surveyed to 6 region.
    pub reliability: Option<i16>,
    /// Degrees, WGS84 unless another datum was asked for.
    pub latitude: f64,
    pub longitude: f64,
    /// Another name of a principal address.
    pub is_alias: bool,
    pub place: Arc<Place>,
}

impl Record {
    /// Reads the columns that every `sql/lookup/*.sql` about addresses gives.
    pub(crate) fn from_row(row: &Row, place: Arc<Place>) -> Self {
        Self {
            pid: row.get("pid"),
            building_name: row.get("building_name"),
            lot_number: row.get("lot_number"),
            flat_type: row.get("flat_type"),
            flat_number: row.get("flat_number"),
            level_type: row.get("level_type"),
            level_number: row.get("level_number"),
            number_first: row.get("number_first"),
            number_last: row.get("number_last"),
            postcode: row.get("postcode"),
            geocode_type: row.get("geocode_type"),
            reliability: row.get("reliability"),
            latitude: row.get("latitude"),
            longitude: row.get("longitude"),
            is_alias: row.get("is_alias"),
            place,
        }
    }

    /// `UNIT 1`, `REAR`; `None` without a unit.
    pub(crate) fn unit_label(&self) -> Option<String> {
        labelled(self.flat_type.as_deref(), self.flat_number.as_deref(), |code| FLAT_TYPE.name(code))
    }

    /// `LEVEL 2`, `GROUND`; `None` without a level.
    pub(crate) fn level_label(&self) -> Option<String> {
        labelled(self.level_type.as_deref(), self.level_number.as_deref(), |code| LEVEL_TYPE.name(code))
    }

    /// `103-107`, or `LOT 7` where there is no house number; `None` without either.
    pub(crate) fn number_label(&self) -> Option<String> {
        match (&self.number_first, &self.number_last, &self.lot_number) {
            (Some(first), Some(last), _) => Some(format!("{first}-{last}")),
            (Some(first), None, _) => Some(first.clone()),
            (None, _, Some(lot)) => Some(format!("LOT {lot}")),
            (None, ..) => None,
        }
    }

    /// The address on one line: `UNIT 1, LEVEL 2, 103-107 COMO PARADE WEST, MORDIALLOC VIC 3195`. Two records with the
    /// same label are the same address.
    pub(crate) fn label(&self) -> String {
        let place = &self.place;
        let street = [self.number_label().unwrap_or_default(), place.street_label()].join(" ");
        let area = [place.locality_name.as_str(), &place.state, self.postcode.as_deref().unwrap_or_default()].join(" ");
        let parts =
            [self.unit_label(), self.level_label(), Some(street.trim().to_owned()), Some(area.trim_end().to_owned())];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// The contract's word for how precise the point is.
    pub(crate) fn precision(&self) -> &'static str {
        match self.geocode_type.as_deref() {
            Some("STL") => "STREET",
            Some("LOC") => "LOCALITY",
            _ => "PROPERTY",
        }
    }

    /// A made-up identifier: the source had none.
    pub(crate) fn is_made_up(&self) -> bool {
        self.pid.starts_with("GX")
    }
}

fn labelled(kind: Option<&str>, number: Option<&str>, name: impl Fn(&str) -> Option<&'static str>) -> Option<String> {
    let word = kind.map(|code| name(code).unwrap_or(code));
    match (word, number) {
        (Some(word), Some(number)) => Some(format!("{word} {number}")),
        (Some(word), None) => Some(word.to_owned()),
        (None, Some(number)) => Some(format!("UNIT {number}")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_every_part_in_the_usual_order() {
        let text = |text: &str| Some(text.to_owned());
        let place = Place {
            street_name: "COMO".into(),
            street_type: text("PARADE"),
            street_suffix: text("W"),
            locality_name: "MORDIALLOC".into(),
            state: "VIC".into(),
            ..Place::default()
        };
        let mut record = Record {
            flat_type: text("APT"),
            flat_number: text("3"),
            level_type: text("L"),
            level_number: text("2"),
            number_first: text("460"),
            number_last: text("462"),
            lot_number: text("7"),
            postcode: text("3195"),
            place: Arc::new(place),
            ..Record::default()
        };
        assert_eq!(record.label(), "APARTMENT 3, LEVEL 2, 460-462 COMO PARADE WEST, MORDIALLOC VIC 3195");
        record = Record { flat_type: None, flat_number: None, level_type: None, level_number: None, ..record };
        record = Record { number_first: None, number_last: None, postcode: None, ..record };
        assert_eq!(record.label(), "LOT 7 COMO PARADE WEST, MORDIALLOC VIC");
    }
}
