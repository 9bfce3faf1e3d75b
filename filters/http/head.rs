//! A small borrowed view of a request head.
//!
//! Every filter judges a [`Head`], never Pingora's session: so the same code serves the door (which holds httparse's
//! headers), Pingora's own path (an `http::HeaderMap`, also for HTTP/2) and unit tests.

use std::net::IpAddr;
use std::time::SystemTime;

use tokio::time::Instant;

/// A moment by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For how long things take.
    pub instant: Instant,
    /// For what others say, such as `Date`.
    pub wall: SystemTime,
}

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}

/// Method, target, fields and peer of one request, borrowed from whoever read them.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// The method as the client wrote it; methods are case-sensitive (RFC 9110 section 9.1).
    pub method: &'a str,
    /// The protocol version; HTTP/1.0, HTTP/1.1 or HTTP/2.
    pub version: http::Version,
    /// The scheme out of an absolute-form target or HTTP/2's `:scheme`; in any letter case.
    pub scheme: Option<&'a str>,
    /// Host and port out of an absolute-form target or HTTP/2's `:authority`.
    pub authority: Option<&'a str>,
    /// The path of the request target, as received: not yet decoded or canonicalised. Starts with `/`, or is `*`.
    pub path: &'a str,
    /// What follows the first `?` of the target; `None` where there is no `?`.
    pub query: Option<&'a str>,
    /// The header fields.
    pub headers: Headers<'a>,
    /// The other end of the connection; `None` for connections without an address (Unix sockets).
    pub peer: Option<IpAddr>,
    /// Whether a body follows that no field announces: in HTTP/2 without `Content-Length`.
    pub streams: bool,
    /// When it was whole; `None`: whoever asks means now.
    pub at: Option<Moment>,
}

impl<'a> Head<'a> {
    /// Takes a request target apart: origin-form (`/path?query`) or absolute-form (`http://host/path?query`, RFC 9112
    /// section 3.2.2). Any other form stays whole in `path`, where no route matches it. Version HTTP/1.1, no peer, no body
    /// beyond what fields announce.
    #[must_use]
    pub fn new(method: &'a str, target: &'a str, headers: Headers<'a>) -> Self {
        let (mut scheme, mut authority) = (None, None);
        let mut rest = target;
        if !target.starts_with('/')
            && let Some((named, after)) = target.split_once("://")
            && (named.eq_ignore_ascii_case("http") || named.eq_ignore_ascii_case("https"))
        {
            let (host, path) = after.split_at(after.find(['/', '?']).unwrap_or(after.len()));
            (scheme, authority) = (Some(named), Some(host));
            rest = path;
        }
        let (mut path, query) = match memchr::memchr(b'?', rest.as_bytes()) {
            Some(mark) => (&rest[..mark], Some(&rest[mark + 1..])),
            None => (rest, None),
        };
        if path.is_empty() && authority.is_some() {
            // RFC 9112 sections 3.2.2 and 3.2.4: what is asked for is the root, or by OPTIONS the server itself.
            path = if method == "OPTIONS" && query.is_none() { "*" } else { "/" };
        }
        Self {
            method,
            version: http::Version::HTTP_11,
            scheme,
            authority,
            path,
            query,
            headers,
            peer: None,
            streams: false,
            at: None,
        }
    }

    /// The moment to judge the request by: the same for all filters, because each reading of a clock shows in what a hot hit
    /// costs.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.at.unwrap_or_else(Moment::now)
    }

    /// The host that is asked for: the authority of the target wins over the field (RFC 9112 section 3.2.2).
    #[must_use]
    pub fn host(&self) -> Option<&'a [u8]> {
        self.authority.map(str::as_bytes).or_else(|| self.headers.get("host"))
    }

    /// Whether this is a HEAD request, which every GET route answers too.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

/// Header fields in either of the two forms in which a request reaches us. Names are asked for in lower case.
#[derive(Debug, Clone, Copy)]
pub enum Headers<'a> {
    /// As httparse left them, in the order and case of the wire.
    Raw(&'a [httparse::Header<'a>]),
    /// Pingora's.
    Map(&'a http::HeaderMap),
}

impl<'a> Headers<'a> {
    /// The first value of a field, as bytes; `name` in lower case.
    #[must_use]
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        match self {
            Headers::Raw(fields) => fields.iter().find(|f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value),
            Headers::Map(map) => map.get(name).map(http::HeaderValue::as_bytes),
        }
    }

    /// The first value of a field where it is text; a value with bytes outside visible ASCII counts as absent.
    #[must_use]
    pub fn text(self, name: &str) -> Option<&'a str> {
        let value = std::str::from_utf8(self.get(name)?).ok()?;
        value.is_ascii().then_some(value)
    }

    /// Whether a comma-separated list without quoted strings has this member, in any letter case and any of its lines (RFC
    /// 9110 section 5.3).
    #[must_use]
    pub fn lists(self, name: &str, member: &str) -> bool {
        let mut found = false;
        self.each(name, |line| {
            found |=
                line.split(|byte| *byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(member.as_bytes()));
        });
        found
    }

    /// Whether the field is there at all.
    #[must_use]
    pub fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// How many lines carry the field; two lines of one value count twice.
    #[must_use]
    pub fn count(self, name: &str) -> usize {
        match self {
            Headers::Raw(fields) => fields.iter().filter(|f| f.name.eq_ignore_ascii_case(name)).count(),
            Headers::Map(map) => map.get_all(name).iter().count(),
        }
    }

    /// Every value of the field in order, one call per line.
    pub fn each(self, name: &str, mut visit: impl FnMut(&'a [u8])) {
        match self {
            Headers::Raw(fields) => {
                fields.iter().filter(|f| f.name.eq_ignore_ascii_case(name)).for_each(|f| visit(f.value));
            }
            Headers::Map(map) => map.get_all(name).iter().for_each(|v| visit(v.as_bytes())),
        }
    }

    /// Every line as (name, value); names keep the case of the wire in the raw form.
    pub fn all(self, mut visit: impl FnMut(&'a str, &'a [u8])) {
        match self {
            Headers::Raw(fields) => fields.iter().for_each(|f| visit(f.name, f.value)),
            Headers::Map(map) => map.iter().for_each(|(name, value)| visit(name.as_str(), value.as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_answer_alike() {
        let raw = [
            httparse::Header { name: "X-Api-KEY", value: b"one" },
            httparse::Header { name: "Accept", value: b"a" },
            httparse::Header { name: "accept", value: b"b" },
            httparse::Header { name: "X-Odd", value: b"\xff" },
        ];
        let mut map = http::HeaderMap::new();
        map.append("x-api-key", http::HeaderValue::from_static("one"));
        map.append("accept", http::HeaderValue::from_static("a"));
        map.append("accept", http::HeaderValue::from_static("b"));
        map.append("x-odd", http::HeaderValue::from_bytes(b"\xff").unwrap());
        for headers in [Headers::Raw(&raw), Headers::Map(&map)] {
            assert_eq!(headers.text("x-api-key"), Some("one"));
            assert_eq!(headers.count("accept"), 2);
            assert_eq!(headers.get("x-odd"), Some(&b"\xff"[..]));
            assert_eq!(headers.text("x-odd"), None, "bytes outside ASCII are not text");
            assert!(!headers.has("range"));
            assert!(headers.lists("accept", "B") && !headers.lists("accept", "c"));
            let mut seen = Vec::new();
            headers.each("accept", |v| seen.push(v));
            assert_eq!(seen, [b"a", b"b"]);
            let mut lines = 0;
            headers.all(|_, _| lines += 1);
            assert_eq!(lines, 4);
        }
    }

    #[test]
    fn the_target_splits_at_the_first_question_mark() {
        let head = |target| Head::new("GET", target, Headers::Raw(&[]));
        assert_eq!((head("/a?b=c?d").path, head("/a?b=c?d").query), ("/a", Some("b=c?d")));
        assert_eq!(head("/a").query, None);
        assert_eq!(head("/a?").query, Some(""));
        assert_eq!((head("*").path, head("*").authority), ("*", None));
        assert_eq!((head("ftp://h/").path, head("ftp://h/").authority), ("ftp://h/", None));
    }

    #[test]
    fn absolute_form() {
        let head = |target| Head::new("GET", target, Headers::Raw(&[]));
        let parts = |target| (head(target).authority, head(target).path, head(target).query);
        assert_eq!(parts("http://h:1/a?b"), (Some("h:1"), "/a", Some("b")));
        assert_eq!(parts("HTTPS://h"), (Some("h"), "/", None));
        assert_eq!((head("HTTPS://h").scheme, head("/a").scheme), (Some("HTTPS"), None));
        assert_eq!(parts("http://h?b"), (Some("h"), "/", Some("b")));
        let options = |target| Head::new("OPTIONS", target, Headers::Raw(&[])).path;
        assert_eq!((options("http://h"), options("http://h/"), options("http://h?")), ("*", "/", "/"));
        assert_eq!(parts("/x?u=http://h/"), (None, "/x", Some("u=http://h/")));
    }
}
