//! Does less, and says so, while the upstream or this process is in trouble: four levels, each a list of effects.
//!
//! ```yaml
//! degrade:
//!   mode: enforce        # or observe: levels change and are shown, but have no effect
//!   smooth: 5s           # signals are averaged over about so long
//!   stay: 10s            # the shortest time at a level before it goes down by one
//!   leave: 70%           # of what a level is entered at: below that, in all signals, it is left; of memory 95% at least
//!   reduced:             # one signal is enough to enter; what is left out does not count
//!     enter: { delay: 50ms, refused: 10%, errors: 10%, breakers: 1%, memory: 80% }
//!     effects: [stale_x4]
//!   minimal:
//!     enter: { delay: 250ms, refused: 30%, errors: 30%, breakers: 80%, memory: 90% }
//!     effects: [stale_x12, no_batch, no_analysis, no_fuzzy]
//!   emergency:
//!     enter: { memory: 95% }
//!     effects: [stale_x100, cache_only, shrink_cache]
//! ```
//!
//! Signals, of the upstreams that routes name, the worst counts: `delay`, how long requests wait for a place; `refused`, the
//! share of requests of class normal and above that got no place; `errors`, the share of those with a place that failed;
//! `breakers`, the share of upstreams whose breaker is open; `memory`, the share of its limit that the process uses. A queue
//! that stands under an endless overload is kept at a tenth of its deadline, so a delay of 50 ms is already much.
//!
//! Neither refusals nor errors lead to `cache_only`. Under five times what the upstream bears four of five are refused, and
//! an upstream that does all it can must not be left alone for that, least of all while an empty cache fills. One that fails
//! is left alone by its breaker, which turns to the fallback and finds out by itself when it is back.
//!
//! Effects: `stale_x4` makes stale windows four times as long (any number from 2 to 1000), `no_batch` and `no_analysis`
//! refuse routes that say `sheds: batch` or `sheds: analysis`, `no_fuzzy` asks the upstream by `X-Degrade: no-fuzzy` to skip
//! its costly searches, `fallback` sends requests of routes that have one to their fallback, `cache_only` asks no upstream
//! at all, `shrink_cache` halves the memory of the cache, and again every few seconds, while the process uses more memory than
//! the level is left at: a level that was entered for memory would otherwise never be left, because the cache stays full.
//!
//! A level is entered at once and left one step at a time. An operator can set a level for a time, whatever the signals
//! say.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::reply::{Cause, Code};
use crate::route::Sheds;
use crate::units::{Percent, Span};
use crate::verdict::Verdict;
use crate::{Filter, Flow, Mode};

mod controller;
mod effects;

pub use controller::{Change, Level, Signals, Snapshot};
pub use effects::{Effect, Effects};

use self::controller::Controller;

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
    fn steps(&self) -> [(Level, &Step); 3] {
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
            effects::compile(effects).map_err(|e| format!("`{}`: {e}", level.as_str()))?;
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

/// What outlives a configuration.
#[derive(Debug)]
struct Running {
    controller: Mutex<Controller>,
    /// The level of the controller, for those who only read it.
    level: AtomicU8,
    changes: broadcast::Sender<Change>,
}

/// The filter.
#[derive(Debug)]
pub struct Degrade {
    config: Config,
    effects: [Effects; 4],
    running: Arc<Running>,
}

impl Default for Degrade {
    fn default() -> Self {
        Self {
            config: Config::default(),
            effects: [Effects::default(); 4],
            running: Arc::new(Running {
                controller: Mutex::new(Controller::new(Instant::now())),
                level: AtomicU8::new(0),
                changes: broadcast::Sender::new(32),
            }),
        }
    }
}

impl Degrade {
    /// At the normal level; the error is a sentence.
    pub fn new(config: &Config) -> Result<Self, String> {
        config.check()?;
        let mut effects = [Effects::default(); 4];
        for (level, step) in config.steps() {
            effects[level as usize] = effects::compile(&step.effects)?;
        }
        Ok(Self { config: config.clone(), effects, ..Self::default() })
    }

    /// The level that holds now.
    #[must_use]
    pub fn level(&self) -> Level {
        Level::ALL[usize::from(self.running.level.load(Ordering::Acquire)).min(3)]
    }

    /// What holds now; nothing in `mode: observe`.
    #[must_use]
    pub fn effects(&self) -> Effects {
        match self.config.mode {
            Mode::Enforce => self.effects[self.level() as usize],
            Mode::Observe => Effects::default(),
        }
    }

    /// Whether the cache has to give memory back, with this share of its limit used by the process: the level says so, and
    /// that is more than the level is left at. Not where an operator set the level and memory is not short.
    #[must_use]
    pub fn wants_memory(&self, used: f64) -> bool {
        let step = self.config.steps().into_iter().find(|(level, _)| *level == self.level());
        let enter = step.and_then(|(_, step)| step.enter.memory);
        self.effects().shrink_cache && enter.is_some_and(|enter| used >= enter.fraction() * controller::MEMORY)
    }

    /// Feeds the signals; to be called about once a second.
    pub fn tick(&self, signals: Signals) {
        self.with(|controller| controller.tick(&self.config, signals, Instant::now()));
    }

    /// Sets the level for a time, whatever the signals say.
    pub fn force(&self, level: Level, time: Duration) {
        self.with(|controller| controller.force(level, time, Instant::now()));
    }

    /// Ends what [`Degrade::force`] began.
    pub fn release(&self) {
        self.with(|controller| controller.release());
    }

    /// Every change of level from now on, for events.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.running.changes.subscribe()
    }

    /// How it stands, for health and status.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.lock().snapshot(self.effects(), Instant::now())
    }

    pub(crate) fn adopt(&mut self, old: &Self) {
        self.running = Arc::clone(&old.running);
    }

    fn with(&self, step: impl FnOnce(&mut Controller) -> Option<Change>) {
        let mut controller = self.lock();
        if let Some(change) = step(&mut controller) {
            self.running.level.store(change.to as u8, Ordering::Release);
            // An error says that nobody listens.
            let _unheard = self.running.changes.send(change);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Controller> {
        self.running.controller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the level refuses a request, if it does.
    fn refusal(&self, sheds: Option<Sheds>) -> Option<Cause> {
        let effects = self.effects[self.level() as usize];
        let (reason, message) = match sheds {
            _ if effects.cache_only => (
                "degraded_cache_only",
                "The service is short of capacity: only answers that are kept already are given for now.",
            ),
            Some(Sheds::Batch) if effects.no_batch => (
                "degraded_batch",
                "The service is short of capacity: batches are refused for now. Come back later, or ask one by one.",
            ),
            Some(Sheds::Analysis) if effects.no_analysis => {
                ("degraded_analysis", "The service is short of capacity: spatial analysis is refused for now.")
            }
            _ => return None,
        };
        // At random up to twice the time at a level, so that the refused don't come back together.
        let wait = self.config.stay.0.mul_f64(1.0 + rand::random::<f64>());
        let cause = Cause::new(Code::ServiceUnavailable, reason, message).retry_after(wait);
        Some(cause.detail("level", self.level().as_str()))
    }
}

#[async_trait]
impl Filter for Degrade {
    fn name(&self) -> &'static str {
        "degrade"
    }

    async fn forward(&self, verdict: &mut Verdict) -> Flow {
        match self.refusal(verdict.route.as_ref().and_then(|route| route.config.sheds)) {
            Some(cause) => self.config.mode.refuse(self.name(), cause, verdict),
            None => Flow::Continue,
        }
    }
}

#[cfg(test)]
mod tests;
