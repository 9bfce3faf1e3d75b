//! Keeps the origin's `Date` on answers that Pingora writes.
//!
//! `Date` says when the origin made the answer (RFC 9110 section 6.6.1), and a cache must not change it; Pingora's session
//! overwrites it after every hook. An HTTP date always has 29 bytes, so the right one takes the place of Pingora's in the
//! bytes of the head, on their way to the client.

use std::sync::{Mutex, PoisonError};

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
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_none()
    }

    /// Puts the date into the bytes of a head; nothing happens where no date waits, or these are no head.
    pub(crate) fn apply(&self, bytes: &mut [u8]) {
        let mut slot = self.lock();
        let Some(date) = slot.as_ref() else { return };
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return };
        let Some(at) = date_of(&bytes[..end + 2]) else { return };
        bytes[at..at + LENGTH].copy_from_slice(date);
        *slot = None;
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
        let (slot, mut out) = (DateSlot::default(), OURS.to_vec());
        slot.apply(&mut out);
        assert_eq!(out, OURS);
        slot.set(b"Mon, 07 Nov 1994 00:00:00 GMT");
        slot.apply(&mut out);
        assert_eq!(out.len(), OURS.len());
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\r\nDate: Mon, 07 Nov 1994 00:00:00 GMT\r\n\r\nbody\r\nDate: x"), "{text}");
        assert!(slot.is_empty());
    }

    #[test]
    fn odd_dates_and_heads_without_one_change_nothing() {
        let slot = DateSlot::default();
        slot.set(b"0");
        assert!(slot.is_empty());
        slot.set(b"Mon, 07 Nov 1994 00:00:00 GMT");
        for other in [
            "HTTP/1.1 200 OK\r\nX-Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT",
        ] {
            let mut out = other.as_bytes().to_vec();
            slot.apply(&mut out);
            assert_eq!(out, other.as_bytes());
        }
    }
}
