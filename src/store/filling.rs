//! Responses on their way from the upstream into the store. Who waits for one reads along instead of asking the upstream
//! again, and the fetch goes on when the client that began it leaves.
//!
//! One that turns out too large to be stored goes on to those who read it already ([`Fill::pass_on`]): what all of them have
//! is dropped, and the fetch waits for the slowest, so that a bounded part of it is held.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use foldhash::fast::RandomState;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::entry::Meta;
use super::id::Id;

/// A reader that takes nothing for this long, while the fetch waits for it, is left behind.
const STALLED: Duration = Duration::from_secs(10);

/// The largest piece that is read at once of a response that is too large to be stored.
const LARGEST: usize = 256 << 10;

/// The reader that runs in the task of the fetch can't be waited for: it is left behind at so many times the bound.
const BEHIND: usize = 2;

/// How a fill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of the body is there.
    Complete,
    /// The upstream broke off: readers must not take what they have for the whole.
    Broken,
}

/// One response being received.
#[derive(Debug)]
pub(crate) struct Fill {
    /// Tells fills of one entry apart.
    pub(crate) number: [u8; 8],
    /// Identity, policy and head; complete from the start.
    pub(crate) meta: Meta,
    state: Mutex<State>,
    grown: Notify,
    /// A reader has taken something, or left.
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<Bytes>,
    /// The number of the first of them: more than 0 once pieces are dropped that all readers have.
    first: usize,
    /// Bytes in `pieces`.
    held: usize,
    /// Bytes in all.
    length: usize,
    end: Option<End>,
    passes_on: bool,
    last_reader: u64,
    readers: HashMap<u64, Place, RandomState>,
}

/// How far a reader is.
#[derive(Debug, Clone, Copy)]
struct Place {
    next: usize,
    since: Instant,
    /// It is read by the task that writes.
    own: bool,
}

impl State {
    /// Drops what all readers have.
    fn trim(&mut self) {
        let end = self.first + self.pieces.len();
        let needed = self.readers.values().map(|place| place.next).min().unwrap_or(end);
        while self.first < needed {
            let Some(piece) = self.pieces.pop_front() else { return };
            self.held -= piece.len();
            self.first += 1;
        }
    }
}

impl Fill {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a piece of the body; gives the length so far.
    pub(crate) fn push(&self, piece: Bytes) -> usize {
        let mut state = self.lock();
        state.length += piece.len();
        if !piece.is_empty() {
            state.held += piece.len();
            state.pieces.push_back(piece);
        }
        let length = state.length;
        drop(state);
        self.grown.notify_waiters();
        length
    }

    /// Says that no more will come.
    pub(crate) fn end(&self, end: End) {
        self.lock().end.get_or_insert(end);
        self.grown.notify_waiters();
    }

    /// The whole body, for the entry, and its length. Nothing of it after [`Fill::pass_on`].
    pub(crate) fn body(&self) -> (Vec<Bytes>, usize) {
        let state = self.lock();
        let pieces = if state.passes_on { Vec::new() } else { state.pieces.iter().cloned().collect() };
        (pieces, state.length)
    }

    /// From now on it is only passed on to those who read it: waits until no more than `most` bytes are held. Call it after
    /// each piece.
    ///
    /// # Errors
    /// When nobody reads it.
    pub(crate) async fn pass_on(&self, most: usize) -> Result<(), End> {
        loop {
            let moved = self.moved.notified();
            let ahead = {
                let mut state = self.lock();
                state.passes_on = true;
                state.trim();
                let first = state.first;
                if state.held > most {
                    let (end, now) = (state.first + state.pieces.len(), Instant::now());
                    let far = state.held > most.saturating_mul(BEHIND);
                    state.readers.retain(|_, place| match place.own {
                        true => !far || place.next > first,
                        false => place.next == end || now - place.since < STALLED,
                    });
                    state.trim();
                }
                if state.readers.is_empty() {
                    return Err(End::Broken);
                }
                if state.held <= most {
                    return Ok(());
                }
                let first = state.first;
                state.readers.values().any(|place| place.own && place.next == first).then_some(state.held)
            };
            // Those who were left behind must hear of it.
            self.grown.notify_waiters();
            match ahead {
                // It goes on only when this returns. The further it is behind, the longer the fetch rests.
                Some(held) => {
                    let part = (held - most) as f64 / (most * (BEHIND - 1)) as f64;
                    sleep(Duration::from_millis(5).mul_f64(200_f64.powf(part.min(1.0)))).await;
                    return Ok(());
                }
                None => drop(timeout(STALLED, moved).await),
            }
        }
    }

    /// The next piece for a reader, once it is there. `Ok(None)` after the last.
    async fn piece(&self, reader: u64) -> Result<Option<Bytes>, End> {
        loop {
            // Registered before the look, so that a piece in between is not missed.
            let grown = self.grown.notified();
            {
                let mut guard = self.lock();
                let state = &mut *guard;
                let Some(place) = state.readers.get_mut(&reader) else { return Err(End::Broken) };
                let at = place.next - state.first;
                if let Some(piece) = state.pieces.get(at) {
                    let mut piece = piece.clone();
                    let mut taken = 1;
                    if state.passes_on {
                        // In few steps, so that who reads in the task that writes keeps up with it.
                        let fits = |length: &mut usize, more: &Bytes| {
                            *length += more.len();
                            Some(*length <= LARGEST)
                        };
                        taken = state.pieces.range(at..).scan(0, fits).take_while(|fits| *fits).count().max(1);
                        if taken > 1 {
                            let mut all = BytesMut::new();
                            state.pieces.range(at..at + taken).for_each(|piece| all.extend_from_slice(piece));
                            piece = all.freeze();
                        }
                        self.moved.notify_waiters();
                    }
                    place.next += taken;
                    place.since = Instant::now();
                    return Ok(Some(piece));
                }
                match state.end {
                    Some(End::Complete) => return Ok(None),
                    Some(End::Broken) => return Err(End::Broken),
                    None => {}
                }
            }
            grown.await;
        }
    }
}

/// Reads a fill from its beginning.
pub(crate) struct Reader {
    fill: Arc<Fill>,
    number: u64,
}

impl Reader {
    /// `own`: it is read by the task that writes. `None` where the beginning is there no more.
    pub(crate) fn new(fill: Arc<Fill>, own: bool) -> Option<Self> {
        let number = {
            let mut state = fill.lock();
            if state.first > 0 {
                return None;
            }
            state.last_reader += 1;
            let number = state.last_reader;
            state.readers.insert(number, Place { next: 0, since: Instant::now(), own });
            number
        };
        Some(Self { fill, number })
    }

    /// Whether no piece follows those that were read, once that is known.
    ///
    /// # Errors
    /// When the upstream broke off, or this reader was too slow.
    pub(crate) async fn is_over(&self) -> Result<bool, End> {
        loop {
            let grown = self.fill.grown.notified();
            {
                let state = self.fill.lock();
                let Some(place) = state.readers.get(&self.number) else { return Err(End::Broken) };
                match state.end {
                    _ if place.next < state.first + state.pieces.len() => return Ok(false),
                    Some(End::Complete) => return Ok(true),
                    Some(End::Broken) => return Err(End::Broken),
                    None => {}
                }
            }
            grown.await;
        }
    }

    /// The next piece, once it is there. `Ok(None)` after the last.
    ///
    /// # Errors
    /// When the upstream broke off, or this reader was too slow.
    pub(crate) async fn piece(&self) -> Result<Option<Bytes>, End> {
        self.fill.piece(self.number).await
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.fill.lock().readers.remove(&self.number);
        self.fill.moved.notify_waiters();
    }
}

/// The fills under way. At most one is joined for each entry: the newest.
#[derive(Debug, Default)]
pub(crate) struct Fills {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    /// Ids are digests already, so a quick hash is as good as a strong one.
    by_id: HashMap<Id, Arc<Fill>, RandomState>,
    by_number: HashMap<[u8; 8], Arc<Fill>, RandomState>,
}

impl Fills {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one.
    pub(crate) fn begin(&self, meta: Meta) -> Arc<Fill> {
        let mut table = self.lock();
        table.last += 1;
        let number = table.last.to_be_bytes();
        let id = meta.id;
        let (grown, moved) = (Notify::new(), Notify::new());
        let fill = Arc::new(Fill { number, meta, state: Mutex::default(), grown, moved });
        table.by_id.insert(id, Arc::clone(&fill));
        table.by_number.insert(number, Arc::clone(&fill));
        fill
    }

    /// The fill that a request with this id may join.
    pub(crate) fn join(&self, id: &Id) -> Option<Arc<Fill>> {
        self.lock().by_id.get(id).cloned()
    }

    /// The fill with this number, for the request that began it.
    pub(crate) fn own(&self, number: &[u8]) -> Option<Arc<Fill>> {
        self.lock().by_number.get(number).cloned()
    }

    /// Lets no one else join it.
    pub(crate) fn hide(&self, fill: &Fill) {
        let mut table = self.lock();
        if table.by_id.get(&fill.meta.id).is_some_and(|known| known.number == fill.number) {
            table.by_id.remove(&fill.meta.id);
        }
    }

    /// Forgets it; readers keep what they hold.
    pub(crate) fn finish(&self, fill: &Fill, end: End) {
        self.hide(fill);
        self.lock().by_number.remove(&fill.number);
        fill.end(end);
    }

    /// How many are under way.
    pub(crate) fn count(&self) -> usize {
        self.lock().by_number.len()
    }
}
