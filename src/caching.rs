//! What the cache is made of: the store, and who fetches for whom. One per process; a reload changes none of it.

use std::sync::Arc;

use crate::coalesce::Coalesce;
use crate::invalidation::Invalidation;
use crate::redis::Redis;
use crate::store::{Limits, Second, Store, Writer};
use crate::uses::Uses;

mod config;
pub(crate) use config::Config;

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
