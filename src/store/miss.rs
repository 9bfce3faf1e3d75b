//! Writing an answer into the store while it comes in.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use pingora::{
    Error, ErrorType, Result,
    cache::storage::{HandleMiss, MissFinishType},
};

use super::{
    Store,
    entry::{self, Entry},
    filling::{End, Fill},
    second::Lease,
};

/// How many times the largest entry an answer of unknown length may grow to while it streams through, before the request
/// is given up. Such an answer is not kept, but its readers still get it.
const STREAMED: usize = 16;

/// One answer being written. Dropped without `finish`, it counts as broken off.
pub(crate) struct Writing {
    store: &'static Store,
    fill: Arc<Fill>,
    /// Given back once the answer is written for the other instances.
    lease: Option<Lease>,
    oversize: bool,
    finished: bool,
}

impl Writing {
    /// Begins.
    pub(crate) fn new(store: &'static Store, fill: Arc<Fill>, lease: Option<Lease>) -> Self {
        Self { store, fill, lease, oversize: false, finished: false }
    }
}

#[async_trait]
impl HandleMiss for Writing {
    async fn write_body(&mut self, data: Bytes, _: bool) -> Result<()> {
        let length = self.fill.push(data);
        if length > self.store.limits.entry && !self.oversize {
            self.oversize = true;
            self.store.fills.hide(&self.fill);
        }
        if length > self.store.limits.entry.saturating_mul(STREAMED) {
            return Error::e_explain(
                ErrorType::InternalError,
                "the answer is too large to be streamed through the cache",
            );
        }
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<MissFinishType> {
        self.finished = true;
        let pieces = self.fill.pieces();
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let announced = entry::fields(&self.fill.meta.head)
            .find(|(name, _)| name.eq_ignore_ascii_case(b"content-length"))
            .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse::<usize>().ok());
        if announced.is_some_and(|announced| announced != length) {
            self.store.fills.finish(&self.fill, End::Broken);
            return Error::e_explain(ErrorType::InternalError, "the body is not as long as announced");
        }
        // Kept before it is forgotten as a fill, so that no one in between finds neither.
        if !self.oversize {
            // What is not kept was purged meanwhile; its readers get it all the same.
            let _kept = self.store.keep(Entry::new(&self.fill.meta, &pieces), self.lease.take()).await;
        }
        self.store.fills.finish(&self.fill, End::Complete);
        Ok(MissFinishType::Created(length))
    }

    fn streaming_write_tag(&self) -> Option<&[u8]> {
        Some(&self.fill.number)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.finished {
            self.store.fills.finish(&self.fill, End::Broken);
        }
    }
}
