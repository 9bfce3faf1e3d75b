//! What caches in front of the gateway are told: a stored response carries that already, any other is told here.

use std::time::SystemTime;

use addrgate_filters::http::cache_policy::Config;
use addrgate_filters::http::cache_policy::downstream::{Audience, ORIGINAL, Openness, Terms, write};
use pingora::Result;
use pingora::cache::CachePhase;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::cache::DEGRADED;
use super::forward::is_at_fallback;
use crate::context::Context;
use crate::edit::edit;

/// Writes `Cache-Control` and the fields of its kind, as the route's audience may have them.
pub(super) fn tell(session: &Session, answer: &mut ResponseHeader, ctx: &Context) -> Result<()> {
    let Some(route) = &ctx.verdict.route else { return Ok(()) };
    let default = Config::default();
    let policy = route.config.cache.as_ref().map_or(&default, |cache| &cache.lifetimes);
    let audience = route.config.audience();
    let is_stored = match session.cache.phase() {
        CachePhase::RevalidatedNoCache(_) => false,
        _ if ctx.cached.unstored => false,
        _ => session.cache.maybe_cache_meta().is_some(),
    };
    let is_degraded = answer.headers.contains_key(DEGRADED);
    let status = answer.status.as_u16();
    edit(answer, |headers| {
        headers.remove(ORIGINAL);
        let terms = match ctx.cached.terms {
            // It was written when it was stored; the route may have become another one since.
            _ if is_stored => {
                // What is for the one who fetched alone stands in this response, and in no other one.
                let has_own = ctx.cached.own.keys().any(|name| name != "cache-status");
                let must_close = match audience {
                    Audience::Private => true,
                    Audience::Shared(_) => has_own,
                    Audience::AsUpstream => false,
                };
                if !must_close || Openness::of_map(headers).closed {
                    return;
                }
                Terms::OneClient(policy.max.0)
            }
            Some(terms) => terms,
            None if status >= 400 || is_degraded => Terms::Nothing,
            None if is_at_fallback(ctx) => Terms::Store { most: policy.fallback.0, own: None },
            None => Terms::UNBOUNDED,
        };
        write(headers, audience, terms, &policy.targets, SystemTime::now());
    })
}
