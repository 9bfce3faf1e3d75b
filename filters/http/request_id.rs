//! The id of a request.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::RngCore;

/// A UUIDv7 as text, without an allocation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; 36]);

impl RequestId {
    /// A fresh one.
    #[must_use]
    pub fn new() -> Self {
        Self::at(SystemTime::now())
    }

    /// The same for a request of that moment. Its random bits are the thread's own generator's (ChaCha, seeded by the
    /// operating system): asking the system for them anew would cost more than the rest of this filter.
    #[must_use]
    pub fn at(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut random = [0; 10];
        rand::rng().fill_bytes(&mut random);
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let mut text = [0; 36];
        uuid::Builder::from_unix_timestamp_millis(millis, &random).as_uuid().hyphenated().encode_lower(&mut text);
        Self(text)
    }

    /// The text; empty in a verdict that the filter has not seen yet.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self.0[0] {
            0 => "",
            _ => std::str::from_utf8(&self.0).unwrap_or_default(),
        }
    }
}

impl Default for RequestId {
    /// No name yet.
    fn default() -> Self {
        Self([0; 36])
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether an id of a client's may be echoed: it goes into headers and logs.
#[must_use]
pub fn is_usable(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
}
