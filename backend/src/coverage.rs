//! What is loaded, per state.

use axum::extract::State;
use serde_json::{Value, json};

use crate::app::App;
use crate::dataset;
use crate::error::ApiError;
use crate::input::Deadline;
use crate::reply::{Answer, Lifetime, Reply};
use crate::tags::Tags;

/// GET /api/v1/spatial/coverage
///
/// Read now, not from the facts that are kept: these may be some seconds old, and this answer is made anew right after an
/// import has purged the one before it.
///
/// # Errors
/// `SERVICE_UNAVAILABLE` when the database can't answer.
pub(crate) async fn coverage(State(app): State<App>, Deadline(deadline): Deadline) -> Result<Reply, ApiError> {
    let known = dataset::read(&app.database, deadline, app.facts.known()).await?;
    let sources = known.sources.as_deref().map(Vec::as_slice).unwrap_or_default();
    let mut tags = Tags::new(&app.facts.release());
    tags.mark("coverage");
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
