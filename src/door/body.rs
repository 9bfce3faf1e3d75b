//! How far a request's body reaches on the wire, so that all of it is there before the request takes a place at the
//! upstream: who sends slowly keeps only its own connection waiting.

use addrgate_filters::http::head::Head;
use http::Version;

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
