//! A hit that needs no thought: which requests may have one, and its bytes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use addrgate_filters::http::cache_policy::conditional::names_tag;
use addrgate_filters::http::cache_policy::downstream::Audience;
use addrgate_filters::http::head::{Head, Moment};
use addrgate_filters::http::meta::Stamp;
use addrgate_filters::verdict::Verdict;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode, Version};
use tokio::time::Instant;

use super::write::Fields;
use crate::config::Compression;
use crate::plan::Plan;
use crate::proxy::{Own, best, common_fields, is_small};
use crate::store::{Algorithm, Entry, Store, entry};

/// An answer from memory for one request.
pub(super) struct Hit<'a> {
    pub(super) entry: Arc<Entry>,
    at: Moment,
    /// [`Store::changes`] before it was looked for.
    changes: u32,
    form: Form,
    compression: &'a Compression,
}

/// In which form an answer goes out: the same for all equal requests.
#[derive(Clone, Copy)]
struct Form {
    /// The client has it already.
    not_modified: bool,
    head_only: bool,
    /// The route wants `meta` in the body.
    meta: bool,
    /// The coding that the client likes best, where the body is made in it.
    coding: Option<Algorithm>,
    /// The client ends the connection.
    close: bool,
}

/// The answer that a request got, for those that equal it: they find the same as long as nothing is put in its place.
pub(super) struct Last {
    /// What is not kept any more goes, whoever remembers it.
    entry: Weak<Entry>,
    form: Form,
    changes: u32,
    /// From then on it is looked for again, so that the store hears of its uses.
    until: Instant,
}

/// After so long an answer that is asked for again and again is used once more, as the store counts uses.
const HEARD: Duration = Duration::from_millis(100);

impl Last {
    /// The same answer for the next one, while it is fresh.
    pub(super) fn again<'a>(&self, store: &Store, plan: &'a Plan, verdict: &Verdict, at: Moment) -> Option<Hit<'a>> {
        let Self { form, changes, .. } = *self;
        if at.instant >= self.until || store.changes(verdict.key.as_ref()?) != changes {
            return None;
        }
        let entry = self.entry.upgrade().filter(|entry| store.is_fresh(entry, at.wall))?;
        Some(Hit { entry, at, changes, form, compression: &plan.file.compression })
    }
}

/// What a plain request asks for besides the target.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plain<'a> {
    close: bool,
    conditional: bool,
    codings: Option<&'a [u8]>,
}

/// The fresh answer for a request, if the request is plain and there is one that can go out as it is.
pub(super) fn find<'a>(store: &'static Store, head: &Head<'_>, plan: &'a Plan, verdict: &Verdict) -> Option<Hit<'a>> {
    let route = verdict.route.as_ref()?;
    let caching = route.config.cache.as_ref()?;
    let key = verdict.key.as_ref()?;
    let plain = plain(head, caching.lifetimes.request_directives)?;
    let at = head.moment();
    let changes = store.changes(key);
    let entry = store.fresh(key, head.headers, at.wall)?;
    let compression = &plan.file.compression;
    let marks = &entry.marks;
    let codable = compression.enabled && !marks.fixed && !is_small(compression, entry.length());
    let coding = plain.codings.filter(|_| codable).and_then(|codings| best(codings, compression));
    // A stamped body has to be whole, and its place in the head known.
    let own = Own::of(verdict, marks.openness);
    let meta = route.config.meta && marks.ok && marks.json && !marks.fixed && own != Own::None;
    // Stored before the route became one for clients alone.
    let too_open = route.config.audience() == Audience::Private && !marks.openness.closed;
    if too_open || marks.dressed || marks.length.is_empty() || (plain.conditional && !marks.ok) {
        return None;
    }
    let coding = match coding {
        // Each stamped body is another, and what of the rest is worth coding Pingora's module knows.
        Some(_) if meta || !marks.json => return None,
        Some(coding) => store.coded(&entry, coding, compression.level)?.then_some(coding),
        None => None,
    };
    let tag = Some(&entry.wire().0[marks.etag.clone()]).filter(|tag| !tag.is_empty());
    let not_modified = plain.conditional && names_tag(head.headers, tag);
    let form = Form { not_modified, head_only: head.is_head(), meta, coding, close: plain.close };
    Some(Hit { entry, at, changes, form, compression })
}

/// `None` for anything that wants more than the answer as it is kept.
fn plain<'a>(head: &Head<'a>, directives: bool) -> Option<Plain<'a>> {
    if head.version == Version::HTTP_10 {
        return None;
    }
    let mut plain = Plain::default();
    let mut thought = false;
    // Other methods are never answered 304 (RFC 9110 section 15.4.5).
    let reads = !addrgate_filters::http::body::has_body(head.method);
    head.headers.all(|name, value| match name.len() {
        2 => thought |= name.eq_ignore_ascii_case("te"),
        5 => thought |= name.eq_ignore_ascii_case("range"),
        6 => thought |= name.eq_ignore_ascii_case("expect") || name.eq_ignore_ascii_case("pragma"),
        8 => thought |= name.eq_ignore_ascii_case("if-match") || name.eq_ignore_ascii_case("if-range"),
        10 if name.eq_ignore_ascii_case("connection") => {
            for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                plain.close |= option.eq_ignore_ascii_case(b"close");
                // An offer of another protocol changes nothing.
                let known: [&[u8]; 5] = [b"keep-alive", b"close", b"", b"upgrade", b"http2-settings"];
                thought |= !known.iter().any(|known| option.eq_ignore_ascii_case(known));
            }
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
    /// For those that equal the request.
    pub(super) fn last(&self) -> Last {
        let Self { changes, form, at, .. } = *self;
        Last { entry: Arc::downgrade(&self.entry), form, changes, until: at.instant + HEARD }
    }

    /// Whether the client ends the connection.
    pub(super) fn closes(&self) -> bool {
        self.form.close
    }

    /// Writes the response as HTTP/1 has it; gives its status and the bytes of its body.
    pub(super) fn write(&self, verdict: &Verdict, elapsed: Duration, close: bool, out: &mut Vec<u8>) -> (u16, usize) {
        let (head, whole) = self.entry.wire();
        let content = self.content(verdict, elapsed);
        out.reserve(head.len() + content.length + 512);
        match self.form.not_modified {
            true => not_modified_head(head, content.other, out),
            false => self.head(head, content.other.then_some(content.length), out),
        }
        self.added(&content, verdict, elapsed, out);
        if close {
            out.put("connection", &["close"]);
        }
        out.extend_from_slice(b"\r\n");
        if !self.has_body() {
            return (self.status().as_u16(), 0);
        }
        match content.stamp {
            Some(mut stamp) => out.extend_from_slice(&stamp.piece(self.entry.body(), true)),
            None => out.extend_from_slice(content.coded.map_or(whole, |(_, body)| body)),
        }
        (self.status().as_u16(), content.length)
    }

    /// The response as HTTP/2 has it. `None` where a stored field can't be sent.
    pub(super) fn response(&self, verdict: &Verdict, elapsed: Duration) -> Option<Response<Bytes>> {
        let head = self.entry.head();
        let content = self.content(verdict, elapsed);
        let mut fields = HeaderMap::with_capacity(32);
        for (name, value) in entry::fields(self.entry.wire().0) {
            let name = HeaderName::from_bytes(name).ok()?;
            let left_out = match self.form.not_modified {
                true => LEFT_OUT.contains(&name.as_str()),
                false => content.other && name == header::CONTENT_LENGTH,
            };
            if left_out {
                continue;
            }
            let value = match content.other && name == header::ETAG && value.starts_with(b"\"") {
                true => HeaderValue::from_bytes(&[b"W/", value].concat()),
                false => HeaderValue::from_maybe_shared(head.slice_ref(value)),
            };
            fields.append(name, value.ok()?);
        }
        if content.other && !self.form.not_modified {
            fields.insert(header::CONTENT_LENGTH, content.length.into());
        }
        self.added(&content, verdict, elapsed, &mut fields);
        let body = match (self.has_body(), content.stamp) {
            (false, _) => Bytes::new(),
            (true, Some(mut stamp)) => stamp.piece(self.entry.body(), true),
            (true, None) => content.coded.map_or_else(|| self.entry.body(), |(_, body)| body.clone()),
        };
        let mut response = Response::new(body);
        (*response.status_mut(), *response.headers_mut()) = (self.status(), fields);
        Some(response)
    }

    fn has_body(&self) -> bool {
        !self.form.not_modified && !self.form.head_only
    }

    fn status(&self) -> StatusCode {
        match self.form.not_modified {
            true => StatusCode::NOT_MODIFIED,
            false => entry::status(self.entry.wire().0).unwrap_or_default(),
        }
    }

    /// What goes out as the body.
    fn content(&self, verdict: &Verdict, elapsed: Duration) -> Content<'_> {
        let Form { not_modified, meta, coding, .. } = self.form;
        let coded = coding.and_then(|coding| Some((coding, self.entry.coded(coding)?)));
        let length = coded.map_or(self.entry.length(), |(_, body)| body.len());
        let stamps = meta && !not_modified;
        let stamp = stamps.then(|| Stamp::new(&verdict.request_id, elapsed, chrono::Utc::now(), Some(length)));
        let length = length + stamp.as_ref().map_or(0, Stamp::growth);
        Content { coded, stamp, length, other: meta || coded.is_some() }
    }

    /// The fields that are each response's own.
    fn added(&self, content: &Content<'_>, verdict: &Verdict, elapsed: Duration, out: &mut impl Fields) {
        if let Some((coding, _)) = content.coded.filter(|_| !self.form.not_modified) {
            out.put("content-encoding", &[coding.token()]);
        }
        let times = &self.entry.kept.times;
        out.put("age", &[itoa::Buffer::new().format(times.age(self.at.wall).as_secs())]);
        let left = times.fresh_until.duration_since(self.at.wall).unwrap_or_default().as_secs();
        cache_status(left, out);
        let marks = &self.entry.marks;
        let plain_length = if content.coded.is_some() { self.entry.length() } else { content.length };
        if self.compression.enabled && !is_small(self.compression, plain_length) && !marks.varies_by_coding {
            out.put("vary", &["Accept-Encoding"]);
        }
        common_fields(verdict, Own::of(verdict, marks.openness), elapsed, self.at.wall, |name, value| {
            out.put(name, &[value]);
        });
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
                out.put("content-length", &[itoa::Buffer::new().format(length)]);
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

/// What goes out as the body of a hit.
struct Content<'a> {
    /// In a coding; else it is the stored one.
    coded: Option<(Algorithm, &'a Bytes)>,
    /// `meta`, which is added to the stored one.
    stamp: Option<Stamp>,
    /// Bytes of all that.
    length: usize,
    /// It is another form than the plain stored one: with a weak tag, and a length of its own.
    other: bool,
}

/// `Cache-Status` and `X-Cache` of a hit, as `addrgate_filters::http::cache_status` words them, but without its formatting.
fn cache_status(left: u64, out: &mut impl Fields) {
    out.put("cache-status", &["addrgate; hit; ttl=", itoa::Buffer::new().format(left), "; detail=L1"]);
    out.put("x-cache", &["HIT"]);
}

/// Of a response without content: what describes that is left out, as Pingora does (RFC 9110 section 15.4.5).
const LEFT_OUT: [&str; 4] = ["content-length", "content-type", "content-encoding", "accept-ranges"];

/// The head of a 304.
fn not_modified_head(head: &[u8], weak: bool, out: &mut Vec<u8>) {
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
    use addrgate_filters::http::cache_status::Status;
    use addrgate_filters::http::head::Headers;
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_status_is_worded_as_everywhere() {
        for left in [0, 42, 1_000_000] {
            let (mut out, status) = (Vec::new(), Status::hit("L1", i64::try_from(left).unwrap()));
            cache_status(left, &mut out);
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
