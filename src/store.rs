//! The answers this instance keeps: the only door to cached bytes, for the front door and for Pingora's cache alike.
//!
//! In memory, weighed in bytes, admitted by TinyLFU, each entry gone when it is of no more use. An answer with `Vary` is
//! kept in a slot of its own; the key's first slot then holds the list of variants, of which there are at most
//! [`MAX_VARIANTS`], so that a client can't fill the memory by inventing field values.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use addrgate_filters::{cache_key::Key, cache_policy::vary, head::Headers};
use http::{HeaderMap, HeaderName};
use moka::{Expiry, ops::compute::Op, sync::Cache};

pub(crate) mod entry;
mod filling;
mod hit;
mod miss;
mod storage;

use crate::coalesce::{End, LeadSlot};
pub(crate) use entry::{Entry, Id, Kept, Meta, tags};
pub(crate) use storage::cache_key;

/// Variants kept of one key; the oldest gives way.
const MAX_VARIANTS: usize = 8;

/// How long an invalidation is remembered for fetches that began before it. No fetch takes longer.
const REMEMBERED: Duration = Duration::from_secs(120);

/// Bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of all entries together, with their overhead.
    pub(crate) total: u64,
    /// Bytes of one body.
    pub(crate) entry: usize,
}

/// A request's part in its cache key, carried through Pingora.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Its fields, until it is known which of them select a variant.
    pub(crate) headers: Arc<HeaderMap>,
    /// Who waits for its fetch.
    pub(crate) lead: LeadSlot,
}

#[derive(Debug, Clone)]
enum Slot {
    Answer(Arc<Entry>),
    Variants(Arc<Variants>),
}

#[derive(Debug)]
struct Variants {
    fields: Arc<[HeaderName]>,
    /// Oldest first.
    known: Vec<[u8; 16]>,
    until: SystemTime,
}

/// See the module.
pub(crate) struct Store {
    memory: Cache<Id, Slot>,
    fills: filling::Fills,
    limits: Limits,
    /// Counts invalidations; an entry remembers its value when its fetch began.
    clock: AtomicU64,
    /// Keys invalidated lately, with the clock's value then.
    invalidated: Cache<Key, u64>,
}

impl Store {
    /// An empty store.
    pub(crate) fn new(limits: Limits) -> Self {
        let memory = Cache::builder()
            .name("answers")
            .max_capacity(limits.total)
            .weigher(|_: &Id, slot: &Slot| u32::try_from(slot.weight()).unwrap_or(u32::MAX))
            .expire_after(Usefulness)
            .build();
        let invalidated = Cache::builder().max_capacity(100_000).time_to_live(REMEMBERED).build();
        Self { memory, fills: filling::Fills::default(), limits, clock: AtomicU64::new(0), invalidated }
    }

    /// The kept answer for a request, if it is fresh.
    pub(crate) fn fresh(&self, key: &Key, request: Headers<'_>, now: SystemTime) -> Option<Arc<Entry>> {
        self.find(key, request).filter(|entry| entry.kept.times.is_fresh(now))
    }

    /// The kept answer for a request, fresh or stale.
    pub(crate) fn find(&self, key: &Key, request: Headers<'_>) -> Option<Arc<Entry>> {
        match self.memory.get(&Id::primary(*key))? {
            Slot::Answer(entry) => Some(entry),
            Slot::Variants(variants) => {
                self.entry(&Id { key: *key, variance: Some(vary::variance(&variants.fields, request)) })
            }
        }
    }

    /// Which variant a request means; `None` where nothing is known to vary.
    pub(crate) fn variance(&self, key: &Key, request: Headers<'_>) -> Option<[u8; 16]> {
        match self.memory.get(&Id::primary(*key))? {
            Slot::Answer(_) => None,
            Slot::Variants(variants) => Some(vary::variance(&variants.fields, request)),
        }
    }

    /// Whether a request for this entry can be answered without a fetch, or along with one.
    pub(crate) fn serves(&self, id: &Id) -> bool {
        let now = SystemTime::now();
        let kept =
            self.entry(id).is_some_and(|entry| entry.kept.times.is_fresh(now) || entry.kept.is_servable_stale(now));
        kept || self.fills.join(id).is_some()
    }

    fn entry(&self, id: &Id) -> Option<Arc<Entry>> {
        match self.memory.get(id)? {
            Slot::Answer(entry) => Some(entry),
            Slot::Variants(_) => None,
        }
    }

    /// The invalidation clock. A fetch takes it before it begins, so that what was invalidated meanwhile stays so.
    pub(crate) fn clock(&self) -> u64 {
        self.clock.load(Ordering::Acquire)
    }

    /// Removes a key's answers, all variants, also those on their way.
    pub(crate) fn invalidate(&self, key: &Key) {
        // In this order: whoever reads the clock from now on is newer than the invalidation.
        let clock = self.clock.fetch_add(1, Ordering::AcqRel) + 1;
        self.invalidated.insert(*key, clock);
        self.fills.hide_all(key);
        if let Some(Slot::Variants(variants)) = self.memory.remove(&Id::primary(*key)) {
            for variance in &variants.known {
                self.memory.invalidate(&Id { key: *key, variance: Some(*variance) });
            }
        }
    }

    /// Keeps an answer. `false` where it was invalidated while it was fetched.
    fn keep(&self, entry: Entry) -> bool {
        let id = entry.id;
        if self.is_outdated(&id.key, &entry.kept) {
            return false;
        }
        self.announce(&entry.meta());
        self.memory.insert(id, Slot::Answer(Arc::new(entry)));
        true
    }

    /// Whether its key was invalidated after its fetch began.
    fn is_outdated(&self, key: &Key, kept: &Kept) -> bool {
        self.invalidated.get(key).is_some_and(|clock| clock > kept.clock)
    }

    /// Notes the variant of an answer in the key's first slot.
    fn announce(&self, meta: &Meta) {
        let (Some(variance), Some(fields)) = (meta.id.variance, meta.kept.vary.as_ref()) else { return };
        let mut outdated = Vec::new();
        let until = meta.kept.until();
        self.memory.entry(Id::primary(meta.id.key)).and_compute_with(|slot| {
            outdated.clear();
            let old = match slot.map(moka::Entry::into_value) {
                Some(Slot::Variants(old)) if old.fields == *fields => old,
                // Another `Vary`: what was selected by the old one can't be found any more.
                Some(Slot::Variants(old)) => {
                    outdated.clone_from(&old.known);
                    Arc::new(Variants { fields: Arc::clone(fields), known: Vec::new(), until })
                }
                _ => Arc::new(Variants { fields: Arc::clone(fields), known: Vec::new(), until }),
            };
            if old.known.contains(&variance) && until <= old.until {
                return Op::Nop;
            }
            let mut known: Vec<_> = old.known.iter().copied().filter(|other| *other != variance).collect();
            if known.len() >= MAX_VARIANTS {
                outdated.push(known.remove(0));
            }
            known.push(variance);
            Op::Put(Slot::Variants(Arc::new(Variants {
                fields: Arc::clone(fields),
                known,
                until: until.max(old.until),
            })))
        });
        for variance in outdated {
            self.memory.invalidate(&Id { key: meta.id.key, variance: Some(variance) });
        }
    }

    /// Entries and bytes held, approximately, and answers on their way; for metrics.
    pub(crate) fn size(&self) -> Size {
        Size { entries: self.memory.entry_count(), bytes: self.memory.weighted_size(), filling: self.fills.count() }
    }
}

/// What a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Entries, lists of variants included.
    pub(crate) entries: u64,
    /// Bytes, as weighed.
    pub(crate) bytes: u64,
    /// Answers on their way.
    pub(crate) filling: usize,
}

impl Slot {
    fn weight(&self) -> usize {
        match self {
            Self::Answer(entry) => entry.weight(),
            Self::Variants(variants) => 512 + 16 * variants.known.len(),
        }
    }

    fn until(&self) -> SystemTime {
        match self {
            Self::Answer(entry) => entry.kept.until(),
            Self::Variants(variants) => variants.until,
        }
    }
}

/// Entries leave when they are of no more use.
struct Usefulness;

impl Expiry<Id, Slot> for Usefulness {
    fn expire_after_create(&self, _: &Id, slot: &Slot, _: Instant) -> Option<Duration> {
        Some(slot.until().duration_since(SystemTime::now()).unwrap_or_default())
    }

    fn expire_after_update(&self, id: &Id, slot: &Slot, now: Instant, _: Option<Duration>) -> Option<Duration> {
        self.expire_after_create(id, slot, now)
    }
}

#[cfg(test)]
mod tests;
