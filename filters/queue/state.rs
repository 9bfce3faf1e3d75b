//! Places, and who waits for one. Knows no lock.

use std::time::Duration;

use tokio::time::Instant;

use super::Config;
use super::limit::Limit;
use super::line::{Full, Line, Owner, WEIGHTS, Waiter};
use super::pace::Pace;
use crate::priority::Class;

/// Weight of one call in the average time that a place is held; a few hundred calls make it new.
const NEWEST: f64 = 1.0 / 32.0;

/// The part of the deadline that may be waited once a queue stands.
const STANDING: f64 = 0.1;

/// Why a request can't wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum No {
    /// No room.
    Full(Full),
    /// It would wait too long, by so much.
    Wait(Duration),
}

/// Who asks.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) class: Class,
    pub(super) owner: Owner,
    /// When it asks, and how long it can wait then by its own deadline.
    pub(super) now: Instant,
    pub(super) left: Duration,
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
            line: Line::new(config.deadline.0),
            running: [0; 5],
            held: 0.0,
            calls: 0,
            last: Duration::ZERO,
            moved: Instant::now(),
            pace: Pace::new(),
            waited: 0.0,
        }
    }

    pub(super) fn configure(&mut self, config: Config) {
        self.config = config;
        self.line.deadline = config.deadline.0;
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
        let weight = NEWEST.max(1.0 / self.calls as f64);
        self.last = self.moved.saturating_duration_since(began);
        self.held += (self.last.as_secs_f64() - self.held) * weight;
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
        let deadline = self.config.deadline.0;
        let longest = deadline.min(ask.left);
        let bearable = if self.line.stands(ask.class) { longest.min(deadline.mul_f64(STANDING)) } else { longest };
        let wait = self.wait(ask);
        match wait.checked_sub(bearable) {
            Some(excess) if !excess.is_zero() => Err(No::Wait(excess)),
            _ => Ok(ask.now + longest),
        }
    }

    /// How long the request would wait, by the rate at which places have come free.
    fn wait(&self, ask: &Ask) -> Duration {
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
        // A place that has not come free for longer than usual will not do so at the usual rate.
        let held = self.held.max(self.moved.elapsed().as_secs_f64());
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
