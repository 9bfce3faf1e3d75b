//! Finds the first route whose method and path match; the route says everything else about the request.
//!
//! ```yaml
//! routes:
//!   - name: search
//!     paths: [/api/v1/addresses/search]  # `{name}` matches one segment, a last `/**` everything below
//!     methods: [GET]                     # HEAD comes with GET
//!     auth: api_key                      # or jwt, any (either of them), none
//!     upstream: address-service          # may be left out where there is one
//!     fallback: addressr                 # asked where the upstream fails or its breaker is open
//!     hedge: 300ms                       # asked a second time where no answer has come by then; for cached routes
//!     timeout: 2500ms                    # whole answer from the upstream
//!     class: low                         # critical, high, normal, low or background; left out: the client's
//!     sheds: batch                       # or analysis: what a degraded gateway refuses first; left out: neither
//!     body: { max: 64KiB, type: json }   # left out: what comes as a body is dropped
//!     forward: [accept-language]         # request fields that reach the upstream; "*": all
//!     meta: true                         # stamp `meta` into the answer
//!     answers: json                      # what the upstream may answer with; or any
//!     cache:                             # left out: never cached
//!       methods: [GET]
//!       key: { ... }                     # see cache_key
//!       lifetimes: { ... }               # see cache_policy
//!       min_uses: 2                      # kept from the second request of a key within 10 minutes on; left out: 1
//!       min_uses_within: 10m
//!       tags: [search]                   # of every answer, besides the upstream's own Cache-Tag
//!     cdn: shared                        # who may store responses in front: private or shared; left out: private with a key
//!     cdn_lifetime: 1d                   # how long shared caches may; left out: as long as the gateway does
//!     limits: { ... }                    # see rate_limit
//!     rollout: { ... }                   # and shadow: see rollout
//! ```

use std::sync::Arc;

use bytes::Bytes;

use crate::cause::{Cause, Code};
use crate::http::body::Announced;
use crate::http::head::Head;
use crate::http::response::Reply;
use crate::http::target;
use crate::verdict::Verdict;
use crate::{Filter, Flow};

mod config;
mod pattern;
mod table;

pub use config::{Answer, Auth, Body, Cache, Config, Kind, Sheds};
pub use table::{Mistake, Route, Routes};

use pattern::Pattern;

impl Filter for Routes {
    fn name(&self) -> &'static str {
        "route"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        match (head.method, head.path) {
            ("CONNECT", _) => {
                let mut cause = Cause::new(Code::MethodNotAllowed, "method", "Tunnels are not offered.").closing();
                cause.allow = Some(self.methods().into());
                return Flow::Reply(cause);
            }
            // About the server as a whole (RFC 9110 section 9.3.7).
            ("OPTIONS", "*") => {
                let fields = vec![("allow", self.methods())];
                return Flow::Answer(Reply { status: 204, fields, body: Bytes::new(), close: false });
            }
            _ => {}
        }
        if let Err(reason) = target::path(head.path, &mut verdict.target) {
            return Flow::Reply(
                Cause::new(Code::InvalidRequest, reason, "The path of the request is not in a form that is accepted.")
                    .closing(),
            );
        }
        let route = match self.find(head.method, &verdict.target) {
            Ok(route) => route,
            Err(allow) => {
                let mut cause = if allow.is_empty() {
                    Cause::new(Code::EndpointNotFound, "no_route", "There is no such endpoint.")
                } else {
                    Cause::new(Code::MethodNotAllowed, "method", "The endpoint does not have this method.")
                };
                cause.allow = (!allow.is_empty()).then(|| allow.join(", ").into());
                cause.close = Announced::of(head) != Announced::Nothing;
                return Flow::Reply(cause);
            }
        };
        if route.patterns.iter().all(Pattern::is_closed) && verdict.target.len() > 1 && verdict.target.ends_with('/') {
            verdict.target.pop();
        }
        verdict.route = Some(Arc::clone(route));
        Flow::Continue
    }
}

#[cfg(test)]
mod tests;
