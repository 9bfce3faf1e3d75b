//! The generic cell rate algorithm (ITU-T I.371, as a virtual scheduler): one number per key, no window boundary at which
//! twice the limit passes.
//!
//! The number is the theoretical arrival time (TAT): when the key would have its whole budget again. Each request moves it
//! by one emission interval, `period / count`; a request is allowed while it stays within one period of now.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::traffic::units::Rate;

/// The longest time that a budget may take to fill; an account that was idle so long is as good as new.
pub(crate) const LONGEST: Duration = Duration::from_secs(86_400);

/// From here the buckets count.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The time by which buckets count: nanoseconds since the first use in this process. Not zero, which is a bucket that was
/// never used.
pub(crate) fn now() -> u64 {
    time_of(Instant::now())
}

/// The same for another moment.
pub(crate) fn time_of(instant: Instant) -> u64 {
    u64::try_from(instant.saturating_duration_since(*BEGIN).as_nanos()).unwrap_or(u64::MAX / 4) + 1
}

/// When to come back, of a wait in nanoseconds: up to a tenth later, or up to a second, so that not all come back at once.
pub(crate) fn jittered(wait: u64) -> Duration {
    let wait = Duration::from_nanos(wait);
    wait + (wait / 10).max(Duration::from_secs(1)).mul_f64(rand::random::<f64>())
}

/// One key's state under one limit. Times are nanoseconds since any fixed moment.
#[derive(Debug, Default)]
pub(crate) struct Bucket(AtomicU64);

/// What a bucket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Allowed; so many more would be, and in so many nanoseconds the whole budget is there again.
    Allowed { remaining: u64, full_in: u64 },
    /// Refused; so many nanoseconds until one would be allowed, and until the whole budget is there.
    Refused { wait: u64, full_in: u64 },
}

/// A rate as the algorithm needs it, in nanoseconds; both at least 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// In which the whole budget comes back.
    pub(crate) period: u64,
    /// In which one comes back: the emission interval.
    pub(crate) interval: u64,
}

impl From<Rate> for Pace {
    fn from(rate: Rate) -> Self {
        let period = u64::try_from(rate.per.0.as_nanos()).unwrap_or(u64::MAX / 4).clamp(1, u64::MAX / 4);
        Self { period, interval: (period / rate.count.max(1)).max(1) }
    }
}

impl Bucket {
    /// Takes one from the budget, if there is one.
    pub(crate) fn take(&self, pace: impl Into<Pace>, now: u64) -> Decision {
        let Pace { period, interval } = pace.into();
        let mut before = self.0.load(Ordering::Acquire);
        loop {
            let after = before.max(now).saturating_add(interval);
            let ahead = after - now;
            if ahead > period {
                return Decision::Refused { wait: ahead - period, full_in: before.saturating_sub(now) };
            }
            match self.0.compare_exchange_weak(before, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Decision::Allowed { remaining: (period - ahead) / interval, full_in: ahead },
                Err(other) => before = other,
            }
        }
    }

    /// How many nanoseconds until one would be allowed; 0: now. Takes nothing.
    pub(crate) fn wait(&self, pace: impl Into<Pace>, now: u64) -> u64 {
        let Pace { period, interval } = pace.into();
        (self.0.load(Ordering::Acquire).max(now).saturating_add(interval) - now).saturating_sub(period)
    }

    /// Gives one back that was taken but not used.
    pub(crate) fn give_back(&self, pace: impl Into<Pace>) {
        let Pace { interval, .. } = pace.into();
        // Never below zero: a time before now is a full budget anyway.
        let _always_some =
            self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |tat| Some(tat.saturating_sub(interval)));
    }
}

/// Whether limits can be counted; the error is a sentence.
pub fn check<'a>(rates: impl Iterator<Item = &'a Rate>) -> Result<(), String> {
    for rate in rates {
        if rate.per.0 > LONGEST {
            return Err(format!("`{rate}`: a budget that takes longer than a day to fill is not supported"));
        }
        if u128::from(rate.count) > rate.per.0.as_nanos() {
            return Err(format!("`{rate}` is more than one request in a nanosecond"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    fn allowed(decision: Decision) -> bool {
        matches!(decision, Decision::Allowed { .. })
    }

    #[test]
    fn five_per_five_seconds() {
        let bucket = Bucket::default();
        let now = 100 * SECOND;
        let remaining = (0..5).map(|_| match bucket.take(rate("5/5s"), now) {
            Decision::Allowed { remaining, .. } => remaining,
            refused @ Decision::Refused { .. } => panic!("{refused:?}"),
        });
        assert_eq!(remaining.collect::<Vec<_>>(), [4, 3, 2, 1, 0]);
        let later = now + SECOND / 10;
        let refused = Decision::Refused { wait: SECOND * 9 / 10, full_in: SECOND * 49 / 10 };
        assert_eq!(bucket.take(rate("5/5s"), later), refused);
        assert!(allowed(bucket.take(rate("5/5s"), now + SECOND)), "one came back");
        assert!(!allowed(bucket.take(rate("5/5s"), now + SECOND)));
    }

    #[test]
    fn what_is_given_back_can_be_taken() {
        let bucket = Bucket::default();
        assert!(allowed(bucket.take(rate("1/1m"), SECOND)));
        assert!(!allowed(bucket.take(rate("1/1m"), SECOND)));
        bucket.give_back(rate("1/1m"));
        assert!(allowed(bucket.take(rate("1/1m"), SECOND)));
    }

    #[test]
    fn many_threads_get_exactly_the_budget() {
        let bucket = Bucket::default();
        let count: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| (0..250).filter(|_| allowed(bucket.take(rate("100/15m"), SECOND))).count()))
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(count, 100);
    }

    proptest! {
        /// At any time at most the budget and what has come back since are allowed.
        #[test]
        fn never_more_than_the_budget_and_its_refill(
            count in 1u64..50, seconds in 1u64..120, steps in proptest::collection::vec(0u64..3_000, 1..200),
        ) {
            let rate = rate(&format!("{count}/{seconds}s"));
            let (bucket, begin) = (Bucket::default(), 1_000 * SECOND);
            let (mut now, mut passed) = (begin, 0);
            for step in steps {
                now += step * 1_000_000;
                if allowed(bucket.take(rate, now)) {
                    passed += 1;
                }
                let Pace { period, interval } = rate.into();
                prop_assert!(passed <= period / interval + (now - begin) / interval + 1);
            }
        }
    }
}
