//! Stops calls of a dependency that fails, and finds out by itself when it is back. One per dependency: each upstream,
//! Redis, a database pool.
//!
//! ```yaml
//! breaker:                   # of every upstream; an upstream's own `breaker` stands in for it
//!   mode: enforce            # or observe: only count and log what would be refused
//!   window: 100              # the last calls that are looked at
//!   minimum: 50              # with fewer calls nothing is judged
//!   failure_rate: 50%        # opens from here
//!   slow: 1s                 # what counts as slow; left out: 80 % of the route's timeout
//!   slow_rate: 80%           # opens from here
//!   open: 2s                 # the first time; doubled each time it opens again, up to
//!   open_max: 10s
//!   probes: 3                # calls that are let through half open, exactly
//!   half_open: 10s           # probes that have not ended by then count as failed
//!   probe_every: 1s          # our own probe while it is not closed, so that it closes without traffic too
//!   probe_time: 1s           # how long that may take
//! ```
//!
//! A failure is what says that the dependency is in trouble: no connection, a timeout, a 5xx. A 4xx is not, nor a client
//! that left, nor a refusal of our own; the caller decides and reports ([`Permit`]). A window that is full of good calls
//! needs half of them to fail before it opens, so a `minimum` of as many costs nothing.
//!
//! What is known to go wrong with breakers, and what is done about it:
//!
//! - Half open for ever: a permit that is dropped gives its place back, probes have a bounded time, and where a cache in
//!   front leaves no traffic, [`Breaker::watch`] probes by itself. A health check that is answered while calls fail is not
//!   believed again before calls have done well, else it would hold the open time at nothing.
//! - Calls begun before it opened end later: each result carries the generation in which its call was let through, and an
//!   older one is not counted.
//! - All instances come back in step: each open time is shortened by up to a fifth, at random.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::traffic::Mode;

mod config;
mod machine;
mod permit;
mod watch;
mod window;

pub use config::Config;
pub use machine::{Change, Force, State, Why};
pub use permit::Permit;

use self::machine::Machine;

/// Why a call was not let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` fails too often and is not asked now (its breaker is {state:?})")]
pub struct Refused {
    /// The breaker.
    pub name: Arc<str>,
    /// Its state: not closed.
    pub state: State,
    /// When to come back.
    pub retry_after: Duration,
}

/// How a breaker stands, for status and metrics.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// The dependency.
    pub name: String,
    /// The state.
    pub state: State,
    /// Calls that are looked at: the window's, or half open the probes'.
    pub calls: usize,
    /// Failed ones of these, 0 to 1.
    pub failure_rate: f64,
    /// Slow ones of these, 0 to 1.
    pub slow_rate: f64,
    /// How long it stays open, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reopens_in_ms: Option<u64>,
    /// How often it has opened.
    pub opened: u64,
    /// Calls that were refused.
    pub refused: u64,
}

/// The breaker of one dependency. Its states live behind a lock that is taken for results and while it is not closed; to
/// be let through while it is closed costs one atomic read.
#[derive(Debug)]
pub struct Breaker {
    name: Arc<str>,
    /// Generation and state of the machine.
    gate: Gate,
    machine: Mutex<Machine>,
    changes: broadcast::Sender<Change>,
    refused: AtomicU64,
}

/// What is read without the lock: the generation, and the state in the lowest three bits.
#[derive(Debug)]
struct Gate(AtomicU64);

impl Gate {
    const STATES: [State; 5] = [State::Closed, State::Open, State::HalfOpen, State::ForcedOpen, State::ForcedClosed];

    fn pack(machine: &Machine) -> u64 {
        machine.generation << 3 | machine.state() as u64
    }

    fn set(&self, machine: &Machine) {
        self.0.store(Self::pack(machine), Ordering::Release);
    }

    fn read(&self) -> (State, u64) {
        let packed = self.0.load(Ordering::Acquire);
        (Self::STATES[usize::try_from(packed & 7).unwrap_or(0).min(4)], packed >> 3)
    }
}

impl Breaker {
    /// Closed. `config` must have passed [`Config::check`].
    #[must_use]
    pub fn new(name: &str, config: &Config) -> Arc<Self> {
        let machine = Machine::new(*config);
        Arc::new(Self {
            name: name.into(),
            gate: Gate(AtomicU64::new(Gate::pack(&machine))),
            machine: Mutex::new(machine),
            changes: broadcast::Sender::new(32),
            refused: AtomicU64::new(0),
        })
    }

    /// The dependency.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Other settings, from now on; state and counts stay.
    pub fn configure(&self, config: &Config) {
        self.with(|machine| machine.configure(*config));
    }

    /// Lets a call through. What comes of it must be told to the permit.
    ///
    /// # Errors
    /// While the breaker is open, and half open once the probes are out.
    pub fn admit(self: &Arc<Self>) -> Result<Permit, Refused> {
        let (state, generation) = self.gate.read();
        if state.passes() {
            return Ok(self.permit(generation, false));
        }
        let (admitted, generation, state) = self.with(|machine| {
            let admitted = machine.admit(Instant::now());
            (admitted, machine.generation, machine.state())
        });
        admitted.map(|()| self.permit(generation, false)).map_err(|retry_after| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Refused { name: Arc::clone(&self.name), state, retry_after }
        })
    }

    /// Opens or closes it by hand, or goes back to judging by the calls.
    pub fn force(&self, force: Force) {
        self.with(|machine| machine.force(force, Instant::now()));
    }

    /// The state now.
    #[must_use]
    pub fn state(&self) -> State {
        self.gate.read().0
    }

    /// Whether a call that it does not let through is refused; with `mode: observe` it is only counted.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.lock().config.mode == Mode::Enforce
    }

    /// Whether a call would be refused now.
    #[must_use]
    pub fn refuses(&self) -> bool {
        self.enforces() && self.lock().refuses(Instant::now())
    }

    /// Every change from now on, for events. A receiver that falls behind by 32 changes misses some.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// How it stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let machine = self.lock();
        let (calls, failed, slow) = machine.counts();
        let rate = |part: usize| if calls == 0 { 0.0 } else { part as f64 / calls as f64 };
        let in_ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Snapshot {
            name: self.name.to_string(),
            state: machine.state(),
            calls,
            failure_rate: rate(failed),
            slow_rate: rate(slow),
            reopens_in_ms: machine.reopens_in(Instant::now()).map(in_ms),
            opened: machine.opened,
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn permit(self: &Arc<Self>, generation: u64, own: bool) -> Permit {
        Permit::new(Arc::clone(self), generation, own)
    }

    /// Runs one step of the machine, then opens or shuts the gate and tells of the change.
    fn with<R>(&self, step: impl FnOnce(&mut Machine) -> R) -> R {
        let mut machine = self.lock();
        let result = step(&mut machine);
        self.gate.set(&machine);
        if let Some(change) = machine.take_change() {
            // An error says that nobody listens.
            let _unheard = self.changes.send(change);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
