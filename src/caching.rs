//! What the cache is made of: the store, and who fetches for whom. One per process; a reload changes none of it.

use std::sync::Arc;

use addrgate_filters::traffic::units::{Size, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coalesce::Coalesce;
use crate::invalidation::Invalidation;
use crate::redis::Redis;
use crate::store::{Limits, Second, Store, Writer};
use crate::uses::Uses;

/// Memory of the cache. Needs a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Memory for answers.
    pub(crate) memory: Size,
    /// The largest body that is kept.
    pub(crate) entry: Size,
    /// Without effect: a request waits for a fetch to its own deadline. Taken until the next version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wait: Option<Span>,
    /// With Redis: one instance at a time fetches an answer, and the others wait for it so long at most. Left out: each
    /// instance fetches for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<Span>,
}

impl Default for Config {
    fn default() -> Self {
        Self { memory: Size::kib(256 << 10), entry: Size::kib(1 << 10), wait: None, lease: None }
    }
}

/// The parts.
pub(crate) struct Caching {
    /// The answers. Pingora wants them to live as long as the process.
    pub(crate) store: &'static Store,
    /// One fetch for many.
    pub(crate) coalesce: Coalesce,
    /// How often keys are asked for.
    pub(crate) uses: Uses,
}

impl Caching {
    /// Empty, over memory and, if there is one, Redis. What writes to Redis has to be run.
    pub(crate) fn new(
        config: &Config,
        invalidation: Arc<Invalidation>,
        redis: Option<Arc<Redis>>,
    ) -> (Self, Option<Writer>) {
        let limits = Limits { total: config.memory.0, entry: config.entry.len() };
        let lease = config.lease.map(|lease| lease.0);
        let (second, writer) = redis.map(|redis| Second::new(redis, limits.entry, lease)).unzip();
        let store = Box::leak(Box::new(Store::new(limits, invalidation, second)));
        (Self { store, coalesce: Coalesce::new(), uses: Uses::new() }, writer)
    }
}
