//! `meta` in a successful JSON response: the part of the head; the body's filter writes it.

use addrgate_filters::http::cache_policy::downstream::Openness;
use addrgate_filters::http::meta::Stamp;
use http::{StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::Own;
use crate::context::Context;
use crate::upstream::answer;

/// Makes room for `meta` in a successful JSON response: its head says the length with it, its validator is weak.
pub(super) fn make_room(session: &Session, answer: &mut ResponseHeader, ctx: &mut Context) -> Result<()> {
    let wanted = ctx.verdict.route.as_ref().is_some_and(|route| route.config.meta);
    // `meta` names one request: what a shared cache may store goes without.
    if !wanted || Own::of(&ctx.verdict, Openness::of_map(&answer.headers)) == Own::None {
        return Ok(());
    }
    // Offsets into the kept body would not fit the stamped one.
    answer.remove_header(&header::ACCEPT_RANGES);
    let coded = answer.headers.contains_key(header::CONTENT_ENCODING);
    if let Some(weak) = answer.headers.get(header::ETAG).and_then(weak) {
        answer.insert_header(header::ETAG, weak)?;
    }
    if answer.status != StatusCode::OK || coded || !answer::is_json(answer) {
        return Ok(());
    }
    let length = answer::length(answer);
    let stamp = Stamp::new(&ctx.verdict.request_id, ctx.started.elapsed(), chrono::Utc::now(), length);
    if let Some(length) = length {
        answer.set_content_length(length + stamp.growth())?;
    }
    if session.req_header().method != http::Method::HEAD {
        ctx.stamp = Some(stamp);
    }
    Ok(())
}

/// The weak form of a strong validator: two stamped answers are never equal byte by byte.
pub(super) fn weak(tag: &header::HeaderValue) -> Option<Vec<u8>> {
    (!tag.as_bytes().starts_with(b"W/")).then(|| [b"W/", tag.as_bytes()].concat())
}
