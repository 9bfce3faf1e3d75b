//! Request bodies: bounded, in time, and for body-keyed routes read before anything else.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::Flow;
use addrgate_filters::reply::Cause;
use addrgate_filters::request_body::{Inflate, most, taken, too_large, too_slow};
use addrgate_filters::route::{Kind, Route};
use bytes::{Bytes, BytesMut};
use http::{Version, header};
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, OrErr, Result};

use super::forward::refusal;
use super::head_of;
use crate::context::Context;

/// What Pingora's retry buffer takes, from which it replays what was read here.
const REPLAYED: u64 = 64 << 10;

/// Reads the body before anything waits for it, so that a client that sends slowly holds no place at the upstream, and one
/// that leaves is heard. Over HTTP/1 the door has read it, or holds what is too large to be replayed. On body-keyed routes
/// finds the key. What the route takes no body for is read, and goes nowhere.
pub(super) async fn prepare(session: &mut Session, ctx: &mut Context, route: &Route) -> Result<Result<(), Cause>> {
    let request = session.req_header();
    let is_http2 = request.version == Version::HTTP_2;
    let method = request.method.as_str();
    let by_body = route.config.cache.as_ref().is_some_and(|cache| cache.by_body(method));
    let length =
        request.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let (goes_on, most) = (taken(route, method).is_some(), most(route, method));
    if is_http2 && length == Some(0) {
        // Pingora takes that for the end. What follows all the same is an error of the stream (RFC 9113 section 8.1.1), to be
        // heard before the upstream hears of the request.
        match tokio::time::timeout(ctx.plan.file.limits.body_time.0, session.read_request_body()).await {
            Ok(end) => drop(end.map_err(Error::into_down)?),
            Err(_elapsed) => return Ok(Err(too_slow())),
        }
    }
    let length = length.unwrap_or(most);
    // Over HTTP/1 the door holds it.
    let held = if is_http2 { length.min(most) } else { 0 };
    let inflated = if ctx.verdict.gzip { most } else { 0 };
    if held + inflated > 0 && !session.is_body_empty() {
        match ctx.shared.reserve(usize::try_from(held + inflated).unwrap_or(usize::MAX)) {
            Ok(permit) => ctx.memory = Some(permit),
            Err(cause) => return Ok(Err(cause)),
        }
    }
    if session.is_body_empty() || !(by_body || is_http2 || length <= REPLAYED) {
        return Ok(Ok(()));
    }
    session.as_mut().enable_retry_buffering();
    if ctx.verdict.body.is_some() {
        // The door has it whole: taken off the connection, so that what is heard from now on is the client.
        while session.read_request_body().await.map_err(Error::into_down)?.is_some() {}
        return Ok(Ok(()));
    }
    let time = ctx.plan.file.limits.body_time.0;
    let body = match tokio::time::timeout(time, read(session, most)).await {
        Ok(body) => body?,
        Err(_elapsed) => Err(too_slow()),
    };
    Ok(body.and_then(|body| {
        // HTTP/2 may announce a body, and then end without a byte of it.
        ctx.body_dropped = !goes_on || body.is_empty();
        if !by_body || ctx.body_dropped {
            ctx.whole_body = Some(body).filter(|_| is_http2);
            return Ok(());
        }
        let plan = Arc::clone(&ctx.plan);
        match plan.filters.cache_key.body(&head_of(session), &body, &mut ctx.verdict) {
            Flow::Reply(cause) => Err(cause),
            Flow::Continue | Flow::Answer(_) => Ok(()),
        }
    }))
}

async fn read(session: &mut Session, most: u64) -> Result<Result<Bytes, Cause>> {
    let mut body = BytesMut::new();
    while let Some(piece) = piece(session, body.is_empty()).await? {
        if (body.len() + piece.len()) as u64 > most {
            return Ok(Err(too_large(most)));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Ok(body.freeze()))
}

/// The next piece. Over HTTP/2 only the `first` goes into Pingora's retry buffer, which a whole body might overflow: it is
/// there to have the body asked for, which is then sent from what was read ([`forward`]).
async fn piece(session: &mut Session, first: bool) -> Result<Option<Bytes>> {
    match session.as_downstream_mut() {
        ServerSession::H2(stream) if !first => match poll_fn(|cx| stream.poll_read_body_bytes(cx)).await {
            Some(piece) => piece.map(Some).or_err(ErrorType::ReadError, "reading the body").map_err(|e| e.into_down()),
            None => Ok(None),
        },
        _ => session.read_request_body().await.map_err(Error::into_down),
    }
}

/// Before each try: from the first piece on. What the upstream hears of a body that was dropped: that there is none.
pub(super) fn begin(
    session: &mut Session,
    ctx: &mut Context,
    request: &mut RequestHeader,
    route: &Route,
) -> Result<()> {
    (ctx.body_sent, ctx.body_read) = (false, 0);
    ctx.inflate = (ctx.verdict.gzip && ctx.verdict.body.is_none())
        .then(|| Inflate::new(most(route, session.req_header().method.as_str())));
    let is_json = route.config.body.is_some_and(|body| body.kind == Kind::Json);
    let kind = request.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    if ctx.body_dropped {
        request.insert_header(header::CONTENT_LENGTH, "0")?;
    } else if is_json && kind.is_empty() && !session.is_body_empty() {
        // It was taken for that.
        request.insert_header(header::CONTENT_TYPE, "application/json")?;
    }
    Ok(())
}

/// One piece on its way to the upstream: counted and inflated, dropped, or replaced by the canonical body.
pub(super) fn forward(ctx: &mut Context, method: &str, piece: &mut Option<Bytes>, is_last: bool) -> Result<()> {
    if ctx.body_dropped {
        *piece = None;
        return Ok(());
    }
    if let Some(canonical) = &ctx.verdict.body {
        *piece = (!std::mem::replace(&mut ctx.body_sent, true)).then(|| canonical.clone());
        return Ok(());
    }
    if let Some(whole) = &ctx.whole_body {
        *piece = (!std::mem::replace(&mut ctx.body_sent, true)).then(|| whole.clone());
    }
    let Some(route) = ctx.verdict.route.clone() else { return Ok(()) };
    ctx.body_read += piece.as_ref().map_or(0, |piece| piece.len() as u64);
    let most = most(&route, method);
    if ctx.body_read > most {
        return Err(refusal(ctx, "route", too_large(most)).into_down());
    }
    if ctx.begun.elapsed() > ctx.plan.file.limits.body_time.0 {
        return Err(Error::explain(ErrorType::ReadTimedout, "the whole body took too long").into_down());
    }
    if let Some(inflate) = &mut ctx.inflate {
        match inflated(inflate, piece.as_ref(), is_last) {
            // Without a last piece an empty one is no end.
            Ok(out) => *piece = Some(out.into()),
            Err(cause) => return Err(refusal(ctx, "request_body", cause).into_down()),
        }
    }
    Ok(())
}

fn inflated(inflate: &mut Inflate, piece: Option<&Bytes>, is_last: bool) -> std::result::Result<Vec<u8>, Cause> {
    let mut out = inflate.push(piece.map_or(&[], |piece| piece))?;
    if is_last {
        out.append(&mut inflate.end()?);
    }
    Ok(out)
}

/// Reads on for a moment after a refusal, so that the client gets the answer rather than a reset connection.
pub(super) async fn linger(session: &mut Session) {
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
