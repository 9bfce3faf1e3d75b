//! The administrative areas that hold a position.

use axum::extract::State;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::area::{self, Holding};
use crate::error::ApiError;
use crate::input::{Deadline, Fields, QueryOrJson};
use crate::location::Location;
use crate::reply::{Answer, Lifetime, Reply};
use crate::state;
use crate::tags::Tags;
use crate::validate::FLAG;

const ELECTORATES: &str = include_str!("sql/electorates.sql");

/// GET and POST /api/v1/spatial/boundaries
pub(crate) async fn boundaries(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    QueryOrJson(fields): QueryOrJson,
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
    for (level, wanted) in [("LOCALITY", true), ("LGA", with_lga), ("POA", with_postal)] {
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
            _ => ("postalArea", json!({"postcode": area.code})),
        };
        boundaries.insert(name.to_owned(), value);
    }
    if let Some(state) = state(&held) {
        boundaries.insert("state".to_owned(), state);
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

/// The state of the council, else of the locality, else of the state's own outline: along a border outlines of different
/// detail disagree, and an answer must not name a council of another state.
fn state(held: &[Holding]) -> Option<Value> {
    let levels = ["LGA", "LOCALITY", "STE"].iter();
    let mut states =
        levels.filter_map(|level| held.iter().find(|holding| holding.area.level == *level)?.area.state.as_deref());
    let code = states.next()?;
    Some(json!({"code": code, "name": state::name(code).unwrap_or(code)}))
}

/// The Bureau of Statistics' layer has two kinds: governed areas, and what no council governs, also written `Unincorp.`.
fn category(name: &str) -> &'static str {
    let start = name.trim_start().get(..8).unwrap_or_default();
    if start.eq_ignore_ascii_case("Unincorp") { "Unincorporated Area" } else { "Local Government Area" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::area::Area;

    fn holding(level: &str, state: Option<&str>) -> Holding {
        let area = Area {
            level: level.into(),
            code: "1".into(),
            name: "X".into(),
            state: state.map(str::to_owned),
            edition: "LGA 2022".into(),
        };
        Holding { area, locality_pid: None, postcode: None }
    }

    #[rstest::rstest]
    #[case::council(&[("STE", "NSW"), ("LOCALITY", "NSW"), ("LGA", "VIC")], json!({"code": "VIC", "name": "Victoria"}))]
    #[case::locality(&[("STE", "NSW"), ("LOCALITY", "VIC")], json!({"code": "VIC", "name": "Victoria"}))]
    #[case::outline(&[("STE", "NSW"), ("SA1", "VIC")], json!({"code": "NSW", "name": "New South Wales"}))]
    fn the_state_is_that_of_the_council(#[case] held: &[(&str, &str)], #[case] wanted: Value) {
        let held: Vec<Holding> = held.iter().map(|(level, state)| holding(level, Some(state))).collect();
        assert_eq!(state(&held), Some(wanted));
        assert_eq!(state(&[holding("POA", None)]), None);
    }

    #[rstest::rstest]
    #[case("Unincorporated ACT", "Unincorporated Area")]
    #[case("Unincorp. Other Territories", "Unincorporated Area")]
    #[case("UNINCORPORATED SA", "Unincorporated Area")]
    #[case("Unley", "Local Government Area")]
    fn areas_without_a_council_are_told(#[case] name: &str, #[case] wanted: &str) {
        assert_eq!(category(name), wanted);
    }
}
