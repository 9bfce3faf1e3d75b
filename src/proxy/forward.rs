//! Asking the upstream: getting a place, choosing a peer, telling breaker and queue what came of it, trying again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use addrgate_filters::Stop;
use addrgate_filters::reply::Cause;
use addrgate_filters::route::Route;
use addrgate_filters::verdict::Answered;
use http::{HeaderMap, StatusCode};
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use tokio::time::Instant;

use super::{REFUSED, route_of};
use crate::context::Context;
use crate::edit::set;
use crate::telemetry::{CallOutcome, METRICS};
use crate::upstream::{Hedge, answer};

/// Why a request gets no place.
pub(super) enum Denied {
    /// By whom, and why.
    Refused(&'static str, Cause),
    /// The client left while it waited.
    Gone(Box<Error>),
}

/// Degradation, breaker and queue, in turn. Where the primary's breaker refuses, a route's fallback is asked instead.
pub(super) async fn admit(session: &mut Session, ctx: &mut Context) -> Result<(), Denied> {
    let route = route_of(ctx).map_err(Denied::Gone)?;
    let plan = Arc::clone(&ctx.plan);
    let deadline = ctx.begun + route.config.timeout.0;
    ctx.verdict.deadline = Some(deadline);
    if plan.filters.degrade.effects().fallback {
        turn_to_fallback(ctx, &route);
    }
    let body_is_done = session.as_downstream_mut().is_body_done();
    loop {
        let admitted = tokio::select! {
            biased;
            admitted = plan.filters.forward(&mut ctx.verdict) => admitted,
            idle = session.as_downstream_mut().read_body_or_idle(true), if body_is_done => return Err(Denied::Gone(gone(idle))),
        };
        match admitted {
            Ok(()) => break,
            Err(Stop::Refused(_, cause)) if is_breaker(&cause) && turn_to_fallback(ctx, &route) => {}
            Err(Stop::Refused(by, cause)) => return Err(Denied::Refused(by, cause)),
            // No filter answers at this moment.
            Err(Stop::Answered(_)) => return Err(Denied::Refused("route", answer::internal())),
        }
    }
    if let Some(pool) = ctx.plan.pool_of(&ctx.verdict) {
        pool.retries.request();
    }
    Ok(())
}

/// What a client that has nothing more to say and is heard of all the same has done: left, or sent what it must not.
pub(super) fn gone(idle: Result<Option<bytes::Bytes>>) -> Box<Error> {
    match idle {
        Ok(_) => Error::explain(ErrorType::ReadError, "data after the request").into_down(),
        Err(gone) => gone.into_down(),
    }
}

fn is_breaker(cause: &Cause) -> bool {
    matches!(cause.reason, "breaker_open" | "breaker_probing" | "breaker_forced_open")
}

/// Sends the request to the route's fallback from now on, if there is one, it is not there already, and its budget allows.
fn turn_to_fallback(ctx: &mut Context, route: &Route) -> bool {
    let Some(name) = route.config.fallback.as_deref() else { return false };
    let plan = Arc::clone(&ctx.plan);
    let Some(pool) = plan.pool_named(name) else { return false };
    // What its breaker would refuse is not counted as a call.
    let is_open = plan.filters.breaker.upstreams().get(name).is_some_and(|breaker| breaker.refuses());
    if ctx.verdict.upstream.as_deref() == Some(name) || is_open || !pool.may_stand_in() {
        return false;
    }
    METRICS.fallbacks.with_label_values(&[pool.name()]).inc();
    ctx.verdict.upstream = Some(name.into());
    (ctx.verdict.breaker, ctx.verdict.slot) = (None, None);
    true
}

/// Whether the route's fallback is asked, or has answered.
pub(super) fn is_at_fallback(ctx: &Context) -> bool {
    let fallback = ctx.verdict.route.as_ref().and_then(|route| route.config.fallback.as_deref());
    fallback.is_some() && ctx.verdict.upstream.as_deref() == fallback
}

/// Tells by `X-Source` that a fallback answered, where it does not tell so itself.
pub(super) fn mark(ctx: &Context, headers: &mut HeaderMap) -> Result<()> {
    match is_at_fallback(ctx) && !headers.contains_key("x-source") {
        true => set(headers, "x-source", pool_name(ctx)),
        false => Ok(()),
    }
}

/// The address to ask, within what is left of the request's time.
pub(super) fn peer(session: &Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
    ctx.tries += 1;
    let now = Instant::now();
    ctx.asked.get_or_insert(now);
    ctx.tried = Some(now);
    ctx.cached.requested = Some(SystemTime::now());
    let left = ctx.verdict.deadline.map(|end| end.saturating_duration_since(now)).unwrap_or_default();
    let left = left.max(Duration::from_millis(1));
    let pool = ctx.plan.pool_of(&ctx.verdict);
    let peer = pool.and_then(|pool| pool.peer(left)).map(|mut peer| {
        if let Some(hedge) = hedge(session, ctx) {
            hedge.apply(&mut peer);
        }
        peer
    });
    peer.ok_or_else(|| {
        count(ctx, CallOutcome::Unreachable, None);
        ctx.verdict.answered(Answered::Failed, Duration::ZERO);
        refusal(ctx, "upstream", answer::unavailable("no_upstream", "The service behind is not known yet."))
    })
}

/// The first try of a read may be sent twice where the route says so.
fn hedge(session: &Session, ctx: &Context) -> Option<Hedge> {
    let route = ctx.verdict.route.as_ref().filter(|_| ctx.tries == 1)?;
    let reads = route.config.cache.as_ref().is_some_and(|cache| cache.covers(session.req_header().method.as_str()));
    let delay = route.config.hedge.filter(|_| reads)?.0;
    let pool = Arc::clone(ctx.plan.pool_of(&ctx.verdict)?);
    let queue = ctx.plan.filters.queue.upstreams().get(pool.name()).map(Arc::clone);
    Some(Hedge { pool, queue, class: ctx.verdict.class, delay })
}

/// What is left of the time that the route gives; waiting and earlier tries used some.
pub(super) fn left(ctx: &Context) -> Duration {
    ctx.verdict.deadline.map(|end| end.saturating_duration_since(Instant::now())).unwrap_or_default()
}

/// The head of an answer is there: counts it, and gives the place back.
pub(super) fn answered(ctx: &mut Context, status: StatusCode, usable: bool) {
    let elapsed = elapsed(ctx);
    ctx.upstream_time = Some(elapsed);
    let (outcome, answered) = match status.as_u16() {
        _ if !usable => (CallOutcome::Unexpected, Answered::Failed),
        200..=399 => (CallOutcome::Ok, Answered::Ok),
        429 => (CallOutcome::ClientError, Answered::Overloaded),
        400..=499 => (CallOutcome::ClientError, Answered::Ok),
        503 => (CallOutcome::ServerError, Answered::Overloaded),
        _ => (CallOutcome::ServerError, Answered::Failed),
    };
    count(ctx, outcome, Some(elapsed));
    ctx.verdict.answered(answered, elapsed);
}

/// No answer, or a broken one. Says whether the request may be tried again: at another address or over a new connection
/// where asking twice does no harm and the budget allows, else at the fallback.
pub(super) fn failed(session: &mut Session, ctx: &mut Context, e: &Error, nothing_sent: bool, reused: bool) -> bool {
    let timed_out = matches!(e.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
    // Over HTTP/2 a large body is passed on while it comes in: the upstream can't answer what the client has not sent.
    let is_clients =
        *e.etype() == ErrorType::ReadTimedout && !nothing_sent && !session.as_downstream_mut().is_body_done();
    if is_clients || *e.esource() == ErrorSource::Downstream {
        // It counts as cancelled.
        (ctx.verdict.breaker, ctx.verdict.slot) = (None, None);
        return false;
    }
    let elapsed = elapsed(ctx);
    let answered = if timed_out { Answered::TimedOut } else { Answered::Failed };
    if ctx.refusal.is_none() {
        count(ctx, if nothing_sent { CallOutcome::Unreachable } else { CallOutcome::Broken }, None);
    }
    let replayable = is_replayable(session, ctx);
    // A kept connection that the upstream had closed meanwhile is no failure of its.
    let again =
        (nothing_sent || reused && e.retry.retry()) && replayable && ctx.tries < 2 && left(ctx) > Duration::ZERO;
    let may = again && ctx.plan.pool_of(&ctx.verdict).is_some_and(|pool| pool.retries.spend());
    if may && ctx.verdict.again(answered, elapsed).is_ok() {
        METRICS.retries.with_label_values(&[pool_name(ctx)]).inc();
        return true;
    }
    ctx.verdict.answered(answered, elapsed);
    to_fallback(session, ctx)
}

/// Whether asking twice does no harm (RFC 9110 section 9.2.2; a request that is kept by its body only reads), the client has
/// got nothing yet, and all that it sent is at hand.
fn is_replayable(session: &Session, ctx: &Context) -> bool {
    let repeatable = session.req_header().method.is_idempotent() || ctx.verdict.body.is_some();
    let untouched = session.response_written().is_none_or(|written| written.status.is_informational());
    repeatable && untouched && !session.as_ref().retry_buffer_truncated()
}

/// After a failure of the primary: whether the fallback is asked instead, while there is time.
pub(super) fn to_fallback(session: &Session, ctx: &mut Context) -> bool {
    let Ok(route) = route_of(ctx) else { return false };
    let may = is_replayable(session, ctx) && left(ctx) > Duration::ZERO;
    let turns = may && turn_to_fallback(ctx, &route);
    if turns {
        (ctx.refusal, ctx.refused) = (None, None);
    }
    turns
}

fn elapsed(ctx: &Context) -> Duration {
    ctx.tried.map(|tried| tried.elapsed()).unwrap_or_default()
}

/// Puts a cause into the context for `fail_to_proxy`.
pub(super) fn refusal(ctx: &mut Context, by: &'static str, cause: Cause) -> Box<Error> {
    ctx.refused = Some((by, cause.reason));
    ctx.refusal = Some(cause);
    Error::new(REFUSED)
}

fn pool_name(ctx: &Context) -> &str {
    ctx.plan.pool_of(&ctx.verdict).map_or("", |pool| pool.name())
}

fn count(ctx: &Context, outcome: CallOutcome, elapsed: Option<Duration>) {
    if let Some(pool) = ctx.plan.pool_of(&ctx.verdict) {
        pool.metrics.count(outcome, elapsed);
    }
}

/// Whether the client's connection is encrypted: as a proxy says that is trusted, where TLS ended before us.
pub(super) fn is_over_tls(session: &Session, ctx: &Context) -> bool {
    let told = super::head_of(session).headers.text("x-forwarded-proto");
    match told.filter(|_| ctx.is_from_trusted()) {
        Some("https") => true,
        Some("http") => false,
        _ => session.digest().is_some_and(|digest| digest.ssl_digest.is_some()),
    }
}
