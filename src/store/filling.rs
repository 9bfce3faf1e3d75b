//! Answers on their way from the upstream into the store. Who waits for one reads along instead of asking the upstream
//! again, and the fetch goes on when the client that began it leaves.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use tokio::sync::Notify;

use super::entry::{Id, Meta};

/// How a fill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// All of the body is there.
    Complete,
    /// The upstream broke off: readers must not take what they have for the whole.
    Broken,
}

/// One answer being received.
#[derive(Debug)]
pub(crate) struct Fill {
    /// Tells fills of one entry apart.
    pub(crate) number: [u8; 8],
    /// Identity, policy and head; complete from the start.
    pub(crate) meta: Meta,
    state: Mutex<State>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct State {
    pieces: Vec<Bytes>,
    length: usize,
    end: Option<End>,
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
            state.pieces.push(piece);
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

    /// What has come, for the entry.
    pub(crate) fn pieces(&self) -> Vec<Bytes> {
        self.lock().pieces.clone()
    }

    /// The piece with this number, once it is there. `Ok(None)` after the last.
    ///
    /// # Errors
    /// When the upstream broke off.
    pub(crate) async fn piece(&self, number: usize) -> Result<Option<Bytes>, End> {
        loop {
            // Registered before the look, so that a piece in between is not missed.
            let grown = self.grown.notified();
            {
                let state = self.lock();
                if let Some(piece) = state.pieces.get(number) {
                    return Ok(Some(piece.clone()));
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
        let fill = Arc::new(Fill { number, meta, state: Mutex::default(), grown: Notify::new() });
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
