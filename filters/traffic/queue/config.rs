//! Settings of a queue.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::traffic::Mode;
use crate::traffic::units::Span;

/// One queue, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether requests wait and are refused, or are only counted.
    pub mode: Mode,
    /// Most requests at the upstream at a time; 1 to 100000. The limit begins here, and finds by itself how many of them do
    /// any work.
    pub ceiling: usize,
    /// The limit never goes below; 1 to `ceiling`. Below what the upstream bears on a bad day. The same as `ceiling`: the limit
    /// is fixed.
    pub floor: usize,
    /// The longest wait for a permit. Left out: four fifths of the time that the request has left, by its route's `timeout`;
    /// the rest is the upstream's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Span>,
    /// Most requests that wait, per class; 0 to 100000. One client may have all of it while nobody else wants any.
    pub size: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { mode: Mode::Enforce, ceiling: 32, floor: 4, deadline: None, size: 2048 }
    }
}

impl Config {
    /// Whether a queue can work with it; the error is a sentence.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=100_000).contains(&self.ceiling) || self.size > 100_000 {
            return Err("`ceiling` is 1 to 100000 requests, `size` at most 100000".to_owned());
        }
        if !(1..=self.ceiling).contains(&self.floor) {
            return Err(format!("`floor` is 1 to {}, the `ceiling`", self.ceiling));
        }
        if self.deadline.is_some_and(|deadline| deadline.0.is_zero()) {
            return Err("a `deadline` of zero is a queue in which nobody can wait; `size: 0` says that".to_owned());
        }
        Ok(())
    }

    /// How long a request may wait that has so much time left.
    pub(super) fn patience(&self, left: Duration) -> Duration {
        let own = left.checked_mul(4).map_or(UNBOUND, |four| four / 5);
        self.deadline.map_or(own, |deadline| deadline.0).min(left)
    }
}

/// The longest wait of a request without a deadline of its own.
pub(super) const UNBOUND: Duration = Duration::from_secs(1);
