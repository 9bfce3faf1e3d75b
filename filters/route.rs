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

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::head::Head;
use crate::reply::{Cause, Code, Reply};
use crate::request_body::Announced;
use crate::verdict::Verdict;
use crate::{Filter, Flow, target};

mod config;
mod pattern;

pub use config::{Answer, Auth, Body, Cache, Config, Kind, Sheds};
use pattern::Pattern;

/// A compiled route.
#[derive(Debug)]
pub struct Route {
    /// As written, defaults in.
    pub config: Config,
    /// Where the route stands in the list, from 0; the upstream table of the plan has the same index.
    pub index: usize,
    /// The name, for accounts of this route's limits.
    pub(crate) scope: Arc<str>,
    patterns: Vec<Pattern>,
    allow: String,
}

impl Route {
    /// The name in logs and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// From when an answer of the upstream counts as slow, for breaker and queue: 80 % of the timeout.
    #[must_use]
    pub fn slow(&self) -> Duration {
        self.config.timeout.0.mul_f64(0.8)
    }
}

/// HEAD comes with GET.
fn lists(methods: &[String], method: &str) -> bool {
    let method = if method == "HEAD" { "GET" } else { method };
    methods.iter().any(|m| m == method)
}

/// A mistake in a route, for the configuration's own error.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("route `{route}`: {message}")]
pub struct Mistake {
    /// The route's name.
    pub route: String,
    /// A sentence.
    pub message: String,
}

/// The filter: all routes in order.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    list: Vec<Arc<Route>>,
    /// Where load balancers ask whether the process lives and is ready.
    probes: Vec<Pattern>,
}

impl Routes {
    /// Compiles the list; checks what can be checked without the rest of the configuration.
    pub fn new(configs: Vec<Config>) -> Result<Self, Mistake> {
        let mut routes: Vec<Arc<Route>> = Vec::with_capacity(configs.len());
        let mut probes = Vec::new();
        for (index, mut config) in configs.into_iter().enumerate() {
            let wrong = |message: String| Mistake { route: config.name.clone(), message };
            config.check().map_err(wrong)?;
            if routes.iter().any(|other| other.name() == config.name) {
                return Err(wrong("the name is used twice".to_owned()));
            }
            let patterns: Vec<Pattern> =
                config.paths.iter().map(|path| Pattern::new(path)).collect::<Result<_, _>>().map_err(wrong)?;
            if matches!(config.answer, Some(Answer::Livez | Answer::Readyz)) {
                // Some load balancers ask by it, and it changes nothing.
                if !config.methods.iter().any(|method| method == "OPTIONS") {
                    config.methods.push("OPTIONS".to_owned());
                }
                let is_first = |path: &str| !routes.iter().flat_map(|route| &route.patterns).any(|p| p.matches(path));
                probes.extend(patterns.iter().filter(|pattern| pattern.text().is_some_and(is_first)).cloned());
            }
            let mut allow: Vec<&str> = config.methods.iter().map(String::as_str).collect();
            if allow.contains(&"GET") && !allow.contains(&"HEAD") {
                allow.push("HEAD");
            }
            let allow = allow.join(", ");
            let scope = config.name.as_str().into();
            routes.push(Arc::new(Route { config, index, scope, patterns, allow }));
        }
        Ok(Self { list: routes, probes })
    }

    /// The routes in order.
    #[must_use]
    pub fn list(&self) -> &[Arc<Route>] {
        &self.list
    }

    /// Whether it asks if the process lives or is ready: that is told whatever host and address it comes by.
    pub(crate) fn is_probe(&self, head: &Head<'_>) -> bool {
        matches!(head.method, "GET" | "HEAD" | "OPTIONS") && self.probes.iter().any(|probe| probe.matches(head.path))
    }

    /// Every method that some route has, for `Allow`.
    fn methods(&self) -> String {
        let mut methods: Vec<&str> = self.list.iter().flat_map(|route| route.allow.split(", ")).collect();
        methods.push("OPTIONS");
        methods.sort_unstable();
        methods.dedup();
        methods.join(", ")
    }

    /// The methods that a path has, as `Allow` lists them; empty where it is no route's, or no path.
    #[must_use]
    pub fn methods_of(&self, path: &str) -> String {
        let mut canonical = String::new();
        if target::path(path, &mut canonical).is_err() {
            return String::new();
        }
        let matching =
            self.list.iter().filter(|route| route.patterns.iter().any(|pattern| pattern.matches(&canonical)));
        let mut methods: Vec<&str> = Vec::new();
        for method in matching.flat_map(|route| route.allow.split(", ")) {
            if !methods.contains(&method) {
                methods.push(method);
            }
        }
        methods.join(", ")
    }

    /// The first route with this method and canonical path; else the methods that the path has, if any.
    fn find(&self, method: &str, path: &str) -> Result<&Arc<Route>, Vec<&str>> {
        let mut allow = Vec::new();
        for route in &self.list {
            if route.patterns.iter().any(|pattern| pattern.matches(path)) {
                if lists(&route.config.methods, method) {
                    return Ok(route);
                }
                if !allow.contains(&route.allow.as_str()) {
                    allow.push(&route.allow);
                }
            }
        }
        Err(allow)
    }
}

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

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.name(), self.allow, self.config.paths.join(" "))
    }
}

#[cfg(test)]
mod tests;
