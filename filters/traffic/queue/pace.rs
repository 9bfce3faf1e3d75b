//! Spreads the starts of requests that waited. Places that were taken in one burst come free in one burst, round after
//! round; whoever comes in between, however important, would wait for the next. Spread over a round, a place comes free all
//! the time.
//!
//! A virtual schedule as in GCRA: somewhat faster than places come free on average, so that it costs no throughput, with a
//! tolerance for the clusters that chance makes. What it is worth is measured in docs/decisions/0010.

use std::time::Duration;

use tokio::time::Instant;

/// The interval between starts, in average intervals.
const INTERVAL: f64 = 0.85;

/// How many intervals a start may be early, and never less than so long: timers are no finer than a millisecond, and a
/// round that is shorter than this is waited for by nobody.
const TOLERANCE: u32 = 4;
const LEAST: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Pace(Instant);

impl Pace {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Whether one may start now, where `limit` places are held for `held` each; else when.
    pub(super) fn start(&mut self, held: Duration, limit: usize) -> Result<(), Instant> {
        let now = Instant::now();
        let interval = held.mul_f64(INTERVAL / limit as f64);
        let tolerance = (interval * TOLERANCE).max(LEAST);
        // What was planned when calls were slower does not hold up those that are quick now.
        self.0 = self.0.min(now + tolerance + interval);
        let early = self.0.saturating_duration_since(now);
        if early > tolerance {
            return Err(now + (early - tolerance));
        }
        self.0 = self.0.max(now) + interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Starts as many as possible for `time`, and says when each of them began.
    async fn starts(held: Duration, limit: usize, time: Duration) -> Vec<Duration> {
        let (mut pace, begin, mut starts) = (Pace::new(), Instant::now(), Vec::new());
        while begin.elapsed() < time {
            match pace.start(held, limit) {
                Ok(()) => starts.push(begin.elapsed()),
                Err(at) => tokio::time::sleep_until(at).await,
            }
            if starts.len() > 100_000 {
                break;
            }
        }
        starts
    }

    #[tokio::test(start_paused = true)]
    async fn a_round_is_spread_over_most_of_its_time() {
        let starts = starts(100 * MS, 30, 100 * MS).await;
        assert_eq!(starts[4], Duration::ZERO, "a cluster of chance");
        assert!((70 * MS..=80 * MS).contains(&starts[29]), "{:?}", starts[29]);
        assert!((35..=42).contains(&starts.len()), "never slower than places come free: {}", starts.len());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_calls_hold_up_no_quick_ones() {
        let mut pace = Pace::new();
        while pace.start(4_000 * MS, 4).is_ok() {}
        let next = pace.start(100 * MS, 4).unwrap_err();
        assert!(next <= Instant::now() + 25 * MS, "{:?}", next.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn short_rounds_are_left_alone() {
        let starts = starts(2 * MS, 32, 10 * MS).await;
        assert_eq!(starts[2 * 32], Duration::ZERO, "two rounds at once");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_known_at_first() {
        let mut pace = Pace::new();
        assert!((0..10_000).all(|_| pace.start(Duration::ZERO, 30).is_ok()));
    }
}
