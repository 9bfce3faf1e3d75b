//! From signals to a level: averages, thresholds, a shortest stay, and what an operator sets. Knows no lock and no clock.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::config::{Config, Enter, Step};
use super::effects::Effects;

/// How much is left out; in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing.
    #[default]
    Normal,
    /// What hardly anyone notices.
    Reduced,
    /// Everything but the service's purpose.
    Minimal,
    /// Whatever it takes.
    Emergency,
}

impl Level {
    /// All, in rising order.
    pub const ALL: [Level; 4] = [Level::Normal, Level::Reduced, Level::Minimal, Level::Emergency];

    /// The name in configuration, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Normal => "normal",
            Level::Reduced => "reduced",
            Level::Minimal => "minimal",
            Level::Emergency => "emergency",
        }
    }

    fn below(self) -> Level {
        Level::ALL[(self as usize).saturating_sub(1)]
    }
}

/// What is known at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Signals {
    /// How long requests wait for a place now.
    pub delay: Duration,
    /// Requests of class normal and above that needed the upstream since the last tick.
    pub calls: u64,
    /// Those of them that were refused a place.
    pub refused: u64,
    /// Those that got one and failed.
    pub errors: u64,
    /// The share of upstreams whose breaker is open, 0 to 1.
    pub breakers: f64,
    /// The share of its limit of memory that the process uses, 0 to 1.
    pub memory: f64,
}

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Before.
    pub from: Level,
    /// After.
    pub to: Level,
    /// Whether an operator set or released it.
    pub by_operator: bool,
}

/// The averages that decide.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Averages {
    /// Milliseconds that requests wait.
    pub delay_ms: f64,
    /// Refused a place, 0 to 1.
    pub refused: f64,
    /// Failed with a place, 0 to 1.
    pub errors: f64,
    /// Open breakers, 0 to 1.
    pub breakers: f64,
    /// Memory, 0 to 1.
    pub memory: f64,
}

/// How degradation stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Snapshot {
    /// The level that holds.
    pub level: Level,
    /// What the signals alone would make it.
    pub automatic: Level,
    /// How much longer it is held by an operator, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced_for: Option<u64>,
    /// What it does.
    pub effects: Effects,
    /// Why.
    pub signals: Averages,
}

/// Below this share of what a level is entered at by memory it is left: a full cache alone takes much, always.
pub(crate) const MEMORY: f64 = 0.95;

/// With fewer calls than these in the average, errors are chance; the breaker still counts each.
const ENOUGH: f64 = 20.0;

#[derive(Debug)]
pub(crate) struct Controller {
    automatic: Level,
    forced: Option<(Level, Instant)>,
    /// The level that was told last.
    told: Level,
    averages: Averages,
    /// Calls, refusals and errors, each fading.
    calls: f64,
    refused: f64,
    errors: f64,
    last: Instant,
    /// When the automatic level changed.
    since: Instant,
}

impl Controller {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            automatic: Level::Normal,
            forced: None,
            told: Level::Normal,
            averages: Averages::default(),
            calls: 0.0,
            refused: 0.0,
            errors: 0.0,
            last: now,
            since: now,
        }
    }

    pub(crate) fn tick(&mut self, config: &Config, signals: Signals, now: Instant) -> Option<Change> {
        self.average(config, signals, now);
        let reached = config.steps().into_iter().rev().find(|(_, step)| self.reaches(step.enter, 1.0));
        let wanted = reached.map_or(Level::Normal, |(level, _)| level);
        if wanted > self.automatic {
            (self.automatic, self.since) = (wanted, now);
        } else if self.automatic > Level::Normal && now - self.since >= config.stay.0 {
            let stays = |(level, step): (Level, &Step)| {
                level == self.automatic && self.reaches(step.enter, config.leave.fraction())
            };
            if !config.steps().into_iter().any(stays) {
                (self.automatic, self.since) = (self.automatic.below(), now);
            }
        }
        let expired = self.forced.take_if(|(_, until)| now >= *until).is_some();
        self.tell(expired)
    }

    pub(crate) fn force(&mut self, level: Level, time: Duration, now: Instant) -> Option<Change> {
        // So long that nobody sees the end, where an instant can't be told any more.
        let until = now.checked_add(time).unwrap_or_else(|| now + Duration::from_secs(86_400 * 365));
        self.forced = Some((level, until));
        self.tell(true)
    }

    pub(crate) fn release(&mut self) -> Option<Change> {
        self.forced = None;
        self.tell(true)
    }

    pub(crate) fn snapshot(&self, effects: Effects, now: Instant) -> Snapshot {
        Snapshot {
            level: self.told,
            automatic: self.automatic,
            forced_for: self.forced.map(|(_, until)| until.saturating_duration_since(now).as_secs()),
            effects,
            signals: self.averages,
        }
    }

    /// The change, if the level that holds is another than before.
    fn tell(&mut self, by_operator: bool) -> Option<Change> {
        let from = std::mem::replace(&mut self.told, self.forced.map_or(self.automatic, |(level, _)| level));
        (from != self.told).then_some(Change { from, to: self.told, by_operator })
    }

    fn average(&mut self, config: &Config, signals: Signals, now: Instant) {
        let elapsed = (now - self.last).as_secs_f64();
        self.last = now;
        // An exponential average that does not depend on how regular the ticks are.
        let kept = (-elapsed / config.smooth.0.as_secs_f64()).exp();
        let fade = |average: &mut f64, value: f64| *average = *average * kept + value * (1.0 - kept);
        fade(&mut self.averages.delay_ms, signals.delay.as_secs_f64() * 1000.0);
        fade(&mut self.averages.breakers, signals.breakers);
        fade(&mut self.averages.memory, signals.memory);
        self.calls = self.calls * kept + signals.calls as f64;
        self.refused = self.refused * kept + signals.refused as f64;
        self.errors = self.errors * kept + signals.errors as f64;
        let share = |part: f64, whole: f64| if whole < ENOUGH { 0.0 } else { (part / whole).min(1.0) };
        self.averages.refused = share(self.refused, self.calls);
        self.averages.errors = share(self.errors, self.calls - self.refused);
    }

    /// Whether a signal is at this share of what a level is entered at.
    fn reaches(&self, enter: Enter, share: f64) -> bool {
        let Averages { delay_ms, refused, errors, breakers, memory } = self.averages;
        let delay = enter.delay.map(|delay| delay.0.as_secs_f64() * 1000.0);
        let [refusals, failures, open, full] =
            [enter.refused, enter.errors, enter.breakers, enter.memory].map(|percent| percent.map(|p| p.fraction()));
        [
            (delay_ms, delay, share),
            (refused, refusals, share),
            (errors, failures, share),
            (breakers, open, share),
            (memory, full, share.max(MEMORY)),
        ]
        .into_iter()
        .any(|(signal, enter, share)| enter.is_some_and(|enter| signal >= enter * share))
    }
}
