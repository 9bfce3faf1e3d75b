//! Stamps `meta` into successful spatial answers on their way out.
//!
//! Upstream bodies are `{"success":true,"data":...}` and are cached so: request id, response time and clock are of one
//! answer, not of the data. On the way out, hit or miss, the last `}` becomes `,"meta":{...}}`. The text is made when the
//! head is written, so `Content-Length` is right from the start. Used by name, not a filter of the list: it refuses nothing.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::http::request_id::RequestId;

/// The text that takes the place of the last `}`; and how far the body has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    text: String,
    /// Bytes to come; `None` where only its end tells the length.
    left: Option<usize>,
    /// The last byte so far, where the length is not known.
    held: Option<u8>,
}

impl Stamp {
    /// Made when the answer's head is written, for a body of `length` bytes, where that is known; `elapsed` is the time since
    /// the request's head was read.
    #[must_use]
    pub fn new(id: &RequestId, elapsed: Duration, now: chrono::DateTime<chrono::Utc>, length: Option<usize>) -> Self {
        let text = format!(
            r#","meta":{{"requestId":"{}","responseTime":{},"timestamp":"{}"}}}}"#,
            id.as_str(),
            elapsed.as_millis(),
            crate::http::response::timestamp(now),
        );
        Self { text, left: length, held: None }
    }

    /// By how many bytes the body grows.
    #[must_use]
    pub fn growth(&self) -> usize {
        self.text.len() - 1
    }

    /// Takes the next piece of a body, gives what is to be sent. Where the length is known it tells which piece is the last;
    /// else `end` does.
    ///
    /// A body that does not end in `}` is sent as it is. Where its length has been announced it is padded with spaces, which
    /// JSON allows.
    #[must_use]
    pub fn piece(&mut self, piece: Bytes, end: bool) -> Bytes {
        let Some(left) = self.left else { return self.next(&piece, end) };
        let is_last = !piece.is_empty() && piece.len() >= left;
        self.left = Some(left.saturating_sub(piece.len()));
        if !is_last {
            return piece;
        }
        let mut out = BytesMut::with_capacity(piece.len() + self.growth());
        match piece.strip_suffix(b"}") {
            Some(rest) => {
                out.extend_from_slice(rest);
                out.extend_from_slice(self.text.as_bytes());
            }
            None => {
                out.extend_from_slice(&piece);
                out.resize(piece.len() + self.growth(), b' ');
            }
        }
        out.freeze()
    }

    /// The same for a body of unknown length: its last byte is held back until more comes, or the end.
    fn next(&mut self, piece: &[u8], end: bool) -> Bytes {
        let mut out = BytesMut::with_capacity(piece.len() + self.text.len() + 1);
        out.extend(self.held.take());
        out.extend_from_slice(piece);
        match out.last().copied() {
            Some(b'}') if end => {
                out.truncate(out.len() - 1);
                out.extend_from_slice(self.text.as_bytes());
                // Once.
                self.left = Some(usize::MAX);
            }
            Some(last) if !end => {
                out.truncate(out.len() - 1);
                self.held = Some(last);
            }
            _ => {}
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn stamp(length: usize) -> Stamp {
        Stamp::new(&RequestId::new(), Duration::from_millis(12), chrono::DateTime::UNIX_EPOCH, Some(length))
    }

    fn through(body: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut stamp = stamp(body.len());
        let mut out = Vec::new();
        let mut rest = Bytes::copy_from_slice(body);
        for cut in cuts {
            let piece = rest.split_to((*cut).min(rest.len()));
            out.extend(stamp.piece(piece, false));
        }
        out.extend(stamp.piece(rest, false));
        out.extend(stamp.piece(Bytes::new(), true));
        out
    }

    #[test]
    fn meta_is_the_contracts() {
        let out: Value = serde_json::from_slice(&through(br#"{"success":true,"data":{"a":{}}}"#, &[])).unwrap();
        assert_eq!(out["data"], serde_json::json!({"a": {}}));
        assert_eq!(out["meta"]["responseTime"], 12);
        assert_eq!(out["meta"]["timestamp"], "1970-01-01T00:00:00.000Z");
        assert_eq!(out["meta"]["requestId"].as_str().unwrap().len(), 36);
    }

    #[test]
    fn what_does_not_end_in_a_brace_keeps_the_announced_length() {
        let out = through(b"{\"a\":1}\n", &[3]);
        assert_eq!(out.len(), 8 + stamp(0).growth());
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), serde_json::json!({"a": 1}));
    }

    #[rstest::rstest]
    #[case(&["{\"a\":1}"], 1)]
    #[case(&["{\"a\"", ":1", "}"], 1)]
    #[case(&["{\"a\":{}", "", "}", ""], 1)]
    #[case(&["[1]"], 0)]
    #[case(&["{\"a\":1}", "\n"], 0)]
    #[case(&[], 0)]
    fn a_body_of_unknown_length_is_stamped_at_its_end(#[case] pieces: &[&str], #[case] stamps: usize) {
        // Told with the last piece, or after it.
        for with_last in [true, false] {
            let mut stamp = Stamp { left: None, ..stamp(0) };
            let mut out = Vec::new();
            for (at, piece) in pieces.iter().enumerate() {
                let end = with_last && at + 1 == pieces.len();
                out.extend(stamp.piece(Bytes::copy_from_slice(piece.as_bytes()), end));
            }
            out.extend(stamp.piece(Bytes::new(), true));
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.matches("\"meta\"").count(), stamps, "{text}");
            let plain = pieces.concat();
            assert_eq!(text.len(), plain.len() + stamps * stamp.growth(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_length_and_valid_json(
            inner in "[{}a]{0,20}", cuts in proptest::collection::vec(0usize..12, 0..6),
        ) {
            let body = serde_json::json!({"data": inner}).to_string();
            let out = through(body.as_bytes(), &cuts);
            prop_assert_eq!(out.len(), body.len() + stamp(0).growth());
            prop_assert_eq!(&serde_json::from_slice::<Value>(&out).unwrap()["data"], &Value::from(inner));
        }
    }
}
