//! Positions: what clients send, in which datum, and whether Australia has addresses there.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::{Fields, refuse};
use crate::error::ApiError;

/// The box that holds every Australian address with its external territories: Cocos (96.8 E) to Norfolk (168.0 E), Boigu
/// (9.2 S) to Macquarie Island (54.8 S).
const LATITUDES: RangeInclusive<f64> = -55.0..=-8.0;
const LONGITUDES: RangeInclusive<f64> = 96.0..=169.0;

/// The datum of a position. EPSG codes from the EPSG registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CoordinateSystem {
    /// EPSG 4326
    #[default]
    Wgs84,
    /// EPSG 4283
    Gda94,
    /// EPSG 7844, as stored
    Gda2020,
}

impl CoordinateSystem {
    /// The EPSG code, which is PostGIS's SRID.
    pub(crate) fn srid(self) -> i32 {
        match self {
            Self::Wgs84 => 4326,
            Self::Gda94 => 4283,
            Self::Gda2020 => 7844,
        }
    }

    /// The contract's word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wgs84 => "WGS84",
            Self::Gda94 => "GDA94",
            Self::Gda2020 => "GDA2020",
        }
    }

    /// The field `coordinateSystem`, WGS84 when absent; case does not matter.
    ///
    /// # Errors
    /// `INVALID_COORDINATE_SYSTEM`.
    pub(crate) fn read(fields: &Fields) -> Result<Self, ApiError> {
        const CODE: &str = "INVALID_COORDINATE_SYSTEM";
        let limits = super::Text { max: 20, invalid: CODE, too_long: CODE };
        match fields.text("coordinateSystem", limits)? {
            None => Ok(Self::default()),
            Some(word) => [Self::Wgs84, Self::Gda94, Self::Gda2020]
                .into_iter()
                .find(|system| word.eq_ignore_ascii_case(system.name()))
                .ok_or_else(|| {
                    ApiError::bad_request(CODE, "`coordinateSystem` must be WGS84, GDA94 or GDA2020")
                        .with_details(json!({"allowed": ["WGS84", "GDA94", "GDA2020"]}))
                }),
        }
    }
}

/// A position in degrees, inside the box above.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Position {
    /// Degrees north; south is negative.
    pub(crate) latitude: f64,
    /// Degrees east.
    pub(crate) longitude: f64,
}

impl Position {
    /// The fields `latitude` and `longitude` of a reverse geocoding request.
    ///
    /// # Errors
    /// `INVALID_COORDINATES` when one is missing, `INVALID_LATITUDE` or `INVALID_LONGITUDE` when it is no number or not
    /// on Earth, `COORDINATES_OUT_OF_BOUNDS` when it is not in Australia.
    pub(crate) fn read(fields: &Fields) -> Result<Self, ApiError> {
        let latitude = fields.number("latitude", -90.0..=90.0, "INVALID_LATITUDE")?;
        let longitude = fields.number("longitude", -180.0..=180.0, "INVALID_LONGITUDE")?;
        match (latitude, longitude) {
            (Some(latitude), Some(longitude)) => Self::checked(latitude, longitude),
            _ => refuse("INVALID_COORDINATES", "`latitude` and `longitude` are required"),
        }
    }

    /// The field `coordinates` of a spatial request, in a query string `latitude` and `longitude`; `None` when absent.
    ///
    /// # Errors
    /// `INVALID_COORDINATES` when it is not an object of two numbers on Earth, `COORDINATES_OUT_OF_BOUNDS` when they are
    /// not in Australia.
    pub(crate) fn read_object(fields: &Fields) -> Result<Option<Self>, ApiError> {
        const CODE: &str = "INVALID_COORDINATES";
        let Some(members) = fields.members("coordinates", CODE)? else { return Ok(None) };
        let latitude = members.number("latitude", -90.0..=90.0, CODE)?;
        let longitude = members.number("longitude", -180.0..=180.0, CODE)?;
        match (latitude, longitude) {
            (None, None) if !fields.has("coordinates") => Ok(None),
            (Some(latitude), Some(longitude)) => Self::checked(latitude, longitude).map(Some),
            _ => refuse(CODE, "`coordinates` must have `latitude` and `longitude`"),
        }
    }

    fn checked(latitude: f64, longitude: f64) -> Result<Self, ApiError> {
        if LATITUDES.contains(&latitude) && LONGITUDES.contains(&longitude) {
            return Ok(Self { latitude, longitude });
        }
        let bounds = json!({
            "latitude": {"min": LATITUDES.start(), "max": LATITUDES.end()},
            "longitude": {"min": LONGITUDES.start(), "max": LONGITUDES.end()},
        });
        Err(ApiError::bad_request("COORDINATES_OUT_OF_BOUNDS", "The coordinates are outside Australia")
            .with_details(json!({"bounds": bounds})))
    }

    /// `{latitude, longitude}`.
    pub(crate) fn to_json(self) -> Value {
        json!({"latitude": self.latitude, "longitude": self.longitude})
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::query;
    use super::*;

    fn code(query: &str) -> Option<&'static str> {
        Position::read(&query::parse(query).unwrap()).err().map(|error| error.code)
    }

    #[rstest]
    #[case("latitude=-35.3&longitude=149.1")]
    #[case("latitude=-31.55&longitude=159.08")] // Lord Howe
    #[case("latitude=-29.03&longitude=167.95")] // Norfolk
    #[case("latitude=-10.42&longitude=105.68")] // Christmas
    #[case("latitude=-12.19&longitude=96.83")] // Cocos
    #[case("latitude=-9.23&longitude=142.22")] // Boigu
    fn every_part_of_australia_is_inside(#[case] query: &str) {
        assert_eq!(code(query), None);
    }

    #[rstest]
    #[case("", "INVALID_COORDINATES")]
    #[case("latitude=-35", "INVALID_COORDINATES")]
    #[case("latitude=&longitude=149", "INVALID_COORDINATES")]
    #[case("latitude=x&longitude=149", "INVALID_LATITUDE")]
    #[case("latitude=NaN&longitude=149", "INVALID_LATITUDE")]
    #[case("latitude=91&longitude=149", "INVALID_LATITUDE")]
    #[case("latitude=-35&latitude=-36&longitude=149", "INVALID_LATITUDE")]
    #[case("latitude=-35&longitude=181", "INVALID_LONGITUDE")]
    #[case("latitude=-35&longitude=1e400", "INVALID_LONGITUDE")]
    #[case("latitude=149&longitude=-35", "INVALID_LATITUDE")]
    #[case("latitude=51.5&longitude=0.1", "COORDINATES_OUT_OF_BOUNDS")]
    #[case("latitude=-41.3&longitude=174.8", "COORDINATES_OUT_OF_BOUNDS")]
    fn each_fault_has_its_code(#[case] query: &str, #[case] expected: &str) {
        assert_eq!(code(query), Some(expected));
    }

    #[test]
    fn a_query_string_gives_the_members_by_themselves() {
        let read = |query: &str| Position::read_object(&query::parse(query).unwrap()).map_err(|error| error.code);
        assert_eq!(read("latitude=-35.3&longitude=149.1"), Ok(Some(Position { latitude: -35.3, longitude: 149.1 })));
        assert_eq!(read("radius=5"), Ok(None));
        assert_eq!(read("latitude=-35.3"), Err("INVALID_COORDINATES"));
        let body = Fields::from_object(serde_json::Map::from_iter([("coordinates".into(), json!({}))]));
        assert_eq!(Position::read_object(&body).map_err(|error| error.code), Err("INVALID_COORDINATES"));
    }

    #[rstest]
    #[case("coordinateSystem=gda94", Ok(4283))]
    #[case("", Ok(4326))]
    #[case("coordinateSystem=GDA2020", Ok(7844))]
    #[case("coordinateSystem=EPSG:4326", Err("INVALID_COORDINATE_SYSTEM"))]
    fn datums_are_known_by_name(#[case] query: &str, #[case] srid: Result<i32, &str>) {
        let read = CoordinateSystem::read(&query::parse(query).unwrap());
        assert_eq!(read.map(CoordinateSystem::srid).map_err(|error| error.code), srid);
    }
}
