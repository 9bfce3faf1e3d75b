//! Judges the body that a request head announces by what its route takes (`body: { max: 64KiB, type: json }`).
//!
//! Content in a request whose method or route gives it no meaning (RFC 9110 section 9.3.1) is read within a bound, and no
//! upstream gets it.
//!
//! After `client`, so that strangers learn nothing of it; before the body is read, so that what is refused costs nothing.

use crate::cache_key;
use crate::head::Head;
use crate::reply::{Cause, Code};
use crate::route::{Body, Route};
use crate::verdict::Verdict;
use crate::{Filter, Flow};

/// The filter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bodies;

impl Filter for Bodies {
    fn name(&self) -> &'static str {
        "request_body"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        verdict.route.as_ref().map_or(Flow::Continue, |route| judge(route, head))
    }
}

/// The body a head announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    Nothing,
    Bytes(u64),
    Chunks,
}

impl Announced {
    pub(crate) fn of(head: &Head<'_>) -> Self {
        if head.streams || head.headers.has("transfer-encoding") {
            return Announced::Chunks;
        }
        // Its digits were checked by `edge`; a number beyond u64 is larger than any limit.
        match head.headers.text("content-length").map(|text| text.parse().unwrap_or(u64::MAX)) {
            None | Some(0) => Announced::Nothing,
            Some(bytes) => Announced::Bytes(bytes),
        }
    }
}

fn judge(route: &Route, head: &Head<'_>) -> Flow {
    let announced = Announced::of(head);
    if announced == Announced::Nothing {
        return Flow::Continue;
    }
    let most = most(route, head.method);
    if matches!(announced, Announced::Bytes(bytes) if bytes > most) {
        return Flow::Reply(too_large(most));
    }
    let Some(body) = taken(route, head.method) else { return Flow::Continue };
    let mut coded = false;
    head.headers.each("content-encoding", |coding| coded |= !coding.eq_ignore_ascii_case(b"identity"));
    if coded {
        let cause =
            Cause::new(Code::UnsupportedMediaType, "content_encoding", "Send the body without a content coding.");
        return Flow::Reply(cause.closing());
    }
    // Of two lines we would read one and the upstream maybe the other.
    if head.headers.count("content-type") > 1 {
        let cause = Cause::new(Code::InvalidRequest, "duplicate_content_type", "Content-Type is sent more than once.");
        return Flow::Reply(cause.closing());
    }
    if !body.kind.admits(head.headers.get("content-type")) {
        let cause = Cause::new(Code::UnsupportedMediaType, "media_type", "Send the body as application/json.");
        return Flow::Reply(cause.closing());
    }
    Flow::Continue
}

/// What body goes on to the upstream with this method; `None`: none, and one that comes all the same is read and dropped.
#[must_use]
pub fn taken(route: &Route, method: &str) -> Option<Body> {
    route.config.body.filter(|_| cache_key::has_body(method))
}

/// Bytes of a body that are read: as many as the route takes, and of one that is dropped as many as it costs little to read.
#[must_use]
pub fn most(route: &Route, method: &str) -> u64 {
    const DROPPED: u64 = 64 << 10;
    taken(route, method).map_or(DROPPED, |body| body.max.0)
}

/// The refusal of a body over [`most`], also for whoever counts chunks.
#[must_use]
pub fn too_large(most: u64) -> Cause {
    Cause::new(Code::PayloadTooLarge, "body_size", "The body is larger than the endpoint accepts.")
        .detail("limit", most)
        .closing()
}

/// The refusal of a body that is not there in time, with the connection where its rest may follow.
#[must_use]
pub fn too_slow() -> Cause {
    Cause::new(Code::RequestTimeout, "body_time", "The request body came too slowly.").closing()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::head::Headers;
    use crate::route::Routes;

    fn ask(method: &str, path: &str, fields: &[(&str, &str)]) -> Result<(), Cause> {
        let routes = json!([
            {"name": "search", "paths": ["/search"]},
            {"name": "validate", "paths": ["/v"], "methods": ["POST"], "body": {"max": "10B"}},
            {"name": "rest", "paths": ["/x"], "methods": ["GET", "POST"], "body": {"max": "1KiB", "type": "any"}},
        ]);
        let routes = Routes::new(serde_json::from_value(routes).unwrap()).unwrap();
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        let mut head = Head::new(method, path, Headers::Raw(&fields));
        head.streams = head.headers.has("streams");
        let mut verdict = Verdict::default();
        assert_eq!(routes.request(&head, &mut verdict), Flow::Continue);
        match Bodies.request(&head, &mut verdict) {
            Flow::Reply(cause) => Err(cause),
            _ => Ok(()),
        }
    }

    #[rstest]
    #[case("GET", "/search", &[("content-length", "1")], None)]
    #[case("GET", "/search", &[("content-length", "65536"), ("content-type", "text/plain")], None)]
    #[case("GET", "/search", &[("content-length", "65537")], Some("body_size"))]
    #[case("GET", "/x", &[("content-length", "65537")], Some("body_size"))]
    #[case("GET", "/search", &[("content-length", "0")], None)]
    #[case("GET", "/x", &[("transfer-encoding", "chunked")], None)]
    #[case("POST", "/v", &[("content-length", "11"), ("content-type", "application/json")], Some("body_size"))]
    #[case("POST", "/v", &[("content-length", "10"), ("content-type", "Application/JSON; charset=utf-8")], None)]
    #[case("POST", "/v", &[("content-length", "10"), ("content-type", "application/geo+json")], None)]
    #[case("POST", "/v", &[("content-length", "10"), ("content-type", "text/plain")], Some("media_type"))]
    #[case("POST", "/v", &[("content-length", "10")], Some("media_type"))]
    #[case("POST", "/v", &[("transfer-encoding", "chunked"), ("content-type", "application/json"), ("content-encoding", "gzip")], Some("content_encoding"))]
    #[case("POST", "/v", &[("content-length", "10"), ("content-type", "application/json"), ("content-encoding", "identity"), ("Content-Encoding", "br")], Some("content_encoding"))]
    #[case("POST", "/v", &[("content-length", "10"), ("content-type", "application/json"), ("content-encoding", "identity")], None)]
    #[case("POST", "/v", &[("content-length", "10"), ("content-type", "application/json"), ("content-type", "application/json")], Some("duplicate_content_type"))]
    #[case("POST", "/x", &[("content-length", "10"), ("content-type", "text/plain")], None)]
    #[case("GET", "/search", &[("streams", "")], None)]
    #[case("POST", "/v", &[("streams", ""), ("content-type", "application/json")], None)]
    fn bodies(#[case] method: &str, #[case] path: &str, #[case] fields: &[(&str, &str)], #[case] reason: Option<&str>) {
        let answer = ask(method, path, fields);
        assert_eq!(answer.as_ref().err().map(|cause| cause.reason), reason);
        assert!(answer.err().is_none_or(|cause| cause.close), "an unread body ends the connection");
    }
}
