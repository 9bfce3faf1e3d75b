//! Sends a part of a route's clients to another upstream, or copies of a part of its reads, to try a new version of a
//! service out. Only decides; the sending is the proxy's.
//!
//! ```yaml
//! routes:
//!   - name: search
//!     rollout: { upstream: next, share: 0.1 }  # of the clients: 0 is none, 1 all
//!     shadow:                                  # of the reads: the client gets the answer of the route's own upstream
//!       upstream: next
//!       share: 0.05
//!       ignore: [executionTime]                # members of the answers that may differ, at any depth
//! ```
//!
//! A client stays where it is, and as the share grows clients are only added. Routes choose independently. What the two
//! upstreams answer is kept apart in the cache ([`crate::cache_key`]), so that no client gets the other's answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::http::head::Head;
use crate::route::Route;
use crate::verdict::Verdict;
use crate::{Filter, Flow, address};

mod config;

pub(crate) use config::check;
pub use config::{Config, Shadow};

/// The filter. Its settings are the route's. Never refuses.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rollout;

impl Filter for Rollout {
    fn name(&self) -> &'static str {
        "rollout"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        // A refresh goes where the answer came from; whoever makes it says so.
        let Some(route) = verdict.route.as_ref().filter(|_| !verdict.background) else { return Flow::Continue };
        if let Some(config) = &route.config.rollout
            && let Some(who) = who(verdict)
            && part("rollout", route.name(), &who) < config.share
        {
            verdict.upstream = Some(config.upstream.as_str().into());
        }
        // Who is sent there already needs no copy.
        let copied = is_read(route, head.method) && verdict.upstream.is_none();
        // Drawn for each request.
        verdict.once |= route.config.shadow.is_some();
        if let Some(config) = route.config.shadow.as_ref().filter(|_| copied)
            && part("shadow", route.name(), verdict.request_id.as_str()) < config.share
        {
            verdict.shadow = Some(Arc::from(config.upstream.as_str()));
        }
        Flow::Continue
    }
}

/// Whether asking twice does no harm: GET, and what is cached by its body.
fn is_read(route: &Route, method: &str) -> bool {
    method == "GET" || route.config.cache.as_ref().is_some_and(|cache| cache.by_body(method))
}

/// What stays the same over the requests of one client.
fn who(verdict: &Verdict) -> Option<String> {
    match (&verdict.client, verdict.address) {
        (Some(client), _) => Some(format!("client {}", client.name)),
        (None, Some(address)) => Some(format!("address {}", address::unit(address))),
        (None, None) => None,
    }
}

/// Where among all, from 0 to below 1.
fn part(purpose: &str, route: &str, who: &str) -> f64 {
    let mut hash = blake3::Hasher::new();
    for text in [purpose, "\0", route, "\0", who] {
        hash.update(text.as_bytes());
    }
    let hash = hash.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.as_bytes()[..8]);
    // 53 bits, so that every value is a number of its own.
    (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
}

/// What is compared of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    status: u16,
    body: [u8; 32],
}

/// In what a copy's answer differs from the route's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// The status.
    Status,
    /// The body, beyond the members that may differ.
    Body,
}

impl Difference {
    /// The word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Difference::Status => "status",
            Difference::Body => "body",
        }
    }
}

impl Fingerprint {
    /// Of a whole answer, its body without content coding. In JSON the order of members does not count, nor do those that
    /// may differ ([`Shadow::ignore`]); any other body counts byte by byte.
    #[must_use]
    pub fn new(status: u16, body: &[u8], ignore: &[String]) -> Self {
        let plain = serde_json::from_slice::<Value>(body).ok().map(|value| without(value, ignore).to_string());
        let body = plain.as_ref().map_or(body, |text| text.as_bytes());
        Self { status, body: *blake3::hash(body).as_bytes() }
    }

    /// In what the copy's answer differs; `None`: in nothing.
    #[must_use]
    pub fn differs(&self, copy: &Fingerprint) -> Option<Difference> {
        match self {
            _ if self.status != copy.status => Some(Difference::Status),
            _ if self.body != copy.body => Some(Difference::Body),
            _ => None,
        }
    }
}

/// The value with sorted members, some left out. As deep as the parser lets it be (128).
fn without(value: Value, ignore: &[String]) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(name, _)| !ignore.contains(name));
            let sorted: BTreeMap<String, Value> = kept.map(|(name, value)| (name, without(value, ignore))).collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(|item| without(item, ignore)).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests;
