//! Where a spatial question is about: coordinates, or an address that is geocoded.

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::error::ApiError;
use crate::geocode;
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
    /// From `coordinates`, which win, or else `address`, whose tags are added.
    ///
    /// # Errors
    /// `MISSING_LOCATION` when neither is given, the coordinates' own codes, `INVALID_ADDRESS` when the address is not text
    /// of 1 to 500 characters, `GEOCODING_FAILED` when no address is like it.
    pub(crate) async fn read(app: &App, deadline: Instant, fields: &Fields, tags: &mut Tags) -> Result<Self, ApiError> {
        const ADDRESS: Text = Text { max: 500, invalid: "INVALID_ADDRESS", too_long: "INVALID_ADDRESS" };
        if let Some(position) = Position::read_object(fields)? {
            return Ok(Self { position, system: CoordinateSystem::read(fields)?, address: None });
        }
        match fields.text("address", ADDRESS)? {
            Some(address) => Self::geocode(app, deadline, &address, CoordinateSystem::read(fields)?, tags).await,
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

    async fn geocode(
        app: &App,
        deadline: Instant,
        address: &str,
        system: CoordinateSystem,
        tags: &mut Tags,
    ) -> Result<Self, ApiError> {
        let found = geocode::geocode(&app.database, deadline, address, system, true).await?;
        found.tag(tags);
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
