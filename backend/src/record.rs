//! An address as stored, with codes for words, and its street and locality with the names they were asked for by.

use std::sync::Arc;

use tokio_postgres::Row;

use crate::input::coordinates::Position;
use crate::parse::codes::{FLAT_TYPE, LEVEL_TYPE, SUFFIX};
use crate::place::Place;

/// A street of the data and its locality, with the names under which a search came upon them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Spot {
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

impl Spot {
    /// Reads the columns that every `sql/lookup/*.sql` about streets gives.
    pub(crate) fn from_row(row: &Row) -> Self {
        Self {
            addresses: row.get("addresses"),
            asked_name: row.get("asked_name"),
            asked_type: row.get("asked_type"),
            asked_suffix: row.get("asked_suffix"),
            street_alias: row.get("street_alias"),
            asked_locality: row.get("asked_locality"),
            locality_alias: row.get("locality_alias"),
            neighbour_of: row.get("neighbour_of"),
            ..Self::unasked(row)
        }
    }

    /// Reads the columns about the place alone, of an address that no name was asked for; there may be no street.
    fn unasked(row: &Row) -> Self {
        Self {
            street_pid: row.get::<_, Option<_>>("street_pid").unwrap_or_default(),
            street_name: row.get::<_, Option<_>>("street_name").unwrap_or_default(),
            street_type: row.get("street_type"),
            street_suffix: row.get("street_suffix"),
            locality_pid: row.get("locality_pid"),
            locality_name: row.get("locality_name"),
            state: row.get("state"),
            ..Self::default()
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
    /// WGS84 unless another datum was asked for; unknown only where the source doesn't give it.
    pub point: Option<Position>,
    /// Another name of a principal address.
    pub is_alias: bool,
    pub spot: Arc<Spot>,
}

impl Record {
    /// Reads the columns that every `sql/lookup/*.sql` about addresses gives.
    pub(crate) fn from_row(row: &Row, spot: Arc<Spot>) -> Self {
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
            point: Some(Position { latitude: row.get("latitude"), longitude: row.get("longitude") }),
            is_alias: row.get("is_alias"),
            spot,
        }
    }

    /// Reads the columns that the other statements about addresses give.
    pub(crate) fn unasked(row: &Row) -> Self {
        Self::from_row(row, Arc::new(Spot::unasked(row)))
    }

    /// `UNIT 1`, for a remark.
    pub(crate) fn unit_words(&self) -> String {
        words(self.flat_type.as_deref().map(|code| FLAT_TYPE.name(code).unwrap_or(code)), self.flat_number.as_deref())
    }

    /// `LEVEL 2`, for a remark.
    pub(crate) fn level_words(&self) -> String {
        words(
            self.level_type.as_deref().map(|code| LEVEL_TYPE.name(code).unwrap_or(code)),
            self.level_number.as_deref(),
        )
    }

    /// The address as answers give it, codes spelled out.
    pub(crate) fn place(&self) -> Place {
        let word = |code: &Option<String>, name: fn(&str) -> Option<&'static str>| {
            code.as_deref().map(|code| name(code).unwrap_or(code).to_owned())
        };
        let spot = &*self.spot;
        let named = !spot.street_name.is_empty();
        Place {
            pid: self.pid.clone(),
            building_name: self.building_name.clone(),
            lot_number: self.lot_number.clone(),
            flat_type: word(&self.flat_type, |code| FLAT_TYPE.name(code)),
            flat_number: self.flat_number.clone(),
            level_type: word(&self.level_type, |code| LEVEL_TYPE.name(code)),
            level_number: self.level_number.clone(),
            number_first: self.number_first.clone(),
            number_last: self.number_last.clone(),
            street_name: named.then(|| spot.street_name.clone()),
            street_type: spot.street_type.clone(),
            street_suffix: word(&spot.street_suffix, |code| SUFFIX.name(code)),
            locality: spot.locality_name.clone(),
            state: spot.state.clone(),
            postcode: self.postcode.clone(),
            locality_pid: spot.locality_pid.clone(),
            geocode_type: self.geocode_type.clone(),
            reliability: self.reliability,
            point: self.point,
        }
    }
}

fn words(kind: Option<&str>, number: Option<&str>) -> String {
    [kind, number].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_become_words() {
        let text = |text: &str| Some(text.to_owned());
        let spot = Spot {
            street_name: "COMO".into(),
            street_type: text("PARADE"),
            street_suffix: text("W"),
            locality_name: "MORDIALLOC".into(),
            state: "VIC".into(),
            ..Spot::default()
        };
        assert_eq!(spot.street_label(), "COMO PARADE WEST");
        let record = Record {
            flat_type: text("APT"),
            flat_number: text("3"),
            level_type: text("L"),
            level_number: text("2"),
            number_first: text("460"),
            number_last: text("462"),
            postcode: text("3195"),
            spot: Arc::new(spot),
            ..Record::default()
        };
        assert_eq!(record.place().label(), "APARTMENT 3, LEVEL 2, 460-462 COMO PARADE WEST, MORDIALLOC VIC 3195");
        assert_eq!((record.unit_words(), record.level_words()), ("APARTMENT 3".into(), "LEVEL 2".into()));
    }
}
