//! Asking the upstream: getting a place, choosing a peer, telling breaker and queue what came of it, trying again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use addrgate_filters::Stop;
use addrgate_filters::reply::Cause;
use addrgate_filters::route::Route;
use addrgate_filters::traffic::Answered;
use http::{HeaderMap, Method, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result};
use tokio::time::Instant;

use super::head::head_of;
use super::respond;
use crate::context::Context;
use crate::edit::set;
use crate::fetch::Fetch;
use crate::telemetry::{CallOutcome, METRICS};
use crate::upstream::{Decoder, Fault, Hedge, answer, connect_apart};

/// Ends a phase after the cause was put into the context; `fail_to_proxy` writes the answer.
pub(super) const REFUSED: ErrorType = ErrorType::new("Refused");

/// Ends a try whose answer is given up for the fallback's.
pub(super) const TURNED: ErrorType = ErrorType::new("Turned");

/// Why a request gets no place.
pub(super) enum Denied {
    /// By whom, and why.
    Refused(&'static str, Cause),
    /// The client left while it waited.
    Gone(Box<Error>),
}

/// Degradation, breaker and queue, in turn. Where the primary's breaker refuses, a route's fallback is asked instead.
pub(super) async fn admit(session: &mut Session, ctx: &mut Context) -> Result<(), Denied> {
    let route = ctx.route().map_err(Denied::Gone)?;
    let plan = Arc::clone(&ctx.plan);
    let deadline = ctx.begun + route.config.timeout.0;
    ctx.verdict.deadline = Some(deadline);
    if plan.filters.degrade.effects().fallback {
        turn_to_fallback(ctx, &route);
    }
    let waiters = ctx.fetch.as_ref().and_then(Fetch::waiters);
    let deserted = async {
        match &waiters {
            Some(waiters) => waiters.gone().await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(deserted);
    let body_is_done = session.as_downstream_mut().is_body_done();
    loop {
        let admitted = tokio::select! {
            biased;
            admitted = plan.filters.forward(&mut ctx.verdict) => admitted,
            idle = session.as_downstream_mut().read_body_or_idle(true), if body_is_done => return Err(Denied::Gone(gone(idle))),
            () = &mut deserted => {
                let nobody = Error::explain(ErrorType::ConnectionClosed, "nobody waits for the fetch any more");
                return Err(Denied::Gone(nobody.into_down()));
            }
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
    (ctx.call, ctx.responded) = (None, false);
    ctx.cached.requested = Some(SystemTime::now());
    let left = ctx.verdict.deadline.map(|end| end.saturating_duration_since(now)).unwrap_or_default();
    let left = left.max(Duration::from_millis(1));
    let repeatable = is_repeatable(session, ctx);
    let pool = ctx.plan.pool_of(&ctx.verdict).map(Arc::clone);
    let chosen = pool.and_then(|pool| Some((pool.choose(&ctx.failed_at, repeatable)?, pool)));
    let Some((call, pool)) = chosen else {
        ctx.count(CallOutcome::Unreachable, None);
        ctx.verdict.answered(Answered::Failed, Duration::ZERO);
        return Err(refusal(
            ctx,
            "upstream",
            answer::unavailable("no_upstream", "The upstream service's address is not known yet. Try again shortly."),
        ));
    };
    let spare = pool.count_besides(&ctx.failed_at) > 1;
    let mut peer = pool.peer(call.addr(), left, spare);
    ctx.call = Some(call);
    if let Some(hedge) = hedge(session, ctx) {
        hedge.apply(&mut peer);
    } else if ctx.fresh {
        connect_apart(&mut peer);
    }
    Ok(peer)
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

/// An interim response (1xx). 100 is for whoever sent `Expect`, which the gateway does not pass on; any other goes to the client
/// within the route's time.
pub(super) async fn interim(session: &mut Session, ctx: &Context, answer: &ResponseHeader) -> Result<()> {
    if left(ctx).is_zero() {
        return Err(Error::explain(ErrorType::ReadTimedout, "nothing but interim responses").into_up());
    }
    match &ctx.fetch {
        _ if answer.status == StatusCode::CONTINUE => Ok(()),
        Some(fetch) => {
            fetch.interim(answer);
            Ok(())
        }
        None => respond::interim(session, answer).await,
    }
}

/// Makes of a response one with a plain body, or with none where none follows whatever the head says (RFC 9110 section 6.4.1).
pub(super) fn plain_body(session: &Session, ctx: &mut Context, answer: &mut ResponseHeader) -> Result<(), Cause> {
    let bodiless = matches!(answer.status.as_u16(), 204 | 304);
    if bodiless {
        answer.remove_header(&header::CONTENT_LENGTH);
        answer.remove_header(&header::TRANSFER_ENCODING);
    }
    // The cache asks by GET.
    let has_body = !bodiless && (session.cache.enabled() || session.req_header().method != Method::HEAD);
    ctx.decoder = Decoder::new(answer, has_body)?;
    Ok(())
}

/// The head of a response is there. What is not `usable` does not reach the client. A fetch keeps its place at the upstream
/// until all of the body is there; what is passed on at a client's speed gives it back.
pub(super) fn answered(ctx: &mut Context, status: StatusCode, usable: bool) {
    let elapsed = elapsed(ctx);
    ctx.upstream_time = Some(elapsed);
    let (outcome, answered) = match status.as_u16() {
        429 => (CallOutcome::ClientError, Answered::Throttled),
        503 => (CallOutcome::ServerError, Answered::Overloaded),
        code if !usable && answer::refusal(code).is_none() => (CallOutcome::Unexpected, Answered::Failed),
        200..=399 => (CallOutcome::Ok, Answered::Ok),
        400..=499 => (CallOutcome::ClientError, Answered::Ok),
        _ => (CallOutcome::ServerError, Answered::Failed),
    };
    responded(ctx);
    if usable && answered == Answered::Ok {
        ctx.pending = Some((outcome, answered, elapsed));
        if ctx.fetch.is_none() {
            ctx.verdict.head_answered(answered, elapsed);
        }
        return;
    }
    ctx.count(outcome, Some(elapsed));
    ctx.verdict.answered(answered, elapsed);
}

/// All of the response is there: now it is known what came of the call.
pub(super) fn completed(ctx: &mut Context) {
    // It is in flight no more, however slowly the client reads.
    ctx.call = None;
    if let Some((outcome, answered, elapsed)) = ctx.pending.take() {
        ctx.count(outcome, Some(elapsed));
        ctx.verdict.answered(answered, elapsed);
    }
}

fn responded(ctx: &mut Context) {
    ctx.responded = true;
    if let Some(call) = &ctx.call {
        call.responded();
    }
}

/// No response, or a broken one. Says whether the request is tried again: at another address or over a new connection where
/// that does no harm, else at the fallback. Nothing is told to the breaker before: it counts what no address could serve.
pub(super) fn failed(session: &mut Session, ctx: &mut Context, e: &Error, connected: bool, reused: bool) -> bool {
    let timed_out = matches!(e.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
    // A large body may be passed on while it comes in: the upstream can't answer what the client has not sent.
    let is_clients = *e.etype() == ErrorType::ReadTimedout && connected && !session.as_downstream_mut().is_body_done();
    if is_clients || *e.esource() == ErrorSource::Downstream {
        // It counts as cancelled.
        (ctx.verdict.breaker, ctx.verdict.slot, ctx.call) = (None, None, None);
        return false;
    }
    if ctx.refusal.as_ref().is_some_and(|cause| cause.status() < 500) {
        // It is a response, and was counted as one.
        return false;
    }
    ctx.pending = None;
    let elapsed = elapsed(ctx);
    let answered = if timed_out { Answered::TimedOut } else { Answered::Failed };
    if ctx.refusal.is_none() {
        ctx.count(if connected { CallOutcome::Broken } else { CallOutcome::Unreachable }, None);
    }
    let again = next_try(session, ctx, e, connected, reused);
    ctx.call = None;
    if again && ctx.verdict.again() {
        METRICS.retries.with_label_values(&[pool_name(ctx)]).inc();
        return true;
    }
    ctx.verdict.answered(answered, elapsed);
    to_fallback(session, ctx)
}

/// Charges a failure to the address, and says whether the request may be tried again within the same upstream.
fn next_try(session: &Session, ctx: &mut Context, e: &Error, connected: bool, reused: bool) -> bool {
    let Some((call, pool)) = ctx.call.take().zip(ctx.plan.pool_of(&ctx.verdict).map(Arc::clone)) else { return false };
    if ctx.responded || ctx.refusal.is_some() {
        return false;
    }
    let is_closed = matches!(e.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError);
    let replayable = is_replayable(session, ctx) && left(ctx) > Duration::ZERO;
    if connected && reused && is_closed && !ctx.fresh {
        // A kept connection that the upstream had closed meanwhile is no failure of its, and says nothing about new ones.
        ctx.fresh = true;
        return replayable;
    }
    let timed_out = matches!(e.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
    match e.etype() {
        // Our own want of a socket.
        ErrorType::SocketError | ErrorType::BindError => return false,
        _ if !connected => call.failed(Fault::Unreachable),
        // It has had too little time where the request waited long for its turn.
        _ if timed_out && elapsed(ctx) >= ctx.verdict.slow() / 2 => call.failed(Fault::Silent),
        _ if timed_out => {}
        _ => call.failed(Fault::Broken),
    }
    ctx.failed_at.push(call.addr());
    if !replayable {
        return false;
    }
    if pool.count_besides(&ctx.failed_at) > 0 {
        // Without a connection nothing was sent, so it is still the first try.
        return !connected || is_closed && pool.retries.spend();
    }
    // The only address may be back in a moment.
    let once_more = !connected && ctx.tries < 2 && pool.retries.spend();
    if once_more {
        ctx.failed_at.clear();
    }
    once_more
}

/// Whether the request does no harm twice (RFC 9110 section 9.2.2); one that is cached by its body only reads.
fn is_repeatable(session: &Session, ctx: &Context) -> bool {
    let says_route = ctx.verdict.route.as_ref().is_some_and(|route| route.config.repeatable);
    says_route || session.req_header().method.is_idempotent() || ctx.verdict.body.is_some()
}

/// Whether the request can be sent again: it does no harm twice or was not sent yet, the client has got nothing, and all that
/// it sent is at hand.
fn is_replayable(session: &Session, ctx: &Context) -> bool {
    let untouched = session.response_written().is_none_or(|written| written.status.is_informational());
    (!ctx.sent || is_repeatable(session, ctx)) && untouched && !session.as_ref().retry_buffer_truncated()
}

/// After a failure of the primary: whether the fallback is asked instead, while there is time.
pub(super) fn to_fallback(session: &Session, ctx: &mut Context) -> bool {
    let Ok(route) = ctx.route() else { return false };
    let may = is_replayable(session, ctx) && left(ctx) > Duration::ZERO;
    let turns = may && turn_to_fallback(ctx, &route);
    if turns {
        (ctx.refusal, ctx.refused) = (None, None);
        ctx.failed_at.clear();
        ctx.fresh = false;
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

/// Whether the client's connection is encrypted: as a proxy says that is trusted, where TLS ended before us.
pub(super) fn is_over_tls(session: &Session, ctx: &Context) -> bool {
    let told = head_of(session).headers.text("x-forwarded-proto");
    match told.filter(|_| ctx.is_from_trusted()) {
        Some("https") => true,
        Some("http") => false,
        _ => session.digest().is_some_and(|digest| digest.ssl_digest.is_some()),
    }
}
