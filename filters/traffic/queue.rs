//! Gives the places at an upstream to those who matter most, and tells the others at once when to come back. Only misses
//! come here.
//!
//! ```yaml
//! queue:               # in front of every upstream; an upstream's own `queue` stands in for it
//!   mode: enforce      # or observe: nobody waits, and what would be refused is only counted and logged
//!   ceiling: 32        # most requests at the upstream, whatever it seems to bear; about twice its database connections
//!   floor: 4           # it always gets so many
//!   deadline: 1s       # the longest wait for a permit; left out: four fifths of what the request's route has left of its time
//!   size: 2048         # most that wait, per class
//! ```
//!
//! **How many are let through.** Between `floor` and `ceiling` the limit grows by one per round of good responses, doubles
//! below the last good one, and shrinks by a tenth on a timeout, on an overload response (429, 503), and on a response that
//! took 80 % of the route's timeout (AIMD with slow start). While it is in use, trials at half of it tell whether the upper
//! half does any work; it goes no higher than it does (docs/decisions/0017).
//!
//! **Who is next.** Classes that wait at the same time are served 128 (critical) : 16 (high) : 8 (normal) : 2 (low) : 1
//! (background), so that a critical request practically never waits behind others and no class is starved. Inside a class
//! clients take turns. A class's queue is lent whole to whoever wants it; once it is full, whoever comes displaces the waiter
//! that would be served last, if its own turn comes sooner (buffer stealing, McKenney 1990): so a flood loses what it has
//! beyond its share, and only then.
//!
//! **Who is refused.** Whoever would wait longer than the `deadline`, or than the request has left, by the rate at which
//! permits come free: at once, with 503 and `Retry-After`. A burst passes whole: where no `deadline` is set, its
//! wait is estimated kindly. A queue that has stood for longer than a
//! deadline is no burst (CoDel, RFC 8289): then only a tenth of the deadline is let in, which keeps the upstream busy and
//! the wait short. CoDel drops at the head, after a wait; deciding at entry refuses at once. Adaptive LIFO would find
//! nothing to do: what is let in is served in time.
//!
//! A request that waits is woken by the one that ends. Its client leaving frees its place in the queue, the breaker opening
//! ends its wait, and whoever waits for its answer can lend it a higher class ([`Lend`]).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::traffic::Answered;
use crate::traffic::Class;
use crate::traffic::Mode;

mod config;
mod knee;
mod limit;
mod line;
mod pace;
mod slot;
mod state;

pub use config::Config;
pub use line::Owner;
pub use slot::{Lend, Slot};

pub(crate) use line::Full;
pub(crate) use slot::{Gone, Waiting};
pub(crate) use state::{Ask, No};

use self::limit::Call;
use self::line::Waiter;
use self::state::{Next, State};

/// How a queue stands, for status, metrics and signals.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Snapshot {
    /// The upstream.
    pub name: String,
    /// How many requests it gets at a time now.
    pub limit: usize,
    /// How many at most.
    pub ceiling: usize,
    /// How many it has.
    pub running: usize,
    /// How many wait, by class.
    pub waiting: BTreeMap<&'static str, usize>,
    /// How long requests wait now, in milliseconds.
    pub delay_ms: f64,
    /// How long a place is held on average, in milliseconds.
    pub held_ms: f64,
    /// Refused because their class was full.
    pub full: u64,
    /// Refused because their client had its share of a full queue: at once, or displaced by another client's.
    pub share: u64,
    /// Refused because they would have waited too long.
    pub wait: u64,
    /// Refused because they had waited too long.
    pub timeout: u64,
    /// Gone while they waited: the client left, or the breaker opened.
    pub left: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    full: u64,
    share: u64,
    wait: u64,
    timeout: u64,
    left: u64,
    /// Of class normal and above, since the last drain: how many asked for a place, how many got none, how many failed.
    asked: u64,
    lost: u64,
    failed: u64,
}

/// The queue in front of one upstream.
#[derive(Debug)]
pub struct Queue {
    name: String,
    state: Mutex<(State<oneshot::Sender<Slot>>, Counts)>,
}

/// What a request gets.
#[derive(Debug)]
pub(crate) enum Entered {
    Slot(Slot),
    Waiting(Waiting),
}

impl Queue {
    /// Empty, its limit at the ceiling. `config` must have passed [`Config::check`].
    #[must_use]
    pub fn new(name: &str, config: &Config) -> Arc<Self> {
        let state = Mutex::new((State::new(*config), Counts::default()));
        Arc::new(Self { name: name.to_owned(), state })
    }

    /// Other settings, from now on; who runs and who waits stays.
    pub fn configure(self: &Arc<Self>, config: &Config) {
        self.lock().0.configure(*config);
        self.hand_out();
    }

    /// A place if one is free and nobody waits for it: for a second try beside the first (hedging), which must not queue.
    #[must_use]
    pub fn spare(self: &Arc<Self>, class: Class) -> Option<Slot> {
        let now = Instant::now();
        self.lock().0.take(class, now).then(|| self.slot(class, Duration::ZERO, now))
    }

    /// How long requests wait now; the signal of overload.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.lock().0.delay()
    }

    /// Of class normal and above, since the last call: how many asked for a place, how many got none, how many got one and
    /// failed.
    pub(crate) fn drain(&self) -> (u64, u64, u64) {
        let (_, counts) = &mut *self.lock();
        let take = std::mem::take::<u64>;
        (take(&mut counts.asked), take(&mut counts.lost), take(&mut counts.failed))
    }

    /// How it stands.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (state, counts) = &*self.lock();
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        Snapshot {
            name: self.name.clone(),
            limit: state.limit.now(),
            ceiling: state.config.ceiling,
            running: state.running(),
            waiting: Class::ALL.iter().map(|class| (class.as_str(), state.line.of_class(*class))).collect(),
            delay_ms: ms(state.delay()),
            held_ms: ms(state.held()),
            full: counts.full,
            share: counts.share,
            wait: counts.wait,
            timeout: counts.timeout,
            left: counts.left,
        }
    }

    pub(crate) fn enter(self: &Arc<Self>, ask: &Ask) -> Result<Entered, No> {
        let (state, counts) = &mut *self.lock();
        let matters = u64::from(ask.class >= Class::Normal);
        counts.asked += matters;
        if state.take(ask.class, ask.now) {
            return Ok(Entered::Slot(self.slot(ask.class, Duration::ZERO, ask.now)));
        }
        let until = state.may_wait(ask).inspect_err(|no| {
            counts.lost += matters * u64::from(state.config.mode == Mode::Enforce);
            match no {
                No::Full(Full::Class) => counts.full += 1,
                No::Full(Full::Share) => counts.share += 1,
                No::Wait(_) => counts.wait += 1,
            }
        })?;
        let (wake, place) = oneshot::channel();
        let patience = state.config.deadline.map_or_else(|| state.config.patience(ask.left), |deadline| deadline.0);
        let waiter = Waiter { owner: ask.owner.clone(), since: ask.now, patience, wake };
        // Its end of the channel is dropped, by which it learns.
        if state.line.displace(ask.class, state.config.size).is_some() {
            counts.share += 1;
            counts.lost += matters * u64::from(state.config.mode == Mode::Enforce);
        }
        let number = state.line.push(ask.class, waiter);
        Ok(Entered::Waiting(Waiting { queue: Arc::clone(self), number, until, place }))
    }

    /// A place beyond the limit, for a request that only counts.
    pub(crate) fn beyond(self: &Arc<Self>, class: Class) -> Slot {
        let now = Instant::now();
        self.lock().0.begin(class, Duration::ZERO, now);
        self.slot(class, Duration::ZERO, now)
    }

    fn slot(self: &Arc<Self>, class: Class, waited: Duration, began: Instant) -> Slot {
        Slot::new(Arc::clone(self), class, waited, began)
    }

    fn learn(&self, class: Class, call: &Call) {
        let (state, counts) = &mut *self.lock();
        let good = matches!(call.answered, Answered::Ok | Answered::Throttled);
        counts.failed += u64::from(!good && class >= Class::Normal);
        let running = state.running();
        state.limit.learn(call, running);
    }

    fn give_back(self: &Arc<Self>, class: Class, began: Instant) {
        self.lock().0.end(class, began);
        self.hand_out();
    }

    /// Gives free places to those who are next.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let next = self.lock().0.next();
            match next {
                // A request that is gone gives the place back, which hands it on; so the lock must not be held here.
                Next::Start(class, waiter) => {
                    let now = Instant::now();
                    let slot = self.slot(class, now.saturating_duration_since(waiter.since), now);
                    drop(waiter.wake.send(slot));
                }
                Next::NotBefore(at) => return self.hand_out_at(at),
                Next::Nobody => return,
            }
        }
    }

    /// The same, later, unless a timer is set that comes no later.
    fn hand_out_at(self: &Arc<Self>, at: Instant) {
        // Places that are given back while the process ends, beyond the runtime, go to nobody.
        let Ok(runtime) = Handle::try_current() else { return };
        let timer = &mut self.lock().0.timer;
        if timer.is_none_or(|set| set > at) {
            *timer = Some(at);
            let queue = Arc::clone(self);
            runtime.spawn(async move {
                sleep_until(at).await;
                queue.lock().0.timer.take_if(|set| *set == at);
                queue.hand_out();
            });
        }
    }

    /// Takes a request out that no longer waits.
    fn leave(&self, number: u64) {
        let (state, counts) = &mut *self.lock();
        counts.left += u64::from(state.line.remove(number).is_some());
    }

    pub(crate) fn timed_out(&self, number: u64) {
        let (state, counts) = &mut *self.lock();
        if let Some((class, _)) = state.line.remove(number) {
            counts.timeout += 1;
            counts.lost += u64::from(class >= Class::Normal);
        }
    }

    fn raise(&self, number: u64, class: Class) {
        self.lock().0.line.raise(number, class);
    }

    fn lock(&self) -> MutexGuard<'_, (State<oneshot::Sender<Slot>>, Counts)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
