//! Places, and who waits for one. Knows no lock.

use std::time::Duration;

use tokio::time::Instant;

use super::config::Config;
use super::limit::Limit;
use super::line::{Full, Line, Owner, WEIGHTS, Waiter};
use super::pace::Pace;
use crate::traffic::Class;

/// Weight of one call in the average time that a place is held; a few hundred calls make it new.
const NEWEST: f64 = 1.0 / 32.0;

/// The same while a burst comes in: an upstream that was slow a moment ago must not be taken for one that is.
const BURST: f64 = 1.0 / 8.0;

/// The part of the longest wait that may be waited once a queue stands.
const STANDING: f64 = 0.1;

/// What the estimate of a wait is divided by while a burst comes in.
const KINDER: u32 = 4;

/// The part of the longest wait for which no permit came or went, after which the upstream counts as stuck.
const STUCK: u32 = 4;

/// Why a request can't wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum No {
    /// No room.
    Full(Full),
    /// It would wait too long, by so much.
    Wait(Duration),
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) class: Class,
    pub(crate) owner: Owner,
    /// When it asks, and how long it can wait then by its own deadline.
    pub(crate) now: Instant,
    pub(crate) left: Duration,
}

/// Who gets a place.
#[derive(Debug)]
pub(super) enum Next<T> {
    /// None is free, or nobody waits.
    Nobody,
    /// One is free, but not given out before.
    NotBefore(Instant),
    /// This one.
    Start(Class, Waiter<T>),
}

#[derive(Debug)]
pub(super) struct State<T> {
    pub(super) config: Config,
    pub(super) limit: Limit,
    pub(super) line: Line<T>,
    /// Places held, by class.
    running: [usize; 5],
    /// How long a place is held, in seconds, and of how many calls that is the average.
    held: f64,
    calls: u64,
    /// The same of the last few.
    held_lately: f64,
    /// How long the last one was held.
    last: Duration,
    /// When a place was taken or given back last.
    moved: Instant,
    pace: Pace,
    /// How long those waited who began lately, in seconds.
    waited: f64,
}

impl<T> State<T> {
    pub(super) fn new(config: Config) -> Self {
        let limit = Limit::new(config.floor, config.ceiling);
        Self {
            config,
            limit,
            line: Line::new(),
            running: [0; 5],
            held: 0.0,
            calls: 0,
            held_lately: 0.0,
            last: Duration::ZERO,
            moved: Instant::now(),
            pace: Pace::new(),
            waited: 0.0,
        }
    }

    pub(super) fn configure(&mut self, config: Config) {
        self.config = config;
        self.limit.configure(config.floor, config.ceiling);
    }

    pub(super) fn running(&self) -> usize {
        self.running.iter().sum()
    }

    /// Takes a place, where there is one that nobody waits for.
    pub(super) fn take(&mut self, class: Class, now: Instant) -> bool {
        let free = self.running() < self.limit.now() && self.line.len() == 0;
        if free {
            self.begin(class, Duration::ZERO, now);
        }
        free
    }

    /// A place has been taken, be there one or not.
    pub(super) fn begin(&mut self, class: Class, waited: Duration, now: Instant) {
        self.running[class as usize] += 1;
        self.moved = now;
        self.waited += (waited.as_secs_f64() - self.waited) * NEWEST;
    }

    /// Gives a place back that was taken at `began`.
    pub(super) fn end(&mut self, class: Class, began: Instant) {
        self.running[class as usize] -= 1;
        self.moved = Instant::now();
        self.calls += 1;
        self.last = self.moved.saturating_duration_since(began);
        let (held, calls) = (self.last.as_secs_f64(), self.calls as f64);
        self.held += (held - self.held) * NEWEST.max(1.0 / calls);
        self.held_lately += (held - self.held_lately) * BURST.max(1.0 / calls);
    }

    /// Who gets the next place, if there is one.
    pub(super) fn next(&mut self) -> Next<T> {
        if self.running() >= self.limit.now() || self.line.len() == 0 {
            return Next::Nobody;
        }
        // The last one may be the first quick one after a slow time.
        if let Err(at) = self.pace.start(self.held().min(self.last), self.limit.now()) {
            return Next::NotBefore(at);
        }
        match self.line.pop() {
            Some((class, waiter)) => {
                let now = Instant::now();
                self.begin(class, now.saturating_duration_since(waiter.since), now);
                Next::Start(class, waiter)
            }
            None => Next::Nobody,
        }
    }

    /// Whether the request may wait, and until when at most.
    pub(super) fn may_wait(&self, ask: &Ask) -> Result<Instant, No> {
        self.line.room(ask.class, &ask.owner, self.config.size).map_err(No::Full)?;
        let longest = self.config.patience(ask.left);
        if longest.is_zero() {
            return Err(No::Wait(Duration::ZERO));
        }
        let burst = self.config.deadline.map_or(longest, |deadline| deadline.0);
        let stands = self.line.stands(ask.class, burst);
        let bearable = if stands { longest.min(burst.mul_f64(STANDING)) } else { longest };
        let still = self.moved.elapsed();
        let wait = if stands || self.config.deadline.is_some() {
            // A permit that has not come free for longer than usual will not do so at the usual rate.
            self.wait(ask, self.held.max(still.as_secs_f64()))
        } else {
            // A thousand requests that come at once slow the calls by coming, and the first calls, of two rounds, are made on
            // new connections: what follows is quicker, nobody knows by how much. Where no deadline is promised, they are
            // let in by a kinder estimate, until the queue stands or the upstream is stuck.
            let known = self.calls >= 2 * self.config.ceiling as u64;
            let held = if known { self.held.min(self.held_lately) } else { 0.0 };
            let stuck = if still >= longest / STUCK { still.as_secs_f64() } else { 0.0 };
            self.wait(ask, held.max(stuck)) / KINDER
        };
        match wait.checked_sub(bearable) {
            Some(excess) if !excess.is_zero() => Err(No::Wait(excess)),
            _ => Ok(ask.now + longest),
        }
    }

    /// How long the request would wait where a permit is held for `held` seconds.
    fn wait(&self, ask: &Ask, held: f64) -> Duration {
        let weight = |class: Class| WEIGHTS[class as usize] as f64;
        let own = (self.line.ahead(ask.class, &ask.owner) + 1) as f64;
        let others = Class::ALL.into_iter().filter(|class| *class != ask.class);
        // Those of other classes that wait now and will be served before, in turn by weight,
        let before = |class: Class| (self.line.of_class(class) as f64).min(own * weight(class) / weight(ask.class));
        let all = own + others.clone().map(before).sum::<f64>();
        let limit = self.limit.now() as f64;
        // or its own class alone, with the places that higher classes leave it: those keep on coming.
        let higher: usize =
            others.clone().filter(|class| *class > ask.class).map(|class| self.running[class as usize]).sum();
        let active = others.filter(|class| self.running[*class as usize] + self.line.of_class(*class) > 0);
        let share = weight(ask.class) / (weight(ask.class) + active.map(weight).sum::<f64>());
        let places = (limit - higher as f64).max(limit * share);
        Duration::try_from_secs_f64(held * (all / limit).max(own / places)).unwrap_or(Duration::MAX)
    }

    /// How long requests wait now.
    pub(super) fn delay(&self) -> Duration {
        let lately = Duration::from_secs_f64(self.waited);
        match self.line.oldest() {
            Some(since) => lately.max(since.elapsed()),
            None if self.running() < self.limit.now() => Duration::ZERO,
            None => lately,
        }
    }

    /// How long a place is held on average.
    pub(super) fn held(&self) -> Duration {
        Duration::from_secs_f64(self.held)
    }
}
