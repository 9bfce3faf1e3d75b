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
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::cause::{Cause, Code};
use crate::route::Sheds;
use crate::traffic::degrade::{Change, Config, Controller, Effects, Level, MEMORY, Signals, Snapshot, compile};
use crate::verdict::Verdict;
use crate::{Filter, Flow, Mode};

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
            effects[level as usize] = compile(&step.effects)?;
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
        self.effects().shrink_cache && enter.is_some_and(|enter| used >= enter.fraction() * MEMORY)
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
                "The service is short of capacity: only cached responses are served for now. Try again later.",
            ),
            Some(Sheds::Batch) if effects.no_batch => (
                "degraded_batch",
                "The service is short of capacity: batches are refused for now. Try again later, or send single requests.",
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
