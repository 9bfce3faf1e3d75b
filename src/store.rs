//! The answers that are kept: the only door to cached bytes, for the front door and for Pingora's cache alike.
//!
//! In memory, weighed in bytes, admitted by TinyLFU, each entry gone when it is of no more use; and, where Redis is
//! configured, in a second tier that all instances share. An answer with `Vary` is kept in a slot of its own; the key's
//! first slot then holds the list of variants, of which there are at most [`MAX_VARIANTS`], so that a client can't fill the
//! memory by inventing field values. What was purged is found out when it is looked at.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use addrgate_filters::{
    cache_key::Key,
    http::cache_policy::{freshness::Windows, part::Wanted, reuse::Times, vary},
    http::head::Headers,
};
use http::{HeaderMap, HeaderName};
use moka::{Expiry, ops::compute::Op, sync::Cache};

mod changes;
mod coded;
pub(crate) mod entry;
mod envelope;
mod filling;
mod hit;
mod id;
mod miss;
mod second;
mod storage;

use crate::invalidation::{Invalidation, Validity};
pub(crate) use coded::Algorithm;
pub(crate) use entry::{Entry, Kept, MAX_NAMES, Meta, NOTED, Tier, names};
pub(crate) use filling::{End as Filled, Fill};
pub(crate) use id::Id;
pub(crate) use second::{Second, Writer};
pub(crate) use storage::cache_key;

/// Variants kept of one key; the oldest gives way.
const MAX_VARIANTS: usize = 8;

/// Bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of all entries in memory together, with their overhead; 0: none is kept there.
    pub(crate) total: u64,
    /// Bytes of one body.
    pub(crate) entry: usize,
}

/// What memory has for a request, not yet judged.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// What the request means, as far as it is known which fields select a variant.
    pub(crate) id: Id,
    /// [`Store::changes`] before the look.
    pub(crate) changes: u32,
    pub(crate) entry: Option<Arc<Entry>>,
}

/// A request's part in its cache key, carried through Pingora.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// What memory has for it.
    pub(crate) held: Held,
    /// Its fields, where the second tier may know better which of them select a variant.
    pub(crate) headers: Option<Arc<HeaderMap>>,
    /// What another request's fetch, or its own, brought already.
    pub(crate) given: Option<Given>,
    /// What came of the fetch that it makes for all.
    pub(crate) brought: Arc<Mutex<Option<Brought>>>,
    /// It fetches for all.
    pub(crate) for_all: bool,
    /// The second tier was asked, and had nothing that will do.
    pub(crate) looked: bool,
    /// The right to fetch for all instances.
    pub(crate) lease: Arc<Mutex<Option<second::Lease>>>,
    /// So long it waits for what another instance fetches before it fetches, too.
    pub(crate) until: tokio::time::Instant,
    /// Set where another instance fetches still.
    pub(crate) contended: Arc<AtomicBool>,
    /// What is kept may be used stale while it is refreshed, so the second tier need not be asked.
    pub(crate) stale_will_do: bool,
    /// The second tier may have it.
    pub(crate) second: bool,
    /// The part that it asks for, where a kept part will do.
    pub(crate) wanted: Option<Wanted>,
    /// To be set with the last piece of a body that is still coming in, where the request needs to know it.
    pub(crate) last: Option<Arc<AtomicBool>>,
}

/// A response that a request got without looking for it.
#[derive(Debug, Clone)]
pub(crate) enum Given {
    /// Stored, and found there.
    Entry(Arc<Entry>, Tier),
    /// Coming in.
    Fill(Arc<Fill>),
}

/// What came of a fetch, once the head is there.
#[derive(Debug, Clone)]
pub(crate) enum Brought {
    /// A new response that is being stored.
    Fill(Arc<Fill>),
    /// The stored one was validated.
    Entry(Arc<Entry>),
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

/// How an answer may be used now, purges and the state of their log considered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View {
    pub(crate) times: Times,
    pub(crate) windows: Windows,
}

impl View {
    /// Whether it may go out though stale, while it is refreshed (RFC 5861 section 3).
    pub(crate) fn is_servable_stale(&self, now: SystemTime) -> bool {
        !self.times.is_fresh(now) && now < self.times.fresh_until + self.windows.while_revalidate
    }
}

/// See the module.
pub(crate) struct Store {
    /// Its keys are digests already, so a quick hash is as good as a strong one.
    memory: Cache<Id, Slot, foldhash::fast::RandomState>,
    changes: changes::Changes,
    second: Option<Second>,
    /// Responses being stored.
    filling: AtomicUsize,
    limits: Limits,
    invalidation: Arc<Invalidation>,
    /// Stale windows are so many times as long; 1: as the answers say.
    stretch: AtomicU32,
    /// Bytes that may be used now; no more than `limits.total`.
    room: AtomicU64,
}

impl Store {
    /// An empty store.
    pub(crate) fn new(limits: Limits, invalidation: Arc<Invalidation>, second: Option<Second>) -> Self {
        let memory = Cache::builder()
            .name("answers")
            .max_capacity(limits.total)
            .weigher(|_: &Id, slot: &Slot| u32::try_from(slot.weight()).unwrap_or(u32::MAX))
            .expire_after(Usefulness)
            .build_with_hasher(foldhash::fast::RandomState::default());
        let (stretch, room) = (AtomicU32::new(1), AtomicU64::new(limits.total));
        let (changes, filling) = (changes::Changes::default(), AtomicUsize::new(0));
        Self { memory, changes, second, filling, limits, invalidation, stretch, room }
    }

    /// From now on no more than this share of the memory is used; what is too much goes, what was used least first. Gives the
    /// bytes that are left. May take a moment.
    pub(crate) fn shrink(&self, share: f64) -> u64 {
        let room = (self.limits.total as f64 * share.clamp(0.0, 1.0)) as u64;
        self.room.store(room, Ordering::Relaxed);
        self.memory.run_pending_tasks();
        let mut bytes = self.memory.weighted_size();
        for uses in [1, 8, u32::MAX] {
            for (id, slot) in &self.memory {
                if bytes <= room {
                    break;
                }
                if slot.uses() <= uses {
                    bytes = bytes.saturating_sub(slot.weight() as u64);
                    self.memory.invalidate(&*id);
                    self.changes.note(&id.key);
                }
            }
        }
        self.memory.run_pending_tasks();
        self.memory.weighted_size()
    }

    /// From now on stale windows are so many times as long ([`addrgate_filters::traffic::degrade`]), as far as answers are kept.
    pub(crate) fn stretch(&self, times: u32) {
        self.stretch.store(times.max(1), Ordering::Relaxed);
    }

    /// The kept answer for a request, if it is in memory and fresh: the door's way, which must cost next to nothing.
    pub(crate) fn fresh(&self, key: &Key, request: Headers<'_>, now: SystemTime) -> Option<Arc<Entry>> {
        self.find(key, request).entry.filter(|entry| self.is_fresh(entry, now))
    }

    /// Whether an answer that was found is fresh, as far as it was not replaced ([`Store::changes`]).
    pub(crate) fn is_fresh(&self, entry: &Entry, now: SystemTime) -> bool {
        let trusted = self.invalidation.trusted_until(entry.kept.stored).is_none_or(|until| now < until);
        entry.kept.times.is_fresh(now) && trusted && self.is_valid(entry)
    }

    /// A number that is another one once something else is kept under a key. Read before one looks for what is kept, it tells
    /// later on whether that would be found again.
    pub(crate) fn changes(&self, key: &Key) -> u32 {
        self.changes.of(key)
    }

    /// Whether a kept body is there in a coding ([`Entry::coded`]); `Some(false)` where the coding is of no use. The first who
    /// asks has it made behind the reply.
    pub(crate) fn coded(&'static self, entry: &Arc<Entry>, algorithm: Algorithm, level: u8) -> Option<bool> {
        let made = entry.codings.get(algorithm);
        if made.is_none() && entry.codings.begin(algorithm) {
            let entry = Arc::clone(entry);
            tokio::task::spawn_blocking(move || {
                entry.codings.make(algorithm, level, entry.wire().1);
                self.weigh_again(entry);
            });
        }
        made.map(|body| body.is_some())
    }

    /// An entry has grown: its bytes count, unless another one has taken its place.
    fn weigh_again(&self, entry: Arc<Entry>) {
        self.memory.entry(entry.id).and_compute_with(|slot| match slot.map(moka::Entry::into_value) {
            Some(Slot::Answer(held)) if Arc::ptr_eq(&held, &entry) => Op::Put(Slot::Answer(held)),
            _ => Op::Nop,
        });
    }

    /// What memory has for a request.
    pub(crate) fn find(&self, key: &Key, request: Headers<'_>) -> Held {
        let changes = self.changes(key);
        let primary = Id::primary(*key);
        let (id, entry) = match self.memory.get(&primary) {
            None => (primary, None),
            Some(Slot::Answer(entry)) => (primary, Some(entry)),
            Some(Slot::Variants(variants)) => {
                let id = Id { key: *key, variance: Some(vary::variance(&variants.fields, request)) };
                (id, self.entry(&id))
            }
        };
        Held { id, changes, entry }
    }

    /// How a kept answer may be used; `None` where it was purged.
    pub(crate) fn view(&self, kept: &Kept) -> Option<View> {
        let mut view =
            View { times: kept.times, windows: kept.windows.stretched(self.stretch.load(Ordering::Relaxed)) };
        let purged = match self.invalidation.judge(&kept.names, kept.clock) {
            Validity::Valid => None,
            Validity::Stale => Some(SystemTime::now()),
            Validity::Gone => return None,
        };
        let trusted = self.invalidation.trusted_until(kept.stored);
        if let Some(end) = purged.into_iter().chain(trusted).min().filter(|end| *end < kept.times.fresh_until) {
            // Its own windows stay open as long as they would have, unless it must not be served stale at all.
            let early = kept.times.fresh_until.duration_since(end).unwrap_or_default();
            view.times.fresh_until = end;
            if kept.windows.on_request {
                view.windows.while_revalidate += early;
                view.windows.if_error += early;
            }
        }
        Some(view)
    }

    /// Whether nothing of an answer was purged. Looks only where something was purged since the last time.
    fn is_valid(&self, entry: &Entry) -> bool {
        let version = self.invalidation.version();
        if entry.valid_at.load(Ordering::Acquire) == version {
            return true;
        }
        let valid = self.invalidation.judge(&entry.kept.names, entry.kept.clock) == Validity::Valid;
        if valid {
            entry.valid_at.store(version, Ordering::Release);
        }
        valid
    }

    fn entry(&self, id: &Id) -> Option<Arc<Entry>> {
        match self.memory.get(id)? {
            Slot::Answer(entry) => Some(entry),
            Slot::Variants(_) => None,
        }
    }

    /// Whether nothing of a response was purged since its fetch began.
    pub(crate) fn holds(&self, kept: &Kept) -> bool {
        self.invalidation.judge(&kept.names, kept.clock) == Validity::Valid
    }

    /// Keeps an answer in both tiers, and gives the lease back once it is in the second. `None` for what was purged while it
    /// was fetched.
    async fn keep(&self, entry: Entry, lease: Option<second::Lease>) -> Option<Arc<Entry>> {
        if !self.holds(&entry.kept) {
            return None;
        }
        let entry = Arc::new(entry);
        self.insert(Arc::clone(&entry));
        match &self.second {
            Some(second) if self.has_memory() => second.keep(Arc::clone(&entry), lease),
            // Without memory nobody would find an answer that is written behind the reply.
            Some(second) => second.keep_now(&entry).await,
            None => {}
        }
        Some(entry)
    }

    /// Keeps an answer in memory, for as long as it is of use.
    fn insert(&self, entry: Arc<Entry>) {
        let room = self.room.load(Ordering::Relaxed);
        let fits = room == self.limits.total || self.memory.weighted_size() + entry.weight() as u64 <= room;
        if !fits {
            // What it would have replaced is older.
            self.memory.invalidate(&entry.id);
            self.changes.note(&entry.id.key);
            return;
        }
        self.announce(&entry.meta());
        if self.has_memory() {
            let id = entry.id;
            self.memory.insert(id, Slot::Answer(entry));
            self.changes.note(&id.key);
        }
    }

    /// Puts what the second tier has into memory, unless that has something newer: what was fetched while Redis was away.
    fn promote(&self, entry: Arc<Entry>) {
        let held = self.entry(&entry.id);
        if held.is_none_or(|held| held.kept.stored <= entry.kept.stored) {
            self.insert(entry);
        }
    }

    /// The bytes of the largest body that is stored.
    pub(crate) fn largest(&self) -> usize {
        self.limits.entry
    }

    /// Whether a body of this length is not kept.
    pub(crate) fn is_too_large(&self, length: usize) -> bool {
        length > self.limits.entry
    }

    /// How much of a response that is too large to be stored is held for the slowest of those who read it.
    pub(crate) fn most_passed_on(&self) -> usize {
        self.limits.entry.saturating_mul(16).max(4 << 20)
    }

    fn has_memory(&self) -> bool {
        self.limits.total > 0
    }

    /// Notes the variant of an answer in the key's first slot.
    fn announce(&self, meta: &Meta) {
        let (Some(variance), Some(fields)) = (meta.id.variance, meta.kept.vary.as_ref()) else { return };
        if !self.has_memory() {
            return;
        }
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
        self.changes.note(&meta.id.key);
        for variance in outdated {
            self.memory.invalidate(&Id { key: meta.id.key, variance: Some(variance) });
        }
    }

    /// The second tier, for status.
    pub(crate) fn second(&self) -> Option<&Second> {
        self.second.as_ref()
    }

    /// Entries and bytes held, and answers on their way; for metrics.
    pub(crate) fn size(&self) -> Size {
        // Without traffic nothing else would count what was written last.
        self.memory.run_pending_tasks();
        Size {
            entries: self.memory.entry_count(),
            bytes: self.memory.weighted_size(),
            filling: self.filling.load(Ordering::Relaxed),
        }
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

    /// How often it was used; a list of variants as its variants, about.
    fn uses(&self) -> u32 {
        match self {
            Self::Answer(entry) => entry.uses(),
            Self::Variants(_) => u32::MAX,
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
