//! Keeps the origin's `Date` on answers that Pingora writes.
//!
//! `Date` says when the origin made the answer (RFC 9110 section 6.6.1), and a cache must not change it; Pingora's session
//! overwrites it after every hook. An HTTP date always has 29 bytes, so the right one takes the place of Pingora's in the
//! bytes of the head, on their way to the client.

use std::sync::{Mutex, PoisonError};

use bytes::BytesMut;
use memchr::memmem;

/// `Sun, 06 Nov 1994 08:49:37 GMT`
const LENGTH: usize = 29;

/// The date for the next head, from where the answer is known to where its bytes are written.
#[derive(Debug, Default)]
pub(crate) struct DateSlot(Mutex<Option<[u8; LENGTH]>>);

impl DateSlot {
    /// Sets the date of the next final head; what has another length is no date that a head may carry.
    pub(crate) fn set(&self, date: &[u8]) {
        *self.lock() = date.try_into().ok();
    }

    /// Forgets the date.
    pub(crate) fn clear(&self) {
        *self.lock() = None;
    }

    /// Whether no date waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_none()
    }

    /// The bytes of a head with the date replaced; `None` where no date waits, or these are no head.
    pub(super) fn apply(&self, bytes: &[u8]) -> Option<BytesMut> {
        let mut slot = self.lock();
        let date = slot.as_ref()?;
        let end = memmem::find(bytes, b"\r\n\r\n")?;
        let at = date_of(&bytes[..end + 2])?;
        let mut out = BytesMut::from(bytes);
        out[at..at + LENGTH].copy_from_slice(date);
        *slot = None;
        Some(out)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<[u8; LENGTH]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the value of `Date` begins.
fn date_of(head: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', head).map(|newline| newline + 1).find_map(|line| {
        let named = head.get(line..line + 6)?.eq_ignore_ascii_case(b"date: ");
        (named && head.get(line + 6 + LENGTH) == Some(&b'\r')).then_some(line + 6)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &[u8] =
        b"HTTP/1.1 200 OK\r\nX-Date: none\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nbody\r\nDate: x\r\n\r\n";

    #[test]
    fn one_head_gets_the_date_and_the_body_stays() {
        let slot = DateSlot::default();
        assert_eq!(slot.apply(OURS), None);
        slot.set(b"Mon, 07 Nov 1994 00:00:00 GMT");
        let out = slot.apply(OURS).unwrap();
        assert_eq!(out.len(), OURS.len());
        let text = String::from_utf8(out.to_vec()).unwrap();
        assert!(text.contains("\r\nDate: Mon, 07 Nov 1994 00:00:00 GMT\r\n\r\nbody\r\nDate: x"), "{text}");
        assert!(slot.is_empty() && slot.apply(OURS).is_none());
    }

    #[test]
    fn odd_dates_and_heads_without_one_change_nothing() {
        let slot = DateSlot::default();
        slot.set(b"0");
        assert!(slot.is_empty());
        slot.set(b"Mon, 07 Nov 1994 00:00:00 GMT");
        assert_eq!(slot.apply(b"HTTP/1.1 200 OK\r\nX-Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"), None);
        assert_eq!(slot.apply(b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT"), None);
    }
}
