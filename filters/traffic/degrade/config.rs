//! Settings of degradation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::controller::Level;
use super::effects::{Effect, compile};
use crate::traffic::Mode;
use crate::traffic::units::{Percent, Span};

/// Degradation, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether levels have effects.
    pub mode: Mode,
    /// The time constant of the averages.
    pub smooth: Span,
    /// The shortest time at a level before it goes down by one.
    pub stay: Span,
    /// Below this share of what a level is entered at, in all signals, it is left; for memory the share is 95 % at least,
    /// because a full cache alone takes much.
    pub leave: Percent,
    /// The first level.
    pub reduced: Step,
    /// The second.
    pub minimal: Step,
    /// The last.
    pub emergency: Step,
}

/// One level, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// From where it is entered; one signal is enough.
    pub enter: Enter,
    /// What it does. Nothing is taken over from the level below.
    pub effects: Vec<Effect>,
}

/// From where a level is entered. A signal that is left out does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Enter {
    /// How long requests wait for a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<Span>,
    /// The share of requests of class normal and above that got no place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Percent>,
    /// The share of requests of class normal and above that got a place and failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Percent>,
    /// The share of upstreams whose breaker is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breakers: Option<Percent>,
    /// The share of its limit of memory that the process uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Percent>,
}

impl Default for Config {
    fn default() -> Self {
        let enter = |delay, refused, errors, breakers, memory| Enter {
            delay: Some(Span::millis(delay)),
            refused: Some(Percent::of(refused)),
            errors: Some(Percent::of(errors)),
            breakers: Some(Percent::of(breakers)),
            memory: Some(Percent::of(memory)),
        };
        let full = Enter { memory: Some(Percent::of(95)), ..Enter::default() };
        Self {
            mode: Mode::Enforce,
            smooth: Span::secs(5),
            stay: Span::secs(10),
            leave: Percent::of(70),
            reduced: Step { enter: enter(50, 10, 10, 1, 80), effects: vec![Effect::Stale(4)] },
            minimal: Step {
                enter: enter(250, 30, 30, 80, 90),
                effects: vec![Effect::Stale(12), Effect::NoBatch, Effect::NoAnalysis, Effect::NoFuzzy],
            },
            emergency: Step { enter: full, effects: vec![Effect::Stale(100), Effect::CacheOnly, Effect::ShrinkCache] },
        }
    }
}

impl Config {
    pub(crate) fn steps(&self) -> [(Level, &Step); 3] {
        [(Level::Reduced, &self.reduced), (Level::Minimal, &self.minimal), (Level::Emergency, &self.emergency)]
    }

    /// Whether levels can be found by it; the error is a sentence.
    pub fn check(&self) -> Result<(), String> {
        if self.smooth.0.is_zero() {
            return Err("`smooth` must be more than zero".to_owned());
        }
        if self.leave >= Percent::of(100) {
            return Err("`leave` must be below 100%, else a level would be entered and left in turn".to_owned());
        }
        for (level, Step { enter, effects }) in self.steps() {
            let zero = [enter.refused, enter.errors, enter.breakers, enter.memory].contains(&Some(Percent::default()));
            if zero || enter.delay.is_some_and(|delay| delay.0.is_zero()) {
                return Err(format!("`{}` would be entered at zero, which is always", level.as_str()));
            }
            compile(effects).map_err(|e| format!("`{}`: {e}", level.as_str()))?;
        }
        let below = |low: Enter, high: Enter| {
            low.delay.zip(high.delay).is_none_or(|(low, high)| low <= high)
                && [
                    (low.refused, high.refused),
                    (low.errors, high.errors),
                    (low.breakers, high.breakers),
                    (low.memory, high.memory),
                ]
                .into_iter()
                .all(|(low, high)| low.zip(high).is_none_or(|(low, high)| low <= high))
        };
        if !below(self.reduced.enter, self.minimal.enter) || !below(self.minimal.enter, self.emergency.enter) {
            return Err("a higher level must not be entered at a lower value".to_owned());
        }
        Ok(())
    }
}
