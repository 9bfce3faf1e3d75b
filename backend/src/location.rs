//! Where a spatial question is about: coordinates, or an address that is geocoded.

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::error::ApiError;
use crate::geocode::{self, Geocoded};
use crate::input::coordinates::{CoordinateSystem, Position};
use crate::input::{Fields, Text, refuse};
use crate::tags::Tags;

/// The place asked about.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    /// In the datum `system`.
    pub(crate) position: Position,
    /// WGS84 unless the client says otherwise; answers are in the same datum.
    pub(crate) system: CoordinateSystem,
    /// The address, when one was asked about: its identifier and label.
    pub(crate) address: Option<(String, String)>,
}

impl Location {
    /// From `coordinates`, which win, or else `address`, whose tags are added. `second_stage` is whether misspellings are
    /// corrected.
    ///
    /// # Errors
    /// `MISSING_LOCATION` when neither is given, the coordinates' own codes, `INVALID_ADDRESS` when the address is not text
    /// of 1 to 500 characters, `GEOCODING_FAILED` when no address is like it, `SERVICE_UNAVAILABLE` when one might be if
    /// misspellings were corrected.
    pub(crate) async fn read(
        app: &App,
        deadline: Instant,
        fields: &Fields,
        second_stage: bool,
        tags: &mut Tags,
    ) -> Result<Self, ApiError> {
        const ADDRESS: Text = Text { max: 500, invalid: "INVALID_ADDRESS", too_long: "INVALID_ADDRESS" };
        if let Some(position) = Position::read_object(fields)? {
            return Ok(Self { position, system: CoordinateSystem::read(fields)?, address: None });
        }
        match fields.text("address", ADDRESS)? {
            Some(address) => {
                let system = CoordinateSystem::read(fields)?;
                let found = geocode::geocode(&app.database, deadline, &address, system, second_stage).await?;
                found.tag(tags);
                Self::of(found, system)
            }
            None if fields.has("address") => refuse("INVALID_ADDRESS", "`address` must not be blank"),
            None => refuse("MISSING_LOCATION", "`coordinates` or `address` is required"),
        }
    }

    /// From `coordinates` alone.
    ///
    /// # Errors
    /// `MISSING_COORDINATES`, or the coordinates' own codes.
    pub(crate) fn read_coordinates(fields: &Fields) -> Result<Self, ApiError> {
        match Position::read_object(fields)? {
            Some(position) => Ok(Self { position, system: CoordinateSystem::read(fields)?, address: None }),
            None => refuse("MISSING_COORDINATES", "`coordinates` is required"),
        }
    }

    fn of(found: Geocoded, system: CoordinateSystem) -> Result<Self, ApiError> {
        if found.degraded() {
            return Err(ApiError::unavailable("Only addresses that are written exactly are found at the moment", 5));
        }
        let Some(place) = found.place else {
            return refuse("GEOCODING_FAILED", "No address was found that is clearly meant");
        };
        let position = place.point.ok_or_else(ApiError::internal)?;
        Ok(Self { position, system, address: Some((place.pid.clone(), place.label())) })
    }

    /// `{latitude, longitude}`, and the address with its identifier when one was asked about.
    pub(crate) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        if let Value::Object(position) = self.position.to_json() {
            fields.extend(position);
        }
        if let Some((pid, label)) = &self.address {
            fields.insert("gnafPid".into(), json!(pid));
            fields.insert("address".into(), json!(label));
        }
        fields.into()
    }
}
