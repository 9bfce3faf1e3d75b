//! A hit that needs no thought: which requests may have one, and its bytes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use addrgate_filters::cache_policy::conditional::names_tag;
use addrgate_filters::head::{Head, Headers};
use addrgate_filters::meta::Stamp;
use addrgate_filters::verdict::Verdict;
use bytes::Bytes;
use http::Version;

use super::write::{field, number};
use crate::config::{Compression, Plan};
use crate::proxy::{best, common_fields, is_small};
use crate::store::{Entry, Store, entry};

/// An answer from memory for one request.
pub(super) struct Hit<'a> {
    pub(super) entry: Arc<Entry>,
    now: SystemTime,
    plain: Plain<'a>,
    head_only: bool,
    /// The route wants `meta` in the body.
    meta: bool,
    compression: &'a Compression,
    /// The body in the coding that the client likes best.
    coded: Option<(&'static str, Bytes)>,
    /// The client ends the connection.
    pub(super) close: bool,
}

/// What a plain request asks for besides the target.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plain<'a> {
    close: bool,
    conditional: bool,
    codings: Option<&'a [u8]>,
}

/// The fresh answer for a request, if the request is plain and there is one that can go out as it is.
pub(super) fn find<'a>(store: &'static Store, head: &Head<'a>, plan: &'a Plan, verdict: &Verdict) -> Option<Hit<'a>> {
    let route = verdict.route.as_ref()?;
    let caching = route.cache.as_ref()?;
    let key = verdict.key.as_ref()?;
    let plain = plain(head, caching.policy.request_directives)?;
    let now = head.moment().wall;
    let entry = store.fresh(key, head.headers, now)?;
    let compression = &plan.file.compression;
    let marks = &entry.marks;
    let codable = compression.enabled && !marks.fixed && !is_small(compression, entry.length());
    let coding = plain.codings.filter(|_| codable).and_then(|codings| best(codings, compression));
    // A stamped body has to be whole, and its place in the head known.
    let meta = route.config.meta && marks.ok && marks.json && !marks.fixed;
    if marks.dressed || marks.length.is_empty() || (plain.conditional && !marks.ok) {
        return None;
    }
    let coded = match coding {
        // Each stamped body is another, and what of the rest is worth coding Pingora's module knows.
        Some(_) if meta || !marks.json => return None,
        Some(coding) => store.coded(&entry, coding, compression.level)?.map(|body| (coding.token(), body)),
        None => None,
    };
    let close = plain.close;
    Some(Hit { entry, now, plain, head_only: head.is_head(), meta, compression, coded, close })
}

/// `None` for anything that wants more than the answer as it is kept.
fn plain<'a>(head: &Head<'a>, directives: bool) -> Option<Plain<'a>> {
    if head.version != Version::HTTP_11 {
        return None;
    }
    let mut plain = Plain::default();
    let mut thought = false;
    // Other methods are never answered 304 (RFC 9110 section 15.4.5).
    let reads = !addrgate_filters::cache_key::has_body(head.method);
    head.headers.all(|name, value| match name.len() {
        2 => thought |= name.eq_ignore_ascii_case("te"),
        5 => thought |= name.eq_ignore_ascii_case("range"),
        6 => thought |= name.eq_ignore_ascii_case("expect") || name.eq_ignore_ascii_case("pragma"),
        8 => thought |= name.eq_ignore_ascii_case("if-match") || name.eq_ignore_ascii_case("if-range"),
        10 if name.eq_ignore_ascii_case("connection") => {
            plain.close |= value.eq_ignore_ascii_case(b"close");
            thought |= !plain.close && !value.eq_ignore_ascii_case(b"keep-alive");
        }
        13 if name.eq_ignore_ascii_case("if-none-match") => plain.conditional = reads,
        13 => thought |= directives && name.eq_ignore_ascii_case("cache-control"),
        15 if name.eq_ignore_ascii_case("accept-encoding") => {
            // Several lines are one list.
            thought |= plain.codings.replace(value).is_some();
        }
        17 => thought |= name.eq_ignore_ascii_case("if-modified-since"),
        19 => thought |= name.eq_ignore_ascii_case("if-unmodified-since"),
        _ => {}
    });
    (!thought).then_some(plain)
}

impl Hit<'_> {
    /// Writes the answer; gives its status and the bytes of its body.
    pub(super) fn write(
        &self,
        headers: Headers<'_>,
        verdict: &Verdict,
        elapsed: Duration,
        close: bool,
        out: &mut Vec<u8>,
    ) -> (u16, usize) {
        let (head, whole) = self.entry.wire();
        let (coding, body) = self.coded.as_ref().map_or((None, whole), |(coding, body)| (Some(coding), body));
        let marks = &self.entry.marks;
        let not_modified = self.plain.conditional && self.matches(headers);
        let mut stamp = None;
        if self.meta && !not_modified {
            stamp = Some(Stamp::new(&verdict.request_id, elapsed, chrono::Utc::now(), body.len()));
        }
        let length = body.len() + stamp.as_ref().map_or(0, Stamp::growth);
        out.reserve(head.len() + length + 512);
        match not_modified {
            true => not_modified_head(head, self.meta || coding.is_some(), out),
            false => self.head(head, (stamp.is_some() || coding.is_some()).then_some(length), out),
        }
        if let Some(coding) = coding.filter(|_| !not_modified) {
            field(out, "content-encoding", coding);
        }
        let times = &self.entry.kept.times;
        number(out, "age", times.age(self.now).as_secs());
        let left = times.fresh_until.duration_since(self.now).unwrap_or_default().as_secs();
        status(left, out);
        let plain_length = if coding.is_some() { whole.len() } else { length };
        if self.compression.enabled && !is_small(self.compression, plain_length) && !marks.varies_by_coding {
            field(out, "vary", "Accept-Encoding");
        }
        common_fields(verdict, elapsed, self.now, |name, value| field(out, name, value));
        if close {
            field(out, "connection", "close");
        }
        out.extend_from_slice(b"\r\n");
        if not_modified {
            return (304, 0);
        }
        let status = entry::status(head).map_or(0, |status| status.as_u16());
        if self.head_only {
            return (status, 0);
        }
        match &mut stamp {
            Some(stamp) => out.extend_from_slice(&stamp.piece(Bytes::copy_from_slice(body))),
            None => out.extend_from_slice(body),
        }
        (status, length)
    }

    fn matches(&self, headers: Headers<'_>) -> bool {
        let (head, _) = self.entry.wire();
        let tag = Some(&head[self.entry.marks.etag.clone()]).filter(|tag| !tag.is_empty());
        let mut matches = false;
        headers.each("if-none-match", |line| matches |= names_tag(line, tag));
        matches
    }

    /// The kept head; where the body is stamped or coded with another length, and with a weak tag, because no two stamped
    /// answers are equal byte by byte, and a coded one is not equal to the plain one.
    fn head(&self, head: &[u8], length: Option<usize>, out: &mut Vec<u8>) {
        let marks = &self.entry.marks;
        let Some(length) = length else { return out.extend_from_slice(head) };
        let mut places = [(marks.length.clone(), true), (marks.etag.clone(), false)];
        places.sort_by_key(|(place, _)| place.start);
        let mut from = 0;
        for (place, is_length) in places {
            if is_length {
                out.extend_from_slice(&head[from..place.start]);
                number(out, "content-length", length);
                from = place.end;
            } else if !place.is_empty() && !head[place.clone()].starts_with(b"W/") {
                out.extend_from_slice(&head[from..place.start]);
                out.extend_from_slice(b"W/");
                from = place.start;
            }
        }
        out.extend_from_slice(&head[from..]);
    }
}

/// `Cache-Status` and `X-Cache` of a hit, as `addrgate_filters::cache_status` words them, but without its formatting.
fn status(left: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"cache-status: addrgate; hit; ttl=");
    out.extend_from_slice(itoa::Buffer::new().format(left).as_bytes());
    out.extend_from_slice(b"; detail=L1\r\nx-cache: HIT\r\n");
}

/// The head of a 304: what describes the content is left out, as Pingora does (RFC 9110 section 15.4.5).
fn not_modified_head(head: &[u8], weak: bool, out: &mut Vec<u8>) {
    const LEFT_OUT: [&str; 4] = ["content-length", "content-type", "content-encoding", "accept-ranges"];
    out.extend_from_slice(b"HTTP/1.1 304 Not Modified\r\n");
    for line in head.split_inclusive(|byte| *byte == b'\n').skip(1) {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if LEFT_OUT.iter().any(|left_out| name.eq_ignore_ascii_case(left_out.as_bytes())) {
            continue;
        }
        match line.get(..7) {
            Some(b"etag: \"") | Some(b"ETag: \"") if weak => {
                out.extend_from_slice(b"etag: W/");
                out.extend_from_slice(&line[6..]);
            }
            _ => out.extend_from_slice(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use addrgate_filters::cache_status::Status;
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_status_is_worded_as_everywhere() {
        for left in [0, 42, 1_000_000] {
            let (mut out, status) = (Vec::new(), Status::hit("L1", i64::try_from(left).unwrap()));
            super::status(left, &mut out);
            let worded = format!("cache-status: {status}\r\nx-cache: {}\r\n", status.word());
            assert_eq!(String::from_utf8(out).unwrap(), worded);
        }
    }

    #[rstest]
    #[case(&[("Host", "a")], Some((false, false)))]
    #[case(&[("Connection", "Keep-Alive")], Some((false, false)))]
    #[case(&[("Connection", "close")], Some((true, false)))]
    #[case(&[("Connection", "x-api-key")], None)]
    #[case(&[("If-None-Match", "\"a\"")], Some((false, true)))]
    #[case(&[("Range", "bytes=0-1")], None)]
    #[case(&[("cache-control", "no-cache")], None)]
    #[case(&[("If-Modified-Since", "x")], None)]
    #[case(&[("TE", "trailers")], None)]
    #[case(&[("Expect", "100-continue")], None)]
    fn which_requests_are_plain(#[case] fields: &[(&str, &str)], #[case] expected: Option<(bool, bool)>) {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        let head = Head::new("GET", "/", Headers::Raw(&fields));
        assert_eq!(plain(&head, true).map(|plain| (plain.close, plain.conditional)), expected);
        let old = Head { version: Version::HTTP_10, ..head };
        assert_eq!(plain(&old, true), None);
    }
}
