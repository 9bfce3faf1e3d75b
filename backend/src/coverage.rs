//! What is loaded, per state.

use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::error::ApiError;
use crate::reply::{Answer, Lifetime, Reply, Tags};

/// GET /api/v1/spatial/coverage
pub(crate) async fn coverage(State(app): State<App>) -> Result<Reply, ApiError> {
    let known = app.facts.known();
    let Some(sources) = known.sources.as_deref() else {
        return Err(ApiError::unavailable("The database is not available", 2));
    };
    let tags = Tags::new(&app.facts.release());
    let states: Vec<Value> = known
        .states
        .iter()
        .map(|state| {
            json!({"state": state.state, "localities": state.localities, "postcodes": state.postcodes,
                   "addresses": state.addresses})
        })
        .collect();
    let releases: Vec<Value> = sources
        .iter()
        .map(|source| json!({"source": source.source, "release": source.release, "addresses": source.addresses}))
        .collect();
    let data = json!({
        "states": states,
        "total": known.states.iter().map(|state| state.addresses).sum::<i64>(),
        "sources": releases,
        "lastUpdate": sources.iter().map(|source| source.imported_at).max(),
    });
    let lifetime = if known.states.is_empty() { Lifetime::EMPTY } else { Lifetime::COVERAGE };
    Answer { data, meaning: None, lifetime, tags }.into_reply()
}
