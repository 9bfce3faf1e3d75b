//! Settings of purges.

use std::time::Duration;

use addrgate_filters::traffic::units::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// As written. Needs a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// How often the log is read where it can't be waited on: by a blocking read, on a connection of its own, a purge reaches
    /// other instances at once.
    pub(crate) poll: Span,
    /// While the log can't be read, how long an answer in memory stays fresh at most. It is served stale beyond that, while
    /// it is refreshed.
    pub(crate) distrust: Span,
    /// How many purged tags and keys are remembered; beyond that the oldest purges count for everything that old.
    pub(crate) names: usize,
    /// About how many entries the log keeps. An instance that was cut off for longer takes everything older for stale.
    pub(crate) length: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { poll: Span::millis(50), distrust: Span::secs(30), names: 100_000, length: 10_000 }
    }
}

impl Config {
    /// Whether it makes sense; the error is a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(Duration::from_millis(10)..=Duration::from_secs(5)).contains(&self.poll.0) {
            return Err("`poll` must be from 10ms to 5s".to_owned());
        }
        if self.names < 100 || self.length < 100 {
            return Err("`names` and `length` must be at least 100".to_owned());
        }
        Ok(())
    }
}
