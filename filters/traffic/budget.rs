//! How many second tries there may be: retries and hedges. Without a bound, trouble is answered with more requests.
//!
//! ```yaml
//! retries:
//!   share: 10%         # of the requests of the window
//!   minimum: 3         # so many in a window are allowed at least, so that a quiet service can retry, too
//!   window: 10s
//! ```
//!
//! Retries at one layer only, and a tenth at most: Google's SRE book, "Handling Overload". One budget per upstream.
//! It counts in tenths of the window.

use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::traffic::gcra::{self, Bucket, Decision};
use crate::traffic::units::{Percent, Rate, Span};

/// A budget, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The share of requests that may be tried again; 0% with a `minimum` of 0: none.
    pub share: Percent,
    /// How many may be in any case, per window.
    pub minimum: u32,
    /// Over how long requests and tries are counted; 100ms to 1h.
    pub window: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self { share: Percent::of(10), minimum: 3, window: Span::secs(10) }
    }
}

impl Config {
    /// Whether it can be counted; the error is a sentence.
    pub fn check(&self) -> Result<(), String> {
        match (100..=3_600_000).contains(&self.window.0.as_millis()) {
            true => Ok(()),
            false => Err(format!("a `window` of {} can't be counted; 100ms to 1h can", self.window)),
        }
    }
}

const PARTS: u64 = 10;

#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// Which tenth of a window it counts, from the beginning.
    number: u64,
    requests: u64,
    spent: u64,
}

/// The budget of one purpose.
#[derive(Debug)]
pub struct Budget {
    config: Config,
    begin: Instant,
    parts: Mutex<[Part; PARTS as usize]>,
}

impl Budget {
    /// Nothing counted yet, so `minimum` may be spent. `config` must have passed [`Config::check`].
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { config: *config, begin: Instant::now(), parts: Mutex::default() }
    }

    /// Counts a request: a first try.
    pub fn request(&self) {
        self.with(|parts, now| part(parts, now).requests += 1);
    }

    /// Whether a second try may be made; it is counted then.
    #[must_use]
    pub fn spend(&self) -> bool {
        self.with(|parts, now| {
            let (requests, spent) = sum(parts, now);
            let allowed = (self.config.share.fraction() * requests as f64) as u64;
            let may = spent < allowed.max(self.config.minimum.into());
            part(parts, now).spent += u64::from(may);
            may
        })
    }

    /// Requests and second tries in the window, for status and metrics.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        self.with(|parts, now| sum(parts, now))
    }

    fn with<R>(&self, step: impl FnOnce(&mut [Part; PARTS as usize], u64) -> R) -> R {
        let tenth = (self.config.window.0.as_millis() as u64 / PARTS).max(1);
        let now = self.begin.elapsed().as_millis() as u64 / tenth;
        step(&mut self.parts.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}

/// The part that counts now.
fn part(parts: &mut [Part; PARTS as usize], now: u64) -> &mut Part {
    let part = &mut parts[(now % PARTS) as usize];
    if part.number != now {
        *part = Part { number: now, ..Part::default() };
    }
    part
}

fn sum(parts: &[Part; PARTS as usize], now: u64) -> (u64, u64) {
    let recent = parts.iter().filter(|part| part.number + PARTS > now);
    recent.fold((0, 0), |(requests, spent), part| (requests + part.requests, spent + part.spent))
}

/// So many per time, for what is paid by the call.
#[derive(Debug)]
pub struct Metered {
    rate: Rate,
    bucket: Bucket,
}

impl Metered {
    /// The whole budget is there; the error is a sentence.
    pub fn new(rate: Rate) -> Result<Self, String> {
        gcra::check([&rate].into_iter())?;
        Ok(Self { rate, bucket: Bucket::default() })
    }

    /// Whether a call may be made; it is counted then.
    #[must_use]
    pub fn spend(&self) -> bool {
        matches!(self.bucket.take(self.rate, gcra::now()), Decision::Allowed { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    fn spend_all(budget: &Budget) -> usize {
        (0..10_000).take_while(|_| budget.spend()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenth_of_the_requests_and_a_few_in_any_case() {
        let budget = Budget::new(&Config::default());
        assert_eq!(spend_all(&budget), 3);
        (0..99).for_each(|_| budget.request());
        assert_eq!(spend_all(&budget), 9 - 3);
        (0..1).for_each(|_| budget.request());
        assert_eq!(spend_all(&budget), 1);
        assert_eq!(budget.counts(), (100, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_older_than_the_window_is_forgotten() {
        let budget = Budget::new(&Config::default());
        (0..1_000).for_each(|_| budget.request());
        assert_eq!(spend_all(&budget), 100);
        advance(Duration::from_millis(8_999)).await;
        assert!(!budget.spend());
        (0..50).for_each(|_| budget.request());
        advance(Duration::from_millis(1_001)).await;
        assert_eq!((budget.counts(), spend_all(&budget)), ((50, 0), 5));
        advance(Duration::from_secs(3600)).await;
        assert_eq!((budget.counts(), spend_all(&budget)), ((0, 0), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn none_can_be_said() {
        let none = Budget::new(&Config { share: Percent::of(0), minimum: 0, ..Config::default() });
        (0..1_000).for_each(|_| none.request());
        assert!(!none.spend());
        assert!(Config { window: Span::millis(99), ..Config::default() }.check().unwrap_err().contains("99ms"));
        assert!(Config { window: Span::secs(3_601), ..Config::default() }.check().is_err());
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn many_threads_spend_it_once() {
        let budget = Budget::new(&Config { window: Span::secs(3_600), ..Config::default() });
        (0..1_000).for_each(|_| budget.request());
        let spent: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| spend_all(&budget))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(spent, 100);
    }

    proptest! {
        /// In any window never more than the share of what was asked in it, or the minimum.
        #[test]
        fn never_more_than_the_share(steps in proptest::collection::vec((0u64..400, any::<bool>()), 1..300)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async {
                let (budget, begin) = (Budget::new(&Config::default()), Instant::now());
                let (mut requests, mut spent): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
                for (millis, is_request) in steps {
                    advance(Duration::from_millis(millis)).await;
                    let now = begin.elapsed();
                    if is_request {
                        budget.request();
                        requests.push(now);
                    } else if budget.spend() {
                        // Nine tenths of the window are counted whole.
                        let within = |from: u64, all: &[Duration]| {
                            all.iter().filter(|at| **at + Duration::from_millis(from) > now).count()
                        };
                        let allowed = (within(10_000, &requests) / 10).max(3);
                        prop_assert!(within(9_000, &spent) < allowed, "{now:?}");
                        spent.push(now);
                    }
                }
                Ok(())
            })?;
        }
    }
}
