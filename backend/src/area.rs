//! Areas: those that hold a position, those that contain an area, and what is known of one.

use axum::extract::{Path, State};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_postgres::Row;

use crate::app::App;
use crate::error::ApiError;
use crate::input::{Deadline, refuse};
use crate::location::Location;
use crate::place::round;
use crate::reply::{Answer, Lifetime, Reply};
use crate::tags::Tags;

const AT: &str = include_str!("sql/areas_at.sql");
const ABOVE: &str = include_str!("sql/areas_above.sql");
const STATISTICS: &str = include_str!("sql/area_statistics.sql");

/// The statistical levels that have statistics, and the length of their codes.
const LEVELS: [(&str, usize); 6] = [("SA1", 11), ("SA2", 9), ("SA3", 5), ("SA4", 3), ("GCCSA", 5), ("STE", 1)];

/// One area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Area {
    /// `MB`, `SA1`, `SA2`, `SA3`, `SA4`, `GCCSA`, `STE`, `LGA`, `POA` or `LOCALITY`.
    pub(crate) level: String,
    /// The publisher's.
    pub(crate) code: String,
    /// As published.
    pub(crate) name: String,
    /// Abbreviation of its state.
    pub(crate) state: Option<String>,
    /// `ASGS 2021`.
    pub(crate) edition: String,
}

impl Area {
    fn from_row(row: &Row) -> Self {
        Self {
            level: row.get("level"),
            code: row.get("code"),
            name: row.get("name"),
            state: row.get("state"),
            edition: row.get("edition"),
        }
    }

    /// `{code, name}`.
    pub(crate) fn to_json(&self) -> Value {
        json!({"code": self.code, "name": self.name})
    }

    /// Adds the tag by which operators may purge the answers that show this area; changes purge `areas`.
    pub(crate) fn tag(&self, tags: &mut Tags) {
        tags.hint("area", &format!("{}:{}", self.level, self.code));
    }
}

/// An area whose outline holds a position.
pub(crate) struct Holding {
    pub(crate) area: Area,
    /// Localities only: G-NAF's identifier.
    pub(crate) locality_pid: Option<String>,
    /// Localities and postal areas only.
    pub(crate) postcode: Option<String>,
}

/// The areas that hold a position, at most one of each level.
///
/// # Errors
/// Those of [`crate::db::Database::query`].
pub(crate) async fn at(app: &App, deadline: Instant, location: &Location) -> Result<Vec<Holding>, ApiError> {
    let (longitude, latitude) = (location.position.longitude, location.position.latitude);
    let rows = app.database.query(deadline, AT, &[&longitude, &latitude, &location.system.srid()]).await?;
    Ok(rows
        .iter()
        .map(|row| Holding {
            area: Area::from_row(row),
            locality_pid: row.get("locality_pid"),
            postcode: row.get("postcode"),
        })
        .collect())
}

/// A statistical area and those that contain it, in no order.
///
/// # Errors
/// Those of [`crate::db::Database::query`].
pub(crate) async fn above(app: &App, deadline: Instant, code: &str) -> Result<Vec<Area>, ApiError> {
    let rows = app.database.query(deadline, ABOVE, &[&code]).await?;
    Ok(rows.iter().map(Area::from_row).collect())
}

/// GET /api/v1/spatial/statistical-areas/{level}/{code}
pub(crate) async fn statistical_area(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    Path((level, code)): Path<(String, String)>,
) -> Result<Reply, ApiError> {
    let level = level.to_ascii_uppercase();
    let Some((_, digits)) = LEVELS.iter().find(|(name, _)| *name == level) else {
        let names: Vec<&str> = LEVELS.iter().map(|(name, _)| *name).collect();
        return Err(ApiError::bad_request("INVALID_AREA_LEVEL", "There is no such level of statistical areas")
            .with_details(json!({"allowed": names})));
    };
    let code = code.to_ascii_uppercase();
    if code.len() != *digits || !code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return refuse("INVALID_AREA_CODE", format!("A code of {level} has {digits} digits or letters"));
    }
    let mut tags = Tags::new(&app.facts.release());
    tags.mark("areas").mark("statistics");
    let areas = above(&app, deadline, &code).await?;
    let Some(area) = areas.iter().find(|area| area.level == level && area.code == code) else {
        return Err(ApiError::not_found("STATISTICAL_DATA_NOT_FOUND", "There is no such statistical area"));
    };
    area.tag(&mut tags);
    let statistics = app.database.query_opt(deadline, STATISTICS, &[&level, &code]).await?;
    let parents: Map<String, Value> = LEVELS
        .iter()
        .filter_map(|(name, _)| areas.iter().find(|other| other.level == *name && *other != area))
        .map(|parent| (parent_name(&parent.level), parent.to_json()))
        .collect();
    let mut data = json!({
        "level": level,
        "code": area.code,
        "name": area.name,
        "state": area.state,
        "parents": parents,
        "metadata": {"dataSource": area.edition, "counts": "addresses loaded, aliases excluded"},
    });
    if let (Some(row), Some(fields)) = (&statistics, data.as_object_mut()) {
        fields.insert("addresses".into(), row.get::<_, i64>("addresses").into());
        let kinds = [
            ("houses", "house"),
            ("units", "unit"),
            ("business", "business"),
            ("buildings", "building"),
            ("other", "other"),
        ];
        let dwellings: Map<String, Value> =
            kinds.iter().map(|(column, kind)| ((*kind).to_owned(), row.get::<_, i64>(*column).into())).collect();
        fields.insert("addressesByType".into(), dwellings.into());
        fields.insert("dwellings".into(), (row.get::<_, i64>("houses") + row.get::<_, i64>("units")).into());
        fields.insert("extent".into(), extent(row));
    }
    Answer { data, meaning: None, lifetime: Lifetime::STATISTICS, tags }.into_reply()
}

/// The box around the area's addresses, or null without any.
fn extent(row: &Row) -> Value {
    let side = |name| row.get::<_, Option<f64>>(name).map(|degrees| round(degrees, 8));
    match (side("west"), side("south"), side("east"), side("north")) {
        (Some(west), Some(south), Some(east), Some(north)) => {
            json!({"minLongitude": west, "minLatitude": south, "maxLongitude": east, "maxLatitude": north})
        }
        _ => Value::Null,
    }
}

/// The name a level has in answers.
pub(crate) fn parent_name(level: &str) -> String {
    if level == "STE" { "state".into() } else { level.to_ascii_lowercase() }
}
