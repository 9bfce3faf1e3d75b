//! Finds the end of a request head, as strictly as RFC 9112 lets a server be.
//!
//! Every line ends in CRLF: a bare LF, a folded line (section 5.2) or a head beyond the bounds is refused as soon as it is
//! seen, because two parsers that disagree about where a message ends are how requests get smuggled.

use addrgate_filters::edge::{LONGEST_METHOD, long_method};
use addrgate_filters::reply::{Cause, Code};

use crate::config::Limits;

/// What a client of HTTP/2 begins with (RFC 9113 section 3.4). All of it has to be there in a head's time: Pingora waits for
/// it without a bound.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether so many bytes are those of HTTP/2's connection preface.
pub(super) fn is_preface(bytes: &[u8]) -> bool {
    bytes.iter().zip(HTTP2).all(|(byte, own)| byte == own)
}

/// What the bytes so far are.
#[derive(Debug, PartialEq)]
pub(super) enum Scan {
    /// The beginning of a head.
    Partial,
    /// A whole head of so many bytes, the blank line included.
    Complete(usize),
    /// HTTP/2.
    Http2,
    /// Nothing that an honest client sends.
    Wrong(Cause),
}

/// A scan that goes on where it stopped when more bytes have come.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Everything before this place was looked at.
    seen: usize,
    /// Where the current line begins.
    line: usize,
    lines: usize,
}

impl Scanner {
    /// Whether nothing was looked at yet.
    pub(super) fn is_new(&self) -> bool {
        self.seen == 0
    }

    /// Looks at what has come. `bytes` begins with the head; a blank line before the request line, which some clients
    /// send after a body (RFC 9112 section 2.2), is the caller's to skip.
    pub(super) fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Scan {
        if bytes.first() == Some(&b'P') {
            match bytes.get(..HTTP2.len()) {
                Some(HTTP2) => return Scan::Http2,
                None if HTTP2.starts_with(bytes) => return Scan::Partial,
                _ => {}
            }
        }
        let from = self.seen;
        for found in memchr::memchr_iter(b'\n', &bytes[from..]) {
            let newline = from + found;
            if newline == self.line || bytes[newline - 1] != b'\r' {
                return wrong("bare_lf", "A line of the request head does not end in CRLF.");
            }
            if self.lines > 0 && matches!(bytes[self.line], b' ' | b'\t') {
                return wrong("folded_line", "A line of the request head is folded.");
            }
            let is_blank = newline == self.line + 1;
            (self.seen, self.line, self.lines) = (newline + 1, newline + 1, self.lines + 1);
            if is_blank {
                return Scan::Complete(newline + 1);
            }
        }
        self.seen = bytes.len();
        match self.too_large(bytes, limits) {
            Some(cause) => Scan::Wrong(cause),
            None => Scan::Partial,
        }
    }

    /// Before the head is complete; the filter `edge` knows the exact bounds of one that is.
    fn too_large(&self, bytes: &[u8], limits: &Limits) -> Option<Cause> {
        // Method, version and spaces of the request line.
        const AROUND: usize = 64;
        let (uri, head) = (limits.uri.len() + AROUND, limits.head.len());
        let cause = |code, reason, message: &'static str| Some(Cause::new(code, reason, message).closing());
        if self.lines == 0 && bytes.len() > LONGEST_METHOD && !bytes[..=LONGEST_METHOD].contains(&b' ') {
            return Some(long_method());
        }
        if self.lines == 0 && self.seen > uri {
            return cause(Code::UriTooLong, "uri_length", "The URL is too long.");
        }
        if self.lines > limits.fields + 1 {
            return cause(Code::HeadersTooLarge, "field_count", "The request has too many header fields.");
        }
        if self.seen > uri + head {
            return cause(Code::HeadersTooLarge, "head_size", "The header fields are too large.");
        }
        None
    }
}

fn wrong(reason: &'static str, message: &'static str) -> Scan {
    Scan::Wrong(Cause::new(Code::InvalidRequest, reason, message).closing())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn scan(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
        match Scanner::default().scan(bytes, &Limits::default()) {
            Scan::Partial => Ok(None),
            Scan::Complete(n) => Ok(Some(n)),
            Scan::Http2 => Err("http2"),
            Scan::Wrong(cause) => Err(cause.reason),
        }
    }

    #[rstest]
    #[case(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", Ok(Some(27)))]
    #[case(b"GET / HTTP/1.1\r\nHost: a\r\n", Ok(None))]
    #[case(b"GET / HTTP/1.1\r\nHost: a\r", Ok(None))]
    #[case(b"", Ok(None))]
    #[case(b"GET / HTTP/1.1\nHost: a\r\n\r\n", Err("bare_lf"))]
    #[case(b"GET / HTTP/1.1\r\nHost: a\n\r\n", Err("bare_lf"))]
    #[case(b"GET / HTTP/1.1\r\nHost: a\r\n\n", Err("bare_lf"))]
    #[case(b"\n", Err("bare_lf"))]
    #[case(b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", Err("folded_line"))]
    #[case(b"GET / HTTP/1.1\r\n\tA: b\r\n\r\n", Err("folded_line"))]
    #[case(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Err("http2"))]
    #[case(b"PRI * HTTP/2.0\r\n\r\nSM", Ok(None))]
    #[case(b"PRI * HTTP/2.0\r\n\r\nNO", Ok(Some(18)))]
    #[case(b"POST / HTTP/1.1\r\n\r\n", Ok(Some(19)))]
    fn heads(#[case] bytes: &[u8], #[case] expected: Result<Option<usize>, &str>) {
        assert_eq!(scan(bytes), expected);
    }

    #[test]
    fn bounds_hold_before_the_head_is_complete() {
        let long = [b"GET /".as_slice(), &[b'a'; 9000]].concat();
        assert_eq!(scan(&long), Err("uri_length"));
        assert_eq!(scan(&[b'A'; 33]), Err("method_length"));
        assert_eq!(scan(&[&[b'A'; 32], b" /".as_slice()].concat()), Ok(None));
        let many = [b"GET / HTTP/1.1\r\n".as_slice(), &b"a: b\r\n".repeat(101)].concat();
        assert_eq!(scan(&many), Err("field_count"));
        let large = [b"GET / HTTP/1.1\r\na: ".as_slice(), &[b'b'; 26_000]].concat();
        assert_eq!(scan(&large), Err("head_size"));
    }

    proptest! {
        /// How the bytes arrive makes no difference.
        #[test]
        fn pieces_are_as_good_as_the_whole(
            lines in proptest::collection::vec("[ A-Za-z:/.0-9]{0,12}(\r\n|\n|\r)", 0..8), cut in 0usize..80,
        ) {
            let bytes = [lines.concat().as_bytes(), b"\r\n\r\n"].concat();
            let whole = Scanner::default().scan(&bytes, &Limits::default());
            let mut scanner = Scanner::default();
            let mut found = Scan::Partial;
            for end in (0..=bytes.len()).step_by(cut + 1).chain([bytes.len()]) {
                found = scanner.scan(&bytes[..end], &Limits::default());
                if found != Scan::Partial {
                    break;
                }
            }
            prop_assert_eq!(found, whole);
        }
    }
}
