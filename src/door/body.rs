//! How far a request's body reaches on the wire, so that all of it is there before the request takes a place at the
//! upstream: who sends slowly keeps only its own connection waiting.

use addrgate_filters::head::Head;
use addrgate_filters::reply::{Cause, Code};
use addrgate_filters::request_body::too_large;
use addrgate_filters::route::Route;
use http::Version;
use httparse::Status;

/// The longest line before a chunk.
const LINE: usize = 256;

/// How a body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes.
    Bytes(usize),
    /// In chunks.
    Chunks,
}

impl Body {
    /// By the fields; the filter `edge` has refused what is in doubt.
    pub(super) fn of(head: &Head<'_>) -> Self {
        match head.headers.has("transfer-encoding") {
            true => Self::Chunks,
            false => Self::Bytes(head.headers.text("content-length").and_then(|text| text.parse().ok()).unwrap_or(0)),
        }
    }
}

/// Whether the client sends its body only after a `100 Continue`; one of HTTP/1.0 does not (RFC 9110 section 10.1.1).
pub(super) fn asks(head: &Head<'_>) -> bool {
    head.version == Version::HTTP_11 && head.headers.has("expect")
}

/// What a body in chunks may take: framing that is larger than what it frames is not for us.
fn framed(route: &Route) -> usize {
    usize::try_from(route.max_body()).unwrap_or(usize::MAX).saturating_mul(2).saturating_add(16 << 10)
}

/// Finds the end of a body in chunks while it comes in (RFC 9112 section 7.1).
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Where the next chunk begins.
    at: usize,
    bytes: u64,
}

impl Chunks {
    /// The length on the wire, once all is there.
    ///
    /// # Errors
    /// Where it is malformed, has fields after the body, or is larger than the route takes.
    pub(super) fn end(&mut self, wire: &[u8], route: &Route) -> Result<Option<usize>, Cause> {
        let malformed =
            || Cause::new(Code::InvalidRequest, "chunks", "The chunks of the body are malformed.").closing();
        loop {
            let rest = wire.get(self.at..).unwrap_or_default();
            let (line, size) = match httparse::parse_chunk_size(rest) {
                Ok(Status::Complete(found)) => found,
                Ok(Status::Partial) if rest.len() < LINE && wire.len() <= framed(route) => return Ok(None),
                Ok(Status::Partial) | Err(_) => return Err(malformed()),
            };
            if !is_strict(rest.get(..line).unwrap_or_default()) {
                return Err(malformed());
            }
            self.bytes = self.bytes.saturating_add(size);
            if self.bytes > route.max_body() || wire.len() > framed(route) {
                return Err(too_large(route));
            }
            let end = self.at + line + usize::try_from(size).map_err(|_| malformed())? + 2;
            match wire.get(end - 2..end) {
                Some(b"\r\n") if size == 0 => return Ok(Some(end)),
                Some(b"\r\n") => self.at = end,
                Some(_) => return Err(malformed()),
                None => {
                    // It is looked at again when more is there.
                    self.bytes -= size;
                    return Ok(None);
                }
            }
        }
    }
}

/// Whether a chunk's first line is a size, and where there is more an extension without control characters. The parser lets
/// more pass than RFC 9112 section 7.1 does, a bare LF for one, at which another reader may see the line end.
fn is_strict(line: &[u8]) -> bool {
    let text = line.strip_suffix(b"\r\n").unwrap_or(line);
    let digits = text.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let extension = text.get(digits..).unwrap_or_default();
    let is_plain = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    digits > 0 && matches!(extension, [] | [b';', ..]) && extension.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use addrgate_filters::route::Routes;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn route() -> Arc<Route> {
        let routes = r#"[{"name": "r", "paths": ["/"], "methods": ["POST"], "body": {"max": "64B"}}]"#;
        Arc::clone(&Routes::new(serde_json::from_str(routes).unwrap()).unwrap().list()[0])
    }

    #[rstest]
    #[case("0\r\n\r\n", Ok(Some(5)))]
    #[case("5\r\nabcde\r\n0\r\n\r\nGET", Ok(Some(15)))]
    #[case("5;x=y\r\nabcde\r\n0\r\n\r\n", Ok(Some(19)))]
    #[case("5\r\nabcde\r\n0\r\n", Ok(None))]
    #[case("5\r\nabc", Ok(None))]
    #[case("", Ok(None))]
    #[case("5\r\nabcdef\r\n0\r\n\r\n", Err("chunks"))]
    #[case("g\r\n", Err("chunks"))]
    #[case("-1\r\n", Err("chunks"))]
    #[case("ffffffffffffffff\r\n", Err("body_size"))]
    #[case("41\r\n", Err("body_size"))]
    #[case("20\r\n01234567890123456789012345678901\r\n21\r\n", Err("body_size"))]
    #[case("0\r\nx: y\r\n\r\n", Err("chunks"))]
    #[case("\r\n\r\n", Err("chunks"))]
    #[case("1;\nx\r\na\r\n0\r\n\r\n", Err("chunks"))]
    #[case("1 \r\na\r\n0\r\n\r\n", Err("chunks"))]
    fn bodies(#[case] wire: &str, #[case] expected: Result<Option<usize>, &str>) {
        let end = Chunks::default().end(wire.as_bytes(), &route());
        assert_eq!(end.map_err(|cause| cause.reason), expected);
    }

    proptest! {
        #[test]
        fn where_it_is_cut_makes_no_difference(
            pieces in proptest::collection::vec("[a-z]{1,9}", 0..6), cuts in proptest::collection::vec(1..9_usize, 1..60),
        ) {
            let mut wire: String = pieces.iter().map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len())).collect();
            wire += "0\r\n\r\n";
            let (mut chunks, mut have, route) = (Chunks::default(), 0, route());
            for cut in cuts.into_iter().chain([wire.len()]) {
                have = (have + cut).min(wire.len());
                let end = chunks.end(&wire.as_bytes()[..have], &route).unwrap();
                prop_assert_eq!(end, (have == wire.len()).then_some(have));
                if end.is_some() {
                    break;
                }
            }
        }

        #[test]
        fn nothing_panics(wire in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _whatever = Chunks::default().end(&wire, &route());
        }
    }
}
