//! A route as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::body::has_body;
use crate::http::cache_policy;
use crate::http::cache_policy::downstream::{Audience, Cdn};
use crate::rate_limit::Limits;
use crate::traffic::Class;
use crate::traffic::units::{Size, Span};
use crate::{cache_key, rate_limit, rollout};

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
    /// Its requests change nothing whatever their method, so that one under which a kept connection was closed, or an address
    /// failed, is sent again. GET, HEAD, PUT, DELETE, OPTIONS and what is cached by its body always are.
    #[serde(default)]
    pub repeatable: bool,
    /// Answered by the gateway itself instead of an upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The whole time the upstream has. Keep it below the clients' own timeouts. Once the response has begun, a large body may
    /// take longer, as long as it comes at 32 KiB a second or more.
    #[serde(default = "ten_seconds")]
    pub timeout: Span,
    /// How much its requests matter; the lower of this and the client's counts. Left out: the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// What kind of work it is, where a degraded gateway may refuse it before others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheds: Option<Sheds>,
    /// The request body that is accepted; left out, and with GET and HEAD, a body of up to 64 KiB is read and dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Body>,
    /// Which request fields reach the upstream, in lower case; `"*"`: all but hop-by-hop ones and those that set the
    /// client's address, host or key. Left out: on cached routes only those that can't change what is kept, on others all. On a
    /// cached route a response must name those that made a difference to it in `Vary`.
    /// With a method that is not cached, conditions and what describes the body always do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<Vec<String>>,
    /// Whether `meta` (request id, response time, timestamp) is added to successful JSON answers on their way out.
    #[serde(default)]
    pub meta: bool,
    /// What the upstream may answer with; anything else becomes a 502, so that an error page never reaches a client. Of a
    /// refusal (429, 503, 404 and the like) status and `Retry-After` are kept.
    #[serde(default)]
    pub answers: Kind,
    /// Caching; left out, answers are never kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<Cache>,
    /// Which caches in front may store responses: `private`, the client's own alone, or `shared`, CDNs and other shared caches
    /// too; these check no key. Left out: `private` where `auth` asks for a key or a token, else those that the upstream lets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cdn: Option<Cdn>,
    /// With `cdn: shared`, the lifetime in `CDN-Cache-Control`, which may be longer than the gateway's own where purges reach
    /// the CDN. Left out: the lifetime that the gateway stores by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cdn_lifetime: Option<Span>,
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
    /// The contract's health: what the route's upstream answers on the same path, with the gateway's own cache under
    /// `checks.cache`; `degraded` also where Redis is away or the gateway's level is lowered. 503 where it is unhealthy.
    Health,
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
    /// Which media type; another is answered 415. JSON needs no `Content-Type`.
    #[serde(default, rename = "type")]
    pub kind: Kind,
    /// Whether a body in gzip is inflated, to at most `max`; otherwise it is answered 415 (RFC 7694). The upstream gets it
    /// without a content coding.
    #[serde(default = "yes")]
    pub inflate: bool,
}

fn yes() -> bool {
    true
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

impl Cache {
    /// Whether answers to this method come from the cache; HEAD is answered from what GET stored.
    #[must_use]
    pub fn covers(&self, method: &str) -> bool {
        lists(&self.methods, method)
    }

    /// Whether a request of this method is keyed by its body, which then has to be read first.
    #[must_use]
    pub fn by_body(&self, method: &str) -> bool {
        self.key.body != cache_key::BodyKey::None && has_body(method) && self.covers(method)
    }
}

fn one() -> u32 {
    1
}

fn ten_minutes() -> Span {
    Span::secs(600)
}

impl Config {
    /// Which caches in front may store responses.
    #[must_use]
    pub fn audience(&self) -> Audience {
        match self.cdn {
            Some(Cdn::Private) => Audience::Private,
            Some(Cdn::Shared) => Audience::Shared(self.cdn_lifetime.map(|span| span.0)),
            None if self.auth != Auth::None => Audience::Private,
            None => Audience::AsUpstream,
        }
    }

    /// Whether a route can work with it; the error is a sentence.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.paths.is_empty() || self.methods.is_empty() {
            return Err("needs at least one path and one method".to_owned());
        }
        for method in self.methods.iter().chain(self.cache.iter().flat_map(|cache| &cache.methods)) {
            if method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
                return Err(format!("`{method}` is not a method; write it in capitals"));
            }
            if matches!(method.as_str(), "CONNECT" | "TRACE") {
                return Err(format!(
                    "{method} is not offered: it would open tunnels, or show what others must not see"
                ));
            }
        }
        // Health tells of an upstream, and no more.
        let asks = self.upstream.is_some() && self.answer != Some(Answer::Health);
        let elsewhere = asks || self.fallback.is_some() || self.rollout.is_some() || self.shadow.is_some();
        if self.answer.is_some() && (elsewhere || self.cache.is_some()) {
            return Err("the gateway itself responds here, so upstreams and `cache` have no effect".to_owned());
        }
        if self.cdn_lifetime.is_some() && self.cdn != Some(Cdn::Shared) {
            return Err("`cdn_lifetime` is for shared caches, so it needs `cdn: shared`".to_owned());
        }
        if self.cdn == Some(Cdn::Shared) && self.cache.as_ref().is_some_and(|cache| cache.key.client) {
            return Err("`key.client` gives each client responses of its own, so `cdn` can't be `shared`".to_owned());
        }
        if self.hedge.is_some_and(|hedge| hedge >= self.timeout) {
            return Err("`hedge` is no shorter than `timeout`: the second request would come too late".to_owned());
        }
        if self.hedge.is_some() && self.cache.is_none() {
            return Err(
                "`hedge` needs `cache`: only a response that may be stored can be taken from whichever call is first"
                    .to_owned(),
            );
        }
        if self.timeout.0.is_zero() {
            return Err("a timeout of zero would refuse everything".to_owned());
        }
        rate_limit::check(self.limits.client.iter().chain(&self.limits.address))?;
        rollout::check(self.upstream.as_deref(), self.rollout.as_ref(), self.shadow.as_ref())?;
        let Some(cache) = &self.cache else { return Ok(()) };
        for method in cache.methods.iter().filter(|method| has_body(method)) {
            if cache.key.body == cache_key::BodyKey::None {
                return Err(format!("caches {method}, so its key needs `body: json`"));
            }
            let body = self.body.ok_or_else(|| format!("caches {method} by its body, so it needs `body`"))?;
            if body.max > Size::kib(64) || body.kind != Kind::Json {
                // Pingora replays a body that was read for the key from a buffer of 64 KiB.
                return Err(format!("caches {method} by its body, so `body` must be JSON of at most 64KiB"));
            }
        }
        cache.lifetimes.check()?;
        if cache.min_uses == 0 || cache.min_uses_within.0.is_zero() {
            return Err("`min_uses` counts from 1, within a time that is not zero".to_owned());
        }
        let is_tag = |tag: &String| !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        if let Some(tag) = cache.tags.iter().find(|tag| !is_tag(tag)) {
            return Err(format!("`{tag}` is not a tag: it needs visible ASCII characters without commas"));
        }
        if let Some(stray) = cache.methods.iter().find(|m| !self.methods.contains(m)) {
            return Err(format!("caches {stray}, which is not among its methods"));
        }
        Ok(())
    }
}

/// HEAD comes with GET.
pub(super) fn lists(methods: &[String], method: &str) -> bool {
    let method = if method == "HEAD" { "GET" } else { method };
    methods.iter().any(|m| m == method)
}
