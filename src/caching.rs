//! What the cache is made of: the store, and who fetches for whom. One per process; a reload changes none of it.

use std::time::Duration;

use addrgate_filters::units::{Size, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coalesce::Coalesce;
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

/// The parts.
pub(crate) struct Caching {
    /// The answers. Pingora wants them to live as long as the process.
    pub(crate) store: &'static Store,
    /// One fetch for many.
    pub(crate) coalesce: Coalesce,
    /// How long a request waits for another one's fetch.
    pub(crate) wait: Duration,
}

impl Caching {
    /// Empty.
    pub(crate) fn new(config: &Config) -> Self {
        let limits = Limits { total: config.memory.0, entry: config.entry.len() };
        let store = Box::leak(Box::new(Store::new(limits)));
        Self { store, coalesce: Coalesce::new(), wait: config.wait.0 }
    }
}
