//! Bodies of streams: bounded, in time, and whole before anything waits for them.

use std::future::poll_fn;

use addrgate_filters::reply::Cause;
use addrgate_filters::request_body::{most, taken, too_large, too_slow};
use addrgate_filters::verdict::Verdict;
use addrgate_filters::{Flow, Stop};
use bytes::{Bytes, BytesMut};
use http::header;
use pingora::protocols::http::v2::server::HttpSession;
use tokio::time::timeout;

use super::super::parse::Request;
use super::view;
use crate::context::StreamBody;
use crate::shared::Shared;

/// The client has left, or broken the rules of HTTP/2.
pub(super) struct Gone;

/// Reads a stream's body, so that a client that sends slowly holds no place at the upstream, and one that leaves is heard. On
/// body-keyed routes finds the key. What the route takes no body for is read, and goes nowhere. `None` where there is none.
pub(super) async fn read(
    shared: &Shared,
    session: &mut HttpSession,
    verdict: &mut Verdict,
    request: &Request<'_>,
) -> Result<Result<Option<StreamBody>, Stop>, Gone> {
    let Some(route) = verdict.route.clone() else { return Ok(Ok(None)) };
    let announced = session.req_header().headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let time = request.plan.file.limits.body_time.0;
    if session.is_body_empty() {
        if announced.is_none() {
            return Ok(Ok(None));
        }
        // Pingora takes `Content-Length: 0` for the end. What follows all the same is an error of the stream (RFC 9113 section
        // 8.1.1), to be heard before anybody hears of the request.
        return match timeout(time, session.read_body_bytes()).await {
            Ok(Ok(_end)) => Ok(Ok(None)),
            Ok(Err(_malformed)) => Err(Gone),
            Err(_elapsed) => Ok(Err(refused(too_slow()))),
        };
    }
    let method = session.req_header().method.clone();
    let (goes_on, most) = (taken(&route, method.as_str()).is_some(), most(&route, method.as_str()));
    let inflated = if verdict.gzip { most } else { 0 };
    let room = usize::try_from(announced.unwrap_or(most).min(most) + inflated).unwrap_or(usize::MAX);
    let memory = match shared.reserve(room) {
        Ok(permit) => Some(permit),
        Err(cause) => return Ok(Err(refused(cause))),
    };
    session.enable_retry_buffering();
    let bytes = match timeout(time, pieces(session, most)).await {
        Ok(bytes) => match bytes? {
            Some(bytes) => bytes,
            None => return Ok(Err(refused(too_large(most)))),
        },
        Err(_elapsed) => return Ok(Err(refused(too_slow()))),
    };
    // A stream may announce a body, and then end without a byte of it.
    let goes_on = goes_on && !bytes.is_empty();
    let caching = route.config.cache.as_ref();
    let keyed = goes_on && caching.is_some_and(|caching| caching.by_body(method.as_str()));
    if keyed && let Flow::Reply(cause) = request.plan.filters.cache_key.body(&view(session, request), &bytes, verdict) {
        return Ok(Err(Stop::Refused("cache_key", cause)));
    }
    Ok(Ok(Some(StreamBody { bytes, goes_on, keyed, memory })))
}

fn refused(cause: Cause) -> Stop {
    Stop::Refused("door", cause)
}

/// All pieces; `None` beyond `most` bytes. Only the first goes into Pingora's retry buffer, which a whole body might overflow:
/// it is there to have the body asked for, which is then sent from what was read here.
async fn pieces(session: &mut HttpSession, most: u64) -> Result<Option<Bytes>, Gone> {
    let mut body = BytesMut::new();
    loop {
        let piece = match body.is_empty() {
            true => session.read_body_bytes().await.map_err(|_| Gone)?,
            false => poll_fn(|cx| session.poll_read_body_bytes(cx)).await.transpose().map_err(|_| Gone)?,
        };
        let Some(piece) = piece else { return Ok(Some(body.freeze())) };
        if (body.len() + piece.len()) as u64 > most {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
}
