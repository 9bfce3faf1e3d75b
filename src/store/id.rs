//! The name of a stored response.

use addrgate_filters::cache_key::Key;

/// Names one stored answer: the key of the request and, where the answer has `Vary`, the digest of the selecting fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Id {
    /// The canonical request's digest.
    pub(crate) key: Key,
    /// Which variant; `None` for answers without `Vary`.
    pub(crate) variance: Option<[u8; 16]>,
}

impl Id {
    /// The slot of answers without `Vary`, and of the index of variants.
    pub(crate) fn primary(key: Key) -> Self {
        Self { key, variance: None }
    }

    /// The slot of the last part (206) that came of an answer without `Vary`.
    pub(crate) fn part(key: Key) -> Self {
        Self { key, variance: Some(*b"part of a whole.") }
    }
}
