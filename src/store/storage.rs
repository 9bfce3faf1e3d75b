//! The store as Pingora's cache sees it.

use std::{any::Any, sync::Arc, time::SystemTime};

use addrgate_filters::{cache_key::Key, head::Headers};
use async_trait::async_trait;
use pingora::{
    Error, ErrorType, Result,
    cache::{
        CacheKey, CacheMeta, HitHandler, MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage, key::CacheHashKey,
        trace::SpanHandle,
    },
};

use super::{
    End, Request, Store,
    entry::{Entry, Id, Meta},
    hit::{Joined, Whole},
    miss::Writing,
};

/// Pingora's form of our key. The primary digest is ours as well, so that nothing is hashed twice.
pub(crate) fn cache_key(key: Key) -> CacheKey {
    let mut short = [0; 16];
    short.copy_from_slice(&key.0[..16]);
    let mut cache_key = CacheKey::new(key.0.to_vec(), String::new());
    cache_key.set_primary_bin_override(short);
    cache_key
}

/// Back again.
fn key_of(cache_key: &CacheKey) -> Result<Key> {
    let digest = cache_key.primary_key().try_into();
    digest.map(Key).map_err(|_| Error::explain(ErrorType::InternalError, "a cache key that is not ours"))
}

impl Store {
    /// Which entry a lookup means. A key without variance comes from a request that was made before anything was known
    /// to vary; it brings its fields along.
    fn resolve(&self, cache_key: &CacheKey) -> Result<Id> {
        let key = key_of(cache_key)?;
        if let Some(variance) = cache_key.variance_bin() {
            return Ok(Id { key, variance: Some(variance) });
        }
        let request = cache_key.extensions.get::<Request>();
        let variance = request.and_then(|request| self.variance(&key, Headers::Map(&request.headers)));
        Ok(Id { key, variance })
    }
}

/// Tells those who wait for this request's fetch.
fn settle(key: &CacheKey, end: End) {
    if let Some(request) = key.extensions.get::<Request>() {
        request.lead.end(end);
    }
}

type Found = Option<(CacheMeta, HitHandler)>;

#[async_trait]
impl Storage for Store {
    async fn lookup(&'static self, key: &CacheKey, _: &SpanHandle) -> Result<Found> {
        let id = self.resolve(key)?;
        let entry = self.entry(&id);
        let is_fresh = entry.as_ref().is_some_and(|entry| entry.kept.times.is_fresh(SystemTime::now()));
        // An answer that is coming in is fresher than one that is stale.
        if !is_fresh
            && let Some(fill) = self.fills.join(&id)
            && let Some(meta) = fill.meta.to_cache_meta()
        {
            return Ok(Some((meta, Box::new(Joined::new(fill)))));
        }
        let Some(entry) = entry else { return Ok(None) };
        let Some(mut meta) = entry.meta().to_cache_meta() else { return Ok(None) };
        let handler = Whole::new(&entry);
        // The body that a 304 will be for.
        meta.extensions_mut().insert(entry);
        Ok(Some((meta, Box::new(handler))))
    }

    async fn lookup_streaming_write(&'static self, _: &CacheKey, tag: Option<&[u8]>, _: &SpanHandle) -> Result<Found> {
        let Some(fill) = tag.and_then(|tag| self.fills.own(tag)) else { return Ok(None) };
        let Some(meta) = fill.meta.to_cache_meta() else { return Ok(None) };
        Ok(Some((meta, Box::new(Joined::new(fill)))))
    }

    async fn get_miss_handler(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<MissHandler> {
        let meta = Meta::of(key_of(key)?, meta);
        let meta = meta.ok_or_else(|| Error::explain(ErrorType::InternalError, "an answer without our cache phase"))?;
        // Waiters for other variants must know that there are any before the first is complete.
        self.announce(&meta);
        // What is stale already, or was invalidated while it was fetched, is for its own request only.
        let for_all = meta.kept.times.is_fresh(SystemTime::now()) && !self.is_outdated(&meta.id.key, &meta.kept);
        let fill = self.fills.begin(meta);
        if !for_all {
            self.fills.hide(&fill);
        }
        settle(key, if for_all { End::Kept } else { End::Unkept });
        Ok(Box::new(Writing::new(self, fill)))
    }

    async fn update_meta(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<bool> {
        let validated = meta.extensions().get::<Arc<Entry>>();
        let (Some(validated), Some(meta)) = (validated, Meta::of(key_of(key)?, meta)) else { return Ok(false) };
        let kept = self.keep(Entry::new(&meta, &[validated.body()]));
        settle(key, if kept { End::Kept } else { End::Unkept });
        Ok(kept)
    }

    /// Not the way in: a compact key does not name an entry of ours. [`Store::invalidate`] is, and no eviction manager or
    /// PURGE method is ever installed.
    async fn purge(&'static self, _: PurgeTarget<'_>, _: PurgeType, _: &SpanHandle) -> Result<PurgeOutcome> {
        Ok(PurgeOutcome::NotFound)
    }

    fn support_streaming_partial_write(&self) -> bool {
        true
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}
