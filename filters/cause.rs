//! Why a request is refused: a value that says nothing of HTTP but its status; [`crate::reply`] turns it into a response.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, Value};

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

/// Why a request is refused: a value, made where the reason arises, turned into HTTP only by [`crate::reply::render`].
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
