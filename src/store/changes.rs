//! Whether something was put under a key since: for who remembers what it found there.

use std::sync::atomic::{AtomicU32, Ordering};

use addrgate_filters::cache_key::Key;

/// Keys share so many counters; a change of another key costs a look.
const COUNTERS: usize = 1024;

/// See the module.
pub(super) struct Changes(Box<[AtomicU32]>);

impl Default for Changes {
    fn default() -> Self {
        Self((0..COUNTERS).map(|_| AtomicU32::default()).collect())
    }
}

impl Changes {
    /// How often something was put under this key, or one that shares its counter. Read before one looks.
    pub(super) fn of(&self, key: &Key) -> u32 {
        self.counter(key).load(Ordering::Acquire)
    }

    /// Something was put there. Said after it was done.
    pub(super) fn note(&self, key: &Key) {
        self.counter(key).fetch_add(1, Ordering::Release);
    }

    fn counter(&self, key: &Key) -> &AtomicU32 {
        // Keys are digests, so any of their bytes will do.
        &self.0[usize::from(u16::from_le_bytes([key.0[0], key.0[1]])) % COUNTERS]
    }
}
