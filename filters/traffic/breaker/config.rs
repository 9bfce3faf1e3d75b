//! Settings of a breaker.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::traffic::Mode;
use crate::traffic::units::{Percent, Span};

/// One breaker, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether the filter refuses or only counts. Who uses a breaker without the filter looks at it by itself.
    pub mode: Mode,
    /// How many of the last calls are looked at; 1 to 10000.
    pub window: usize,
    /// With fewer calls than these nothing is judged; at most `window`.
    pub minimum: usize,
    /// The share of failed calls from which it opens.
    pub failure_rate: Percent,
    /// From when a call counts as slow. Left out: 80 % of the route's timeout; without a route, never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow: Option<Span>,
    /// The share of slow calls from which it opens.
    pub slow_rate: Percent,
    /// How long it is open the first time; doubled each time it opens again before calls have done well.
    pub open: Span,
    /// The longest time.
    pub open_max: Span,
    /// How many calls are let through half open; 1 to 1000. It closes when all of them have done well.
    pub probes: usize,
    /// How long they may take, counted from the last one; then it opens again.
    pub half_open: Span,
    /// How often our own probe is sent while it is not closed.
    pub probe_every: Span,
    /// How long our own probe may take.
    pub probe_time: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            window: 100,
            minimum: 50,
            failure_rate: Percent::of(50),
            slow: None,
            slow_rate: Percent::of(80),
            open: Span::secs(2),
            open_max: Span::secs(10),
            probes: 3,
            half_open: Span::secs(10),
            probe_every: Span::secs(1),
            probe_time: Span::secs(1),
        }
    }
}

impl Config {
    /// Whether a breaker can work with it; the error is a sentence.
    pub fn check(&self) -> Result<(), String> {
        let spans = [
            ("open", self.open),
            ("half_open", self.half_open),
            ("probe_every", self.probe_every),
            ("probe_time", self.probe_time),
            ("slow", self.slow.unwrap_or(self.open)),
        ];
        if let Some((name, _)) = spans.iter().find(|(_, span)| span.0.is_zero()) {
            return Err(format!("`{name}` must be more than zero"));
        }
        if !(1..=10_000).contains(&self.window) || !(1..=1_000).contains(&self.probes) {
            return Err("`window` is 1 to 10000 calls, `probes` 1 to 1000".to_owned());
        }
        if !(1..=self.window).contains(&self.minimum) {
            return Err(format!("`minimum` is 1 to {}, the `window`", self.window));
        }
        if self.failure_rate == Percent::default() || self.slow_rate == Percent::default() {
            return Err("a `failure_rate` or `slow_rate` of 0% would open it at once; 100% is the highest".to_owned());
        }
        if self.open_max < self.open {
            return Err(format!("`open_max` ({}) is shorter than `open` ({})", self.open_max, self.open));
        }
        Ok(())
    }
}
