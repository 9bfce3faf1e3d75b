//! The states of a breaker and every way from one to another. Knows no lock and no clock: each call brings the time.
//!
//! ```text
//!            rates over the window            open time over, or our own probe is answered
//!   closed ------------------------> open ------------------------------------------------> half open
//!      ^                              ^  (longer each time)                                   |    |
//!      |                              +--- probes failed, or did not answer in time ----------+    |
//!      +---------------------------------- all probes answered well -------------------------------+
//! ```

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::config::Config;
use super::window::{Call, Window};

/// In which state a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Calls pass and are judged.
    Closed,
    /// Calls are refused.
    Open,
    /// A fixed number of calls passes, to find out whether the dependency is back.
    HalfOpen,
    /// Calls are refused until the operator says otherwise.
    ForcedOpen,
    /// Calls pass, whatever comes of them, until the operator says otherwise.
    ForcedClosed,
}

impl State {
    /// The word in logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half_open",
            State::ForcedOpen => "forced_open",
            State::ForcedClosed => "forced_closed",
        }
    }

    /// Whether calls pass without being counted out.
    pub(super) fn passes(self) -> bool {
        matches!(self, State::Closed | State::ForcedClosed)
    }

    /// Whether no call passes.
    #[must_use]
    pub fn refuses(self) -> bool {
        matches!(self, State::Open | State::ForcedOpen)
    }
}

/// What an operator can ask of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Force {
    /// Refuse every call.
    Open,
    /// Let every call pass.
    Closed,
    /// Judge by the calls again.
    Automatic,
}

/// Why a breaker changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Too many of the last calls failed.
    FailureRate,
    /// Too many of the last calls were slow.
    SlowRate,
    /// It was open for its time, and a call came.
    OpenTimeOver,
    /// Our own probe was answered.
    ProbeAnswered,
    /// The calls that were let through did well.
    ProbesSucceeded,
    /// They failed or were slow.
    ProbesFailed,
    /// They did not end in time.
    ProbesTimedOut,
    /// An operator asked for it.
    Operator,
}

impl Why {
    /// In words, for a log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FailureRate => "too many calls failed",
            Self::SlowRate => "too many calls were slow",
            Self::OpenTimeOver => "its time open is over",
            Self::ProbeAnswered => "a trial request succeeded",
            Self::ProbesSucceeded => "trial calls did well",
            Self::ProbesFailed => "trial calls failed",
            Self::ProbesTimedOut => "trial calls did not end in time",
            Self::Operator => "requested by an operator",
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Before.
    pub from: State,
    /// After.
    pub to: State,
    /// The cause.
    pub why: Why,
}

#[derive(Debug)]
enum Phase {
    Closed {
        window: Window,
        /// Enough calls came since it closed, and they did well.
        proven: bool,
    },
    Open {
        until: Instant,
    },
    HalfOpen {
        results: Window,
        /// Let through and not cancelled; never more than `probes`.
        admitted: usize,
        /// By then those that are out must have ended, if nobody else can be let through.
        until: Instant,
    },
    ForcedOpen,
    ForcedClosed {
        window: Window,
    },
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) config: Config,
    phase: Phase,
    /// Grows with every change of state. A result counts only in the generation in which its call began.
    pub(super) generation: u64,
    /// How often it opened since calls last did well.
    strikes: u32,
    /// It was our own probe that ended the last open time.
    led: bool,
    /// It did, but calls failed then: it is not believed before calls have done well.
    misled: bool,
    pub(super) opened: u64,
    change: Option<Change>,
}

impl Machine {
    pub(super) fn new(config: Config) -> Self {
        let phase = Phase::Closed { window: Window::new(config.window), proven: false };
        Self { config, phase, generation: 0, strikes: 0, led: false, misled: false, opened: 0, change: None }
    }

    pub(super) fn state(&self) -> State {
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen { .. } => State::HalfOpen,
            Phase::ForcedOpen => State::ForcedOpen,
            Phase::ForcedClosed { .. } => State::ForcedClosed,
        }
    }

    /// The change of the last call, if it made one.
    pub(super) fn take_change(&mut self) -> Option<Change> {
        self.change.take()
    }

    /// Other settings; what was counted stays.
    pub(super) fn configure(&mut self, config: Config) {
        match &mut self.phase {
            Phase::Closed { window, .. } | Phase::ForcedClosed { window } => window.resize(config.window),
            Phase::HalfOpen { results, .. } => results.resize(config.probes),
            Phase::Open { .. } | Phase::ForcedOpen => {}
        }
        self.config = config;
    }

    /// Lets a call through, or says when to come back.
    pub(super) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        if let Phase::Open { until } = self.phase {
            if now < until {
                return Err(until - now);
            }
            self.half_open(now, false);
        }
        match &mut self.phase {
            Phase::HalfOpen { admitted, until, .. } if *admitted < self.config.probes => {
                *admitted += 1;
                *until = now + self.config.half_open.0;
                Ok(())
            }
            Phase::HalfOpen { until, .. } if now >= *until => {
                self.misled |= self.led;
                Err(self.open(Why::ProbesTimedOut, now))
            }
            Phase::HalfOpen { until, .. } => Err((*until - now).min(self.config.open.0)),
            Phase::ForcedOpen => Err(self.config.open_max.0),
            Phase::Closed { .. } | Phase::ForcedClosed { .. } | Phase::Open { .. } => Ok(()),
        }
    }

    /// Whether [`Machine::admit`] would let no call through.
    pub(super) fn refuses(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Closed { .. } | Phase::ForcedClosed { .. } => false,
            Phase::Open { until } => now < until,
            Phase::HalfOpen { admitted, .. } => admitted >= self.config.probes,
            Phase::ForcedOpen => true,
        }
    }

    /// Our own probe, begun in `generation`, was answered while the breaker was open: whether it may go on as a call.
    pub(super) fn answered(&mut self, generation: u64, now: Instant) -> bool {
        let Phase::Open { until } = self.phase else { return false };
        if generation != self.generation || (self.misled && now < until) {
            return false;
        }
        self.half_open(now, true);
        self.admit(now).is_ok()
    }

    /// The result of a call that was admitted in `generation`.
    pub(super) fn report(&mut self, generation: u64, call: Call, own: bool, now: Instant) {
        if generation != self.generation {
            return;
        }
        let Config { minimum, probes, failure_rate, slow_rate, .. } = self.config;
        match &mut self.phase {
            Phase::Closed { window, proven } => {
                window.push(call);
                let calls = window.len();
                if calls < minimum {
                    return;
                }
                let failing = failure_rate.is_reached(window.failed(), calls);
                if failing || slow_rate.is_reached(window.slow(), calls) {
                    self.misled |= self.led && !*proven;
                    self.open(if failing { Why::FailureRate } else { Why::SlowRate }, now);
                } else if !*proven {
                    *proven = true;
                    (self.strikes, self.misled) = (0, false);
                }
            }
            Phase::HalfOpen { results, .. } => {
                results.push(call);
                // As soon as no further result can change it.
                if failure_rate.is_reached(results.failed(), probes) || slow_rate.is_reached(results.slow(), probes) {
                    self.misled |= self.led && !own;
                    self.open(Why::ProbesFailed, now);
                } else if results.len() >= probes {
                    let phase = Phase::Closed { window: Window::new(self.config.window), proven: false };
                    self.go(phase, Why::ProbesSucceeded);
                }
            }
            Phase::ForcedClosed { window } => window.push(call),
            Phase::Open { .. } | Phase::ForcedOpen => {}
        }
    }

    /// A call that was admitted in `generation` ended without a result.
    pub(super) fn cancelled(&mut self, generation: u64) {
        if generation == self.generation
            && let Phase::HalfOpen { admitted, .. } = &mut self.phase
        {
            *admitted = admitted.saturating_sub(1);
        }
    }

    pub(super) fn force(&mut self, force: Force, now: Instant) {
        let window = || Window::new(self.config.window);
        let phase = match (force, self.state()) {
            (Force::Open, State::ForcedOpen) | (Force::Closed, State::ForcedClosed) => return,
            (Force::Open, _) => Phase::ForcedOpen,
            (Force::Closed, _) => Phase::ForcedClosed { window: window() },
            (Force::Automatic, State::ForcedClosed) => Phase::Closed { window: window(), proven: false },
            // Nobody knows how it is by now, so probes go first.
            (Force::Automatic, State::ForcedOpen) => {
                self.led = false;
                self.probing(now)
            }
            (Force::Automatic, _) => return,
        };
        self.go(phase, Why::Operator);
    }

    /// What is counted now: calls, failed, slow.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        match &self.phase {
            Phase::Closed { window, .. } | Phase::ForcedClosed { window } | Phase::HalfOpen { results: window, .. } => {
                (window.len(), window.failed(), window.slow())
            }
            Phase::Open { .. } | Phase::ForcedOpen => (0, 0, 0),
        }
    }

    /// How long it stays open.
    pub(super) fn reopens_in(&self, now: Instant) -> Option<Duration> {
        match self.phase {
            Phase::Open { until } => Some(until.saturating_duration_since(now)),
            _ => None,
        }
    }

    /// Opens, for twice as long as last time. Says for how long.
    fn open(&mut self, why: Why, now: Instant) -> Duration {
        let doubled = 2u32.saturating_pow(self.strikes);
        self.strikes = self.strikes.saturating_add(1);
        self.opened += 1;
        let longest = self.config.open.0.saturating_mul(doubled).min(self.config.open_max.0);
        // Up to a fifth less, so that the instances of a gateway don't come back in step.
        let time = longest.mul_f64(1.0 - 0.2 * rand::random::<f64>());
        self.go(Phase::Open { until: now + time }, why);
        time
    }

    fn half_open(&mut self, now: Instant, led: bool) {
        self.led = led;
        self.go(self.probing(now), if led { Why::ProbeAnswered } else { Why::OpenTimeOver });
    }

    fn probing(&self, now: Instant) -> Phase {
        Phase::HalfOpen { results: Window::new(self.config.probes), admitted: 0, until: now }
    }

    fn go(&mut self, phase: Phase, why: Why) {
        let from = self.state();
        self.phase = phase;
        self.generation += 1;
        self.change = Some(Change { from, to: self.state(), why });
    }
}
