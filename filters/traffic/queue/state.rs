//! Places, and who waits for one. Knows no lock.

use std::time::Duration;

use tokio::time::Instant;

use super::config::Config;
use super::limit::Limit;
use super::line::{Full, Line, Owner, WEIGHTS, Waiter};
use super::pace::Pace;
use crate::traffic::Class;

/// The part of the longest wait that may be waited once a queue stands; and the longest that a permit is taken to be held by
/// what came before the queue formed.
const STANDING: f64 = 0.1;

/// What the estimate of a wait is divided by while a burst comes in.
const KINDER: u32 = 4;

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
    /// Permits held, by class.
    running: [usize; 5],
    /// How long a permit is held, by class: a batch holds one a hundred times as long as a search.
    held: [Mean; 5],
    /// The same of all classes.
    held_by_all: Mean,
    /// The same of each class since the queue formed, how many calls of all came back since, and when it formed: a burst is judged by what the upstream does now, not
    /// by what it did before.
    held_now: [Mean; 5],
    back_now: usize,
    formed: Instant,
    /// When the queue was empty last.
    empty: Instant,
    /// How long the last permit was held.
    last: Duration,
    /// When a permit was taken or given back last.
    moved: Instant,
    pace: Pace,
    /// When permits are given out by themselves.
    pub(super) timer: Option<Instant>,
    /// How long those waited who began lately.
    waited: Mean,
}

/// The average of the last few dozen values, in seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    value: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, time: Duration) {
        self.count = (self.count + 1).min(32);
        self.value += (time.as_secs_f64() - self.value) / f64::from(self.count);
    }
}

impl<T> State<T> {
    pub(super) fn new(config: Config) -> Self {
        let (limit, now) = (Limit::new(config.floor, config.ceiling), Instant::now());
        Self {
            config,
            limit,
            line: Line::new(),
            running: [0; 5],
            held: [Mean::default(); 5],
            held_by_all: Mean::default(),
            held_now: [Mean::default(); 5],
            back_now: 0,
            formed: now,
            empty: now,
            last: Duration::ZERO,
            moved: now,
            pace: Pace::new(),
            timer: None,
            waited: Mean::default(),
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
        self.limit.look(self.running());
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
        self.waited.add(waited);
    }

    /// Gives a place back that was taken at `began`.
    pub(super) fn end(&mut self, class: Class, began: Instant) {
        self.running[class as usize] -= 1;
        self.moved = Instant::now();
        self.last = self.moved.saturating_duration_since(began);
        self.back_now += 1;
        for held in [&mut self.held[class as usize], &mut self.held_now[class as usize], &mut self.held_by_all] {
            held.add(self.last);
        }
    }

    /// Who gets the next place, if there is one.
    pub(super) fn next(&mut self) -> Next<T> {
        let until = self.limit.look(self.running());
        if self.line.len() == 0 {
            return Next::Nobody;
        }
        if self.running() >= self.limit.now() {
            return until.map_or(Next::Nobody, Next::NotBefore);
        }
        // The last one may be the first quick one after a slow time.
        if let Err(at) = self.pace.start(self.held().min(self.last), self.limit.usual()) {
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
    pub(super) fn may_wait(&mut self, ask: &Ask) -> Result<Instant, No> {
        self.line.room(ask.class, &ask.owner, self.config.size).map_err(No::Full)?;
        let longest = self.config.patience(ask.left);
        if longest.is_zero() {
            return Err(No::Wait(Duration::ZERO));
        }
        let burst = self.config.deadline.map_or(longest, |deadline| deadline.0);
        let soon = burst.mul_f64(STANDING);
        if self.line.len() > 0 {
            self.empty = ask.now;
        } else if ask.now.saturating_duration_since(self.empty) >= soon {
            (self.formed, self.held_now, self.back_now) = (ask.now, [Mean::default(); 5], 0);
        }
        let stands = self.line.stands(ask.class, burst);
        let bearable = if stands { longest.min(soon) } else { longest };
        let wait = if stands || self.config.deadline.is_some() {
            self.wait(ask, soon)
        } else if self.back_now < 2 * self.config.ceiling {
            // A thousand requests that come at once slow the calls by coming, and the first calls, of two rounds, are made on
            // new connections: what follows is quicker, nobody knows by how much. Where no deadline is promised, they are
            // let in, and then by a kinder estimate, until the queue stands.
            Duration::ZERO
        } else {
            self.wait(ask, soon) / KINDER
        };
        // Where no permit has come free for so long, none is expected sooner.
        match wait.max(self.moved.elapsed()).checked_sub(bearable) {
            Some(excess) if !excess.is_zero() => Err(No::Wait(excess)),
            _ => Ok(ask.now + longest),
        }
    }

    /// How long a request of this class is taken to hold its permit, in seconds: by those of its class that came back since
    /// the queue formed. Until the first of them is back, by what was before it, but no longer than `soon` or than they
    /// have held theirs by now.
    fn holds(&self, class: Class, soon: Duration) -> f64 {
        let (now, before) = (self.held_now[class as usize], self.held[class as usize]);
        match self.running[class as usize] {
            _ if now.count > 0 => now.value,
            0 => before.value.min(soon.as_secs_f64()),
            _ => before.value.min(soon.as_secs_f64()).max(self.formed.elapsed().as_secs_f64()),
        }
    }

    /// How long the request would wait.
    fn wait(&self, ask: &Ask, soon: Duration) -> Duration {
        let weight = |class: Class| WEIGHTS[class as usize] as f64;
        let own = (self.line.ahead(ask.class, &ask.owner) + 1) as f64;
        let own_work = own * self.holds(ask.class, soon);
        let others = Class::ALL.into_iter().filter(|class| *class != ask.class);
        // Those of other classes that wait now and will be served before, in turn by weight,
        let before = |class: Class| (self.line.of_class(class) as f64).min(own * weight(class) / weight(ask.class));
        let all_work = own_work + others.clone().map(|class| before(class) * self.holds(class, soon)).sum::<f64>();
        let limit = self.limit.usual() as f64;
        // or its own class alone, with the permits that higher classes leave it: those keep on coming.
        let higher: usize =
            others.clone().filter(|class| *class > ask.class).map(|class| self.running[class as usize]).sum();
        let active = others.filter(|class| self.running[*class as usize] + self.line.of_class(*class) > 0);
        let share = weight(ask.class) / (weight(ask.class) + active.map(weight).sum::<f64>());
        let permits = (limit - higher as f64).max(limit * share);
        Duration::try_from_secs_f64((all_work / limit).max(own_work / permits)).unwrap_or(Duration::MAX)
    }

    /// How long requests wait now.
    pub(super) fn delay(&self) -> Duration {
        let lately = Duration::from_secs_f64(self.waited.value);
        match self.line.oldest() {
            Some(since) => lately.max(since.elapsed()),
            None if self.running() < self.limit.now() => Duration::ZERO,
            None => lately,
        }
    }

    /// How long a permit is held on average.
    pub(super) fn held(&self) -> Duration {
        Duration::from_secs_f64(self.held_by_all.value)
    }
}
