//! Responses that are made here, not by an upstream.

use bytes::Bytes;
use serde_json::Value;

use super::head::Headers;

/// A whole answer of the gateway's own, ready for whoever writes it (door, Pingora's session, admin).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Fields without `Content-Length`, which the writer adds from the body.
    pub fields: Vec<(&'static str, String)>,
    /// The body; not sent to HEAD.
    pub body: Bytes,
    /// Whether the connection must be closed after it.
    pub close: bool,
}

impl Reply {
    /// JSON that nobody may keep.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        let kind = ("content-type", "application/json; charset=utf-8".to_owned());
        let fields = vec![kind, ("cache-control", "no-store".to_owned())];
        Self { status, fields, body: body.to_string().into(), close: false }
    }
}

/// Whether the client asks for RFC 9457: it names `application/problem+json` in `Accept` without refusing it (RFC 9110
/// section 12.4.2: a weight of 0 refuses).
#[must_use]
pub fn wants_problem(headers: Headers<'_>) -> bool {
    let mut found = false;
    headers.each("accept", |value| {
        found |= value.split(|b| *b == b',').any(|range| {
            let mut parts = range.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let named = parts.next().is_some_and(|media| media.eq_ignore_ascii_case(b"application/problem+json"));
            named && !parts.any(|part| matches!(part, b"q=0" | b"q=0.0" | b"q=0.00" | b"q=0.000"))
        });
    });
    found
}

/// A time as answers tell it: RFC 3339 in UTC, to the millisecond.
#[must_use]
pub fn timestamp(time: chrono::DateTime<chrono::Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
