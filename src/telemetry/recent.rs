//! What the counters of requests have gained in the last minutes, for those who have no Prometheus.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

/// How far back is looked.
const WINDOW: Duration = Duration::from_secs(300);

/// How often the counters are remembered.
const STEP: Duration = Duration::from_secs(10);

/// The counters of all routes at a moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Totals {
    /// By class of status: `2xx`.
    pub(crate) status: BTreeMap<String, u64>,
    /// By what the cache did.
    pub(crate) cache: BTreeMap<String, u64>,
    /// How many took no longer than so many seconds.
    pub(crate) within: Vec<(f64, u64)>,
    /// How many were timed, and the seconds they took together.
    pub(crate) timed: u64,
    pub(crate) seconds: f64,
}

impl Totals {
    fn since(&self, before: &Self) -> Self {
        let gained = |now: &BTreeMap<String, u64>, before: &BTreeMap<String, u64>| {
            let gain = |(name, count): (&String, &u64)| {
                (name.clone(), count.saturating_sub(before.get(name).copied().unwrap_or_default()))
            };
            now.iter().map(gain).collect()
        };
        let bucket = |(i, (bound, count)): (usize, &(f64, u64))| {
            (*bound, count.saturating_sub(before.within.get(i).map_or(0, |(_, count)| *count)))
        };
        Self {
            status: gained(&self.status, &before.status),
            cache: gained(&self.cache, &before.cache),
            within: self.within.iter().enumerate().map(bucket).collect(),
            timed: self.timed.saturating_sub(before.timed),
            seconds: self.seconds - before.seconds,
        }
    }

    /// Milliseconds that a share of the requests kept within: between the bounds of a bucket as if they lay evenly there,
    /// beyond the last bound that bound. `None` where there were none.
    fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.timed as f64;
        let (mut low, mut below) = (0.0, 0);
        for (bound, count) in &self.within {
            if *count > below && *count as f64 >= rank {
                let part = (rank - below as f64) / (*count - below) as f64;
                return Some((low + part * (bound - low)) * 1000.0);
            }
            (low, below) = (*bound, *count);
        }
        (self.timed > 0).then_some(low * 1000.0)
    }
}

/// The counters of the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<(Instant, Totals)>>);

impl Recent {
    /// Remembers the counters where it is time again. Call it more often than that.
    pub(crate) fn tick(&self, totals: impl FnOnce() -> Totals) {
        let now = Instant::now();
        let mut kept = self.lock();
        if kept.back().is_some_and(|(last, _)| now - *last < STEP) {
            return;
        }
        // One stays that is as old as the window.
        while kept.get(1).is_some_and(|(second, _)| now - *second >= WINDOW) {
            kept.pop_front();
        }
        kept.push_back((now, totals()));
    }

    /// What was gained, and in which time; since the start where that is more recent.
    pub(crate) fn report(&self, totals: &Totals, uptime: Duration) -> Value {
        let now = Instant::now();
        let (time, gained) = match self.lock().front() {
            Some((first, before)) if uptime > WINDOW => (now - *first, totals.since(before)),
            _ => (uptime, totals.clone()),
        };
        let total: u64 = gained.status.values().sum();
        let count = |name: &str| gained.cache.get(name).copied().unwrap_or_default();
        let served: u64 = ["hit", "stale", "revalidated"].map(count).iter().sum();
        let asked = served + count("miss");
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        let quantile = |share| gained.quantile(share).map(round);
        let mean = (gained.timed > 0).then(|| round(gained.seconds * 1000.0 / gained.timed as f64));
        json!({
            "windowSeconds": round(time.as_secs_f64()),
            "requests": {
                "total": total,
                "perSecond": round(total as f64 / time.as_secs_f64().max(1.0)),
                "byStatus": gained.status,
            },
            "cache": {
                "byOutcome": gained.cache,
                "hitRate": (asked > 0).then(|| round(served as f64 / asked as f64)),
            },
            "responseTimeMs": {
                "average": mean, "p50": quantile(0.5), "p95": quantile(0.95), "p99": quantile(0.99),
            },
        })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, Totals)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many requests, of which a half took up to 10 ms and the other half up to 100 ms.
    fn totals(n: u64) -> Totals {
        Totals {
            status: [("2xx".to_owned(), n)].into(),
            cache: [("hit".to_owned(), n / 2), ("miss".to_owned(), n - n / 2)].into(),
            within: vec![(0.01, n / 2), (0.1, n)],
            timed: n,
            seconds: n as f64 * 0.03,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_minutes_are_told() {
        let (recent, begun) = (Recent::default(), Instant::now());
        for second in 0..=1000 {
            recent.tick(|| totals(second * 10));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let report = recent.report(&totals(10_010), begun.elapsed());
        let window = report["windowSeconds"].as_f64().unwrap();
        assert!((300.0..=311.0).contains(&window), "{window}");
        assert_eq!(report["requests"]["perSecond"], 10.0);
        assert_eq!(report["cache"]["hitRate"], 0.5);
        assert_eq!(report["responseTimeMs"], json!({"average": 30.0, "p50": 10.0, "p95": 91.0, "p99": 98.2}));
        assert!(recent.lock().len() <= 32);
    }

    #[tokio::test(start_paused = true)]
    async fn a_young_process_tells_of_all_it_did() {
        let recent = Recent::default();
        recent.tick(|| totals(0));
        let report = recent.report(&totals(8), Duration::from_secs(4));
        assert_eq!((&report["requests"]["total"], &report["requests"]["perSecond"]), (&json!(8), &json!(2.0)));
        let nothing = recent.report(&Totals::default(), Duration::from_secs(4));
        assert_eq!(nothing["responseTimeMs"]["p99"], Value::Null);
        assert_eq!(nothing["cache"]["hitRate"], Value::Null);
    }

    #[test]
    fn beyond_the_last_bound_is_the_last_bound() {
        let slow = Totals { within: vec![(1.0, 0), (30.0, 1)], timed: 10, ..Totals::default() };
        assert_eq!(slow.quantile(0.99), Some(30_000.0));
    }
}
