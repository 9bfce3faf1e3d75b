//! What the filters have found out about one request. Made once, by the door or by the first phase of Pingora's path,
//! and carried along: nothing is decided twice.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::cache_key::Key;
use crate::client::Client;
use crate::request_id::RequestId;
use crate::route::Route;

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
    /// How the client stands with its limits ([`crate::rate_limit`]).
    pub limit: Option<crate::rate_limit::Standing>,
    /// Limits that had no tokens at hand; [`crate::rate_limit::RateLimit::settle`] awaits them before the request goes on.
    pub waiting: Option<crate::rate_limit::Waiting>,
    /// What the limits were taken from; kept for the connection's next request ([`crate::rate_limit`]).
    pub budgets: crate::rate_limit::Budgets,
    /// The upstream in place of the route's, by name ([`crate::rollout`]).
    pub upstream: Option<Arc<str>>,
    /// The upstream that gets a copy of the request, its answer only compared ([`crate::rollout`]).
    pub shadow: Option<Arc<str>>,
    /// Nobody waits for the answer: it refreshes one that is kept.
    pub background: bool,
    /// Path and query in canonical form: what is in the key, and what is forwarded ([`crate::cache_key`]).
    pub target: String,
    /// Under which key the answer is kept; `None` where it can't be cached, or not before the body is read.
    pub key: Option<Key>,
    /// The canonical body of a body-keyed request, to be forwarded in place of what arrived.
    pub body: Option<Bytes>,
    /// Filters in `mode: observe` that would have refused, with the reason.
    pub observed: Vec<(&'static str, &'static str)>,
}

impl Verdict {
    /// The correlation id to send back.
    #[must_use]
    pub fn correlation(&self) -> &str {
        self.correlation.as_deref().unwrap_or(self.request_id.as_str())
    }

    /// Forgets everything but keeps its buffers and the budgets, for the next request of a connection.
    pub fn clear(&mut self) {
        let mut target = std::mem::take(&mut self.target);
        target.clear();
        *self = Self { target, budgets: std::mem::take(&mut self.budgets), ..Self::default() };
    }
}
