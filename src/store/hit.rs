//! Reading a kept answer, or one that is still coming in.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use pingora::{
    Error, ErrorType, Result,
    cache::{CacheKey, Storage, storage::HandleHit, trace::SpanHandle},
};

use super::{
    entry::Entry,
    filling::{Fill, Reader},
};

/// A complete answer's body, or a part of it.
pub(crate) struct Whole {
    body: Bytes,
    rest: Option<Bytes>,
}

impl Whole {
    /// From its beginning.
    pub(crate) fn new(entry: &Entry) -> Self {
        Self::of(entry.body())
    }

    /// These bytes of it.
    pub(crate) fn of(body: Bytes) -> Self {
        Self { rest: Some(body.clone()), body }
    }
}

#[async_trait]
impl HandleHit for Whole {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        Ok(self.rest.take().filter(|rest| !rest.is_empty()))
    }

    async fn finish(self: Box<Self>, _: &'static (dyn Storage + Sync), _: &CacheKey, _: &SpanHandle) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        let end = end.unwrap_or(self.body.len()).min(self.body.len());
        if start >= end {
            return Error::e_explain(ErrorType::InternalError, "range outside the stored body");
        }
        self.rest = Some(self.body.slice(start..end));
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}

/// A body that is still coming in.
pub(crate) struct Joined {
    reader: Reader,
    /// Read, and not given out before it is known whether it is the last.
    held: Option<Bytes>,
    /// Set with the last piece, where its reader has to know it.
    last: Option<Arc<AtomicBool>>,
    /// Bytes still to be left out, and to be given out after them; all, where no part is wanted.
    skip: usize,
    left: Option<usize>,
}

impl Joined {
    /// From its beginning; `None` where that is there no more.
    pub(crate) fn new(fill: Arc<Fill>, last: Option<Arc<AtomicBool>>) -> Option<Self> {
        Some(Self { reader: Reader::new(fill)?, held: None, last, skip: 0, left: None })
    }
}

#[async_trait]
impl HandleHit for Joined {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        let broken = |_| Error::explain(ErrorType::InternalError, "the response being joined broke off");
        while self.held.is_none() && self.left != Some(0) {
            let Some(mut piece) = self.reader.piece().await.map_err(broken)? else { break };
            let skipped = piece.split_to(self.skip.min(piece.len())).len();
            self.skip -= skipped;
            if let Some(left) = &mut self.left {
                piece.truncate(*left);
                *left -= piece.len();
            }
            self.held = Some(piece).filter(|piece| !piece.is_empty());
        }
        // It is still there where a read is given up while it waits.
        if let Some(last) = &self.last
            && self.reader.is_over().await.map_err(broken)?
        {
            last.store(true, Ordering::Release);
        }
        Ok(self.held.take())
    }

    async fn finish(self: Box<Self>, _: &'static (dyn Storage + Sync), _: &CacheKey, _: &SpanHandle) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        (self.skip, self.left) = (start, end.map(|end| end.saturating_sub(start)));
        Ok(())
    }

    fn should_count_access(&self) -> bool {
        false
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}
