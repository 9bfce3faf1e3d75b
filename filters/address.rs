//! Finds out from which address a client asks: the other end of the connection, or what a trusted proxy says of it.
//!
//! ```yaml
//! address:
//!   trusted_proxies: [10.0.0.0/8]  # whose word is taken; empty: nobody's
//!   field: x-forwarded-for         # where they say it; or forwarded (RFC 7239)
//!   allow: []                      # networks that may ask at all; empty: any
//!   mode: enforce                  # or observe: only count whom `allow` would refuse
//! ```
//!
//! A proxy appends the address it was asked from, so the list is read from its end: trusted proxies are passed over, and
//! the first other address is the client's. Whatever stands left of it, the client may have written itself. If it is no
//! address, the proxy's own is used. Of the two fields only the one that is configured is read.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cause::{Cause, Code};
use crate::http::head::Head;
use crate::verdict::Verdict;
use crate::{Filter, Flow, Mode};

mod forwarded;
mod network;

pub use network::{Network, Networks, unit};

/// Whom to believe, and who may ask.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Networks of the proxies whose word on the client's address is taken. Empty: nobody's.
    pub trusted_proxies: Networks,
    /// The field in which they say it.
    pub field: Field,
    /// Networks from which clients may ask at all; others are answered 403. Empty: any.
    pub allow: Networks,
    /// Whether `allow` refuses or only counts.
    pub mode: Mode,
}

/// The field in which proxies tell the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// `X-Forwarded-For: client, proxy`.
    #[default]
    XForwardedFor,
    /// `Forwarded: for=client, for=proxy` (RFC 7239).
    Forwarded,
}

/// The filter.
#[derive(Debug, Clone, Default)]
pub struct Addresses(pub Config);

impl Addresses {
    /// The client's address; `None` on a connection without one (a Unix socket).
    #[must_use]
    pub fn of(&self, head: &Head<'_>) -> Option<IpAddr> {
        let peer = head.peer?.to_canonical();
        if !self.0.trusted_proxies.contain(peer) {
            return Some(peer);
        }
        let mut nearest = peer;
        for address in forwarded::from_the_end(self.0.field, head.headers) {
            match address {
                Some(address) if self.0.trusted_proxies.contain(address) => nearest = address,
                Some(address) => return Some(address),
                None => return Some(peer),
            }
        }
        Some(nearest)
    }
}

impl Filter for Addresses {
    fn name(&self) -> &'static str {
        "address"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        if verdict.background {
            return Flow::Continue;
        }
        verdict.address = self.of(head);
        // Load balancers are no clients, and what a probe tells is nobody's secret.
        if verdict.probe
            || self.0.allow.is_empty()
            || verdict.address.is_some_and(|address| self.0.allow.contain(address))
        {
            return Flow::Continue;
        }
        let cause = Cause::new(Code::Forbidden, "address", "Your address may not use this service.");
        self.0.mode.refuse(self.name(), cause, verdict)
    }
}

#[cfg(test)]
mod tests;
