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
//!     body: { max: 64KiB, type: json }   # left out: a request with a body is refused
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
//!     limits: { ... }                    # see rate_limit
//!     rollout: { ... }                   # and shadow: see rollout
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::head::Head;
use crate::priority::Class;
use crate::rate_limit::Limits;
use crate::reply::{Cause, Code};
use crate::request_body::Announced;
use crate::units::{Size, Span};
use crate::verdict::Verdict;
use crate::{Filter, Flow, cache_key, cache_policy, rate_limit, rollout, target};

mod pattern;

use pattern::Pattern;

/// One route, as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Names the route in logs, metrics and `explain`. Unique.
    pub name: String,
    /// Path patterns, any of which matches. A trailing slash of the request is accepted.
    pub paths: Vec<String>,
    /// Methods; GET brings HEAD with it.
    #[serde(default = "get")]
    pub methods: Vec<String>,
    /// What a client must show.
    #[serde(default)]
    pub auth: Auth,
    /// The upstream by name; may be left out where the configuration has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The upstream that is asked instead where the other one fails before its time is up, its breaker is open, or the
    /// level of degradation says so. It must answer by the same contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// From when on a second request is sent where the first has not been answered, whichever is first counts; for what is
    /// cached, while a place is free and the budget for second tries allows. Such a route opens a connection per request
    /// to the upstream, which must be without TLS. Left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge: Option<Span>,
    /// Answered by the gateway itself instead of an upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The whole time the upstream has. Keep it below the clients' own timeouts.
    #[serde(default = "ten_seconds")]
    pub timeout: Span,
    /// How much its requests matter; the lower of this and the client's counts. Left out: the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// What kind of work it is, where a degraded gateway may refuse it before others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheds: Option<Sheds>,
    /// The request body that is accepted; left out, none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// Which request fields reach the upstream, in lower case; `"*"`: all but hop-by-hop ones and those that set the
    /// client's address, host or key. Left out: on cached routes only those that can't change the answer (and what is
    /// needed to read the body), on others all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Vec<String>>,
    /// Whether `meta` (request id, response time, timestamp) is added to successful JSON answers on their way out.
    #[serde(default)]
    pub meta: bool,
    /// What the upstream may answer with; anything else becomes a 502, so that an error page never reaches a client.
    #[serde(default)]
    pub answers: Kind,
    /// Caching; left out, answers are never kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Limits of this route alone, besides those of `rate_limit`.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
    /// A part of the clients goes to another upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<rollout::Config>,
    /// A part of the reads is copied to another upstream, the answers compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<rollout::Shadow>,
}

fn get() -> Vec<String> {
    vec!["GET".to_owned()]
}

fn ten_seconds() -> Span {
    Span::secs(10)
}

/// Work that a degraded gateway may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sheds {
    /// Many questions in one request; refused where the level has `no_batch`.
    Batch,
    /// Spatial analysis; refused where the level has `no_analysis`.
    Analysis,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// Clients with a key, in `X-API-Key`.
    #[default]
    ApiKey,
    /// Clients with a bearer token, in `Authorization`.
    Jwt,
    /// Clients with either; where both are sent, the key counts.
    Any,
    /// Everyone.
    None,
}

impl Auth {
    /// Whether `Authorization` is read here: then it is no secret between client and upstream, so it is not forwarded, and
    /// it is no reason not to keep an answer (RFC 9111 section 3.5).
    #[must_use]
    pub fn reads_token(self) -> bool {
        matches!(self, Auth::Jwt | Auth::Any)
    }
}

/// Answers of the gateway's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// 200 while the process turns.
    Livez,
    /// 200 while the process takes traffic, 503 when it drains.
    Readyz,
    /// The contract's `{alive, timestamp, uptime}`.
    Alive,
    /// Health in detail: what every upstream answers on the same path, and breakers, queues, levels and tiers of the gateway.
    /// 503 where no upstream is well.
    Detailed,
    /// Requests, hits and response times of the last five minutes, in JSON.
    Recent,
    /// Prometheus metrics; only where they may be public.
    Metrics,
}

/// The request body of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// More is answered 413.
    pub max: Size,
    /// Which media type; another is answered 415.
    #[serde(default, rename = "type")]
    pub kind: Kind,
}

/// A kind of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `application/json` or `application/*+json`.
    #[default]
    Json,
    /// Anything.
    Any,
}

impl Kind {
    /// Whether a `Content-Type` is of this kind.
    #[must_use]
    pub fn admits(self, content_type: Option<&[u8]>) -> bool {
        if self == Kind::Any {
            return true;
        }
        let essence = content_type.unwrap_or_default().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        let essence = essence.to_ascii_lowercase();
        essence == b"application/json" || essence.starts_with(b"application/") && essence.ends_with(b"+json")
    }
}

/// Caching on one route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// The methods whose answers are kept. POST needs `key.body`.
    #[serde(default = "get")]
    pub methods: Vec<String>,
    /// What is in the key.
    #[serde(default)]
    pub key: cache_key::Config,
    /// How long answers are kept.
    #[serde(default)]
    pub lifetimes: cache_policy::Config,
    /// From the how many-th request of a key on its answers are kept, in either tier; 1: from the first. Keeps keys out
    /// that are asked for once.
    #[serde(default = "one")]
    pub min_uses: u32,
    /// The time in which those requests must come.
    #[serde(default = "ten_minutes")]
    pub min_uses_within: Span,
    /// Tags of every answer of the route, besides those that the upstream names in `Cache-Tag`; a purge can name them.
    #[serde(default)]
    pub tags: Vec<String>,
}

fn one() -> u32 {
    1
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

/// Caching on one route, compiled.
#[derive(Debug)]
pub struct Caching {
    /// As written, defaults in.
    pub config: Cache,
    /// When answers are kept and reused.
    pub policy: cache_policy::Policy,
}

impl Caching {
    /// Whether answers to this method come from the cache; HEAD is answered from what GET stored.
    #[must_use]
    pub fn covers(&self, method: &str) -> bool {
        let method = if method == "HEAD" { "GET" } else { method };
        self.config.methods.iter().any(|m| m == method)
    }

    /// Whether a request of this method is keyed by its body, which then has to be read first.
    #[must_use]
    pub fn by_body(&self, method: &str) -> bool {
        self.config.key.body != cache_key::BodyKey::None && cache_key::has_body(method) && self.covers(method)
    }
}

/// A compiled route.
#[derive(Debug)]
pub struct Route {
    /// As written, defaults in.
    pub config: Config,
    /// Caching; `None`: never.
    pub cache: Option<Caching>,
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

    /// The largest body accepted, in bytes; 0 where none is.
    #[must_use]
    pub fn max_body(&self) -> u64 {
        self.config.body.map_or(0, |body| body.max.0)
    }

    /// From when an answer of the upstream counts as slow, for breaker and queue: 80 % of the timeout.
    #[must_use]
    pub fn slow(&self) -> Duration {
        self.config.timeout.0.mul_f64(0.8)
    }

    fn has_method(&self, method: &str) -> bool {
        let method = if method == "HEAD" { "GET" } else { method };
        self.config.methods.iter().any(|m| m == method)
    }
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
#[derive(Debug, Default)]
pub struct Routes(Vec<Arc<Route>>);

impl Routes {
    /// Compiles the list; checks what can be checked without the rest of the configuration.
    pub fn new(configs: Vec<Config>) -> Result<Self, Mistake> {
        let mut routes: Vec<Arc<Route>> = Vec::with_capacity(configs.len());
        for (index, config) in configs.into_iter().enumerate() {
            let wrong = |message: String| Mistake { route: config.name.clone(), message };
            check(&config).map_err(wrong)?;
            if routes.iter().any(|other| other.name() == config.name) {
                return Err(wrong("the name is used twice".to_owned()));
            }
            let patterns =
                config.paths.iter().map(|path| Pattern::new(path)).collect::<Result<_, _>>().map_err(wrong)?;
            let mut allow: Vec<&str> = config.methods.iter().map(String::as_str).collect();
            if allow.contains(&"GET") && !allow.contains(&"HEAD") {
                allow.push("HEAD");
            }
            let allow = allow.join(", ");
            let compile = |cache: &Cache| {
                let policy = cache_policy::Policy::new(&cache.lifetimes)?;
                Ok(Caching { config: cache.clone(), policy })
            };
            let cache = config.cache.as_ref().map(compile).transpose().map_err(wrong)?;
            let scope = config.name.as_str().into();
            routes.push(Arc::new(Route { cache, config, index, scope, patterns, allow }));
        }
        Ok(Self(routes))
    }

    /// The routes in order.
    #[must_use]
    pub fn list(&self) -> &[Arc<Route>] {
        &self.0
    }

    /// The first route with this method and canonical path; else the methods that the path has, if any.
    fn find(&self, method: &str, path: &str) -> Result<&Arc<Route>, Vec<&str>> {
        let mut allow = Vec::new();
        for route in &self.0 {
            if route.patterns.iter().any(|pattern| pattern.matches(path)) {
                if route.has_method(method) {
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

fn check(config: &Config) -> Result<(), String> {
    if config.paths.is_empty() || config.methods.is_empty() {
        return Err("needs at least one path and one method".to_owned());
    }
    for method in config.methods.iter().chain(config.cache.iter().flat_map(|cache| &cache.methods)) {
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
            return Err(format!("`{method}` is not a method; write it in capitals"));
        }
        if matches!(method.as_str(), "CONNECT" | "TRACE") {
            return Err(format!("{method} is not offered: it would open tunnels, or show what others must not see"));
        }
    }
    let elsewhere = [&config.upstream, &config.fallback].into_iter().any(Option::is_some)
        || config.rollout.is_some()
        || config.shadow.is_some();
    if config.answer.is_some() && (elsewhere || config.cache.is_some()) {
        return Err("answered by the gateway itself, so upstreams and `cache` mean nothing here".to_owned());
    }
    if config.hedge.is_some_and(|hedge| hedge >= config.timeout) {
        return Err("`hedge` is no shorter than `timeout`: the second request would come too late".to_owned());
    }
    if config.hedge.is_some() && config.cache.is_none() {
        return Err(
            "`hedge` needs `cache`: only what is kept can be taken from whichever answer comes first".to_owned()
        );
    }
    if config.timeout.0.is_zero() {
        return Err("a timeout of zero would refuse everything".to_owned());
    }
    rate_limit::check(config.limits.client.iter().chain(&config.limits.address))?;
    rollout::check(config.upstream.as_deref(), config.rollout.as_ref(), config.shadow.as_ref())?;
    let Some(cache) = &config.cache else { return Ok(()) };
    for method in cache.methods.iter().filter(|method| cache_key::has_body(method)) {
        if cache.key.body == cache_key::BodyKey::None {
            return Err(format!("caches {method}, so its key needs `body: json`"));
        }
        let body = config.body.ok_or_else(|| format!("caches {method} by its body, so it needs `body`"))?;
        if body.max > Size::kib(64) || body.kind != Kind::Json {
            // Pingora replays a body that was read for the key from a buffer of 64 KiB.
            return Err(format!("caches {method} by its body, so `body` must be JSON of at most 64KiB"));
        }
    }
    if cache.min_uses == 0 || cache.min_uses_within.0.is_zero() {
        return Err("`min_uses` counts from 1, within a time that is not zero".to_owned());
    }
    let is_tag = |tag: &String| !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if let Some(tag) = cache.tags.iter().find(|tag| !is_tag(tag)) {
        return Err(format!("`{tag}` is not a tag: it needs visible ASCII characters without commas"));
    }
    if let Some(stray) = cache.methods.iter().find(|m| !config.methods.contains(m)) {
        return Err(format!("caches {stray}, which is not among its methods"));
    }
    Ok(())
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.name(), self.allow, self.config.paths.join(" "))
    }
}

#[cfg(test)]
mod tests;
