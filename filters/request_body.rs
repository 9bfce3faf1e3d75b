//! Judges the body that a request head announces by what its route takes (`body: { max: 64KiB, type: json, inflate: true }`).
//!
//! JSON needs no `Content-Type`: what else would it be. Where one is there it has to be true, charset included (RFC 8259 section
//! 8.1: UTF-8). A body in gzip is inflated before anything reads it, within the same bound.
//!
//! Content in a request whose method or route gives it no meaning (RFC 9110 section 9.3.1) is read within a bound, and no
//! upstream gets it.
//!
//! After `client`, so that strangers learn nothing of it; before the body is read, so that what is refused costs nothing.

use crate::cause::{Cause, Code};
use crate::http::body::{Announced, has_body};
use crate::http::head::Head;
use crate::route::{Body, Kind, Route};
use crate::verdict::Verdict;
use crate::{Filter, Flow};

mod inflate;

pub use inflate::Inflate;

/// The filter.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bodies;

impl Filter for Bodies {
    fn name(&self) -> &'static str {
        "request_body"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        let Some(route) = &verdict.route else { return Flow::Continue };
        match judge(route, head) {
            Ok(gzip) => {
                verdict.gzip = gzip;
                Flow::Continue
            }
            // The body is not read.
            Err(cause) => Flow::Reply(cause.closing()),
        }
    }
}

/// Whether the body comes in gzip.
fn judge(route: &Route, head: &Head<'_>) -> Result<bool, Cause> {
    let announced = Announced::of(head);
    if announced == Announced::Nothing {
        return Ok(false);
    }
    let most = most(route, head.method);
    if matches!(announced, Announced::Bytes(bytes) if bytes > most) {
        return Err(too_large(most));
    }
    let Some(body) = taken(route, head.method) else { return Ok(false) };
    let unsupported = |reason, message: &'static str| Cause::new(Code::UnsupportedMediaType, reason, message);
    let (mut codings, mut gzip) = (0, false);
    head.headers.each("content-encoding", |line| {
        let named = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        for coding in named.filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")) {
            codings += 1;
            gzip = coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip");
        }
    });
    if codings > 1 || codings == 1 && !(gzip && body.inflate) {
        return Err(match body.inflate {
            true => unsupported("content_encoding", "Send the body in gzip, or without a content coding.")
                .field("accept-encoding", inflate::ACCEPTED),
            false => unsupported("content_encoding", "Send the body without a content coding.")
                .field("accept-encoding", "identity"),
        });
    }
    // Of two lines we would read one and the upstream maybe the other.
    if head.headers.count("content-type") > 1 {
        let message = "Content-Type is sent more than once.";
        return Err(Cause::new(Code::InvalidRequest, "duplicate_content_type", message));
    }
    let kind = head.headers.get("content-type").map(<[u8]>::trim_ascii).filter(|kind| !kind.is_empty());
    if kind.is_some() && !body.kind.admits(kind) {
        return Err(unsupported("media_type", "Send the body as application/json.").field("accept", "application/json"));
    }
    if body.kind == Kind::Json && !kind.is_none_or(is_utf8) {
        return Err(unsupported("charset", "JSON is UTF-8. Send the body in UTF-8, without another charset."));
    }
    Ok(gzip)
}

/// Whether a media type names no other charset than UTF-8, or the part of it that is ASCII.
fn is_utf8(kind: &[u8]) -> bool {
    kind.split(|byte| *byte == b';').skip(1).all(|parameter| {
        let Some(at) = parameter.iter().position(|byte| *byte == b'=') else { return true };
        let (name, value) = (parameter[..at].trim_ascii(), parameter[at + 1..].trim_ascii());
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        let known: [&[u8]; 3] = [b"utf-8", b"utf8", b"us-ascii"];
        !name.eq_ignore_ascii_case(b"charset") || known.iter().any(|known| value.eq_ignore_ascii_case(known))
    })
}

/// What body goes on to the upstream with this method; `None`: none, and one that comes all the same is read and dropped.
#[must_use]
pub fn taken(route: &Route, method: &str) -> Option<Body> {
    route.config.body.filter(|_| has_body(method))
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
    use crate::http::head::Headers;
    use crate::route::Routes;

    fn ask(method: &str, path: &str, fields: &[(&str, &str)]) -> Result<bool, Cause> {
        let routes = json!([
            {"name": "search", "paths": ["/search"]},
            {"name": "validate", "paths": ["/v"], "methods": ["POST"], "body": {"max": "10B"}},
            {"name": "plain", "paths": ["/p"], "methods": ["POST"], "body": {"max": "10B", "inflate": false}},
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
            _ => Ok(verdict.gzip),
        }
    }

    /// Of ten bytes of JSON.
    fn coded(path: &str, codings: &[&str]) -> Result<bool, Cause> {
        let mut fields = vec![("content-length", "10"), ("content-type", "application/json")];
        fields.extend(codings.iter().map(|coding| ("content-encoding", *coding)));
        ask("POST", path, &fields)
    }

    #[rstest]
    #[case(&[], Ok(false))]
    #[case(&["identity"], Ok(false))]
    #[case(&["gzip"], Ok(true))]
    #[case(&["X-GZIP"], Ok(true))]
    #[case(&["identity, gzip,"], Ok(true))]
    #[case(&["identity", "gzip"], Ok(true))]
    #[case(&["br"], Err("gzip"))]
    #[case(&["gzip, gzip"], Err("gzip"))]
    #[case(&["gzip", "gzip"], Err("gzip"))]
    #[case(&["deflate, gzip"], Err("gzip"))]
    fn content_codings(#[case] codings: &[&str], #[case] expected: Result<bool, &'static str>) {
        let accepted = |cause: Cause| {
            assert_eq!(cause.reason, "content_encoding");
            cause.field.map_or("", |(name, value)| if name == "accept-encoding" { value } else { "" })
        };
        assert_eq!(coded("/v", codings).map_err(accepted), expected);
        let plain = if expected == Ok(false) { Ok(false) } else { Err("identity") };
        assert_eq!(coded("/p", codings).map_err(accepted), plain);
    }

    #[rstest]
    #[case("", None)]
    #[case("application/json", None)]
    #[case("Application/JSON; Charset=UTF-8", None)]
    #[case("application/json;charset=\"utf-8\"", None)]
    #[case("application/geo+json; charset=us-ascii", None)]
    #[case("application/json; profile=x; charset=utf-16", Some("charset"))]
    #[case("application/json; charset=iso-8859-1", Some("charset"))]
    #[case("application/json; charset=\"Windows-1252\"", Some("charset"))]
    #[case("application/json; charset=", Some("charset"))]
    #[case("text/plain", Some("media_type"))]
    #[case("application/jsonp", Some("media_type"))]
    fn content_types(#[case] kind: &str, #[case] reason: Option<&str>) {
        let answer = ask("POST", "/v", &[("content-length", "10"), ("content-type", kind)]);
        assert_eq!(answer.err().map(|cause| cause.reason), reason);
        let any = ask("POST", "/x", &[("content-length", "10"), ("content-type", kind)]);
        assert_eq!(any, Ok(false));
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
    #[case("POST", "/v", &[("content-length", "10")], None)]
    #[case("POST", "/v", &[("transfer-encoding", "chunked")], None)]
    #[case("POST", "/v", &[("transfer-encoding", "chunked"), ("content-type", "application/json"), ("content-encoding", "gzip")], None)]
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
