//! What Pingora's cache is made of: the store, the lock that lets one request fetch for many, and the memory of answers
//! that were not worth waiting for. One per process; a reload changes none of it.

use std::time::Duration;

use addrgate_filters::cache_policy::storing::Reason;
use addrgate_filters::units::{Size, Span};
use pingora::cache::lock::{CacheKeyLockImpl, CacheLock};
use pingora::cache::predictor::{CacheablePredictor, Predictor};
use pingora::cache::{CacheOptionOverrides, HttpCache};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::{Limits, Store};

/// Memory and patience of the cache. Needs a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Memory for answers.
    pub(crate) memory: Size,
    /// The largest body that is kept.
    pub(crate) entry: Size,
    /// How long a request waits for another one that is fetching the same answer, before it fetches by itself.
    pub(crate) wait: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self { memory: Size::kib(256 << 10), entry: Size::kib(1 << 10), wait: Span::millis(2_000) }
    }
}

/// After this time a fetch counts as lost, and the next request may try.
const LOST: Duration = Duration::from_secs(35);

/// The parts. Pingora wants them to live as long as the process.
pub(crate) struct Caching {
    /// The answers.
    pub(crate) store: &'static Store,
    lock: &'static CacheKeyLockImpl,
    predictor: &'static (dyn CacheablePredictor + Sync),
    wait: Duration,
}

impl Caching {
    /// Empty.
    pub(crate) fn new(config: &Config) -> Self {
        let size = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
        let limits = Limits { total: config.memory.0, entry: size(config.entry) };
        // 16 shards of 1024 keys: a key that is forgotten costs its next requests one wait.
        let predictor = Predictor::<16>::new(1024, Some(passes));
        Self {
            store: Box::leak(Box::new(Store::new(limits))),
            lock: Box::leak(CacheLock::new_boxed(LOST)),
            predictor: Box::leak(Box::new(predictor)),
            wait: config.wait.0,
        }
    }

    /// Turns the cache on for one request.
    pub(crate) fn enable(&self, cache: &mut HttpCache, timeout: Duration) {
        let mut patience = CacheOptionOverrides::default();
        patience.wait_timeout = Some(self.wait.min(timeout));
        cache.enable(self.store, None, Some(self.predictor), Some(self.lock), Some(patience));
    }
}

/// Whether a reason says nothing of the next answer under the same key.
fn passes(reason: &'static str) -> bool {
    !Reason::LASTING.iter().any(|lasting| lasting.as_str() == reason)
}
