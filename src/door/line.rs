//! Request lines that no parser takes: those of clients that put a query into them as it was typed, with spaces, which are
//! escaped before anything else reads the head (RFC 3986 section 2.1), and those that are none of HTTP/1.

use addrgate_filters::reply::{Cause, Code};

/// A request line with its query escaped.
#[derive(Debug, PartialEq)]
pub(super) struct Escaped {
    /// The length of the line as it came, without its CRLF.
    pub(super) length: usize,
    /// What goes in its place.
    pub(super) line: Vec<u8>,
}

/// Whether a request line that can't be parsed is none of HTTP/1 at all: neither its target nor its version is one. A client of
/// HTTP/2 sends it whose connection preface is wrong (RFC 9113 section 3.4).
pub(super) fn is_foreign(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(b"PRI"), Some(b"*"), Some(b"HTTP/2.0"), None) => true,
        (Some(_), Some(target), Some(version), None) => {
            let has_form = matches!(target, [] | [b'/' | b'*', ..]) || memchr::memmem::find(target, b"://").is_some();
            !has_form && !version.starts_with(b"HTTP/")
        }
        _ => false,
    }
}

/// The refusal of a connection that begins with neither HTTP/1 nor HTTP/2.
pub(super) fn foreign() -> Cause {
    Cause::new(Code::InvalidRequest, PREFACE, "The connection begins with neither HTTP/1 nor HTTP/2.").closing()
}

/// The reason of that.
pub(super) const PREFACE: &str = "preface";

/// The request line of a head with the spaces of its query escaped; `None` where that makes it no better. The last space begins the
/// version (RFC 9112 section 3). A line in which another version stands before it is left alone: a proxy in front may have
/// taken that for the end of the target.
pub(super) fn escaped(head: &[u8]) -> Option<Escaped> {
    let length = memchr::memchr(b'\r', head)?;
    let line = &head[..length];
    let version = memchr::memrchr(b' ', line)?;
    let query = memchr::memchr(b'?', &line[..version])? + 1;
    let is_version = matches!(line[version..], [_, b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1']);
    let spaces_before = memchr::memchr_iter(b' ', &line[..query]).count();
    let is_clear = memchr::memmem::find(&line[query..version], b" HTTP/").is_none();
    if !is_version || spaces_before != 1 || !is_clear || !line[query..version].contains(&b' ') {
        return None;
    }
    let mut out = Vec::with_capacity(length + 64);
    out.extend_from_slice(&line[..query]);
    for byte in &line[query..version] {
        match byte {
            b' ' => out.extend_from_slice(b"%20"),
            byte => out.push(*byte),
        }
    }
    out.extend_from_slice(&line[version..]);
    Some(Escaped { length, line: out })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("INVALID CONNECTION PREFACE", true)]
    #[case("PRI * HTTP/2.0", true)]
    #[case("PRI * HTTP/2.1", false)]
    #[case("GET / HTTP/2.0", false)]
    #[case("GET / FOO", false)]
    #[case("GET * FOO", false)]
    #[case("GET http://a FOO", false)]
    #[case("GET a HTTP/1.1", false)]
    #[case("GET a b HTTP/1.1", false)]
    #[case("GET /", false)]
    #[case("HELO me", false)]
    #[case("", false)]
    fn what_is_not_http1_at_all(#[case] line: &str, #[case] foreign: bool) {
        assert_eq!(is_foreign(format!("{line}\r\n\r\n").as_bytes()), foreign);
    }

    #[rstest]
    #[case("GET /s?q=6 Main St HTTP/1.1", Some("GET /s?q=6%20Main%20St HTTP/1.1"))]
    #[case("GET /s?q=\"6\" <b> HTTP/1.0", Some("GET /s?q=\"6\"%20<b> HTTP/1.0"))]
    #[case("GET http://h/s?q=6 é| HTTP/1.1", Some("GET http://h/s?q=6%20é| HTTP/1.1"))]
    #[case("GET /s?q=6  HTTP/1.1", Some("GET /s?q=6%20 HTTP/1.1"))]
    #[case("GET /s?q=6 HTTP/1.1", None)]
    #[case("GET /s t?q=6 HTTP/1.1", None)]
    #[case("GET  /s?q=6 HTTP/1.1", None)]
    #[case("GET /s x HTTP/1.1", None)]
    #[case("GET /s?q=6 HTTP/1.1 HTTP/1.1", None)]
    #[case("GET /s?q=6 7 HTTP/1.2", None)]
    #[case("GET /s?q=6 7", None)]
    #[case("GET /s?q=6 7 HTTP/1.1 ", None)]
    fn lines(#[case] line: &str, #[case] expected: Option<&str>) {
        let escaped = escaped(format!("{line}\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(escaped.as_ref().map(|escaped| escaped.length), expected.map(|_| line.len()));
        assert_eq!(escaped.map(|escaped| String::from_utf8(escaped.line).unwrap()).as_deref(), expected);
    }
}
