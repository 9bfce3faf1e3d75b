//! The cache phases: what Pingora asks about keys, freshness, storing and stale use, answered by the policy.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use addrgate_filters::cache_key::{common, find};
use addrgate_filters::http::body::has_body;
use addrgate_filters::http::cache_policy::conditional::is_not_modified;
use addrgate_filters::http::cache_policy::directives::RequestDirectives;
use addrgate_filters::http::cache_policy::downstream::{self, Terms};
use addrgate_filters::http::cache_policy::freshness::Exchange;
use addrgate_filters::http::cache_policy::part::Wanted;
use addrgate_filters::http::cache_policy::reuse::{Reuse, decide};
use addrgate_filters::http::cache_policy::storing::{self, Asked, Reason};
use addrgate_filters::http::cache_policy::vary::{Vary, variance};
use addrgate_filters::http::cache_policy::{Config, fields, invalidation, list};
use addrgate_filters::http::cache_status::Forward;
use addrgate_filters::http::head::{Head, Headers};
use addrgate_filters::route::Route;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use pingora::cache::key::HashBinary;
use pingora::cache::{CacheKey, CacheMeta, ForcedFreshness, NoCacheReason, RespCacheable};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType, Result};
use tokio::time::Instant;

use super::forward::{answered, is_at_fallback};
use super::head::head_of;
use super::wait::{self, Refused};
use crate::context::Context;
use crate::invalidation::{Name, Purge, Target};
use crate::recipe::Recipe;
use crate::replay;
use crate::store::{Entry, Given, Id, Kept, MAX_NAMES, Request, View, cache_key, names};
use crate::telemetry::METRICS;
use crate::upstream::answer::length;
use crate::upstream::request::selects;

/// The upstream has left something out under pressure: good for the one who asked now.
pub(super) const DEGRADED: &str = "x-degraded";

/// Prepares the cache where the filters found a key: what the request wishes, and what is there for it, if need be by a
/// fetch that many wait for.
///
/// # Errors
/// When the client leaves while it waits; and, inside, who refuses the request, and why.
pub(super) async fn prepare(
    session: &mut Session,
    ctx: &mut Context,
    route: &Arc<Route>,
) -> Result<Result<(), Refused>> {
    let method = session.req_header().method.clone();
    let Some(caching) = route.config.cache.as_ref().filter(|cache| cache.covers(method.as_str())) else {
        return Ok(Ok(()));
    };
    let Some(key) = ctx.verdict.key else { return Ok(Ok(())) };
    ctx.cached.on = true;
    ctx.cached.last = route.config.meta.then(Arc::default);
    let shared = Arc::clone(&ctx.shared);
    if let Some(fetch) = &ctx.fetch {
        ctx.verdict.lend = Some(fetch.lend());
        // From here on: what was purged before this moment is not what will be fetched.
        ctx.cached.clock = shared.invalidation.now();
        ctx.cached.held = Some(shared.caching.store.find(&key, Headers::Map(&session.req_header().headers)));
        return Ok(Ok(()));
    }
    if caching.lifetimes.request_directives {
        let lines = session.req_header().headers.get_all(header::CACHE_CONTROL).iter();
        ctx.cached.wish = Some(RequestDirectives::read(lines.map(http::HeaderValue::as_bytes)));
    }
    if caching.lifetimes.parts
        && method == Method::GET
        && ctx.cached.wish.is_none_or(|wish| wish == RequestDirectives::default())
    {
        ctx.cached.wanted = Wanted::of(Headers::Map(&session.req_header().headers));
    }
    let done = wait::find(session, ctx, route, key).await?;
    // After the wait: what was purged before this moment is not what will be fetched.
    ctx.cached.clock = shared.invalidation.now();
    Ok(done)
}

/// How long another instance's fetch is waited for before this one fetches, too: some of the time must be left.
fn patience(route: &Route) -> Duration {
    route.config.timeout.0.mul_f64(0.6)
}

/// Asks the upstream for the part alone, unless something is kept that only has to be validated.
pub(super) fn ask_for_part(session: &Session, ctx: &Context, request: &mut RequestHeader) -> Result<()> {
    let range = session.req_header().headers.get(header::RANGE);
    match range.filter(|_| ctx.cached.wanted.is_some() && session.cache.maybe_cache_meta().is_none()) {
        Some(range) => request.insert_header(header::RANGE, range),
        None => Ok(()),
    }
}

/// Turns the cache on.
pub(super) fn enable(session: &mut Session, ctx: &Context) {
    if ctx.cached.on {
        session.cache.enable(ctx.shared.caching.store, None, None, None, None);
    }
}

/// The key, with what memory has for it, and who waits.
pub(super) fn key(session: &Session, ctx: &Context) -> Result<CacheKey> {
    let keyed = ctx.verdict.key.zip(ctx.cached.held.clone());
    let (key, held) =
        keyed.ok_or_else(|| Error::explain(ErrorType::InternalError, "a cached request without a key"))?;
    let mut key = cache_key(key);
    let may_vary = ctx.shared.caching.store.second().is_some() && held.id.variance.is_none();
    key.extensions.insert(Request {
        held,
        headers: may_vary.then(|| Arc::new(session.req_header().headers.clone())),
        given: ctx.cached.given.clone(),
        brought: Arc::clone(&ctx.cached.brought),
        for_all: ctx.fetch.is_some(),
        looked: ctx.fetch.as_ref().is_some_and(|fetch| fetch.looked),
        lease: Arc::default(),
        until: ctx.begun + ctx.verdict.route.as_deref().map_or(Duration::ZERO, patience),
        contended: Arc::clone(&ctx.cached.contended),
        stale_will_do: !ctx.verdict.background,
        second: !ctx.cached.passing,
        wanted: ctx.cached.wanted,
        last: ctx.cached.last.clone(),
    });
    Ok(key)
}

/// Nothing is kept, or nothing for these selecting fields.
pub(super) fn missed(ctx: &mut Context) {
    let varies = ctx.cached.held.as_ref().is_some_and(|held| held.id.variance.is_some());
    ctx.cached.forward = if varies { Forward::VaryMiss } else { Forward::UriMiss };
}

/// Something is kept: whether it serves this request. What is stale is refreshed behind the reply where it may be, by the
/// first who asks.
pub(super) fn found(session: &Session, meta: &CacheMeta, ctx: &mut Context) -> Option<ForcedFreshness> {
    let kept = meta.extensions().get::<Kept>()?;
    note(session, meta, ctx);
    let now = SystemTime::now();
    let view = View { times: kept.times, windows: kept.windows };
    match &ctx.cached.given {
        // It is what the request waited for, or the best there is.
        Some(Given::Fill(_)) => return Some(ForcedFreshness::ForceFresh),
        Some(Given::Entry(..)) if ctx.cached.failed || ctx.cached.facts.is_some() => {
            return Some(ForcedFreshness::ForceFresh);
        }
        Some(Given::Entry(..)) if kept.times.is_fresh(now) => return None,
        _ => {}
    }
    match decide(&kept.times, kept.windows.on_request, ctx.cached.wish.as_ref(), now) {
        Reuse::Fresh => None,
        Reuse::Stale if view.is_servable_stale(now) && !ctx.verdict.background => {
            refresh(session, kept, meta, ctx);
            ctx.cached.updating = true;
            Some(ForcedFreshness::ForceFresh)
        }
        Reuse::Stale => {
            ctx.cached.forward = Forward::Stale;
            None
        }
        Reuse::StaleAccepted => Some(ForcedFreshness::ForceFresh),
        Reuse::Unwanted => {
            ctx.cached.forward = Forward::Request;
            Some(ForcedFreshness::ForceExpired)
        }
    }
}

/// The variant that a request selects.
pub(super) fn variant(meta: &CacheMeta, request: &RequestHeader) -> Option<HashBinary> {
    let fields = meta.extensions().get::<Kept>()?.vary.as_ref()?;
    Some(variance(fields, Headers::Map(&request.headers)))
}

/// Whether and how an answer is kept.
pub(super) fn store(session: &Session, answer: &ResponseHeader, ctx: &mut Context) -> Result<RespCacheable> {
    let Some(route) = ctx.verdict.route.clone() else { return Ok(uncacheable("no-route")) };
    let Some(caching) = &route.config.cache else { return Ok(uncacheable("no-route")) };
    let policy = &caching.lifetimes;
    let received = SystemTime::now();
    let exchange = Exchange { requested: ctx.cached.requested.unwrap_or(received), received };
    // A validated answer is the kept one with the 304's fields (RFC 9111 section 4.3.4).
    let validated = ctx.cached.validated.take().zip(session.cache.maybe_cache_meta());
    let (status, headers) = match &validated {
        Some((fresh, meta)) => {
            let mut headers = meta.headers().clone();
            downstream::restore(&mut headers, &policy.targets);
            fields::update(&mut headers, fresh);
            (meta.response_header().status, Cow::Owned(headers))
        }
        None => (answer.status, Cow::Borrowed(&answer.headers)),
    };
    let request = &session.req_header().headers;
    let asked = Asked {
        authorization: request.contains_key(header::AUTHORIZATION) && !route.config.auth.reads_token(),
        no_store: ctx.cached.wish.is_some_and(|wish| wish.no_store),
        part: ctx.cached.wanted.is_some(),
    };
    if answer.headers.contains_key(DEGRADED) {
        ctx.cached.terms = Some(Terms::Nothing);
        return Ok(uncacheable("degraded"));
    }
    if validated.is_none() && status.is_server_error() && has_better(session, ctx) {
        return Ok(unkept(ctx, Reason::Error, policy));
    }
    let decided = storing::decide(policy, asked, status.as_u16(), &headers, &exchange, rand::random::<f64>());
    let mut storable = match decided {
        Ok(storable) => storable,
        Err(reason) => return Ok(unkept(ctx, reason, policy)),
    };
    if is_at_fallback(ctx) {
        storable.cap(policy.fallback.0);
    }
    if validated.is_none() && is_too_large(answer, ctx) {
        let unkept = unkept(ctx, Reason::TooLarge, policy);
        ctx.cached.terms = Some(storable.terms());
        return Ok(unkept);
    }
    // A refresh, and what is warmed, are of use as they are.
    let is_wanted = !ctx.verdict.background || ctx.fetch.as_ref().is_some_and(|fetch| fetch.waiters().is_some());
    let is_new = session.cache.maybe_cache_meta().is_none() && is_wanted;
    if let Some(key) = ctx.verdict.key.filter(|_| is_new && caching.min_uses > 1)
        && ctx.shared.caching.uses.count(key, caching.min_uses_within.0) < caching.min_uses
    {
        let unkept = unkept(ctx, Reason::FewUses, policy);
        ctx.cached.terms = Some(storable.terms());
        return Ok(unkept);
    }
    let key = common(&caching.key, &head_of(session), &ctx.verdict);
    // What the upstream did not see made no difference: selecting by it would keep the same answer once for each value.
    let vary: Option<Arc<[_]>> = match &storable.vary {
        Vary::Fields(names) => Some(names.iter().filter(|name| selects(&route, name)).cloned().collect()),
        Vary::Nothing | Vary::Everything => None,
    };
    let vary = vary.filter(|names| !names.is_empty());
    if vary.iter().flat_map(|names| names.iter()).any(|name| is_nominated(request, name)) {
        // It did not reach the upstream, so the response is not of the variant that the request names.
        return Ok(uncacheable("nominated"));
    }
    if let Some((_, kept)) = &validated
        && vary.as_deref().map(|names| variance(names, Headers::Map(request))) != kept.variance()
    {
        // The 304 changed the fields that select the answer (RFC 9111 section 4.1): as what it was kept it may not be found.
        let target = Target::Names(vec![Name::key(&key)]);
        ctx.shared.invalidation.purge_soon(Purge { target, soft: false });
        ctx.cached.terms = Some(storable.terms());
        return Ok(uncacheable("vary-changed"));
    }
    let mut headers = headers.into_owned();
    let names = names(&key, &headers);
    if names.len() > MAX_NAMES {
        too_many_tags(&route, names.len() - 1);
        return Ok(unkept(ctx, Reason::TooManyTags, policy));
    }
    ctx.cached.own = fields::strip_unstorable(&mut headers, &storable.directives);
    downstream::write_stored(&mut headers, route.config.audience(), storable.terms(), &policy.targets, received);
    let kept = Kept {
        times: storable.times(received),
        windows: storable.windows,
        stored: received,
        keep: storable.keep,
        vary,
        names,
        clock: ctx.cached.clock,
    };
    Ok(RespCacheable::Cacheable(kept.into_cache_meta(with_fields(answer, status, &headers)?)))
}

fn uncacheable(reason: &'static str) -> RespCacheable {
    RespCacheable::Uncacheable(NoCacheReason::Custom(reason))
}

/// The response is not stored: notes why, and what caches in front may do with it.
fn unkept(ctx: &mut Context, reason: Reason, policy: &Config) -> RespCacheable {
    ctx.cached.unkept = Some(reason);
    ctx.cached.terms = Some(reason.terms(policy));
    uncacheable(reason.as_str())
}

/// Says so in the log, once a minute at most.
fn too_many_tags(route: &Route, tags: usize) {
    static TOLD: Mutex<Option<Instant>> = Mutex::new(None);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.is_none_or(|told| told.elapsed() > Duration::from_secs(60)) {
        *told = Some(Instant::now());
        let route = route.name();
        tracing::warn!(
            route,
            tags,
            most = MAX_NAMES - 1,
            "a response has more tags than can be stored; it is not stored"
        );
    }
}

/// Whether `Connection` says that a field is for this hop only (RFC 9110 section 7.6.1).
fn is_nominated(request: &HeaderMap, name: &HeaderName) -> bool {
    let lines = request.get_all(header::CONNECTION).iter();
    lines
        .flat_map(|line| list::members(line.as_bytes()))
        .any(|option| option.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

/// Whether the body is so large that it goes to its client alone, at that one's speed, and nobody waits for it. One of unknown
/// length is taken for such where the last one was too large to be stored.
fn is_too_large(answer: &ResponseHeader, ctx: &Context) -> bool {
    match length(answer) {
        Some(length) => length > ctx.shared.caching.store.most_passed_on(),
        None => ctx.cached.passing && answer.headers.contains_key(header::TRANSFER_ENCODING),
    }
}

/// Whether what is kept is good, and still good enough where the upstream fails (RFC 5861 section 4): an error does not take
/// its place, whoever asked for a newer answer.
fn has_better(session: &Session, ctx: &Context) -> bool {
    let Some(meta) = session.cache.maybe_cache_meta() else { return false };
    let Some(kept) = meta.extensions().get::<Kept>() else { return false };
    let until = kept.times.fresh_until + kept.windows.if_error;
    !meta.response_header().status.is_server_error()
        && SystemTime::now() < until
        && ctx.shared.caching.store.view(kept).is_some()
}

/// A head of its own with other fields.
pub(super) fn with_fields(answer: &ResponseHeader, status: StatusCode, headers: &HeaderMap) -> Result<ResponseHeader> {
    let mut head = ResponseHeader::build_no_case(status, Some(headers.len()))?;
    if answer.status == status {
        head.set_reason_phrase(answer.get_reason_phrase())?;
    }
    for (name, value) in headers {
        head.append_header(name.clone(), value.clone())?;
    }
    Ok(head)
}

/// Whether a part of what would be sent may be cut out of it: for GET (RFC 9110 section 14.2), for who has bytes that are
/// equal to it (section 13.1.5), and out of what is sent as it is kept.
pub(super) fn may_cut(session: &Session, ctx: &Context) -> bool {
    let request = session.req_header();
    let is_weak = request.headers.get(header::IF_RANGE).is_some_and(|tag| tag.as_bytes().starts_with(b"W/"));
    let whole = request.headers.contains_key(header::RANGE) && (request.method != Method::GET || is_weak);
    !whole && ctx.verdict.route.as_ref().is_none_or(|route| !route.config.meta)
}

/// Whether the client has what would be sent.
pub(super) fn not_modified(session: &Session, answer: &ResponseHeader) -> bool {
    let request = session.req_header();
    // Other methods are never answered 304 (RFC 9110 section 15.4.5).
    !has_body(request.method.as_str())
        && answer.status == StatusCode::OK
        && is_not_modified(Headers::Map(&request.headers), &answer.headers)
}

/// Notes what is asked often.
fn note(session: &Session, meta: &CacheMeta, ctx: &Context) {
    if let Some(entry) = meta.extensions().get::<Arc<Entry>>().filter(|_| !ctx.verdict.background) {
        let recipe = |vary: &[_]| Recipe::of(&head_of(session), &ctx.verdict, vary);
        ctx.shared.popular.used(entry, &ctx.verdict, recipe);
    }
}

/// Asks for a fresh answer behind the reply, unless somebody does already.
fn refresh(session: &Session, kept: &Kept, meta: &CacheMeta, ctx: &Context) {
    let Some(key) = ctx.verdict.key else { return };
    let Some(lead) = ctx.shared.caching.coalesce.lead(Id { key, variance: meta.variance() }) else { return };
    METRICS.cache_refreshes.inc();
    let recipe = Recipe::of(&head_of(session), &ctx.verdict, kept.vary.as_deref().unwrap_or_default());
    replay::refresh(&ctx.shared, recipe, lead);
}

/// Whether a stale answer goes out because the upstream failed; Pingora has looked at its window. While it is refreshed
/// it goes out by [`found`]. What was purged while the upstream was asked does not.
pub(super) fn stale(session: &mut Session, ctx: &mut Context, error: Option<&Error>) -> bool {
    let Some(error) = error.filter(|error| *error.esource() != ErrorSource::Downstream && !ctx.verdict.background)
    else {
        return false;
    };
    let kept = session.cache.maybe_cache_meta().and_then(|meta| meta.extensions().get::<Kept>());
    if kept.is_none_or(|kept| ctx.shared.caching.store.view(kept).is_none()) {
        return false;
    }
    match error.etype() {
        // A refusal says nothing against the upstream, so it is passed on.
        _ if ctx.refusal.as_ref().is_some_and(|cause| cause.status() < 500) => return false,
        // Pingora does not show this answer to any other phase.
        ErrorType::HTTPStatus(status) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            answered(ctx, status, true);
        }
        // Pingora gives the connection up after a failed exchange, so the client must hear that it ends.
        _ => session.set_keepalive(None),
    }
    (ctx.refusal, ctx.refused) = (None, None);
    true
}

/// An unsafe request that was done makes what is kept of its target invalid (RFC 9111 section 4.4). A method that the
/// route caches by its body only reads.
pub(super) fn invalidate(session: &Session, answer: &ResponseHeader, ctx: &Context) {
    let request = session.req_header();
    let method = request.method.as_str();
    let Some(route) = &ctx.verdict.route else { return };
    let reads = route.config.cache.as_ref().is_some_and(|cache| cache.covers(method));
    if reads || !invalidation::applies(method, answer.status.as_u16()) {
        return;
    }
    let head = head_of(session);
    let authority = head.host().and_then(|host| std::str::from_utf8(host).ok()).unwrap_or_default();
    let own = std::iter::once(ctx.verdict.target.clone());
    for target in own.chain(invalidation::also(&answer.headers, authority, &ctx.verdict.target)) {
        let mut wanted = Head::new("GET", &target, Headers::Map(&request.headers));
        wanted.authority = head.authority;
        // What is not kept needs no purge.
        let Ok(key) = find(&ctx.plan.filters, &wanted, None) else { continue };
        let target = Target::Names(vec![Name::key(&key)]);
        ctx.shared.invalidation.purge_soon(Purge { target, soft: false });
    }
}
