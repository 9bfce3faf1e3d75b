//! How often a key was asked for of late, where a route keeps only what is asked for more than once (`cache.min_uses`).
//!
//! Counted are requests that nothing kept could serve, on this instance. The table has a bound: when it is full the keys
//! that are asked for least lose their count, and are kept later.

use std::time::Duration;

use addrgate_filters::cache_key::Key;
use moka::{ops::compute::Op, sync::Cache};
use tokio::time::Instant;

/// Keys that are counted; about 100 bytes each.
const MAX_KEYS: u64 = 100_000;

/// The counts.
#[derive(Debug, Clone)]
pub(crate) struct Uses(Cache<Key, Count, foldhash::fast::RandomState>);

#[derive(Debug, Clone, Copy)]
struct Count {
    uses: u32,
    since: Instant,
}

impl Uses {
    /// Nothing was asked for yet.
    pub(crate) fn new() -> Self {
        Self(Cache::builder().max_capacity(MAX_KEYS).build_with_hasher(foldhash::fast::RandomState::default()))
    }

    /// Counts one use of `key`; gives how many there were within `window`, this one included. A window begins with its
    /// first use.
    pub(crate) fn count(&self, key: Key, window: Duration) -> u32 {
        let now = Instant::now();
        let mut uses = 1;
        self.0.entry(key).and_compute_with(|old| {
            let mut count = Count { uses: 1, since: now };
            if let Some(old) = old.map(moka::Entry::into_value).filter(|old| now.duration_since(old.since) < window) {
                count = Count { uses: old.uses.saturating_add(1), ..old };
            }
            uses = count.uses;
            Op::Put(count)
        });
        uses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn key(n: u32) -> Key {
        Key(*blake3::hash(&n.to_le_bytes()).as_bytes())
    }

    #[tokio::test(start_paused = true)]
    async fn uses_count_within_the_window_alone() {
        let uses = Uses::new();
        assert_eq!((uses.count(key(1), MINUTE), uses.count(key(1), MINUTE), uses.count(key(2), MINUTE)), (1, 2, 1));
        tokio::time::advance(MINUTE - Duration::from_secs(1)).await;
        assert_eq!(uses.count(key(1), MINUTE), 3);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(uses.count(key(1), MINUTE), 1, "a new window");
    }

    #[test]
    fn the_table_has_a_bound() {
        let uses = Uses::new();
        for n in 0..150_000 {
            uses.count(key(n), MINUTE);
        }
        uses.0.run_pending_tasks();
        assert!(uses.0.entry_count() <= MAX_KEYS, "{}", uses.0.entry_count());
    }
}
