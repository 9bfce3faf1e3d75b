//! Request bodies on their way to the upstream.

use addrgate_filters::http::body::Announced;
use addrgate_filters::reply::Cause;
use addrgate_filters::request_body::{Inflate, most, taken, too_large};
use addrgate_filters::route::{Kind, Route};
use bytes::Bytes;
use http::{Version, header};
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::forward::refusal;
use super::head::head_of;
use crate::context::Context;

/// What Pingora's retry buffer takes, from which it replays what was read here.
const REPLAYED: u64 = 64 << 10;

/// What the door has of the body, or what is small enough, goes into Pingora's retry buffer before anything waits for it. Over
/// HTTP/2 the door has read it whole; over HTTP/1 it holds it, or what is too large to be replayed streams.
pub(super) async fn prepare(session: &mut Session, ctx: &mut Context, route: &Route) -> Result<Result<(), Cause>> {
    if session.req_header().version == Version::HTTP_2 || session.is_body_empty() {
        return Ok(Ok(()));
    }
    let head = head_of(session);
    let (goes_on, most) = (taken(route, head.method).is_some(), most(route, head.method));
    let length = Announced::of(&head).bytes(most);
    if ctx.verdict.gzip {
        match ctx.shared.reserve(usize::try_from(most).unwrap_or(usize::MAX)) {
            Ok(permit) => ctx.memory = Some(permit),
            Err(cause) => return Ok(Err(cause)),
        }
    }
    if ctx.verdict.body.is_some() || length <= REPLAYED {
        session.as_mut().enable_retry_buffering();
        // Taken off the connection, so that what is heard from now on is the client.
        while session.read_request_body().await.map_err(Error::into_down)?.is_some() {}
        ctx.body_dropped = !goes_on;
    }
    Ok(Ok(()))
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
