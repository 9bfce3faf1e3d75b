//! Reverse geocoding: the addresses nearest to a position.

use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::error::ApiError;
use crate::input::coordinates::{CoordinateSystem, Position};
use crate::input::{Deadline, QueryOrJson};
use crate::place::{Place, Precision, distinct, number, round};
use crate::record::Record;
use crate::reply::{Lifetime, Reply};
use crate::tags::Tags;

const SQL: &str = include_str!("sql/reverse.sql");

/// An address with its way from the position asked about.
pub(crate) struct Found {
    pub(crate) place: Place,
    /// Geodesic distance.
    pub(crate) metres: f64,
    /// Geodesic azimuth in degrees from north, 0 to 360; 0 when there is no distance.
    pub(crate) bearing: f64,
    /// How far away it counts as being, which is what the statement ordered by.
    rank: f64,
}

impl Found {
    /// From a row with the columns of a place, `metres` and `bearing`.
    pub(crate) fn from_row(row: &tokio_postgres::Row) -> Self {
        let bearing: Option<f64> = row.get("bearing");
        Self {
            place: Record::unasked(row).place(),
            metres: row.get("metres"),
            bearing: bearing.unwrap_or_default(),
            rank: row.get("rank"),
        }
    }

    /// How far from the position an address could appear or disappear and alter the answer: `radius`, or where the
    /// statement gave all the rows it may (twice `limit` and ten), the farthest of these.
    pub(crate) fn reach(rows: &[Self], limit: i64, radius: f64) -> f64 {
        let farthest = rows.iter().map(|found| found.rank).fold(0.0, f64::max);
        if rows.len() as i64 >= 2 * limit + 10 { farthest.min(radius) } else { radius }
    }

    /// `{meters, kilometers}`: to the decimetre.
    pub(crate) fn distance(&self) -> Value {
        json!({"meters": round(self.metres, 1), "kilometers": round(self.metres / 1_000.0, 4)})
    }

    /// Degrees to one decimal.
    pub(crate) fn bearing(&self) -> f64 {
        round(self.bearing, 1) % 360.0
    }
}

/// GET and POST /api/v1/addresses/reverse-geocode, and /api/v1/reverse-geocode.
pub(crate) async fn reverse_geocode(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    QueryOrJson(fields): QueryOrJson,
) -> Result<Reply, ApiError> {
    let position = Position::read(&fields)?;
    let system = CoordinateSystem::read(&fields)?;
    let radius = fields.number("radius", 1.0..=1_000.0, "INVALID_RADIUS")?.unwrap_or(100.0);
    let limit = fields.integer("limit", 1..=10, "INVALID_LIMIT")?.unwrap_or(1);
    let with_distance = fields.flag("includeDistance", true, "INVALID_INCLUDE_DISTANCE")?;

    let mut tags = Tags::new(&app.facts.release());
    let (longitude, latitude) = (position.longitude, position.latitude);
    let rows =
        app.database.query(deadline, SQL, &[&longitude, &latitude, &system.srid(), &radius, &(limit as i32)]).await?;
    let found: Vec<Found> = rows.iter().map(Found::from_row).collect();
    tags.near(&position, Found::reach(&found, limit, radius));
    let mut found = distinct(found, |found| &found.place);
    found.truncate(limit as usize);

    let results: Vec<Value> = found
        .iter()
        .map(|found| {
            found.place.tag(&mut tags);
            let mut result = json!({
                "gnafPid": found.place.pid,
                "formattedAddress": found.place.label(),
                "components": found.place.components(),
                "distance": found.distance(),
                "bearing": found.bearing(),
                "confidence": confidence(found.metres, found.place.precision()),
            });
            if let (false, Some(fields)) = (with_distance, result.as_object_mut()) {
                fields.shift_remove("distance");
            }
            result
        })
        .collect();
    let lifetime = if results.is_empty() { Lifetime::EMPTY } else { Lifetime::GEOCODE };
    let body = json!({
        "success": true,
        "results": results,
        "searchRadius": number(radius),
        "coordinateSystem": system.name(),
    });
    Reply::cached(&body, lifetime, tags)
}

/// How likely the address is the one at the position, 0 to 100: it falls from 100 to 60 over the first 100 m, which is a
/// large block, and to 20 at 1 km. A point that only stands for a street or a locality says little however near it is.
fn confidence(metres: f64, precision: Precision) -> u8 {
    let metres = metres.clamp(0.0, 1_000.0);
    let near = if metres <= 100.0 { 100.0 - 0.4 * metres } else { 60.0 - (metres - 100.0) / 22.5 };
    let ceiling = match precision {
        Precision::Property => 100.0,
        Precision::Street => 50.0,
        Precision::Locality => 20.0,
    };
    near.min(ceiling).round() as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn confidence_has_its_fixed_points() {
        assert_eq!(confidence(0.0, Precision::Property), 100);
        assert_eq!(confidence(100.0, Precision::Property), 60);
        assert_eq!(confidence(1_000.0, Precision::Property), 20);
        assert_eq!(confidence(0.0, Precision::Street), 50);
        assert_eq!(confidence(0.0, Precision::Locality), 20);
    }

    proptest! {
        #[test]
        fn confidence_never_rises_with_distance(near in 0.0..2_000.0f64, more in 0.0..2_000.0f64) {
            for precision in [Precision::Property, Precision::Street, Precision::Locality] {
                prop_assert!(confidence(near, precision) >= confidence(near + more, precision));
            }
        }
    }
}
