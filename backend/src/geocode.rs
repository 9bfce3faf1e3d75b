//! POST /api/v1/addresses/geocode: where an address is.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::db::Database;
use crate::degrade::{no_fuzzy, with_mark};
use crate::error::ApiError;
use crate::input::coordinates::CoordinateSystem;
use crate::input::{Deadline, Json};
use crate::lookup::{Found, Wanted, find};
use crate::parse::Typing;
use crate::place::Place;
use crate::reply::{Lifetime, Reply};
use crate::tags::Tags;
use crate::validate::{ADDRESS, FLAG};

const POINT: &str = include_str!("sql/lookup/point.sql");
/// From here the place is right, though a unit may be unknown or the locality be the one next door.
const PLACED: u8 = 70;

/// What became of an address.
pub(crate) struct Geocoded {
    /// Where it is, in the datum asked for; none when no one address is clearly meant.
    pub place: Option<Place>,
    /// 0 to 100, of the best match.
    pub confidence: u8,
    degraded: bool,
    found: Found,
}

impl Geocoded {
    /// Adds the tags of an answer that was made with it.
    pub(crate) fn tag(&self, tags: &mut Tags) {
        self.found.tag(tags);
    }
}

/// Finds where `address` is.
///
/// # Errors
/// What the database says.
pub(crate) async fn geocode(
    database: &Database,
    deadline: Instant,
    address: &str,
    system: CoordinateSystem,
    second_stage: bool,
) -> Result<Geocoded, ApiError> {
    let wanted = Wanted { typing: Typing::Done, state: None, postcode: None, from: 0, count: 2, second_stage };
    let found = find(database, deadline, address, &wanted).await?;
    let Found { page, listed, degraded, .. } = &found;
    let confidence = page.first().map_or(0, |best| best.score.confidence);
    let mut best = page.iter().filter(|scored| scored.score.confidence == confidence);
    // Of several equals none is meant, unless they are in one place.
    let place = match (best.next(), best.next()) {
        (Some(one), other) if !*listed && confidence >= PLACED => {
            let position = |scored: &crate::rank::Scored| (scored.record.latitude, scored.record.longitude);
            other.is_none_or(|other| position(other) == position(one)).then(|| one.record.place())
        }
        _ => None,
    };
    let place = match place {
        // PostGIS takes WGS84 and GDA2020 for one datum, as EPSG does at this precision (transformation 8450, null).
        Some(place) if system == CoordinateSystem::Gda94 => Some(moved(database, deadline, place, system).await?),
        place => place,
    };
    Ok(Geocoded { place, confidence, degraded: *degraded, found })
}

/// The place with its position in another datum than the stored one.
async fn moved(
    database: &Database,
    deadline: Instant,
    place: Place,
    system: CoordinateSystem,
) -> Result<Place, ApiError> {
    let Some(row) = database.query_opt(deadline, POINT, &[&place.latitude, &place.longitude, &system.srid()]).await?
    else {
        return Err(ApiError::internal());
    };
    Ok(Place { latitude: row.get("latitude"), longitude: row.get("longitude"), ..place })
}

/// Answers a geocoding.
///
/// # Errors
/// `MISSING_ADDRESS`, `INVALID_ADDRESS`, `ADDRESS_TOO_LONG`, `INVALID_COORDINATE_SYSTEM`, `INVALID_BOOLEAN_FLAG`;
/// `SERVICE_UNAVAILABLE` when the database can't answer.
pub(crate) async fn answer(
    State(app): State<App>,
    Deadline(deadline): Deadline,
    headers: HeaderMap,
    Json(fields): Json,
) -> Result<Response, ApiError> {
    let address = fields.required_text("address", "MISSING_ADDRESS", ADDRESS)?;
    let system = CoordinateSystem::read(&fields)?;
    let precision = fields.flag("includePrecision", true, FLAG)?;
    let components = fields.flag("includeComponents", true, FLAG)?;
    let mut tags = Tags::new(&app.facts.release());
    let found = geocode(&app.database, deadline, &address, system, !no_fuzzy(&headers)).await?;
    found.tag(&mut tags);
    let Some(place) = &found.place else {
        let reply = Reply::cached(&json!({"success": false, "confidence": found.confidence}), Lifetime::EMPTY, tags)?;
        return Ok(with_mark(reply.into_response(), found.degraded));
    };
    let lifetime = if found.degraded { Lifetime::EMPTY } else { Lifetime::GEOCODE };
    let reply = Reply::cached(&body(place, found.confidence, system, precision, components), lifetime, tags)?;
    Ok(with_mark(reply.into_response(), found.degraded))
}

fn body(place: &Place, confidence: u8, system: CoordinateSystem, precision: bool, components: bool) -> Value {
    let mut coordinates = place.position();
    if let Some(fields) = coordinates.as_object_mut() {
        fields.insert("coordinateSystem".into(), system.name().into());
        if precision {
            fields.insert("precision".into(), place.precision().name().into());
            fields.insert("reliability".into(), json!(place.reliability));
        }
    }
    let mut body = json!({
        "success": true,
        "coordinates": coordinates,
        "confidence": confidence,
        "gnafPid": place.pid,
        "formattedAddress": place.label(),
    });
    if let (true, Some(fields)) = (components, body.as_object_mut()) {
        fields.insert("components".into(), place.components());
    }
    body
}
