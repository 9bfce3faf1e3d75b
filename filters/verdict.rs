//! What the filters have found out about one request. Made once, by the door or by the first phase of Pingora's path,
//! and carried along: nothing is decided twice.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::cache_key::Key;
use crate::client::Client;
use crate::http::request_id::RequestId;
use crate::route::Route;
use crate::traffic::breaker::{Permit, State};
use crate::traffic::queue::{Lend, Slot};
use crate::traffic::{Answered, Class};

/// The findings, each written by one filter; empty before it ran.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Names the request in headers, bodies, logs and upstream ([`crate::request_id`]).
    pub request_id: RequestId,
    /// The client's own correlation id where it sent a usable one; else the request id serves ([`crate::request_id`]).
    pub correlation: Option<Box<str>>,
    /// Who else may read the answer ([`crate::cors`]).
    pub cors: crate::cors::Allowed,
    /// From where the client asks ([`crate::address`]); `None` on a connection without an address.
    pub address: Option<IpAddr>,
    /// The first route that matches ([`crate::route`]).
    pub route: Option<Arc<Route>>,
    /// Who asks ([`crate::client`]); `None` on routes that are open to all.
    pub client: Option<Arc<Client>>,
    /// How much the request matters ([`crate::priority`]).
    pub class: Class,
    /// How the client stands with its limits ([`crate::rate_limit`]).
    pub limit: Option<crate::rate_limit::Standing>,
    /// Limits that had no tokens at hand; [`crate::rate_limit::RateLimit::settle`] awaits them before the request goes on.
    pub waiting: Option<crate::rate_limit::Waiting>,
    /// What the limits were taken from; kept for the connection's next request ([`crate::rate_limit`]).
    pub budgets: crate::rate_limit::Budgets,
    /// The upstream in place of the route's, by name: a trial ([`crate::rollout`]), or a fallback, set before
    /// [`crate::Filters::forward`] is run again for it.
    pub upstream: Option<Arc<str>>,
    /// The upstream that gets a copy of the request, its answer only compared ([`crate::rollout`]).
    pub shadow: Option<Arc<str>>,
    /// It asks whether the process lives or is ready, for those who watch it.
    pub probe: bool,
    /// Nobody waits for the answer: it refreshes one that is kept.
    pub background: bool,
    /// Path and query in canonical form: what is in the key, and what is forwarded ([`crate::cache_key`]).
    pub target: String,
    /// Under which key the answer is kept; `None` where it can't be cached, or not before the body is read.
    pub key: Option<Key>,
    /// The body comes in gzip, and is inflated before anything reads it ([`crate::request_body`]).
    pub gzip: bool,
    /// The canonical body of a body-keyed request, to be forwarded in place of what arrived.
    pub body: Option<Bytes>,
    /// Until when the request must be answered; whoever forwards sets it. `None`: no other bound than the filters' own.
    pub deadline: Option<Instant>,
    /// That the upstream may be asked ([`crate::breaker`]).
    pub breaker: Option<Permit>,
    /// The place at the upstream ([`crate::queue`]).
    pub slot: Option<Slot>,
    /// What others lend the request their class by, where others wait for its answer ([`Verdict::lend`]).
    pub lend: Option<Lend>,
    /// Something that was found holds for this request alone: an equal one has to be judged anew.
    pub once: bool,
    /// Filters in `mode: observe` that would have refused, with the reason.
    pub observed: Vec<(&'static str, &'static str)>,
}

impl Verdict {
    /// Tells breaker and queue what came of asking the upstream, and gives the place back: when the head of its answer is
    /// there or the failure, `elapsed` after it was asked. A request that ends without it was cancelled and counts as
    /// nothing.
    pub fn answered(&mut self, answered: Answered, elapsed: Duration) {
        self.tell(answered, elapsed);
        self.slot = None;
    }

    /// The head of the answer is there, and the body is passed on at a client's speed: tells the queue, and gives the place
    /// back. The breaker hears of it once the body is there ([`Verdict::answered`]); where it lets through only calls that try
    /// whether the upstream works again, now, so that nobody who reads slowly keeps it from being found well.
    pub fn head_answered(&mut self, answered: Answered, elapsed: Duration) {
        if self.breaker.as_ref().is_some_and(|permit| permit.breaker().state() != State::Closed) {
            return self.answered(answered, elapsed);
        }
        self.tell_queue(answered, elapsed);
        self.slot = None;
    }

    /// Whether a try that failed may be repeated: the breaker has not opened meanwhile. The place and the permit are kept for
    /// the next try, and what comes of that is told.
    #[must_use]
    pub fn again(&self) -> bool {
        let breaker = self.breaker.as_ref().map(Permit::breaker);
        breaker.is_none_or(|breaker| !(breaker.enforces() && breaker.state().refuses()))
    }

    fn tell_queue(&self, answered: Answered, elapsed: Duration) {
        if let Some(slot) = &self.slot {
            let route = self.route.as_ref().map_or(usize::MAX, |route| route.index);
            slot.tell(route, answered, elapsed, self.slow());
        }
    }

    fn tell(&mut self, answered: Answered, elapsed: Duration) {
        self.tell_queue(answered, elapsed);
        match (self.breaker.take(), answered) {
            (Some(permit), Answered::Ok | Answered::Throttled) => permit.success(elapsed),
            (Some(permit), Answered::Overloaded | Answered::TimedOut | Answered::Failed) => permit.failure(),
            (None, _) => {}
        }
    }

    /// From when an answer of the upstream counts as slow.
    #[must_use]
    pub fn slow(&self) -> Duration {
        self.route.as_ref().map_or(Duration::MAX, |route| route.slow())
    }

    /// The correlation id to send back.
    #[must_use]
    pub fn correlation(&self) -> &str {
        self.correlation.as_deref().unwrap_or(self.request_id.as_str())
    }

    /// Whether what was found follows from the head, the peer and the configuration alone, so that it holds for the next
    /// equal request too.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        !self.once && self.observed.is_empty()
    }

    /// Forgets everything but keeps its buffers and the budgets, for the next request of a connection.
    pub fn clear(&mut self) {
        let mut target = std::mem::take(&mut self.target);
        target.clear();
        *self = Self { target, budgets: std::mem::take(&mut self.budgets), ..Self::default() };
    }
}
