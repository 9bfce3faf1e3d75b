//! GET /api/v1/addresses/{gnafPid}: one address with its aliases and its primary and secondary addresses.

use axum::extract::{Path, State};
use serde_json::{Map, Value, json};
use tokio_postgres::Row;

use crate::app::App;
use crate::error::ApiError;
use crate::input::Deadline;
use crate::place::Place;
use crate::record::Record;
use crate::reply::{Lifetime, Reply};
use crate::tags::Tags;

const BY_PID: &str = include_str!("sql/lookup/address_by_pid.sql");
const RELATIVES: &str = include_str!("sql/lookup/address_relatives.sql");
/// Relatives of one kind that are listed; a tower has hundreds of units.
const MOST: usize = 500;

/// Answers with the address.
///
/// # Errors
/// `ADDRESS_NOT_FOUND` when there is none; `SERVICE_UNAVAILABLE` when the database can't answer.
pub(crate) async fn address(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    Path(pid): Path<String>,
) -> Result<Reply, ApiError> {
    let pid = identifier(&pid)?;
    let mut tags = Tags::new(&app.facts.release());
    let Some(row) = app.database.query_opt(deadline, BY_PID, &[&pid]).await? else { return Err(not_found()) };
    let relatives = app.database.query(deadline, RELATIVES, &[&pid, &(MOST as i64 + 1)]).await?;
    let place = Record::unasked(&row).place();
    // A change of a relative purges the relative's locality, a new relative the addresses at both ends.
    tags.need("pid", &place.pid);
    place.tag(&mut tags);
    relatives.iter().for_each(|row| _ = tags.need("locality", row.get("locality_pid")));
    let mut body = body(&place);
    for (name, column) in [
        ("buildingName", "building_name"),
        ("lotNumber", "lot_number"),
        ("legalParcelId", "legal_parcel_id"),
        ("meshBlock", "mesh_block"),
        ("privateStreet", "private_street"),
        ("locationDescription", "location_description"),
        ("geocodeType", "geocode_type"),
    ] {
        if let Some(value) = row.get::<_, Option<String>>(column) {
            body.insert(name.into(), value.into());
        }
    }
    if let Some(sources) = row.get::<_, Option<i16>>("sources") {
        body.insert("gnafConfidence".into(), sources.into());
    }
    body.insert("isAlias".into(), row.get::<_, bool>("is_alias").into());
    body.insert("aliases".into(), related(&relatives, "alias").into());
    body.insert("principals".into(), related(&relatives, "principal").into());
    body.insert("primary".into(), related(&relatives, "primary").into_iter().next().unwrap_or(Value::Null));
    let mut secondaries = related(&relatives, "secondary");
    if secondaries.len() > MOST {
        secondaries.truncate(MOST);
        body.insert("secondariesTruncated".into(), true.into());
    }
    body.insert("secondaries".into(), secondaries.into());
    Reply::cached(&body, Lifetime::ADDRESS, tags)
}

/// An identifier as it is stored.
///
/// # Errors
/// `ADDRESS_NOT_FOUND` when it can't be one.
pub(crate) fn identifier(text: &str) -> Result<String, ApiError> {
    let pid = text.to_ascii_uppercase();
    let plain = pid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if pid.is_empty() || pid.len() > 30 || !plain { Err(not_found()) } else { Ok(pid) }
}

/// There is none with this identifier.
pub(crate) fn not_found() -> ApiError {
    ApiError::not_found("ADDRESS_NOT_FOUND", "There is no address with this identifier")
}

/// What every source knows of an address.
pub(crate) fn body(place: &Place) -> Map<String, Value> {
    let label = place.label();
    let mut body = Map::new();
    body.insert("gnafPid".into(), place.pid.clone().into());
    body.insert("address".into(), label.clone().into());
    body.insert("formattedAddress".into(), label.into());
    body.insert("components".into(), place.components());
    let mut position = place.position();
    if let Some(fields) = position.as_object_mut() {
        fields.insert("precision".into(), place.precision().name().into());
        fields.insert("reliability".into(), json!(place.reliability));
        body.insert("coordinates".into(), position);
    }
    body
}

/// `{gnafPid, address, type?}` of each relative of one kind.
fn related(rows: &[Row], relation: &str) -> Vec<Value> {
    let of_kind = rows.iter().filter(|row| row.get::<_, &str>("relation") == relation);
    of_kind
        .map(|row| {
            let mut relative = Map::new();
            let place = Record::unasked(row).place();
            relative.insert("gnafPid".into(), place.pid.clone().into());
            relative.insert("address".into(), place.label().into());
            if let Some(kind) = row.get::<_, Option<String>>("kind") {
                relative.insert("type".into(), kind.into());
            }
            relative.into()
        })
        .collect()
}
