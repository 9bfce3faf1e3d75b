//! What an operator sets by hand: the level of degradation, for a time, and breakers.
//!
//! ```text
//! GET /admin/v1/degradation             PUT {"level": "minimal", "for": "10m"}   or {"level": "auto"}
//! GET /admin/v1/breakers/{name}         PUT {"state": "open"}   or "closed", "auto"
//! ```

use std::sync::Arc;

use addrgate_filters::reply::{Cause, Code, Reply};
use addrgate_filters::traffic::breaker::{Breaker, Force};
use addrgate_filters::traffic::degrade::Level;
use addrgate_filters::traffic::units::Span;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::shared::Shared;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedLevel {
    level: LevelOrAuto,
    #[serde(default = "ten_minutes")]
    r#for: Span,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum LevelOrAuto {
    Level(Level),
    Auto(Auto),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Auto {
    Auto,
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedState {
    state: State,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Open,
    Closed,
    Auto,
}

/// How degradation stands.
pub(super) fn degradation(shared: &Shared) -> Reply {
    Reply::json(200, &json!(shared.plan().filters.degrade.snapshot()))
}

/// Sets the level for a time, or gives it back to the signals.
pub(super) fn set_degradation(shared: &Shared, body: &[u8]) -> Result<Reply, Cause> {
    let wanted: WantedLevel =
        read(body, "level: normal, reduced, minimal, emergency or auto; for: a time such as 10m")?;
    let plan = shared.plan();
    match wanted.level {
        LevelOrAuto::Level(level) => plan.filters.degrade.force(level, wanted.r#for.0),
        LevelOrAuto::Auto(Auto::Auto) => plan.filters.degrade.release(),
    }
    Ok(degradation(shared))
}

/// How a breaker stands.
pub(super) fn breaker(shared: &Shared, name: &str) -> Result<Reply, Cause> {
    Ok(Reply::json(200, &json!(find(shared, name)?.snapshot())))
}

/// Opens or closes a breaker, or gives it back to its calls.
pub(super) fn set_breaker(shared: &Shared, name: &str, body: &[u8]) -> Result<Reply, Cause> {
    let wanted: WantedState = read(body, "state: open, closed or auto")?;
    find(shared, name)?.force(match wanted.state {
        State::Open => Force::Open,
        State::Closed => Force::Closed,
        State::Auto => Force::Automatic,
    });
    breaker(shared, name)
}

/// By the name of its upstream, or `redis`; of a cluster `redis@host:port`.
fn find(shared: &Shared, name: &str) -> Result<Arc<Breaker>, Cause> {
    let plan = shared.plan();
    let of_redis = || shared.redis.as_ref()?.breakers().into_iter().find(|breaker| &**breaker.name() == name);
    let found = plan.filters.breaker.upstreams().get(name).cloned().or_else(of_redis);
    found.ok_or_else(|| Cause::new(Code::EndpointNotFound, "no_breaker", "There is no breaker of this name."))
}

fn read<T: DeserializeOwned>(body: &[u8], form: &'static str) -> Result<T, Cause> {
    serde_json::from_slice(body).map_err(|e| {
        Cause::new(Code::InvalidJson, "control", "The body does not say what to set.")
            .detail("error", e.to_string())
            .detail("form", form)
    })
}
