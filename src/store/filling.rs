//! Responses on their way from the upstream: clients read along while they come in.
//!
//! One that turns out too large to be held goes on to those who read it already ([`Fill::pass_on`]): what all of them have
//! is dropped, and the fetch waits for the slowest, so that a bounded part of it is held.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use foldhash::fast::RandomState;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::entry::Meta;

/// A reader that takes nothing for this long, while the fetch waits for it, is left behind.
const STALLED: Duration = Duration::from_secs(10);

/// The largest piece that is read at once of a response that is too large to be stored.
const LARGEST: usize = 256 << 10;

/// Those who waited for the fetch have so long to begin to read.
const JOINING: Duration = Duration::from_secs(1);

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
    /// Identity, policy and head; complete from the start.
    pub(crate) meta: Meta,
    begun: Instant,
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
    /// Nothing of the body is there.
    pub(crate) fn new(meta: Meta) -> Self {
        let (grown, moved) = (Notify::new(), Notify::new());
        Self { meta, begun: Instant::now(), state: Mutex::default(), grown, moved }
    }

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
        let waits = Instant::now();
        loop {
            let moved = self.moved.notified();
            let joining = self.begun.elapsed() < JOINING;
            {
                let mut state = self.lock();
                let over = state.held > most;
                // Nothing goes before those who waited for the fetch had time to begin.
                if !joining || over && !state.readers.is_empty() {
                    state.passes_on = true;
                    state.trim();
                }
                if state.held > most && state.passes_on {
                    let end = state.first + state.pieces.len();
                    state.readers.retain(|_, place| place.next == end || place.since.max(waits).elapsed() < STALLED);
                    state.trim();
                }
                if state.readers.is_empty() && !joining {
                    return Err(End::Broken);
                }
                if state.held <= most {
                    return Ok(());
                }
            }
            // Those who were left behind must hear of it.
            self.grown.notify_waiters();
            drop(timeout(if joining { JOINING } else { STALLED }, moved).await);
        }
    }

    /// It will not be stored, and nobody reads it: drops what is held of it.
    pub(crate) fn give_up(&self) {
        let mut state = self.lock();
        state.passes_on = true;
        state.trim();
    }

    /// How many bytes of the body have come.
    pub(crate) fn length(&self) -> usize {
        self.lock().length
    }

    /// Waits until all of the body is there, so much of it, or `time` is over. `Some(Broken)` where it broke off.
    pub(crate) async fn settled(&self, most: usize, time: Duration) -> Option<End> {
        let settled = async {
            loop {
                let grown = self.grown.notified();
                {
                    let state = self.lock();
                    if state.end.is_some() || state.length >= most {
                        return state.end;
                    }
                }
                grown.await;
            }
        };
        timeout(time, settled).await.ok().flatten()
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
    /// `None` where the beginning is there no more.
    pub(crate) fn new(fill: Arc<Fill>) -> Option<Self> {
        let number = {
            let mut state = fill.lock();
            if state.first > 0 {
                return None;
            }
            state.last_reader += 1;
            let number = state.last_reader;
            state.readers.insert(number, Place { next: 0, since: Instant::now() });
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
