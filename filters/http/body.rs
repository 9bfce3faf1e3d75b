//! The body of a request, as its head announces it.

use super::head::Head;

/// The body a head announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// None.
    Nothing,
    /// One of so many bytes.
    Bytes(u64),
    /// One whose length only its end tells.
    Chunks,
}

impl Announced {
    /// By the fields; over HTTP/2 a stream may go on without any.
    #[must_use]
    pub fn of(head: &Head<'_>) -> Self {
        if head.streams || head.headers.has("transfer-encoding") {
            return Announced::Chunks;
        }
        // Its digits were checked by `edge`; a number beyond u64 is larger than any limit.
        match head.headers.text("content-length").map(|text| text.parse().unwrap_or(u64::MAX)) {
            None | Some(0) => Announced::Nothing,
            Some(bytes) => Announced::Bytes(bytes),
        }
    }

    /// How many bytes may come, where no more than `most` are read.
    #[must_use]
    pub fn bytes(self, most: u64) -> u64 {
        match self {
            Announced::Nothing => 0,
            Announced::Bytes(bytes) => bytes.min(most),
            Announced::Chunks => most,
        }
    }
}

/// Methods whose meaning is in their body.
#[must_use]
pub fn has_body(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD")
}
