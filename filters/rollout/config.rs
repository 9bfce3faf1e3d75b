//! Settings of rollouts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Clients of a route that go elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where they go, by name.
    pub upstream: String,
    /// How many of them, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
}

/// Reads of a route that are copied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// Where the copies go, by name.
    pub upstream: String,
    /// How many of the reads, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: f64,
    /// Members of JSON answers that may differ, at any depth.
    #[serde(default = "volatile")]
    pub ignore: Vec<String>,
}

pub(super) fn volatile() -> Vec<String> {
    ["executionTime", "processingTime", "searchTime", "responseTime", "timestamp", "requestId"]
        .map(str::to_owned)
        .into()
}

/// Whether a route's settings make sense; the error is a sentence.
pub(crate) fn check(own: Option<&str>, rollout: Option<&Config>, shadow: Option<&Shadow>) -> Result<(), String> {
    let rollout = rollout.map(|c| ("rollout", &c.upstream, c.share));
    let shadow = shadow.map(|c| ("shadow", &c.upstream, c.share));
    for (what, upstream, share) in rollout.into_iter().chain(shadow) {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("`{what}.share` is a part of all, from 0 to 1, not {share}"));
        }
        if own == Some(upstream) {
            return Err(format!("`{what}.upstream` is the route's own upstream `{upstream}`"));
        }
    }
    Ok(())
}
