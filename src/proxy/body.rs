//! Request bodies: bounded, in time, and for body-keyed routes read before anything else.

use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::Flow;
use addrgate_filters::reply::Cause;
use addrgate_filters::request_body::{too_large, too_slow};
use addrgate_filters::route::Route;
use bytes::{Bytes, BytesMut};
use http::{Version, header};
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::forward::refusal;
use super::head_of;
use crate::context::Context;

/// What Pingora's retry buffer takes, from which it replays what was read here.
const REPLAYED: u64 = 64 << 10;

/// On body-keyed routes (which allow no larger bodies than are replayed) reads the body and finds the key. Any other body that
/// can be replayed is read, too, so that who sends slowly holds no place at the upstream, and who leaves is heard.
pub(super) async fn prepare(session: &mut Session, ctx: &mut Context, route: &Route) -> Result<Result<(), Cause>> {
    let request = session.req_header();
    let is_http2 = request.version == Version::HTTP_2;
    let by_body = route.config.cache.as_ref().is_some_and(|cache| cache.by_body(request.method.as_str()));
    let length =
        request.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let length = length.unwrap_or_else(|| route.max_body());
    if is_http2 && !session.is_body_empty() {
        // What is passed on while it comes in is kept as far as it can be replayed.
        match ctx.shared.reserve(usize::try_from(length.min(REPLAYED)).unwrap_or(usize::MAX)) {
            Ok(permit) => ctx.memory = Some(permit),
            Err(cause) => return Ok(Err(cause)),
        }
    }
    if session.is_body_empty() || !(by_body || length <= REPLAYED) {
        return Ok(Ok(()));
    }
    session.as_mut().enable_retry_buffering();
    if ctx.verdict.body.is_some() {
        // The door has it whole: taken off the connection, so that what is heard from now on is the client.
        while session.read_request_body().await.map_err(Error::into_down)?.is_some() {}
        return Ok(Ok(()));
    }
    let time = ctx.plan.file.limits.body_time.0;
    let body = match tokio::time::timeout(time, read(session, route)).await {
        Ok(body) => body?,
        Err(_elapsed) => Err(too_slow()),
    };
    Ok(body.and_then(|body| {
        if !by_body {
            return Ok(());
        }
        let plan = Arc::clone(&ctx.plan);
        match plan.filters.cache_key.body(&head_of(session), &body, &mut ctx.verdict) {
            Flow::Reply(cause) => Err(cause),
            Flow::Continue | Flow::Answer(_) => Ok(()),
        }
    }))
}

async fn read(session: &mut Session, route: &Route) -> Result<Result<Bytes, Cause>> {
    let mut body = BytesMut::new();
    while let Some(piece) = session.read_request_body().await.map_err(Error::into_down)? {
        if body.len() + piece.len() > usize::try_from(route.max_body()).unwrap_or(usize::MAX) {
            return Ok(Err(too_large(route)));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Ok(body.freeze()))
}

/// One piece on its way to the upstream: counted, or replaced by the canonical body.
pub(super) fn forward(ctx: &mut Context, piece: &mut Option<Bytes>) -> Result<()> {
    if let Some(canonical) = &ctx.verdict.body {
        *piece = (!std::mem::replace(&mut ctx.body_sent, true)).then(|| canonical.clone());
        return Ok(());
    }
    let Some(route) = ctx.verdict.route.clone() else { return Ok(()) };
    ctx.body_read += piece.as_ref().map_or(0, |piece| piece.len() as u64);
    if ctx.body_read > route.max_body() {
        return Err(refusal(ctx, "route", too_large(&route)).into_down());
    }
    if ctx.begun.elapsed() > ctx.plan.file.limits.body_time.0 {
        return Err(Error::explain(ErrorType::ReadTimedout, "the whole body took too long").into_down());
    }
    Ok(())
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
