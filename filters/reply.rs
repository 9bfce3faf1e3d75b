//! The one place that knows statuses: what a filter refuses is a [`Cause`], and only here it becomes HTTP.
//!
//! Existing clients read `{"error":{"code","message","details"?,"timestamp","requestId"}}`; a client that prefers
//! `application/problem+json` gets RFC 9457 with the same code. Both carry `reason`, one word that tells two refusals of
//! the same code apart; docs/refusals.md lists them.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::head::Headers;
use crate::route::Auth;
use crate::verdict::Verdict;

mod reasons;
pub use reasons::REASONS;

/// The error codes of the contract that the gateway itself answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the contract's code of the same name, see `Code::as_str`")]
pub enum Code {
    MissingApiKey,
    InvalidApiKey,
    Forbidden,
    EndpointNotFound,
    MethodNotAllowed,
    InvalidRequest,
    InvalidJson,
    PayloadTooLarge,
    UnsupportedMediaType,
    UriTooLong,
    HeadersTooLarge,
    ExpectationFailed,
    MisdirectedRequest,
    NotImplemented,
    RequestTimeout,
    RateLimitExceeded,
    BadGateway,
    ServiceUnavailable,
    GatewayTimeout,
    VersionNotSupported,
    InternalError,
}

impl Code {
    /// Every code, for the documentation and its test.
    pub const ALL: [Code; 21] = [
        Code::MissingApiKey,
        Code::InvalidApiKey,
        Code::Forbidden,
        Code::EndpointNotFound,
        Code::MethodNotAllowed,
        Code::InvalidRequest,
        Code::InvalidJson,
        Code::PayloadTooLarge,
        Code::UnsupportedMediaType,
        Code::UriTooLong,
        Code::HeadersTooLarge,
        Code::ExpectationFailed,
        Code::MisdirectedRequest,
        Code::NotImplemented,
        Code::RequestTimeout,
        Code::RateLimitExceeded,
        Code::BadGateway,
        Code::ServiceUnavailable,
        Code::GatewayTimeout,
        Code::VersionNotSupported,
        Code::InternalError,
    ];

    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Code::InvalidRequest | Code::InvalidJson => 400,
            Code::MissingApiKey | Code::InvalidApiKey => 401,
            Code::Forbidden => 403,
            Code::EndpointNotFound => 404,
            Code::MethodNotAllowed => 405,
            Code::RequestTimeout => 408,
            Code::PayloadTooLarge => 413,
            Code::UriTooLong => 414,
            Code::UnsupportedMediaType => 415,
            Code::ExpectationFailed => 417,
            Code::MisdirectedRequest => 421,
            Code::RateLimitExceeded => 429,
            Code::HeadersTooLarge => 431,
            Code::InternalError => 500,
            Code::NotImplemented => 501,
            Code::BadGateway => 502,
            Code::ServiceUnavailable => 503,
            Code::GatewayTimeout => 504,
            Code::VersionNotSupported => 505,
        }
    }

    /// The word in the envelope. Whatever upstream trouble there is, clients know one word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Code::MissingApiKey => "MISSING_API_KEY",
            Code::InvalidApiKey => "INVALID_API_KEY",
            Code::Forbidden => "FORBIDDEN",
            Code::EndpointNotFound => "ENDPOINT_NOT_FOUND",
            Code::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Code::InvalidRequest => "INVALID_REQUEST",
            Code::InvalidJson => "INVALID_JSON",
            Code::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Code::UnsupportedMediaType => "UNSUPPORTED_MEDIA_TYPE",
            Code::UriTooLong => "URI_TOO_LONG",
            Code::HeadersTooLarge => "HEADERS_TOO_LARGE",
            Code::ExpectationFailed => "EXPECTATION_FAILED",
            Code::MisdirectedRequest => "MISDIRECTED_REQUEST",
            Code::NotImplemented => "NOT_IMPLEMENTED",
            Code::RequestTimeout => "REQUEST_TIMEOUT",
            Code::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            Code::BadGateway | Code::ServiceUnavailable | Code::GatewayTimeout => "SERVICE_UNAVAILABLE",
            Code::VersionNotSupported => "HTTP_VERSION_NOT_SUPPORTED",
            Code::InternalError => "INTERNAL_ERROR",
        }
    }
}

/// Why a request is refused: a value, made where the reason arises, turned into HTTP only by [`render`].
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// What clients branch on.
    pub code: Code,
    /// One word from a closed set that tells refusals of one code apart; also a metrics label and a log field.
    pub reason: &'static str,
    /// A sentence for a person. Never holds a secret or what an upstream said.
    pub message: Cow<'static, str>,
    /// Further members of `details`.
    pub details: Map<String, Value>,
    /// When to come back; sent as whole seconds, at least 1.
    pub retry_after: Option<Duration>,
    /// The methods of a 405.
    pub allow: Option<Cow<'static, str>>,
    /// One more field, such as what a 415 would accept.
    pub field: Option<(&'static str, &'static str)>,
    /// Whether the connection can't go on after this (its framing is in doubt, or its body unread).
    pub close: bool,
}

impl Cause {
    /// A refusal with nothing but its code, reason and sentence. The reason must be one of [`REASONS`].
    #[must_use]
    pub fn new(code: Code, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        debug_assert!(REASONS.binary_search(&reason).is_ok(), "{reason} is not in REASONS and docs/refusals.md");
        Self {
            code,
            reason,
            message: message.into(),
            details: Map::new(),
            retry_after: None,
            allow: None,
            field: None,
            close: false,
        }
    }

    /// After this answer the connection is closed.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// Tells the client when to come back.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds a field to the response.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: &'static str) -> Self {
        self.field = Some((name, value));
        self
    }

    /// Adds a member to `details`.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.code.status()
    }
}

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

/// Turns a cause into the answer. `now` is the wall clock, `problem` what [`wants_problem`] said.
#[must_use]
pub fn render(cause: &Cause, verdict: &Verdict, problem: bool, now: chrono::DateTime<chrono::Utc>) -> Reply {
    let status = cause.status();
    let timestamp = timestamp(now);
    let mut details = Map::new();
    details.insert("reason".to_owned(), cause.reason.into());
    details.extend(cause.details.clone());
    let (kind, body) = if problem {
        let title = http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Error");
        let body = json!({
            "type": "about:blank", "title": title, "status": status, "detail": cause.message,
            "code": cause.code.as_str(), "timestamp": timestamp, "requestId": verdict.request_id.as_str(),
            "details": details,
        });
        ("application/problem+json", body)
    } else {
        let body = json!({ "error": {
            "code": cause.code.as_str(), "message": cause.message, "details": details,
            "timestamp": timestamp, "requestId": verdict.request_id.as_str(),
        }});
        ("application/json; charset=utf-8", body)
    };
    let mut fields = vec![("content-type", kind.to_owned()), ("cache-control", "no-store".to_owned())];
    if let Some(wait) = cause.retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        fields.push(("retry-after", seconds.max(1).to_string()));
    }
    if let Some(allow) = &cause.allow {
        fields.push(("allow", allow.to_string()));
    }
    fields.extend(cause.field.map(|(name, value)| (name, value.to_owned())));
    if status == 401 {
        fields.push(("www-authenticate", challenge(cause, verdict).to_owned()));
    }
    Reply { status, fields, body: Bytes::from(body.to_string()), close: cause.close }
}

/// RFC 9110 section 15.5.2 asks for a challenge. The scheme of API keys has no registered name; that of tokens is of RFC
/// 6750 section 3.
fn challenge(cause: &Cause, verdict: &Verdict) -> &'static str {
    let auth = verdict.route.as_ref().map_or(Auth::ApiKey, |route| route.config.auth);
    match (auth, cause.code) {
        (Auth::Jwt, Code::InvalidApiKey) => "Bearer error=\"invalid_token\"",
        (Auth::Jwt, _) => "Bearer",
        (Auth::Any, _) => "ApiKey header=\"X-API-Key\", Bearer",
        (Auth::ApiKey | Auth::None, _) => "ApiKey header=\"X-API-Key\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict() -> Verdict {
        Verdict { request_id: crate::request_id::RequestId::new(), ..Verdict::default() }
    }

    #[test]
    fn the_envelope_is_the_contracts() {
        let verdict = verdict();
        let cause = Cause::new(Code::ServiceUnavailable, "upstream_down", "No upstream can answer.")
            .retry_after(Duration::from_millis(200))
            .detail("upstream", "address-service");
        let reply = render(&cause, &verdict, false, chrono::DateTime::UNIX_EPOCH);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            body,
            json!({"error": {
                "code": "SERVICE_UNAVAILABLE", "message": "No upstream can answer.",
                "details": {"reason": "upstream_down", "upstream": "address-service"},
                "timestamp": "1970-01-01T00:00:00.000Z", "requestId": verdict.request_id.as_str(),
            }})
        );
        assert_eq!(reply.status, 503);
        assert!(reply.fields.contains(&("retry-after", "1".to_owned())), "never 0: {:?}", reply.fields);
        assert!(reply.fields.contains(&("cache-control", "no-store".to_owned())));
    }

    #[test]
    fn problem_json_on_request() {
        let accept = [httparse::Header { name: "Accept", value: b"text/html, Application/Problem+json;q=0.9" }];
        assert!(wants_problem(Headers::Raw(&accept)));
        assert!(!wants_problem(Headers::Raw(&[])));
        let cause = Cause::new(Code::MissingApiKey, "no_key", "Send X-API-Key.");
        let reply = render(&cause, &verdict(), true, chrono::DateTime::UNIX_EPOCH);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((body["status"].as_u64(), body["title"].as_str()), (Some(401), Some("Unauthorized")));
        assert_eq!(body["code"], "MISSING_API_KEY");
        assert!(reply.fields.iter().any(|(name, _)| *name == "www-authenticate"));
    }

    #[test]
    fn reasons_are_words_in_order() {
        assert!(REASONS.is_sorted_by(|a, b| a < b), "they are searched by halves");
        assert!(REASONS.iter().all(|reason| reason.bytes().all(|b| b.is_ascii_lowercase() || b"_8".contains(&b))));
    }

    #[test]
    fn every_code_has_an_error_status_and_a_word() {
        for code in Code::ALL {
            assert!((400..600).contains(&code.status()));
            assert!(code.as_str().bytes().all(|b| b.is_ascii_uppercase() || b == b'_'));
        }
    }
}
