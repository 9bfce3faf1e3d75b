//! Copies of a part of the reads that reach the upstream, sent to another one behind the reply; only compared.
//!
//! Whom to copy is decided by the filter `rollout`. A copy waits for no place in a queue and counts for no breaker: there are
//! few at a time, and those beyond are left out.

use std::sync::Arc;

use addrgate_filters::rollout::Fingerprint;
use addrgate_filters::route::Route;
use bytes::{Bytes, BytesMut};
use http::header;
use pingora::http::{RequestHeader, ResponseHeader};
use tokio::sync::Semaphore;

use super::request::keeps_host;
use super::{LARGEST, Pool};
use crate::telemetry::METRICS;

/// Copies on their way at a time.
static PLACES: Semaphore = Semaphore::const_new(32);

/// A request that is copied, and what the route's own upstream answers.
#[derive(Debug)]
pub(crate) struct Shadow {
    pool: Arc<Pool>,
    route: Arc<Route>,
    request: RequestHeader,
    body: Bytes,
    status: Option<u16>,
    answer: BytesMut,
}

impl Shadow {
    /// Of a request as the upstream gets it.
    pub(crate) fn new(pool: &Arc<Pool>, route: &Arc<Route>, mut request: RequestHeader, body: Bytes) -> Self {
        // The copy is answered in full, whatever is stored here.
        request.remove_header(&header::IF_NONE_MATCH);
        request.remove_header(&header::IF_MODIFIED_SINCE);
        if !keeps_host(route) {
            // Its own, which the one who asks puts in.
            request.remove_header(&header::HOST);
        }
        let (pool, route) = (Arc::clone(pool), Arc::clone(route));
        Self { pool, route, request, body, status: None, answer: BytesMut::new() }
    }

    /// The head of the route's own answer.
    pub(crate) fn head(&mut self, answer: &ResponseHeader) {
        self.status = Some(answer.status.as_u16());
    }

    /// A piece of its body.
    pub(crate) fn piece(&mut self, piece: &Bytes) {
        // One byte too many tells that it was too large.
        let room = (LARGEST + 1).saturating_sub(self.answer.len());
        self.answer.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// The client has its answer: sends the copy and compares, behind the reply.
    pub(crate) fn send(self) {
        let count = |route: &Route, outcome| METRICS.shadows.with_label_values(&[route.name(), outcome]).inc();
        let Some(status) = self.status.filter(|status| *status != 304 && self.answer.len() <= LARGEST) else {
            return count(&self.route, "skipped");
        };
        let Ok(place) = PLACES.try_acquire() else { return count(&self.route, "skipped") };
        tokio::spawn(async move {
            let copy = self.pool.copy(self.request, self.body, self.route.config.timeout.0).await;
            let ignore = self.route.config.shadow.as_ref().map_or(&[][..], |config| &config.ignore);
            let outcome = match copy {
                None => "failed",
                Some((copied, body)) => {
                    let [own, copy] =
                        [(status, &self.answer[..]), (copied, &body)].map(|(s, b)| Fingerprint::new(s, b, ignore));
                    own.differs(&copy).map_or("same", |difference| difference.as_str())
                }
            };
            count(&self.route, outcome);
            drop(place);
        });
    }
}
