//! The body of a request, as its head announces it.

use super::head::Head;

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

/// Methods whose meaning is in their body.
#[must_use]
pub fn has_body(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD")
}
