//! One address as answers give it: its parts, its label, its identity across sources.

use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::input::coordinates::Position;
use crate::input::{Fields, Text};
use crate::tags::Tags;

/// The parts of an address, words spelled out (`UNIT`, `LEVEL`, `STREET`, `NORTH`).
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Place {
    /// G-NAF's identifier, or one beginning with `GX` made by the importer or the generator.
    pub(crate) pid: String,
    /// Name of the building or estate.
    pub(crate) building_name: Option<String>,
    /// With prefix and suffix, as every number here.
    pub(crate) lot_number: Option<String>,
    /// The word: `UNIT`, `SHOP`.
    pub(crate) flat_type: Option<String>,
    /// `1`, `G04`.
    pub(crate) flat_number: Option<String>,
    /// The word: `LEVEL`, `GROUND`.
    pub(crate) level_type: Option<String>,
    /// `2`.
    pub(crate) level_number: Option<String>,
    /// House number, or the first of a range.
    pub(crate) number_first: Option<String>,
    /// The last of a range.
    pub(crate) number_last: Option<String>,
    /// Without type and suffix.
    pub(crate) street_name: Option<String>,
    /// The long word: `STREET`; absent for `BROADWAY` and the like.
    pub(crate) street_type: Option<String>,
    /// The long word: `NORTH`.
    pub(crate) street_suffix: Option<String>,
    /// Suburb, town or other gazetted locality.
    pub(crate) locality: String,
    /// Abbreviation.
    pub(crate) state: String,
    /// Four digits.
    pub(crate) postcode: Option<String>,
    /// G-NAF's identifier of the locality.
    pub(crate) locality_pid: String,
    /// GEOCODE_TYPE code.
    pub(crate) geocode_type: Option<String>,
    /// GEOCODE_RELIABILITY code: 1 surveyed to 6 region.
    pub(crate) reliability: Option<i16>,
    /// In the datum that was asked for; unknown only where the source of the address doesn't give it.
    pub(crate) point: Option<Position>,
}

/// What a position stands for; the contract's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Precision {
    /// The property itself.
    Property,
    /// Somewhere on its street.
    Street,
    /// Somewhere in its locality.
    Locality,
}

impl Precision {
    /// The contract's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Property => "PROPERTY",
            Self::Street => "STREET",
            Self::Locality => "LOCALITY",
        }
    }

    /// The field `acceptPrecision`: how coarse a position may be, PROPERTY when absent; case does not matter.
    ///
    /// # Errors
    /// `INVALID_PRECISION`.
    pub(crate) fn read(fields: &Fields) -> Result<Self, ApiError> {
        const CODE: &str = "INVALID_PRECISION";
        let Some(word) = fields.text("acceptPrecision", Text { max: 20, invalid: CODE, too_long: CODE })? else {
            return Ok(Self::Property);
        };
        [Self::Property, Self::Street, Self::Locality]
            .into_iter()
            .find(|precision| word.eq_ignore_ascii_case(precision.name()))
            .ok_or_else(|| {
                ApiError::bad_request(CODE, "`acceptPrecision` must be PROPERTY, STREET or LOCALITY")
                    .with_details(json!({"allowed": ["PROPERTY", "STREET", "LOCALITY"]}))
            })
    }

    /// From G-NAF's codes. Sources that give neither publish one point per property.
    pub(crate) fn of(geocode_type: Option<&str>, reliability: Option<i16>) -> Self {
        match (geocode_type, reliability) {
            (Some("STL"), _) | (None, Some(4)) => Self::Street,
            (Some("LOC"), _) | (None, Some(5..)) => Self::Locality,
            _ => Self::Property,
        }
    }
}

impl Place {
    /// `[UNIT 1, ][LEVEL 2, ]12-14 KING STREET NORTH, SUBURB NSW 2000`. A lot number stands in for a missing house number;
    /// the building's name, which not every source has, is no part of it. Equal for equal addresses.
    pub(crate) fn label(&self) -> String {
        let street =
            join([self.number(), self.street_name.clone(), self.street_type.clone(), self.street_suffix.clone()]);
        let tail = join([Some(self.locality.clone()), Some(self.state.clone()), self.postcode.clone()]);
        let parts = [self.unit(), self.level(), street, tail];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// `UNIT 1`.
    pub(crate) fn unit(&self) -> Option<String> {
        join([self.flat_type.clone(), self.flat_number.clone()])
    }

    /// `LEVEL 2`.
    pub(crate) fn level(&self) -> Option<String> {
        join([self.level_type.clone(), self.level_number.clone()])
    }

    /// `12`, `12-14` or `LOT 3`.
    pub(crate) fn number(&self) -> Option<String> {
        match (&self.number_first, &self.number_last, &self.lot_number) {
            (Some(first), Some(last), _) => Some(format!("{first}-{last}")),
            (Some(first), None, _) => Some(first.clone()),
            (None, _, Some(lot)) => Some(format!("LOT {lot}")),
            (None, _, None) => None,
        }
    }

    /// What the position stands for.
    pub(crate) fn precision(&self) -> Precision {
        Precision::of(self.geocode_type.as_deref(), self.reliability)
    }

    /// Whether the identifier is G-NAF's own.
    pub(crate) fn has_real_pid(&self) -> bool {
        !self.pid.starts_with("GX")
    }

    /// The contract's `components`.
    pub(crate) fn components(&self) -> Value {
        let mut parts = Map::new();
        let mut optional = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                parts.insert(name.into(), value.into());
            }
        };
        optional("buildingName", self.building_name.clone());
        optional("unit", self.unit());
        optional("level", self.level());
        parts.insert("streetNumber".into(), self.number().unwrap_or_default().into());
        parts.insert("streetName".into(), self.street_name.clone().unwrap_or_default().into());
        parts.insert("streetType".into(), self.street_type.clone().unwrap_or_default().into());
        if let Some(suffix) = &self.street_suffix {
            parts.insert("streetSuffix".into(), suffix.clone().into());
        }
        parts.insert("suburb".into(), self.locality.clone().into());
        parts.insert("state".into(), self.state.clone().into());
        parts.insert("postcode".into(), self.postcode.clone().unwrap_or_default().into());
        parts.insert("gnafPid".into(), self.pid.clone().into());
        let mut position = self.position();
        if let Some(fields) = position.as_object_mut() {
            fields.insert("precision".into(), self.precision().name().into());
            parts.insert("coordinates".into(), position);
        }
        parts.into()
    }

    /// `{latitude, longitude}` in degrees to eight decimals (a millimetre), as published; null when it isn't known.
    pub(crate) fn position(&self) -> Value {
        let position = |at: Position| json!({"latitude": round(at.latitude, 8), "longitude": round(at.longitude, 8)});
        self.point.map_or(Value::Null, position)
    }

    /// Adds the tags of an answer that shows this address: a renamed locality or street purges the locality.
    pub(crate) fn tag(&self, tags: &mut Tags) {
        tags.need("locality", &self.locality_pid).hint("pid", &self.pid);
        if let Some(postcode) = &self.postcode {
            tags.hint("postcode", postcode);
        }
    }
}

/// Keeps the first of those that are the same address, in their order; where a later one has G-NAF's own identifier and
/// the first has not, the later one takes its place.
pub(crate) fn distinct<T>(items: Vec<T>, place: impl Fn(&T) -> &Place) -> Vec<T> {
    let mut kept: Vec<T> = Vec::with_capacity(items.len());
    let mut seen = std::collections::HashMap::new();
    for item in items {
        match seen.get(&place(&item).label()) {
            None => {
                seen.insert(place(&item).label(), kept.len());
                kept.push(item);
            }
            Some(&index) => {
                let better = |kept: &T| place(&item).has_real_pid() && !place(kept).has_real_pid();
                if kept.get(index).is_some_and(better) {
                    kept[index] = item;
                }
            }
        }
    }
    kept
}

/// To `decimals` decimals.
pub(crate) fn round(number: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (number * scale).round() / scale
}

/// Without a decimal point where there are no decimals: some readers insist on integers.
pub(crate) fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 { json!(number as i64) } else { json!(number) }
}

fn join<const N: usize>(words: [Option<String>; N]) -> Option<String> {
    let words: Vec<String> = words.into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn place() -> Place {
        Place {
            pid: "GAVIC1".into(),
            number_first: Some("12".into()),
            street_name: Some("KING".into()),
            street_type: Some("STREET".into()),
            locality: "HORSHAM".into(),
            state: "VIC".into(),
            postcode: Some("3400".into()),
            ..Place::default()
        }
    }

    #[test]
    fn labels_are_written_as_gnaf_core_writes_them() {
        assert_eq!(place().label(), "12 KING STREET, HORSHAM VIC 3400");
        let tower = Place {
            building_name: Some("COMO CENTRE".into()),
            flat_type: Some("SUITE".into()),
            flat_number: Some("11A".into()),
            level_type: Some("LEVEL".into()),
            level_number: Some("3".into()),
            number_last: Some("14".into()),
            street_suffix: Some("NORTH".into()),
            ..place()
        };
        assert_eq!(tower.label(), "SUITE 11A, LEVEL 3, 12-14 KING STREET NORTH, HORSHAM VIC 3400");
        let lot = Place { number_first: None, lot_number: Some("6".into()), ..place() };
        assert_eq!(lot.label(), "LOT 6 KING STREET, HORSHAM VIC 3400");
        let nowhere = Place { number_first: None, street_name: None, street_type: None, ..place() };
        assert_eq!(nowhere.label(), "HORSHAM VIC 3400");
    }

    #[rstest]
    #[case(Some("STL"), Some(4), Precision::Street)]
    #[case(Some("LOC"), Some(5), Precision::Locality)]
    #[case(Some("FCS"), Some(2), Precision::Property)]
    #[case(None, None, Precision::Property)]
    #[case(None, Some(4), Precision::Street)]
    fn precision_follows_the_geocode(
        #[case] kind: Option<&str>,
        #[case] reliability: Option<i16>,
        #[case] expected: Precision,
    ) {
        assert_eq!(Precision::of(kind, reliability), expected);
    }

    #[test]
    fn the_same_address_from_two_sources_is_one_and_the_real_identifier_wins() {
        let made_up = Place { pid: "GXVIC1".into(), ..place() };
        let other = Place { number_first: Some("14".into()), ..place() };
        let named = Place { building_name: Some("VILLA".into()), ..place() };
        let kept = distinct(vec![made_up, other.clone(), named.clone(), place()], |place| place);
        assert_eq!(kept, [named, other]);
    }
}
