//! The knee of an upstream: as many requests at a time as it has work for. Beyond it throughput no longer grows, only latency.
//!
//! By Little's law throughput is concurrency by latency. So in a trial the latency at the limit is compared with that at half
//! of it, in three legs: high, low, high. Where it has doubled, the upper half bought nothing. No baseline is kept that could
//! drift: each trial brings its own, and of the two high legs the better one counts, so that a pause of the upstream is not
//! taken for its load. Latencies are compared per route, so that the mix of routes may change between the legs.
//!
//! A trial is made while the limit is in use for longer than a burst takes. What is found bounds the limit from then on.
//! Options and measurements: docs/decisions/0017.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// For how many rounds, or how long where calls are slow, the limit is in use before a trial: a burst passes without one.
const BUSY: usize = 8;
const SLOW: Duration = Duration::from_secs(3);
/// A leg lasts for a round, never for fewer calls than this, and where calls are quick for so long.
const LEAST: usize = 20;
const QUICK: Duration = Duration::from_millis(100);
/// How latency grows with concurrency, as an exponent: below the first value throughput grows too, from the second on it
/// does not.
const GROWS: f64 = 0.3;
const FLAT: f64 = 0.8;
/// What the limit is above the knee, so that no moment is idle, and what it grows by where none is in sight.
const ABOVE: f64 = 1.25;
const STEP: f64 = 1.5;
/// The pause after a trial that changed nothing, in durations of the trial; after one that could not tell; and at most.
const PAUSE: u32 = 10;
const UNSURE: u32 = 3;
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Knee {
    /// Calls that came back while the limit was in use, less others; and since when there are any.
    used: usize,
    since: Instant,
    trial: Option<Trial>,
    next: Instant,
}

/// Sums over the logarithms of latencies: what multiplies a latency adds to its logarithm.
#[derive(Debug, Clone, Copy, Default)]
struct Latencies {
    sum: f64,
    squares: f64,
    count: f64,
}

impl Latencies {
    fn add(&mut self, elapsed: Duration) {
        let value = elapsed.as_secs_f64().max(1e-6).ln();
        (self.sum, self.squares, self.count) = (self.sum + value, self.squares + value * value, self.count + 1.0);
    }

    fn mean(&self) -> f64 {
        self.sum / self.count
    }

    /// The sum of squared distances from the mean.
    fn spread(&self) -> f64 {
        self.squares - self.sum * self.mean()
    }
}

#[derive(Debug)]
struct Trial {
    high: usize,
    low: usize,
    begun: Instant,
    /// High, low, high: the latencies of each route.
    legs: [BTreeMap<usize, Latencies>; 3],
    leg: usize,
    /// Since when the calls of this leg count; `None` while too many of the leg before are at the upstream.
    since: Option<Instant>,
    /// When it is given up; how long the first leg took.
    until: Option<Instant>,
    first: Duration,
}

impl Trial {
    fn limit(&self) -> usize {
        if self.leg == 1 { self.low } else { self.high }
    }

    /// The exponent by which latency grows with concurrency, and its standard error; `None` where the legs have no route in
    /// common.
    fn exponent(&self) -> Option<(f64, f64)> {
        let rise = |high: &BTreeMap<usize, Latencies>| {
            let (mut rise, mut weights, mut spread, mut count) = (0.0, 0.0, 0.0, 0.0);
            for (route, high) in high {
                if let Some(low) = self.legs[1].get(route) {
                    let weight = high.count * low.count / (high.count + low.count);
                    rise += weight * (high.mean() - low.mean());
                    weights += weight;
                    spread += high.spread() + low.spread();
                    count += high.count + low.count;
                }
            }
            let error = (spread.max(0.0) / count / weights).sqrt();
            (weights > 0.0).then(|| (rise / weights, error))
        };
        let (first, last) = (rise(&self.legs[0])?, rise(&self.legs[2])?);
        let (rise, error) = if first.0 < last.0 { first } else { last };
        let apart = (self.high as f64 / self.low as f64).ln();
        Some((rise / apart, error / apart))
    }
}

impl Knee {
    pub(super) fn new() -> Self {
        Self { used: 0, since: Instant::now(), trial: None, next: Instant::now() }
    }

    /// The limit while a trial says so.
    pub(super) fn limit(&self) -> Option<usize> {
        self.trial.as_ref().map(Trial::limit)
    }

    /// When the trial is given up, unless its calls have come back before.
    pub(super) fn until(&self) -> Option<Instant> {
        self.trial.as_ref()?.until
    }

    /// With so many at the upstream: goes on with a trial, or gives it up. Batches that hold their permits for long must
    /// not hold up those that wait for them to come down to the lower limit.
    pub(super) fn look(&mut self, running: usize) {
        let Some(trial) = &mut self.trial else { return };
        let now = Instant::now();
        if trial.until.is_some_and(|until| now >= until) {
            self.give_up();
        } else if trial.since.is_none() && running <= trial.low {
            (trial.since, trial.until) = (Some(now), Some(now + trial.first * 3));
        }
    }

    /// No trial for a while.
    pub(super) fn give_up(&mut self) {
        self.used = 0;
        if let Some(trial) = self.trial.take() {
            self.rest(trial.begun.elapsed(), PAUSE);
        }
    }

    /// The limit has shrunk. Calls that take too long now and then are no reason against a trial, which may find out why.
    pub(super) fn trouble(&mut self, slow: bool) {
        let used = if slow { self.used * 3 / 4 } else { 0 };
        self.give_up();
        self.used = used;
    }

    fn rest(&mut self, trial: Duration, times: u32) {
        self.next = Instant::now() + (trial * times).min(LONGEST);
    }

    /// A good response on `route` after `elapsed`, with `running` at the upstream, itself included, under `limit`. Says the
    /// new limit where a trial is over.
    pub(super) fn learn(
        &mut self,
        (route, elapsed, began): (usize, Duration, Instant),
        running: usize,
        limit: f64,
        (floor, ceiling): (usize, usize),
    ) -> Option<f64> {
        let now = Instant::now();
        let Some(trial) = &mut self.trial else {
            let is_used = running as f64 >= limit * 0.75;
            let enough = BUSY * limit as usize;
            if self.used == 0 {
                self.since = now;
            }
            self.used = if is_used { self.used + 1 } else { self.used.saturating_sub(1) }.min(enough);
            let low = (limit as usize / 2).max(floor).max(2);
            let high = (limit as usize).max(low + low.div_ceil(2)).min(ceiling);
            let is_busy = self.used == enough || self.used >= limit as usize && now - self.since >= SLOW;
            if is_used && is_busy && now >= self.next && low < high {
                let legs = [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()];
                let (since, until, first) = (Some(now), Some(now + SLOW), Duration::ZERO);
                self.trial = Some(Trial { high, low, begun: now, legs, leg: 0, since, until, first });
            }
            return None;
        };
        let (since, of_leg) = (trial.since?, trial.limit());
        if running * 2 < of_leg {
            // Fewer want to go there now.
            self.give_up();
            return None;
        }
        if began < since || running * 4 < of_leg * 3 {
            return None;
        }
        let leg = &mut trial.legs[trial.leg];
        leg.entry(route).or_default().add(elapsed);
        let count: f64 = leg.values().map(|route| route.count).sum();
        if count < of_leg.max(LEAST) as f64 || now - since < QUICK {
            return None;
        }
        trial.leg += 1;
        match trial.leg {
            1 => {
                trial.first = now - since;
                (trial.since, trial.until) = (None, Some(now + trial.first));
            }
            2 => (trial.since, trial.until) = (Some(now), Some(now + trial.first * 3)),
            _ => {
                let (exponent, high, low) = (trial.exponent(), trial.high as f64, trial.low as f64);
                let took = trial.begun.elapsed();
                self.trial = None;
                return self.verdict(exponent?, high, low, took, ceiling as f64);
            }
        }
        None
    }

    fn verdict(
        &mut self,
        (exponent, error): (f64, f64),
        high: f64,
        low: f64,
        took: Duration,
        ceiling: f64,
    ) -> Option<f64> {
        let found = match exponent {
            grows if grows < GROWS => high * STEP,
            // Calls of one route differ too much for so few of them to tell.
            unsure if unsure - error / 2.0 < GROWS => high,
            flat if flat >= FLAT => low,
            // Latency grows from the knee on, in proportion.
            some => (high * ABOVE / (high / low).powf(some)).max(low),
        };
        let found = found.min(ceiling);
        let is_there = (found / high).ln().abs() < 0.1;
        let is_sure = exponent < GROWS || exponent - error / 2.0 >= GROWS;
        // On the way to the knee nothing is waited for.
        self.rest(
            took,
            if !is_there {
                u32::from(found > low)
            } else if is_sure {
                PAUSE
            } else {
                UNSURE
            },
        );
        Some(found)
    }
}
