//! Writing a response into the store while it comes in.

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
use crate::coalesce::Coalesce;

/// One response being written. Dropped without `finish`, it counts as broken off.
pub(crate) struct Writing {
    store: &'static Store,
    fill: Arc<Fill>,
    /// Given back once the response is written for the other instances.
    lease: Option<Lease>,
    /// Where it is noted that such a response is not worth waiting for.
    coalesce: Option<Coalesce>,
    /// The length that the head says.
    announced: Option<usize>,
    oversize: bool,
    finished: bool,
}

impl Writing {
    /// Begins.
    pub(crate) fn new(
        store: &'static Store,
        fill: Arc<Fill>,
        lease: Option<Lease>,
        coalesce: Option<Coalesce>,
    ) -> Self {
        let announced = entry::fields(&fill.meta.head)
            .find(|(name, _)| name.eq_ignore_ascii_case(b"content-length"))
            .and_then(|(_, value)| std::str::from_utf8(value).ok()?.parse().ok());
        Self { store, fill, lease, coalesce, announced, oversize: false, finished: false }
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
        if !std::mem::replace(&mut self.oversize, true) {
            self.store.fills.hide(&self.fill);
            self.lease = None;
            if let Some(coalesce) = &self.coalesce {
                coalesce.pass(self.fill.meta.id);
            }
        }
        let passed = self.fill.pass_on(self.store.most_passed_on()).await;
        passed
            .map_err(|_| Error::explain(ErrorType::ConnectionClosed, "nobody reads the response any more").into_down())
    }

    async fn finish(mut self: Box<Self>) -> Result<MissFinishType> {
        self.finished = true;
        let (pieces, length) = self.fill.body();
        if self.announced.is_some_and(|announced| announced != length) {
            self.store.fills.finish(&self.fill, End::Broken);
            let message = "the body is not as long as announced";
            return Err(Error::explain(ErrorType::ConnectionClosed, message).into_up());
        }
        // Kept before it is forgotten as a fill, so that no one in between finds neither.
        if !self.store.is_too_large(length) {
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
