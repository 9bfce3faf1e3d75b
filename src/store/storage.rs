//! The store as Pingora's cache sees it.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use addrgate_filters::http::cache_policy::{part::Wanted, vary};
use addrgate_filters::{cache_key::Key, http::head::Headers};
use async_trait::async_trait;
use http::{HeaderMap, HeaderName};
use moka::ops::compute::Op;
use pingora::{
    Error, ErrorType, Result,
    cache::{
        CacheKey, CacheMeta, HitHandler, MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage, key::CacheHashKey,
        trace::SpanHandle,
    },
};
use tokio::time::{Instant, sleep};

use super::{
    Brought, Given, Held, PoisonError, Request, Second, Slot, Store, Variants, View,
    entry::{Entry, Meta, Tier},
    envelope::Value,
    filling::Fill,
    hit::{Joined, Whole},
    id::Id,
    miss::Writing,
    second::{LOOK, Lease},
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
    /// What memory has for a lookup. A request has looked already; only where an answer has told since which variant it
    /// means is there more to know.
    fn held(&self, cache_key: &CacheKey) -> Result<Held> {
        let key = key_of(cache_key)?;
        match (cache_key.variance_bin(), cache_key.extensions.get::<Request>()) {
            (None, Some(request)) => Ok(request.held.clone()),
            (variance, _) => {
                let id = Id { key, variance };
                Ok(Held { id, changes: self.changes(&key), entry: self.entry(&id) })
            }
        }
    }

    /// How an entry may be used; one that was purged goes.
    pub(super) fn judge(&self, entry: Option<Arc<Entry>>) -> Option<(Arc<Entry>, View)> {
        let entry = entry?;
        let view = self.view(&entry.kept);
        if view.is_none() {
            // Unless a newer one has taken its place since.
            self.memory.entry(entry.id).and_compute_with(|slot| match slot.map(moka::Entry::into_value) {
                Some(Slot::Answer(held)) if Arc::ptr_eq(&held, &entry) => Op::Remove,
                _ => Op::Nop,
            });
        }
        Some((entry, view?))
    }

    /// The second tier, once it is known what of it was purged.
    fn trusted_second(&self) -> Option<&Second> {
        self.second.as_ref().filter(|_| self.invalidation.is_known())
    }

    /// What the second tier has for a request, put into memory.
    pub(crate) async fn find_second(&self, id: Id, headers: &HeaderMap) -> Option<Arc<Entry>> {
        self.look(self.trusted_second()?, id, Some(headers)).await
    }

    /// The same. A fetch for all that finds nothing there that will do takes the lease; while another instance has it, it
    /// looks for what that one fetches.
    async fn fetch_second(&self, id: Id, request: &Request) -> Option<Arc<Entry>> {
        let second = self.trusted_second()?;
        let headers = request.headers.as_deref();
        let mut found = if request.looked { None } else { self.look(second, id, headers).await };
        let serves = |found: Option<&Arc<Entry>>| {
            found.and_then(|entry| self.view(&entry.kept)).is_some_and(|view| will_do(view, Some(request)))
        };
        if !request.for_all || serves(found.as_ref()) {
            return found;
        }
        let until = request.until.min(Instant::now() + second.patience());
        let mut lease = second.lease(&id).await;
        while lease.is_err() && !serves(found.as_ref()) && Instant::now() < until {
            sleep(LOOK).await;
            // In this order: what another one has fetched is there before its lease is given back.
            lease = second.lease(&id).await;
            found = self.look(second, id, headers).await.or(found);
        }
        request.contended.store(lease.is_err(), Ordering::Relaxed);
        *request.lease.lock().unwrap_or_else(PoisonError::into_inner) = lease.ok().flatten();
        found
    }

    /// Puts what the second tier has into memory, unless it was purged; where that only says which fields select a variant,
    /// looks for that one.
    async fn look(&self, second: &Second, id: Id, headers: Option<&HeaderMap>) -> Option<Arc<Entry>> {
        let entry = match second.get(&id).await? {
            Value::Answer(entry) => entry,
            Value::Varies(fields, until) if id.variance.is_none() => {
                let variance = vary::variance(&fields, Headers::Map(headers?));
                self.note_fields(id.key, fields, until);
                let id = Id { key: id.key, variance: Some(variance) };
                match second.get(&id).await? {
                    Value::Answer(entry) => entry,
                    Value::Varies(..) => return None,
                }
            }
            Value::Varies(..) => return None,
        };
        self.view(&entry.kept)?;
        self.promote(Arc::clone(&entry));
        Some(entry)
    }

    /// Notes which fields select a variant, where nothing is known yet.
    fn note_fields(&self, key: Key, fields: Arc<[HeaderName]>, until: SystemTime) {
        if !self.has_memory() {
            return;
        }
        let variants = Variants { fields, known: Vec::new(), until };
        self.memory.entry(Id::primary(key)).or_insert_with(|| Slot::Variants(Arc::new(variants)));
        self.changes.note(&key);
    }

    /// An answer in Pingora's form.
    fn hand_out(&self, entry: Arc<Entry>, tier: Tier) -> Found {
        let view = self.view(&entry.kept)?;
        let mut meta = entry.meta();
        (meta.kept.times, meta.kept.windows) = (view.times, view.windows);
        let mut meta = meta.to_cache_meta()?;
        let handler = Whole::new(&entry);
        // The body that a 304 will be for.
        meta.extensions_mut().insert(entry);
        meta.extensions_mut().insert(tier);
        Some((meta, Box::new(handler)))
    }

    /// The wanted bytes of a kept part that is fresh.
    fn hand_out_part(&self, part: &Entry, wanted: Wanted, tier: Tier) -> Found {
        let view = self.view(&part.kept).filter(|view| view.times.is_fresh(SystemTime::now()))?;
        let (mut meta, body) = part.part(wanted)?;
        (meta.kept.times, meta.kept.windows) = (view.times, view.windows);
        let mut meta = meta.to_cache_meta()?;
        meta.extensions_mut().insert(tier);
        Some((meta, Box::new(Whole::of(body))))
    }
}

/// Notes what came of a fetch, for whoever tells those who wait.
fn note(key: &CacheKey, brought: Brought) {
    if let Some(request) = key.extensions.get::<Request>() {
        *request.brought.lock().unwrap_or_else(PoisonError::into_inner) = Some(brought);
    }
}

/// The right to fetch for all, if this request has it.
fn lease(key: &CacheKey) -> Option<Lease> {
    key.extensions.get::<Request>()?.lease.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// What is to be set with the last piece of a body that is coming in.
fn last(key: &CacheKey) -> Option<Arc<AtomicBool>> {
    key.extensions.get::<Request>()?.last.clone()
}

/// Whether a stored response can go out without a fetch.
fn will_do(view: View, request: Option<&Request>) -> bool {
    let now = SystemTime::now();
    view.times.is_fresh(now) || view.is_servable_stale(now) && request.is_some_and(|request| request.stale_will_do)
}

type Found = Option<(CacheMeta, HitHandler)>;

#[async_trait]
impl Storage for Store {
    async fn lookup(&'static self, key: &CacheKey, _: &SpanHandle) -> Result<Found> {
        let request = key.extensions.get::<Request>();
        match request.and_then(|request| request.given.clone()) {
            Some(Given::Entry(entry, tier)) => return Ok(self.hand_out(entry, tier)),
            Some(Given::Fill(fill)) => {
                let found = fill.meta.to_cache_meta().zip(Joined::new(fill, last(key)));
                return Ok(found.map(|(meta, joined)| (meta, Box::new(joined) as HitHandler)));
            }
            None => {}
        }
        let Held { id, changes, entry } = self.held(key)?;
        let (mut held, mut view) = self.judge(entry).unzip();
        let is_fresh = |view: Option<View>| view.is_some_and(|view| view.times.is_fresh(SystemTime::now()));
        // It may have come in since memory was looked at.
        if !is_fresh(view) && self.changes(&id.key) != changes {
            (held, view) = self.judge(self.entry(&id)).unzip();
        }
        let is_fresh = is_fresh(view);
        if let Some(wanted) = request.and_then(|request| request.wanted).filter(|_| !is_fresh && id.variance.is_none())
            && let Some((part, _)) = self.judge(self.entry(&Id::part(id.key)))
            && let Some(found) = self.hand_out_part(&part, wanted, Tier::First)
        {
            return Ok(Some(found));
        }
        if view.is_some_and(|view| will_do(view, request)) {
            return Ok(held.and_then(|entry| self.hand_out(entry, Tier::First)));
        }
        if let Some(request) = request.filter(|request| request.second)
            && let Some(entry) = self.fetch_second(id, request).await
        {
            let newer = held.as_ref().is_none_or(|held| held.kept.stored < entry.kept.stored);
            if newer {
                return Ok(self.hand_out(entry, Tier::Second));
            }
        } else if let Some((request, wanted)) =
            request.and_then(|request| request.wanted.map(|wanted| (request, wanted)))
            && let Some(second) = self.trusted_second().filter(|_| request.second && id.variance.is_none())
            && let Some(Value::Answer(part)) = second.get(&Id::part(id.key)).await
            && let Some(found) = self.hand_out_part(&part, wanted, Tier::Second)
        {
            self.promote(part);
            return Ok(Some(found));
        }
        Ok(held.and_then(|entry| self.hand_out(entry, Tier::First)))
    }

    async fn get_miss_handler(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<MissHandler> {
        let meta = Meta::of(key_of(key)?, meta);
        let meta = meta
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "a response that did not pass the cache phase"))?;
        // Waiters for other variants must know that there are any before the first is complete.
        self.announce(&meta);
        let fill = Arc::new(Fill::new(meta));
        note(key, Brought::Fill(Arc::clone(&fill)));
        let for_all = key.extensions.get::<Request>().is_some_and(|request| request.for_all);
        Ok(Box::new(Writing::new(self, fill, lease(key), for_all)))
    }

    async fn update_meta(&'static self, key: &CacheKey, meta: &CacheMeta, _: &SpanHandle) -> Result<bool> {
        let validated = meta.extensions().get::<Arc<Entry>>();
        let (Some(validated), Some(meta)) = (validated, Meta::of(key_of(key)?, meta)) else { return Ok(false) };
        let kept = self.keep(Entry::new(&meta, &[validated.body()]), lease(key)).await;
        let stored = kept.is_some();
        if let Some(entry) = kept {
            note(key, Brought::Entry(entry));
        }
        Ok(stored)
    }

    /// Not the way in: a compact key does not name an entry of ours. The invalidation table is, and no eviction manager or
    /// PURGE method is ever installed.
    async fn purge(&'static self, _: PurgeTarget<'_>, _: PurgeType, _: &SpanHandle) -> Result<PurgeOutcome> {
        Ok(PurgeOutcome::NotFound)
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}
