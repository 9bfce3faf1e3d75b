//! Tells the client, the log and the metrics what the cache did: `Cache-Status`, `X-Cache`.

use std::time::SystemTime;

use addrgate_filters::http::cache_policy::storing::Reason;
use addrgate_filters::http::cache_status::{Forward, Outcome, Status};
use http::header::{self, HeaderMap};
use pingora::Result;
use pingora::cache::CachePhase;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use crate::context::Context;
use crate::edit::{add, edit, set};
use crate::fetch::Facts;
use crate::store::{Kept, Tier};
use crate::telemetry::CacheOutcome;

/// Adds the fields to an answer that went through the cache, and notes the outcome.
pub(super) fn tell(session: &Session, answer: &mut ResponseHeader, ctx: &mut Context) -> Result<()> {
    if !ctx.cached.on {
        let status = passed(answer, ctx);
        return edit(answer, |headers| write(headers, &status))?;
    }
    let kept = session.cache.maybe_cache_meta().and_then(|meta| meta.extensions().get::<Kept>());
    let kept = kept.filter(|_| !ctx.cached.unstored);
    let status = status(session, answer, ctx, kept);
    ctx.cache = match status.outcome {
        Outcome::Hit(_) | Outcome::Collapsed => CacheOutcome::Hit,
        Outcome::Stale(_) => CacheOutcome::Stale,
        Outcome::Revalidated => CacheOutcome::Revalidated,
        Outcome::Forwarded(Forward::Bypass | Forward::Method) => CacheOutcome::Pass,
        Outcome::Forwarded(_) => CacheOutcome::Miss,
    };
    let own = match &mut ctx.cached.facts {
        Some(facts) => std::mem::take(&mut facts.own),
        None => std::mem::take(&mut ctx.cached.own),
    };
    edit(answer, |headers| {
        // Who fetched gets all of the answer.
        for name in own.keys() {
            if !headers.contains_key(name) {
                headers.extend(own.get_all(name).iter().map(|value| (name.clone(), value.clone())));
            }
        }
        if let Some(kept) = kept {
            let age = kept.times.age(SystemTime::now()).as_secs();
            // A fresh answer right from its origin has no age (RFC 9111 section 5.1).
            if age > 0 || !(session.cache.upstream_used() || ctx.cached.facts.is_some()) {
                headers.insert(header::AGE, age.into());
            } else {
                headers.remove(header::AGE);
            }
        }
        write(headers, &status)
    })?
}

/// Caches nearer to the origin have said their part before us (RFC 9211 section 2).
fn write(headers: &mut HeaderMap, status: &Status) -> Result<()> {
    add(headers, "cache-status", &status.to_string())?;
    set(headers, "x-cache", status.word())
}

/// Past the cache: the route has none, or not for this method.
fn passed(answer: &ResponseHeader, ctx: &Context) -> Status {
    let caching = ctx.verdict.route.as_ref().and_then(|route| route.config.cache.as_ref());
    let why = if caching.is_some() { Forward::Method } else { Forward::Bypass };
    Status::forwarded(why, ctx.cached.upstream_status.unwrap_or(answer.status.as_u16()))
}

fn status(session: &Session, answer: &ResponseHeader, ctx: &Context, kept: Option<&Kept>) -> Status {
    let cache = &session.cache;
    let ttl = kept.map(|kept| seconds_left(kept.times.fresh_until));
    let forwarded = |why, stored, ttl, detail| Status {
        ttl,
        stored,
        detail,
        ..Status::forwarded(why, ctx.cached.upstream_status.unwrap_or(answer.status.as_u16()))
    };
    let plain = |outcome| Status { outcome, ttl, forwarded_status: None, stored: false, detail: None };
    if let Some(Facts { forward, status: Some(code), validated, unstored, .. }) = ctx.cached.facts {
        let stored = unstored.is_none() && !ctx.cached.unstored;
        return match (validated, stored) {
            (true, _) => Status { forwarded_status: Some(304), ..plain(Outcome::Revalidated) },
            (false, true) if is_too_large(session, ctx) => Status {
                forwarded_status: Some(code),
                detail: Some(Reason::TooLarge.as_str()),
                ttl: None,
                ..plain(Outcome::Forwarded(forward))
            },
            (false, _) => {
                Status { forwarded_status: Some(code), stored, detail: unstored, ..plain(Outcome::Forwarded(forward)) }
            }
        };
    }
    let tier = cache.maybe_cache_meta().and_then(|meta| meta.extensions().get::<Tier>());
    match cache.phase() {
        CachePhase::Hit if ctx.cached.failed => plain(Outcome::Stale("error")),
        CachePhase::Hit if ctx.cached.updating => plain(Outcome::Stale("updating")),
        CachePhase::Hit if ctx.cached.waited => plain(Outcome::Collapsed),
        CachePhase::Hit if tier == Some(&Tier::Second) => plain(Outcome::Hit("L2")),
        CachePhase::Hit => plain(Outcome::Hit("L1")),
        CachePhase::Stale | CachePhase::StaleUpdating => plain(Outcome::Stale("error")),
        CachePhase::Revalidated | CachePhase::RevalidatedNoCache(_) => {
            Status { forwarded_status: Some(304), ..plain(Outcome::Revalidated) }
        }
        CachePhase::Miss | CachePhase::Expired if is_too_large(session, ctx) => {
            forwarded(ctx.cached.forward, false, None, Some(Reason::TooLarge.as_str()))
        }
        CachePhase::Miss | CachePhase::Expired => forwarded(ctx.cached.forward, true, ttl, None),
        CachePhase::Bypass => forwarded(Forward::Bypass, false, None, None),
        CachePhase::Disabled(_) | CachePhase::Uninit | CachePhase::CacheKey => {
            forwarded(ctx.cached.forward, false, None, ctx.cached.unkept.map(|reason| reason.as_str()))
        }
    }
}

/// Whether an answer says itself that it is longer than what is kept. It comes in all the same, for all who wait.
fn is_too_large(session: &Session, ctx: &Context) -> bool {
    let length = session.cache.maybe_cache_meta().and_then(|meta| meta.headers().get(header::CONTENT_LENGTH));
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.is_some_and(|length| ctx.shared.caching.store.is_too_large(length))
}

/// Negative from the moment on at which it is stale.
fn seconds_left(until: SystemTime) -> i64 {
    let whole = |left: std::time::Duration| i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    match until.duration_since(SystemTime::now()) {
        Ok(left) => whole(left),
        Err(past) => -1 - whole(past.duration()),
    }
}
