//! Writing a response into the store while it comes in.

use std::sync::{Arc, atomic::Ordering};

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

/// One response being written. Dropped without `finish`, it counts as broken off.
pub(crate) struct Writing {
    store: &'static Store,
    fill: Arc<Fill>,
    /// Given back once the response is written for the other instances.
    lease: Option<Lease>,
    /// Others may read along.
    for_all: bool,
    /// The length that the head says.
    announced: Option<usize>,
    finished: bool,
}

impl Writing {
    /// Begins.
    pub(crate) fn new(store: &'static Store, fill: Arc<Fill>, lease: Option<Lease>, for_all: bool) -> Self {
        store.filling.fetch_add(1, Ordering::Relaxed);
        let announced = entry::fields(&fill.meta.head)
            .find(|(name, _)| name.eq_ignore_ascii_case(b"content-length"))
            .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok());
        Self { store, fill, lease, for_all, announced, finished: false }
    }
}

#[async_trait]
impl HandleMiss for Writing {
    async fn write_body(&mut self, data: Bytes, _: bool) -> Result<()> {
        let length = self.fill.push(data);
        // One that says how long it is can be held whole, or would not have come here.
        if self.announced.is_some() || !self.store.is_too_large(length) {
            return Ok(());
        }
        // It will not be stored, so another instance need not wait for it.
        self.lease = None;
        if !self.for_all {
            self.fill.give_up();
            return Ok(());
        }
        let passed = self.fill.pass_on(self.store.most_passed_on()).await;
        passed
            .map_err(|_| Error::explain(ErrorType::ConnectionClosed, "nobody reads the response any more").into_down())
    }

    async fn finish(mut self: Box<Self>) -> Result<MissFinishType> {
        self.finished = true;
        let (pieces, length) = self.fill.body();
        if self.announced.is_some_and(|announced| announced != length) {
            self.fill.end(End::Broken);
            let message = "the body is not as long as announced";
            return Err(Error::explain(ErrorType::ConnectionClosed, message).into_up());
        }
        // Stored before its end is told, so that nobody in between finds neither.
        if !self.store.is_too_large(length) {
            // What is not kept was purged meanwhile; its readers get it all the same.
            let _kept = self.store.keep(Entry::new(&self.fill.meta, &pieces), self.lease.take()).await;
        }
        self.fill.end(End::Complete);
        Ok(MissFinishType::Created(length))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.store.filling.fetch_sub(1, Ordering::Relaxed);
        if !self.finished {
            self.fill.end(End::Broken);
        }
    }
}
