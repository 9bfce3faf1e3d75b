//! Bodies of streams: bounded, in time, and whole before anything waits for them.

use addrgate_filters::http::body::Announced;
use addrgate_filters::reply::Cause;
use addrgate_filters::request_body::{most, taken, too_large, too_slow};
use addrgate_filters::verdict::Verdict;
use addrgate_filters::{Flow, Stop};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use tokio::time::timeout;

use super::super::parse::Request;
use super::session::{StreamSession, piece};
use super::view;
use crate::context::StreamBody;
use crate::shared::Shared;

/// The client has left, or broken the rules of HTTP/2.
pub(super) struct Gone;

/// What came of reading a body.
pub(super) enum Read {
    /// There is none.
    None,
    /// It is there. Whether memory may have the response: the key follows from it, or it goes nowhere.
    Whole { body: StreamBody, looks: bool },
    /// It is refused.
    Refused(Stop),
}

/// Reads a stream's body, so that a client that sends slowly holds no place at the upstream, and one that leaves is heard. On
/// body-keyed routes finds the key. What the route takes no body for is read, and goes nowhere.
pub(super) async fn read(
    shared: &Shared,
    session: &mut StreamSession,
    verdict: &mut Verdict,
    request: &Request<'_>,
) -> Result<Read, Gone> {
    let Some(route) = verdict.route.clone().filter(|_| !session.has_ended()) else { return Ok(Read::None) };
    let refused = |cause: Cause| Ok(Read::Refused(Stop::Refused("door", cause)));
    let announced = Announced::of(&view(session, request));
    let method = session.request.method.clone();
    let (goes_on, most) = (taken(&route, method.as_str()).is_some(), most(&route, method.as_str()));
    let inflated = if verdict.gzip { most } else { 0 };
    let room = usize::try_from(announced.bytes(most) + inflated).unwrap_or(usize::MAX);
    let memory = match shared.reserve(room) {
        Ok(permit) => permit,
        Err(cause) => return refused(cause),
    };
    let Ok(bytes) = timeout(request.plan.file.limits.body_time.0, pieces(&mut session.rest, most)).await else {
        return refused(too_slow());
    };
    let Some(bytes) = bytes? else { return refused(too_large(most)) };
    // A stream may announce a body, and then end without a byte of it.
    let goes_on = goes_on && !bytes.is_empty();
    let caching = route.config.cache.as_ref();
    let keyed = goes_on && caching.is_some_and(|caching| caching.by_body(method.as_str()));
    if keyed && let Flow::Reply(cause) = request.plan.filters.cache_key.body(&view(session, request), &bytes, verdict) {
        return Ok(Read::Refused(Stop::Refused("cache_key", cause)));
    }
    if goes_on {
        session.put_body(bytes);
    }
    Ok(Read::Whole { body: StreamBody { goes_on, memory }, looks: keyed || !goes_on })
}

/// All pieces; `None` beyond `most` bytes.
async fn pieces(rest: &mut RecvStream, most: u64) -> Result<Option<Bytes>, Gone> {
    let mut body = BytesMut::new();
    while let Some(piece) = piece(rest).await.map_err(|_| Gone)? {
        if (body.len() + piece.len()) as u64 > most {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body.freeze()))
}
