//! Writes the gateway's own answers, and dresses every answer in the contract's fields.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use addrgate_filters::Stop;
use addrgate_filters::cors::EXPOSED;
use addrgate_filters::http::cache_policy::downstream::{Audience, ORIGINAL, Openness};
use addrgate_filters::http::cache_policy::fields::strip_hop_by_hop;
use addrgate_filters::reply::{Cause, Reply, render, wants_problem};
use addrgate_filters::route::{Answer, Route};
use addrgate_filters::verdict::Verdict;
use http::header::{self, HeaderMap, HeaderName};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::head::head_of;
use super::own;
use crate::coalesce::Failure;
use crate::context::Context;
use crate::edit::{add, edit, set};

/// Refuses: the one way in which a cause becomes an answer on Pingora's path.
pub(super) async fn refuse(session: &mut Session, ctx: &mut Context, by: &'static str, cause: Cause) -> Result<()> {
    ctx.refused = Some((by, cause.reason));
    if let Some(fetch) = &mut ctx.fetch {
        fetch.failed(Failure { by, cause: cause.clone() });
    }
    let problem = wants_problem(head_of(session).headers);
    let reply = render(&cause, &ctx.verdict, problem, chrono::Utc::now());
    write(session, ctx, &reply).await
}

/// Ends the request as a filter wants.
pub(super) async fn stop(session: &mut Session, ctx: &mut Context, stop: Stop) -> Result<()> {
    match stop {
        Stop::Refused(by, cause) => refuse(session, ctx, by, cause).await,
        Stop::Answered(reply) => write(session, ctx, &reply).await,
    }
}

/// Answers itself.
pub(super) async fn own(session: &mut Session, ctx: &mut Context, kind: Answer) -> Result<()> {
    let reply = own::reply(ctx, kind).await;
    write(session, ctx, &reply).await
}

async fn write(session: &mut Session, ctx: &mut Context, reply: &Reply) -> Result<()> {
    let mut answer = ResponseHeader::build_no_case(reply.status, Some(12))?;
    if let Some(slot) = &ctx.date {
        // Of an answer that this one stands in for.
        slot.clear();
    }
    for (name, value) in &reply.fields {
        answer.insert_header(*name, value)?;
    }
    if reply.status != 204 {
        answer.set_content_length(reply.body.len())?;
    }
    dress(&mut answer, &ctx.verdict, ctx.started.elapsed())?;
    if reply.close {
        session.set_keepalive(None);
    }
    keep_or_close(session, ctx);
    let head_only = session.req_header().method == http::Method::HEAD;
    session.as_downstream_mut().write_response_header(Box::new(answer)).await?;
    if !head_only {
        session.as_downstream_mut().write_response_body(reply.body.clone(), true).await?;
    }
    session.as_downstream_mut().finish_body().await?;
    // Over HTTP/2 the stream would be reset, which may overtake the response.
    if !session.is_body_done() {
        linger(session).await;
    }
    Ok(())
}

/// Reads on for a moment after a refusal, so that the client gets the answer rather than a reset connection.
async fn linger(session: &mut Session) {
    const MOST: usize = 1 << 20;
    let rest = async {
        let mut read = 0;
        while let Ok(Some(piece)) = session.read_request_body().await {
            read += piece.len();
            if read > MOST {
                return;
            }
        }
    };
    let _enough = tokio::time::timeout(Duration::from_secs(1), rest).await;
}

/// Pingora would keep connections for ever and let clients choose how long; both are set on every request.
pub(super) fn connection_bounds(session: &mut Session, ctx: &Context) {
    let limits = &ctx.plan.file.limits;
    let keep = !ctx.last && !ctx.shared.is_stopping();
    let keep = keep.then_some(limits.keepalive.0.as_secs().max(1));
    session.set_keepalive(keep);
    session.set_read_timeout(Some(limits.body_time.0));
    session.set_write_timeout(Some(limits.write_time.0));
    session.set_total_drain_timeout(Some(Duration::from_secs(1)));
    session.set_close_on_response_before_downstream_finish(true);
    // Passed on by `respond::interim`.
    session.as_downstream_mut().set_ignore_info_resp(true);
}

/// Right before a head is written: a stop may have begun since the request came, and the client must hear of it now.
pub(super) fn keep_or_close(session: &mut Session, ctx: &Context) {
    if ctx.shared.is_stopping() {
        session.set_keepalive(None);
    }
}

/// Passes an interim answer (1xx) on at once. Pingora loses one that arrives together with a final answer that is kept.
pub(super) async fn interim(session: &mut Session, answer: &ResponseHeader) -> Result<()> {
    // HTTP/1.0 would take the interim answer for the last (RFC 9110 section 15.2). A client that waits for `100 Continue` had
    // ours; the upstream was never asked for one.
    if session.req_header().version == http::Version::HTTP_10 || answer.status == http::StatusCode::CONTINUE {
        return Ok(());
    }
    let client = session.as_downstream_mut();
    client.set_ignore_info_resp(false);
    let written = client.write_response_header(Box::new(answer.clone())).await;
    client.set_ignore_info_resp(true);
    written.map_err(pingora::Error::into_down)
}

/// The fields that every answer carries.
pub(crate) fn dress(answer: &mut ResponseHeader, verdict: &Verdict, elapsed: Duration) -> Result<()> {
    edit(answer, |headers| {
        let mut done = Ok(());
        let own = Own::of(verdict, Openness::of_map(headers));
        fields(verdict, own, elapsed, SystemTime::now(), |name, value| {
            if done.is_ok() {
                done = if name == "vary" { add(headers, name, value) } else { set(headers, name, value) };
            }
        });
        done
    })?
}

/// Which of one request's own fields go out: a shared cache would hand them to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// All.
    All,
    /// All but what is left of the client's limits.
    Names,
    /// None.
    None,
}

impl Own {
    /// By what the response lets caches in front do.
    pub(crate) fn of(verdict: &Verdict, openness: Openness) -> Self {
        match verdict.route.as_ref().map(|route| route.config.audience()) {
            Some(Audience::Shared(_)) if openness.shared => Self::None,
            Some(Audience::AsUpstream) if openness.shared => Self::Names,
            _ => Self::All,
        }
    }
}

/// The same, field by field; `vary` is one more line, any other replaces what is there.
pub(crate) fn fields(
    verdict: &Verdict,
    own: Own,
    elapsed: Duration,
    now: SystemTime,
    mut put: impl FnMut(&'static str, &str),
) {
    if own != Own::None {
        let id = verdict.request_id.as_str();
        put("x-request-id", id);
        put("x-correlation-id", verdict.correlation.as_deref().unwrap_or(id));
        put("x-response-time", &response_time(elapsed));
    }
    put("x-content-type-options", "nosniff");
    if let Some(limit) = verdict.limit.as_ref().filter(|_| own == Own::All) {
        limit.write(now, &mut put);
    }
    if let Some(origin) = &verdict.cors.origin {
        put("access-control-allow-origin", origin);
        put("access-control-expose-headers", EXPOSED);
    }
    if verdict.cors.varies {
        put("vary", "Origin");
    }
}

/// Whole milliseconds; what comes from memory takes none.
fn response_time(elapsed: Duration) -> Cow<'static, str> {
    match elapsed.as_millis() {
        0 => "0ms".into(),
        ms => format!("{ms}ms").into(),
    }
}

/// Adds the route's own tags to what the upstream says. A validation that names none leaves those of what is kept.
pub(super) fn tag(headers: &mut HeaderMap, is_validation: bool, route: &Route) -> Result<()> {
    let tags = route.config.cache.as_ref().map_or(&[][..], |cache| &cache.tags);
    let keeps = is_validation && !headers.contains_key("cache-tag");
    if tags.is_empty() || keeps {
        return Ok(());
    }
    add(headers, "cache-tag", &tags.join(", "))
}

/// `Date` for what comes without one: the time of receipt (RFC 9110 section 6.6.1), from which the age counts, after a
/// validation too.
pub(super) fn date(headers: &mut HeaderMap) -> Result<()> {
    match headers.contains_key(header::DATE) {
        true => Ok(()),
        false => set(headers, "date", &httpdate::fmt_http_date(SystemTime::now())),
    }
}

/// What an upstream says about itself or about this one exchange is not for clients, and not to be kept.
pub(super) fn strip(headers: &mut HeaderMap) {
    // Names that are known at compile time are not parsed for each answer.
    const STRIPPED: [HeaderName; 8] = [
        header::SERVER,
        HeaderName::from_static("x-powered-by"),
        HeaderName::from_static("x-request-id"),
        HeaderName::from_static("x-correlation-id"),
        HeaderName::from_static("x-response-time"),
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderName::from_static("x-cache"),
        ORIGINAL,
    ];
    for name in &STRIPPED {
        headers.remove(name);
    }
    // Pingora has still to see how the body is framed.
    let framing = headers.remove(header::TRANSFER_ENCODING);
    strip_hop_by_hop(headers);
    if let Some(framing) = framing {
        headers.insert(header::TRANSFER_ENCODING, framing);
    }
}
