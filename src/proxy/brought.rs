//! The fetch that others wait for, once the head of the response is there: tells them, and passes on what is not stored.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use addrgate_filters::http::cache_policy::Config;
use addrgate_filters::http::cache_policy::directives::ResponseDirectives;
use addrgate_filters::http::cache_policy::downstream::Terms;
use addrgate_filters::http::cache_policy::fields::strip_unstorable;
use addrgate_filters::http::cache_policy::freshness::Windows;
use addrgate_filters::http::cache_policy::reuse::Times;
use addrgate_filters::http::cache_policy::storing::Reason;
use bytes::Bytes;
use http::{HeaderMap, header};
use pingora::cache::CachePhase;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::cache::{DEGRADED, with_fields};
use super::forward::is_at_fallback;
use crate::coalesce::{End, Filling};
use crate::context::Context;
use crate::fetch::Facts;
use crate::store::{Brought, Entry, Fill, Filled, Id, Kept, Meta};

/// Tells those who wait for it what the fetch brings.
pub(super) fn tell(session: &Session, answer: &mut ResponseHeader, ctx: &mut Context) -> Result<()> {
    let brought = ctx.cached.brought.lock().unwrap_or_else(PoisonError::into_inner).take();
    let facts = Facts {
        forward: ctx.cached.forward,
        status: ctx.cached.upstream_status,
        validated: ctx.cached.upstream_status == Some(304),
        unstored: None,
        own: std::mem::take(&mut ctx.cached.own),
        time: ctx.upstream_time,
    };
    let (own, facts, all) = match brought {
        Some(Brought::Entry(entry)) => {
            let all = match entry.kept.times.is_fresh(SystemTime::now()) {
                true => End::Stored(Arc::clone(&entry)),
                false => End::Private { lasting: false },
            };
            (End::Stored(entry), facts, all)
        }
        Some(Brought::Fill(fill)) => {
            // The store has all of it; this connection needs nothing.
            answer.remove_header(&header::CONTENT_LENGTH);
            answer.remove_header(&header::TRANSFER_ENCODING);
            let own = filling(&fill, answer, true, None);
            let store = ctx.shared.caching.store;
            let all = match () {
                // Somebody has to fetch what was purged meanwhile once more.
                () if !store.holds(&fill.meta.kept) => End::Abandoned,
                // What is stale already is for one request.
                () if !fill.meta.kept.times.is_fresh(SystemTime::now()) => End::Private { lasting: false },
                () => own.clone(),
            };
            (own, facts, all)
        }
        None => match session.cache.maybe_cache_meta().and_then(|meta| meta.extensions().get::<Arc<Entry>>()) {
            // Another instance has fetched it.
            Some(entry) if session.cache.phase() == CachePhase::Hit => {
                (End::Stored(Arc::clone(entry)), facts, End::Stored(Arc::clone(entry)))
            }
            _ => relayed(answer, ctx, facts)?,
        },
    };
    if let Some(fetch) = &mut ctx.fetch {
        fetch.end(own, facts, all);
    }
    Ok(())
}

/// A response that is not stored. What says that the upstream is in trouble is for all who wait, and so is what would be
/// stored if it were asked for more often; anything else is for the request that caused the fetch.
fn relayed(answer: &ResponseHeader, ctx: &mut Context, mut facts: Facts) -> Result<(End, Facts, End)> {
    let policy = ctx.verdict.route.as_ref().and_then(|route| route.config.cache.as_ref()).map(|cache| &cache.lifetimes);
    let is_degraded = answer.headers.contains_key(DEGRADED);
    let is_bad = answer.status.is_server_error() || is_degraded;
    let is_shared = is_bad || ctx.cached.unkept == Some(Reason::FewUses) && !answer.headers.contains_key(header::VARY);
    let mut headers = answer.headers.clone();
    if is_shared {
        facts.own = only_own(&mut headers);
    }
    let terms = match ctx.cached.terms {
        Some(terms) => Some(terms),
        None if is_bad || answer.status.is_client_error() => Some(Terms::Nothing),
        None => policy
            .filter(|_| is_at_fallback(ctx))
            .map(|policy: &Config| Terms::Store { most: policy.fallback.0, own: None }),
    };
    facts.unstored = Some(ctx.cached.unkept.map_or(if is_degraded { "degraded" } else { "" }, Reason::as_str));
    let fill = Arc::new(Fill::new(meta(answer, headers, ctx)?));
    if let Some(fetch) = &ctx.fetch {
        fetch.relay_to(&fill);
    }
    ctx.relay = Some(Arc::clone(&fill));
    let own = filling(&fill, answer, false, terms);
    let lasting =
        ctx.cached.unkept.is_some_and(|reason| reason == Reason::TooLarge || Reason::LASTING.contains(&reason));
    let all = if is_shared { own.clone() } else { End::Private { lasting } };
    Ok((own, facts, all))
}

fn filling(fill: &Arc<Fill>, answer: &ResponseHeader, stored: bool, terms: Option<Terms>) -> End {
    End::Filling(Filling { fill: Arc::clone(fill), status: answer.status.as_u16(), stored, terms })
}

/// Takes out what is for the request that caused the fetch alone.
fn only_own(headers: &mut HeaderMap) -> HeaderMap {
    let lines: Vec<_> = headers.get_all(header::CACHE_CONTROL).iter().cloned().collect();
    let directives = ResponseDirectives::read(lines.iter().map(http::HeaderValue::as_bytes));
    let mut own = strip_unstorable(headers, &directives);
    if let header::Entry::Occupied(cookies) = headers.entry(header::SET_COOKIE) {
        let (name, values) = cookies.remove_entry_mult();
        own.extend(values.map(|value| (name.clone(), value)));
    }
    own
}

/// Of a response that is not stored: with a head like a stored one, and found by nobody.
fn meta(answer: &ResponseHeader, headers: HeaderMap, ctx: &Context) -> Result<Meta> {
    let now = SystemTime::now();
    let kept = Kept {
        times: Times { made: now, fresh_until: now },
        windows: Windows::default(),
        stored: now,
        keep: Duration::ZERO,
        vary: None,
        names: [].into(),
        clock: ctx.cached.clock,
    };
    let wrong = || Error::explain(ErrorType::InternalError, "a fetch without a key");
    let key = ctx.verdict.key.ok_or_else(wrong)?;
    let meta = kept.into_cache_meta(with_fields(answer, answer.status, &headers)?);
    Meta::of(key, &meta).map(|meta| Meta { id: Id::primary(key), ..meta }).ok_or_else(wrong)
}

/// A piece of the body. The store has it already where it is stored.
pub(super) fn piece(ctx: &mut Context, piece: &mut Option<Bytes>, end: bool) {
    match &ctx.relay {
        None => *piece = None,
        Some(relay) => {
            if let Some(piece) = piece {
                relay.push(piece.clone());
            }
            if end {
                relay.end(Filled::Complete);
            }
        }
    }
}
