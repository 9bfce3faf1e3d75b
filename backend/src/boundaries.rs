//! The administrative areas that hold a position.

use axum::extract::State;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::area;
use crate::error::ApiError;
use crate::input::{Deadline, Fields, Json};
use crate::location::Location;
use crate::reply::{Answer, Lifetime, Reply};
use crate::tags::Tags;
use crate::validate::FLAG;

const ELECTORATES: &str = include_str!("sql/electorates.sql");

/// POST /api/v1/spatial/boundaries
pub(crate) async fn boundaries(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    Json(fields): Json,
) -> Result<Reply, ApiError> {
    answer(&app, deadline, &fields).await?.into_reply()
}

/// The answer to one question, alone or in a batch.
pub(crate) async fn answer(app: &App, deadline: Instant, fields: &Fields) -> Result<Answer, ApiError> {
    let location = Location::read_coordinates(fields)?;
    let with_lga = fields.flag("includeLGA", true, FLAG)?;
    let with_electorates = fields.flag("includeElectoral", false, FLAG)?;
    let with_postal = fields.flag("includePostal", true, FLAG)?;
    let mut tags = Tags::new(&app.facts.release());
    tags.mark("areas");

    let held = area::at(app, deadline, &location).await?;
    if held.is_empty() {
        return Err(ApiError::not_found("LOCATION_NOT_FOUND", "No area is known that holds these coordinates"));
    }
    let mut boundaries = Map::new();
    for (level, wanted) in [("LOCALITY", true), ("LGA", with_lga), ("POA", with_postal), ("STE", true)] {
        let Some(holding) = held.iter().find(|holding| wanted && holding.area.level == level) else { continue };
        let area = &holding.area;
        area.tag(&mut tags);
        let (name, value) = match level {
            "LOCALITY" => {
                if let Some(pid) = &holding.locality_pid {
                    tags.need("locality", pid);
                }
                // Without G-NAF's own identifier the outline's code is the stablest there is.
                let pid = holding.locality_pid.clone().unwrap_or_else(|| format!("SSC{}", area.code));
                ("locality", json!({"name": area.name, "pid": pid, "postcode": holding.postcode}))
            }
            "LGA" => {
                ("localGovernmentArea", json!({"name": area.name, "category": category(&area.name), "code": area.code}))
            }
            "POA" => ("postalArea", json!({"postcode": area.code})),
            _ => ("state", json!({"code": area.state, "name": area.name})),
        };
        boundaries.insert(name.to_owned(), value);
    }
    if with_electorates && let Some(electorates) = electorates(app, deadline, &location, &mut tags).await? {
        boundaries.insert("electoralDistrict".to_owned(), electorates);
    }
    let data = json!({"coordinates": location.to_json(), "boundaries": boundaries});
    Ok(Answer { data, meaning: None, lifetime: Lifetime::BOUNDARIES, tags })
}

/// Electorates are published per address: those of the nearest address that has them.
async fn electorates(
    app: &App,
    deadline: Instant,
    location: &Location,
    tags: &mut Tags,
) -> Result<Option<Value>, ApiError> {
    let (longitude, latitude) = (location.position.longitude, location.position.latitude);
    tags.near(&location.position, 100.0);
    let row = app.database.query_opt(deadline, ELECTORATES, &[&longitude, &latitude, &location.system.srid()]).await?;
    Ok(row.map(|row| {
        tags.hint("pid", row.get("pid"));
        let federal: Option<String> = row.get("commonwealth_electorate");
        let state: Option<String> = row.get("state_electorate");
        json!({"federal": federal, "state": state})
    }))
}

/// The Bureau of Statistics' layer has two kinds: governed areas, and what no council governs.
fn category(name: &str) -> &'static str {
    if name.starts_with("Unincorporated") { "Unincorporated Area" } else { "Local Government Area" }
}
