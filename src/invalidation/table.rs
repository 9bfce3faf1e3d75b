//! What was purged, and when, by a logical clock: the whole of what an instance must know to tell whether an answer still
//! holds.
//!
//! An answer remembers the clock of the moment in which its fetch began. It is invalid when its key, one of its tags or
//! everything was purged later. So a purge costs the same whatever it hits, there is no index from tags to keys that could
//! leak or go wrong, and a fetch under way can't bring old data back.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use addrgate_filters::cache_key::Key;

/// A moment of the log, as this instance has read it. The first two parts are an id of the Redis stream; the third counts
/// purges that were applied here before the log knew of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Clock {
    pub(crate) ms: u64,
    pub(crate) seq: u64,
    pub(crate) local: u32,
}

impl Clock {
    /// The next moment that the log does not know of.
    fn next(self) -> Self {
        match self.local.checked_add(1) {
            Some(local) => Self { local, ..self },
            None => Self { ms: self.ms, seq: self.seq + 1, local: 0 },
        }
    }
}

/// The name of what can be purged: a tag or a key, as a digest, so that nothing of a client's or an upstream's choosing
/// is kept or sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name(pub(crate) [u8; 16]);

impl Name {
    /// Of a `Cache-Tag` member: bytes. What is not UTF-8 is read as Latin-1, the older habit of fields, so that a purge, which
    /// is text, can name it.
    pub(crate) fn tag(tag: impl AsRef<[u8]>) -> Self {
        let tag = tag.as_ref();
        match std::str::from_utf8(tag) {
            Ok(_) => Self::of(b"tag:", tag),
            Err(_) => Self::of(b"tag:", tag.iter().copied().map(char::from).collect::<String>().as_bytes()),
        }
    }

    /// Of an answer's key, with all its variants.
    pub(crate) fn key(key: &Key) -> Self {
        Self::of(b"key:", &key.0)
    }

    fn of(kind: &[u8], text: &[u8]) -> Self {
        let mut hash = blake3::Hasher::new();
        hash.update(kind).update(text);
        let mut name = [0; 16];
        hash.finalize_xof().fill(&mut name);
        Self(name)
    }
}

/// What is purged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Every answer.
    All,
    /// What bears one of the names.
    Names(Vec<Name>),
}

/// One purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Purge {
    pub(crate) target: Target,
    /// Stale rather than gone: still served while it is refreshed, or when the upstream fails.
    pub(crate) soft: bool,
}

/// Whether an answer still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    /// Nothing of it was purged since its fetch began.
    Valid,
    /// It counts as stale.
    Stale,
    /// It counts as gone.
    Gone,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Table {
    /// Changes with every purge, so that an answer that was looked at need not be looked at again before.
    version: AtomicU64,
    marks: RwLock<Marks>,
    most: usize,
}

#[derive(Debug, Default)]
struct Marks {
    now: Clock,
    /// Everything older is gone.
    all_gone: Clock,
    /// Everything older is stale.
    all_stale: Clock,
    gone: HashMap<Name, Clock>,
    stale: HashMap<Name, Clock>,
    /// In the order of purges; some are outdated by later ones of the same name.
    order: VecDeque<(Name, Clock, bool)>,
}

impl Table {
    /// Empty. Remembers so many names; when there are more, the oldest is forgotten, and its purge then counts for
    /// everything that old.
    pub(crate) fn new(most: usize) -> Self {
        Self { version: AtomicU64::new(1), marks: RwLock::default(), most }
    }

    /// The newest moment that was read or applied.
    pub(crate) fn now(&self) -> Clock {
        self.read().now
    }

    /// The number of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Applies a purge of the log, or one that the log does not know of yet. It is always later than everything before,
    /// also where the log's ids went back.
    pub(crate) fn apply(&self, purge: &Purge, id: Option<Clock>) -> Clock {
        self.change(|marks, most| {
            let clock = id.filter(|id| *id > marks.now).unwrap_or(marks.now.next());
            marks.now = clock;
            match (&purge.target, purge.soft) {
                (Target::All, true) => marks.all_stale = clock,
                (Target::All, false) => marks.all_gone = clock,
                (Target::Names(names), soft) => {
                    for name in names {
                        let known = if soft { &mut marks.stale } else { &mut marks.gone };
                        known.insert(*name, clock);
                        marks.order.push_back((*name, clock, soft));
                    }
                }
            }
            marks.forget(most);
            clock
        })
    }

    /// Notes an entry of the log that purges nothing.
    pub(crate) fn pass(&self, id: Clock) {
        self.change(|marks, _| marks.now = marks.now.max(id));
    }

    /// Purges may have been missed: everything up to now counts as stale.
    pub(crate) fn distrust(&self) {
        self.change(|marks, _| {
            marks.now = marks.now.next();
            marks.all_stale = marks.now;
        });
    }

    /// The log remembers nothing before this moment: what is older counts as stale.
    pub(crate) fn floor(&self, id: Clock) {
        self.change(|marks, _| {
            marks.all_stale = marks.all_stale.max(id);
            marks.now = marks.now.max(id);
        });
    }

    /// Whether an answer with these names, fetched from `clock` on, still holds.
    pub(crate) fn judge(&self, names: &[Name], clock: Clock) -> Validity {
        let marks = self.read();
        let purged =
            |known: &HashMap<Name, Clock>| names.iter().any(|name| known.get(name).is_some_and(|at| *at > clock));
        if marks.all_gone > clock || purged(&marks.gone) {
            Validity::Gone
        } else if marks.all_stale > clock || purged(&marks.stale) {
            Validity::Stale
        } else {
            Validity::Valid
        }
    }

    /// How many names are remembered.
    pub(crate) fn len(&self) -> usize {
        let marks = self.read();
        marks.gone.len() + marks.stale.len()
    }

    fn change<R>(&self, change: impl FnOnce(&mut Marks, usize) -> R) -> R {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut marks, self.most);
        // Under the lock: who sees the new version also sees what it stands for.
        self.version.fetch_add(1, Ordering::AcqRel);
        result
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Marks> {
        self.marks.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks {
    fn forget(&mut self, most: usize) {
        while self.order.len() > most {
            let Some((name, clock, soft)) = self.order.pop_front() else { return };
            let known = if soft { &mut self.stale } else { &mut self.gone };
            if known.get(&name) == Some(&clock) {
                known.remove(&name);
                // Nobody knows any more what that name was on.
                let all = if soft { &mut self.all_stale } else { &mut self.all_gone };
                *all = (*all).max(clock);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(ms: u64) -> Option<Clock> {
        Some(Clock { ms, ..Clock::default() })
    }

    fn tags(names: &[&str]) -> Vec<Name> {
        names.iter().map(Name::tag).collect()
    }

    fn purge(names: &[&str], soft: bool) -> Purge {
        Purge { target: Target::Names(tags(names)), soft }
    }

    #[test]
    fn what_was_fetched_before_a_purge_is_invalid_and_what_after_is_not() {
        let table = Table::new(10);
        let before = table.now();
        let version = table.version();
        table.apply(&purge(&["a"], false), id(5));
        assert_ne!(table.version(), version);
        assert_eq!(table.judge(&tags(&["x", "a"]), before), Validity::Gone);
        assert_eq!(table.judge(&tags(&["x"]), before), Validity::Valid);
        assert_eq!(table.judge(&tags(&["a"]), table.now()), Validity::Valid);
        table.apply(&purge(&["x"], true), id(6));
        assert_eq!(table.judge(&tags(&["x"]), before), Validity::Stale);
        table.apply(&Purge { target: Target::All, soft: false }, id(7));
        assert_eq!(table.judge(&[], before), Validity::Gone);
    }

    #[test]
    fn purges_before_the_log_knows_and_ids_that_go_back_count_all_the_same() {
        let table = Table::new(10);
        table.apply(&purge(&["a"], false), id(100));
        let fetched = table.now();
        let local = table.apply(&purge(&["b"], false), None);
        assert!(local > fetched && local < Clock { ms: 100, seq: 1, local: 0 });
        assert_eq!(table.judge(&tags(&["b"]), fetched), Validity::Gone);
        let fetched = table.now();
        table.apply(&purge(&["c"], false), id(7));
        assert_eq!(table.judge(&tags(&["c"]), fetched), Validity::Gone, "an id from the past");
    }

    #[test]
    fn what_is_forgotten_counts_for_everything_that_old() {
        let table = Table::new(2);
        let old = table.now();
        for (i, name) in ["a", "b", "c"].into_iter().enumerate() {
            table.apply(&purge(&[name], false), id(i as u64 + 1));
        }
        assert_eq!(table.judge(&tags(&["z"]), old), Validity::Gone);
        assert_eq!(table.judge(&tags(&["z"]), Clock { ms: 1, ..Clock::default() }), Validity::Valid);
        assert_eq!(table.judge(&tags(&["c"]), old), Validity::Gone);
        // A name that is purged over and over takes one place.
        for ms in 10..100 {
            table.apply(&purge(&["c"], false), id(ms));
        }
        assert!(table.len() <= 2);
    }

    #[test]
    fn distrust_and_floor_make_stale_and_not_gone() {
        let table = Table::new(10);
        let old = table.now();
        table.distrust();
        assert_eq!(table.judge(&[], old), Validity::Stale);
        assert_eq!(table.judge(&[], table.now()), Validity::Valid);
        table.floor(Clock { ms: 50, ..Clock::default() });
        assert_eq!(table.judge(&[], Clock { ms: 49, ..Clock::default() }), Validity::Stale);
    }

    proptest! {
        /// Against a list of all purges: never valid where the list says it is not, however small the table.
        #[test]
        fn never_too_trusting(
            purges in proptest::collection::vec((0u8..6, any::<bool>(), 0u64..20), 1..60), most in 1usize..8,
        ) {
            let table = Table::new(most);
            let mut fetched = vec![(table.now(), 0)];
            for (i, (name, soft, ms)) in purges.iter().enumerate() {
                table.apply(&purge(&[&name.to_string()], *soft), id(*ms));
                fetched.push((table.now(), i + 1));
            }
            for (clock, after) in fetched {
                for name in 0u8..6 {
                    let hit = purges[after..].iter().filter(|(other, ..)| *other == name);
                    let worst = hit.map(|(_, soft, _)| if *soft { 1 } else { 2 }).max().unwrap_or(0);
                    let judged = match table.judge(&tags(&[&name.to_string()]), clock) {
                        Validity::Valid => 0,
                        Validity::Stale => 1,
                        Validity::Gone => 2,
                    };
                    prop_assert!(judged >= worst, "{name} fetched after {after}: {judged} < {worst}");
                }
            }
        }
    }
}
