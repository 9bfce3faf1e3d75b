//! The addresses around a place.

use axum::extract::State;
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::degrade::no_fuzzy;
use crate::error::ApiError;
use crate::input::{Deadline, Fields, QueryOrJson};
use crate::location::Location;
use crate::place::{distinct, number, round};
use crate::reply::{Answer, Lifetime, Reply};
use crate::reverse::Found;
use crate::tags::Tags;

const ANY: &str = include_str!("sql/proximity.sql");
const OF_KIND: &str = include_str!("sql/proximity_kind.sql");
const WALK: &str = include_str!("sql/proximity_walk.sql");

/// What `propertyTypes` may hold, and the kinds of `sql/proximity_kind.sql` each stands for: `house` (a street address
/// without units), `unit` (a dwelling inside a building), `business` (shop, suite, office, factory, ...), `building` (a
/// building that has units), `lot` (land known by its lot only), `other` (car spaces, sheds, whole floors), and two groups.
const TYPES: [(&str, &[&str]); 8] = [
    ("house", &["house"]),
    ("unit", &["unit"]),
    ("business", &["business"]),
    ("building", &["building"]),
    ("lot", &["lot"]),
    ("other", &["other"]),
    ("residential", &["house", "unit"]),
    ("commercial", &["business"]),
];

/// GET and POST /api/v1/spatial/proximity
pub(crate) async fn proximity(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    headers: HeaderMap,
    QueryOrJson(fields): QueryOrJson,
) -> Result<Reply, ApiError> {
    answer(&app, deadline, &fields, !no_fuzzy(&headers)).await?.into_reply()
}

/// The answer to one question, alone or in a batch; `second_stage` is whether a misspelt address is corrected.
pub(crate) async fn answer(
    app: &App,
    deadline: Instant,
    fields: &Fields,
    second_stage: bool,
) -> Result<Answer, ApiError> {
    let begun = Instant::now();
    let radius = fields.number("radius", 1.0..=5_000.0, "INVALID_RADIUS")?.unwrap_or(1_000.0);
    let limit = fields.integer("limit", 1..=50, "INVALID_LIMIT")?.unwrap_or(10);
    let with_distance = fields.flag("includeDistance", true, "INVALID_INCLUDE_DISTANCE")?;
    let with_bearing = fields.flag("includeBearing", false, "INVALID_INCLUDE_BEARING")?;
    let kinds = kinds(fields)?;
    let mut tags = Tags::new(&app.facts.release());
    let location = Location::read(app, deadline, fields, second_stage, &mut tags).await?;

    let (longitude, latitude) = (location.position.longitude, location.position.latitude);
    let (srid, wanted) = (location.system.srid(), limit as i32);
    let rows = if kinds.is_empty() {
        app.database.query(deadline, ANY, &[&longitude, &latitude, &srid, &radius, &wanted]).await?
    } else {
        app.database.query(deadline, OF_KIND, &[&longitude, &latitude, &srid, &radius, &wanted, &kinds]).await?
    };
    let found: Vec<Found> = rows.iter().map(Found::from_row).collect();
    tags.near(&location.position, Found::reach(&found, limit, radius));
    let mut found = distinct(found, |found| &found.place);
    found.truncate(limit as usize);
    // Of a rare kind there may be more, farther away than is looked.
    let truncated = match !kinds.is_empty() && found.len() < limit as usize {
        true => app.database.query_opt(deadline, WALK, &[&longitude, &latitude, &srid, &radius]).await?,
        false => None,
    };

    let results: Vec<Value> = found
        .iter()
        .map(|found| {
            found.place.tag(&mut tags);
            let mut result = json!({
                "gnafPid": found.place.pid,
                "address": found.place.label(),
                "coordinates": found.place.position(),
            });
            if let Some(fields) = result.as_object_mut() {
                if with_distance {
                    fields.insert("distance".into(), found.distance());
                }
                if with_bearing {
                    fields.insert("bearing".into(), found.bearing().into());
                }
            }
            result
        })
        .collect();
    let lifetime = if results.is_empty() { Lifetime::EMPTY } else { Lifetime::PROXIMITY };
    let mut data = json!({
        "center": location.to_json(),
        "radius": number(radius),
        "results": results,
        "summary": {"total": results.len()},
    });
    if !found.is_empty() {
        let average = found.iter().map(|found| found.metres).sum::<f64>() / found.len() as f64;
        data["summary"]["averageDistance"] = round(average, 1).into();
    }
    if truncated.is_some_and(|row| row.get("more")) {
        data["summary"]["truncated"] = true.into();
    }
    let meaning = data.clone();
    data["summary"]["searchTime"] = json!(begun.elapsed().as_millis() as u64);
    Ok(Answer { data, meaning: Some(meaning), lifetime, tags })
}

/// The kinds asked for; none when any will do.
fn kinds(fields: &Fields) -> Result<Vec<&'static str>, ApiError> {
    const CODE: &str = "INVALID_PROPERTY_TYPES";
    let mut kinds = Vec::new();
    for item in &fields.items("propertyTypes", CODE)? {
        let known =
            item.as_str().and_then(|word| TYPES.iter().find(|(name, _)| word.trim().eq_ignore_ascii_case(name)));
        let Some((_, meant)) = known else {
            let names: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
            let error = ApiError::bad_request(CODE, "`propertyTypes` holds something that is no property type");
            return Err(error.with_details(json!({"allowed": names})));
        };
        kinds.extend(meant.iter().filter(|kind| !kinds.contains(*kind)).copied().collect::<Vec<_>>());
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn fields(types: Value) -> Fields {
        Fields::from_object([("propertyTypes".to_owned(), types)].into_iter().collect())
    }

    #[rstest]
    #[case(json!(null), &[])]
    #[case(json!([]), &[])]
    #[case(json!(["House", "unit", "house"]), &["house", "unit"])]
    #[case(json!(["residential", "lot"]), &["house", "unit", "lot"])]
    fn types_become_kinds(#[case] types: Value, #[case] expected: &[&str]) {
        assert_eq!(kinds(&fields(types)).unwrap(), expected);
    }

    #[rstest]
    #[case(json!("house"))]
    #[case(json!(["castle"]))]
    #[case(json!([1]))]
    #[case(json!([null]))]
    #[case(json!({"house": true}))]
    fn what_is_no_type_is_refused(#[case] types: Value) {
        assert_eq!(kinds(&fields(types)).unwrap_err().code, "INVALID_PROPERTY_TYPES");
    }
}
