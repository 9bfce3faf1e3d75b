//! Compresses answers on their way to the client, after the cache, with Pingora's module.
//!
//! The module takes the first coding of `Accept-Encoding` and ignores weights, so we choose and leave it one. It also has
//! no idea of answers that are too small to be worth it.

use addrgate_filters::http::cache_policy::list;
use http::header::{self, HeaderName};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::modules::http::compression::ResponseCompression;
use pingora::protocols::http::compression::ResponseCompressionCtx;
use pingora::proxy::Session;

use crate::config::Compression;
use crate::store::Algorithm;
use crate::upstream::answer;

/// Before the module sees the request: reduces `Accept-Encoding` to our choice.
pub(super) fn prepare(session: &mut Session, config: &Compression) {
    // Several lines are one list (RFC 9110 section 5.3).
    let lines = session.req_header().headers.get_all(header::ACCEPT_ENCODING).iter();
    let accepted = lines.map(header::HeaderValue::as_bytes).collect::<Vec<_>>().join(&b","[..]);
    // A coded body has no length beforehand, and HTTP/1.0 knows no chunks.
    let whole = session.req_header().version == http::Version::HTTP_10;
    let chosen = best(&accepted, config).filter(|_| !whole);
    let request = session.req_header_mut();
    match chosen {
        Some(algorithm) if config.enabled => {
            // A token of ours is a valid value.
            let _always_valid = request.insert_header(header::ACCEPT_ENCODING, algorithm.token());
            if let Some(module) = session.downstream_modules_ctx.get_mut::<ResponseCompression>() {
                module.adjust_level(config.level.into());
            }
        }
        _ => {
            request.remove_header(&header::ACCEPT_ENCODING);
        }
    }
}

/// Before the answer's head is written: small ones stay as they are, and caches behind us learn that it depends.
pub(super) fn choose(session: &mut Session, answer: &mut ResponseHeader, config: &Compression) -> Result<()> {
    if !config.enabled {
        return Ok(());
    }
    // The client has a coded body, which had the weak tag (RFC 9110 section 15.4.5); of a 304 it can't be told from the answer.
    if answer.status == http::StatusCode::NOT_MODIFIED
        && let Some(weak) = answer.headers.get(header::ETAG).and_then(super::meta::weak)
    {
        let lines = session.req_header().headers.get_all(header::IF_NONE_MATCH).iter();
        if lines.flat_map(|line| list::members(line.as_bytes())).any(|member| member == weak) {
            answer.insert_header(header::ETAG, weak)?;
        }
    }
    let small = answer::length(answer).is_some_and(|length| is_small(config, length));
    let partial = answer.status == http::StatusCode::PARTIAL_CONTENT;
    let kept = has_member(answer, &header::CACHE_CONTROL, b"no-transform");
    if (small || partial || kept)
        && let Some(module) = session.downstream_modules_ctx.get_mut::<ResponseCompression>()
        && module.is_header_phase()
    {
        module.adjust_level(0);
    }
    if !small && !has_member(answer, &header::VARY, b"accept-encoding") {
        answer.append_header(header::VARY, "Accept-Encoding")?;
    }
    if session.req_header().method == http::Method::HEAD {
        head_only(session, answer, config);
    }
    Ok(())
}

/// HEAD says what GET would say: the same coding, and the same validator (RFC 9110 section 9.3.2). The module leaves what has no
/// body as it is, so another one does to this head what it does to those with a body.
fn head_only(session: &mut Session, answer: &mut ResponseHeader, config: &Compression) {
    use http::StatusCode as Status;
    let bodiless = matches!(answer.status, Status::NO_CONTENT | Status::RESET_CONTENT | Status::NOT_MODIFIED);
    let module = session.downstream_modules_ctx.get::<ResponseCompression>();
    if !bodiless && module.is_some_and(|module| module.is_header_phase() && module.is_enabled()) {
        let mut coder = ResponseCompressionCtx::new(config.level.into(), false, false);
        coder.request_filter(session.req_header());
        coder.response_header_filter(answer, false);
    }
}

/// Whether a body of this length is sent as it is.
pub(crate) fn is_small(config: &Compression, length: usize) -> bool {
    length < config.from.len()
}

/// The best coding that the client accepts: by its weights, then by our order (RFC 9110 section 12.5.3).
pub(crate) fn best(accepted: &[u8], config: &Compression) -> Option<Algorithm> {
    let mut weights = vec![None; config.algorithms.len()];
    let mut others = 0;
    for part in accepted.split(|b| *b == b',') {
        let mut fields = part.split(|b| *b == b';').map(<[u8]>::trim_ascii);
        let coding = fields.next().unwrap_or_default();
        let weight = fields.find_map(|field| field.strip_prefix(b"q=").or(field.strip_prefix(b"Q=")));
        let weight = weight.map_or(1000, thousandths);
        match config.algorithms.iter().position(|known| coding.eq_ignore_ascii_case(known.token().as_bytes())) {
            Some(i) => weights[i] = Some(weight),
            None if coding == b"*" => others = weight,
            None => {}
        }
    }
    let weighed = weights.iter().enumerate().map(|(i, weight)| (weight.unwrap_or(others), i));
    let (weight, i) = weighed.max_by_key(|(weight, i)| (*weight, std::cmp::Reverse(*i)))?;
    (weight > 0).then(|| config.algorithms[i])
}

/// A weight from 0 to 1 as thousandths; nonsense counts as 0.
fn thousandths(text: &[u8]) -> u32 {
    let value: f64 = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    // Out of range is nonsense too, and the product fits.
    if (0.0..=1.0).contains(&value) { (value * 1000.0) as u32 } else { 0 }
}

fn has_member(answer: &ResponseHeader, name: &HeaderName, wanted: &[u8]) -> bool {
    let lines = answer.headers.get_all(name).iter();
    lines.flat_map(|line| list::members(line.as_bytes())).any(|member| member.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("gzip", Some(Algorithm::Gzip))]
    #[case("gzip, deflate, br, zstd", Some(Algorithm::Zstd))]
    #[case("gzip;q=1.0, br;q=0.5", Some(Algorithm::Gzip))]
    #[case("GZIP;Q=0.5", Some(Algorithm::Gzip))]
    #[case("gzip;q=0", None)]
    #[case("gzip;q=0, *;q=0", None)]
    #[case("*", Some(Algorithm::Zstd))]
    #[case("zstd;q=0, *", Some(Algorithm::Br))]
    #[case("identity", None)]
    #[case("deflate", None)]
    #[case("gzip;q=7", None)]
    #[case("", None)]
    fn weights_and_order(#[case] accepted: &str, #[case] expected: Option<Algorithm>) {
        assert_eq!(best(accepted.as_bytes(), &Compression::default()), expected);
    }
}
