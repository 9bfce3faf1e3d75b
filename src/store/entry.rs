//! One kept answer: what it is kept under, what the policy said of it, and its bytes as they go on the wire.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use addrgate_filters::{
    cache_key::Key,
    http::cache_policy::{
        downstream::{ORIGINAL, Openness},
        freshness::Windows,
        list,
        part::{Part, Wanted},
        reuse::Times,
    },
    route::Kind,
};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, StatusCode, header};
use memchr::memmem;
use pingora::{cache::CacheMeta, http::ResponseHeader};

use super::coded::{Algorithm, Codings};
use super::id::Id;
use crate::invalidation::{Clock, Name};

/// Uses from which an answer is noted, and again at each doubling.
pub(crate) const NOTED: u32 = 4;

/// What is known of a kept answer besides its bytes. Travels through Pingora in the extensions of its `CacheMeta`.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// When it was made, and until when it is fresh.
    pub(crate) times: Times,
    /// How far beyond that it may be used.
    pub(crate) windows: Windows,
    /// When it was stored or last validated.
    pub(crate) stored: SystemTime,
    /// How long it is kept after its freshness.
    pub(crate) keep: Duration,
    /// The selecting fields of its `Vary`, sorted.
    pub(crate) vary: Option<Arc<[HeaderName]>>,
    /// What it can be purged by: its key and its `Cache-Tag` members.
    pub(crate) names: Arc<[Name]>,
    /// The invalidation clock when its fetch began.
    pub(crate) clock: Clock,
}

impl Kept {
    /// When it is of no more use.
    pub(crate) fn until(&self) -> SystemTime {
        self.times.fresh_until + self.keep
    }

    /// With a head, in Pingora's form.
    pub(crate) fn into_cache_meta(self, head: ResponseHeader) -> CacheMeta {
        let seconds = |window: Duration| u32::try_from(window.as_secs()).unwrap_or(u32::MAX);
        let mut meta = CacheMeta::new(
            self.times.fresh_until,
            self.stored,
            seconds(self.windows.while_revalidate),
            seconds(self.windows.if_error),
            head,
        );
        // Age is counted from here (RFC 9111 section 4.2.3).
        meta.set_epoch_override(self.times.made);
        meta.extensions_mut().insert(self);
        meta
    }
}

/// An answer's identity, policy and head, without its body.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    /// What it is kept under.
    pub(crate) id: Id,
    /// What the policy said.
    pub(crate) kept: Kept,
    /// Status line and fields, each with its line end, without the blank line.
    pub(crate) head: Bytes,
}

impl Meta {
    /// From what Pingora hands over to be stored; `None` where the answer did not pass our own cache phase.
    pub(crate) fn of(key: Key, meta: &CacheMeta) -> Option<Self> {
        let kept = meta.extensions().get::<Kept>()?.clone();
        let is_part = meta.response_header().status == StatusCode::PARTIAL_CONTENT;
        let id = if is_part { Id::part(key) } else { Id { key, variance: meta.variance() } };
        Some(Self { id, kept, head: write_head(meta.response_header()) })
    }

    /// The same for Pingora. `None` where the stored head can't be read back.
    pub(crate) fn to_cache_meta(&self) -> Option<CacheMeta> {
        let mut meta = self.kept.clone().into_cache_meta(read_head(&self.head)?);
        if let Some(variance) = self.id.variance.filter(|_| self.kept.vary.is_some()) {
            meta.set_variance(variance);
        }
        Some(meta)
    }
}

/// A complete answer. Head and body lie in one piece of memory, as they go out.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Everything but the bytes.
    pub(crate) id: Id,
    /// What the policy said.
    pub(crate) kept: Kept,
    /// The head as it is sent, the lines that only tell what it was made of ([`ORIGINAL`]), the body.
    wire: Bytes,
    sent: usize,
    head: usize,
    /// The last change of the invalidation table at which it was found valid.
    pub(super) valid_at: AtomicU64,
    uses: AtomicU32,
    pub(super) codings: Codings,
    /// What the door must know of the head, so that it reads no field again.
    pub(crate) marks: Marks,
}

/// Places and facts in a stored head, found once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    /// Whether the status is 200.
    pub(crate) ok: bool,
    /// The whole line of `Content-Length`, which other forms of the body replace.
    pub(crate) length: Range<usize>,
    /// The value of `ETag`; empty without one.
    pub(crate) etag: Range<usize>,
    /// It has a content coding already, or says `no-transform`: it is sent as it is.
    pub(crate) fixed: bool,
    /// `Vary` names `Accept-Encoding` already.
    pub(crate) varies_by_coding: bool,
    /// Its content is JSON.
    pub(crate) json: bool,
    /// It carries a field that every answer is given anew, which then has to be replaced: not for the door.
    pub(crate) dressed: bool,
    /// Whether caches in front may store it, by its own fields.
    pub(crate) openness: Openness,
}

/// What `dress` and `tell` write.
const GIVEN_ANEW: [&str; 9] = [
    "x-cache",
    "cache-status",
    "x-request-id",
    "x-correlation-id",
    "x-response-time",
    "x-content-type-options",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "x-ratelimit-limit",
];

impl Marks {
    fn of(head: &[u8]) -> Self {
        let place = |part: &[u8]| {
            // Both point into the same bytes.
            let begin = part.as_ptr() as usize - head.as_ptr() as usize;
            begin..begin + part.len()
        };
        let ok = status(head) == Some(StatusCode::OK);
        let mut marks = Self { ok, openness: Openness::of(fields(head)), ..Self::default() };
        for (name, value) in fields(head) {
            match name.len() {
                4 if name.eq_ignore_ascii_case(b"etag") => marks.etag = place(value),
                4 if name.eq_ignore_ascii_case(b"vary") => {
                    marks.varies_by_coding |= list::members(value).any(|m| m.eq_ignore_ascii_case(b"accept-encoding"));
                }
                12 if name.eq_ignore_ascii_case(b"content-type") => marks.json = Kind::Json.admits(Some(value)),
                13 if name.eq_ignore_ascii_case(b"cache-control") => {
                    marks.fixed |= list::members(value).any(|m| m.eq_ignore_ascii_case(b"no-transform"));
                }
                14 if name.eq_ignore_ascii_case(b"content-length") => {
                    let (begin, end) = (place(name).start, place(value).end);
                    marks.length = begin..end + 2;
                }
                16 if name.eq_ignore_ascii_case(b"content-encoding") => marks.fixed = true,
                _ => marks.dressed |= GIVEN_ANEW.iter().any(|given| name.eq_ignore_ascii_case(given.as_bytes())),
            }
        }
        marks
    }
}

impl Entry {
    /// Puts the parts together. Adds `Content-Length` where the upstream sent the body in chunks: its length is known now.
    pub(crate) fn new(meta: &Meta, body: &[Bytes]) -> Self {
        let length: usize = body.iter().map(Bytes::len).sum();
        let mut wire = BytesMut::with_capacity(meta.head.len() + length + 32);
        let (sent, original) = meta.head.split_at(original(&meta.head));
        wire.put_slice(sent);
        if !has_length(&meta.head) && may_have_body(&meta.head) {
            wire.put_slice(b"Content-Length: ");
            wire.put_slice(length.to_string().as_bytes());
            wire.put_slice(b"\r\n");
        }
        let sent = wire.len();
        wire.put_slice(original);
        let head = wire.len();
        body.iter().for_each(|piece| wire.put_slice(piece));
        let marks = Marks::of(&wire[..sent]);
        // An exact copy: what is cached must not keep a larger read buffer alive.
        Self {
            id: meta.id,
            kept: meta.kept.clone(),
            wire: Bytes::copy_from_slice(&wire),
            sent,
            head,
            valid_at: AtomicU64::new(0),
            uses: AtomicU32::new(0),
            codings: Codings::default(),
            marks,
        }
    }

    /// Counts a use; gives their number where it is worth noting: at 4, 8, 16 and so on.
    pub(crate) fn used(&self) -> Option<u32> {
        let uses = self.uses.fetch_add(1, Ordering::Relaxed) + 1;
        (uses >= NOTED && uses.is_power_of_two()).then_some(uses)
    }

    /// How often it was used.
    pub(super) fn uses(&self) -> u32 {
        self.uses.load(Ordering::Relaxed)
    }

    /// The body in a coding, where it is made and smaller.
    pub(crate) fn coded(&self, algorithm: Algorithm) -> Option<&Bytes> {
        self.codings.get(algorithm).flatten()
    }

    /// Head and body as they are sent.
    pub(crate) fn wire(&self) -> (&[u8], &[u8]) {
        (&self.wire[..self.sent], &self.wire[self.head..])
    }

    /// Status line and fields, each with its line end, as they are stored.
    pub(crate) fn head(&self) -> Bytes {
        self.wire.slice(..self.head)
    }

    /// The body.
    pub(crate) fn body(&self) -> Bytes {
        self.wire.slice(self.head..)
    }

    /// How many bytes the body has.
    pub(crate) fn length(&self) -> usize {
        self.wire.len() - self.head
    }

    /// The wanted bytes of a kept part, with the head that goes with them.
    pub(crate) fn part(&self, wanted: Wanted) -> Option<(Meta, Bytes)> {
        let head = self.head();
        let (_, range) = fields(&head).find(|(name, _)| name.eq_ignore_ascii_case(b"content-range"))?;
        let part = Part::new(range, self.length())?;
        let bytes = part.holds(wanted)?;
        let mut response = read_head(&head)?;
        response.insert_header(header::CONTENT_RANGE, part.content_range(&bytes)).ok()?;
        response.insert_header(header::CONTENT_LENGTH, bytes.len()).ok()?;
        let meta = Meta { id: self.id, kept: self.kept.clone(), head: write_head(&response) };
        Some((meta, self.body().slice(bytes)))
    }

    /// Without the body.
    pub(crate) fn meta(&self) -> Meta {
        Meta { id: self.id, kept: self.kept.clone(), head: self.head() }
    }

    /// Bytes it takes in memory, with what the cache itself needs for an entry.
    pub(crate) fn weight(&self) -> usize {
        self.wire.len() + self.codings.weight() + self.kept.names.len() * size_of::<Name>() + OVERHEAD
    }
}

/// Names of one entry at most: its key and its tags.
pub(crate) const MAX_NAMES: usize = 4096;

/// Measured: resident memory over the wire bytes for each of a million entries (`make bench-memory`).
const OVERHEAD: usize = 720;

/// The head as it is sent. The cache phase has taken out what is not kept.
fn write_head(response: &ResponseHeader) -> Bytes {
    let reason = response.get_reason_phrase().unwrap_or_default();
    let mut head = BytesMut::with_capacity(512);
    head.put_slice(b"HTTP/1.1 ");
    head.put_slice(response.status.as_str().as_bytes());
    head.put_slice(b" ");
    head.put_slice(reason.as_bytes());
    head.put_slice(b"\r\n");
    if response.headers.contains_key(&ORIGINAL) {
        let mut sent = response.clone();
        sent.remove_header(&ORIGINAL);
        sent.header_to_h1_wire(&mut head);
        // Last, so that what is sent is one piece.
        for line in response.headers.get_all(&ORIGINAL) {
            for part in [ORIGINAL.as_str().as_bytes(), b": ", line.as_bytes(), b"\r\n"] {
                head.put_slice(part);
            }
        }
    } else {
        response.header_to_h1_wire(&mut head);
    }
    head.freeze()
}

/// Where the lines begin that are stored and not sent.
fn original(head: &[u8]) -> usize {
    let line = [b"\n", ORIGINAL.as_str().as_bytes(), b":"].concat();
    memmem::find(head, &line).map_or(head.len(), |at| at + 1)
}

fn read_head(head: &Bytes) -> Option<ResponseHeader> {
    let mut text = BytesMut::with_capacity(head.len() + 2);
    text.put_slice(head);
    text.put_slice(b"\r\n");
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    parsed.parse(&text).ok()?.is_complete().then_some(())?;
    let mut response = ResponseHeader::build_no_case(parsed.code?, Some(parsed.headers.len())).ok()?;
    response.set_reason_phrase(parsed.reason).ok()?;
    for field in parsed.headers.iter() {
        response.append_header(field.name.to_owned(), field.value).ok()?;
    }
    Some(response)
}

/// Pingora reads no more fields than this from an upstream.
const MAX_FIELDS: usize = 256;

/// The fields of a stored head, by lines.
pub(crate) fn fields(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

fn has_length(head: &[u8]) -> bool {
    fields(head).any(|(name, _)| name.eq_ignore_ascii_case(b"content-length"))
}

/// The status code of a stored head.
pub(crate) fn status(head: &[u8]) -> Option<StatusCode> {
    StatusCode::from_bytes(head.get(9..12)?).ok()
}

fn may_have_body(head: &[u8]) -> bool {
    status(head).is_some_and(|status| status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED)
}

/// What an answer can be purged by: what its key has in common with those of everybody who asks the same, and the members
/// of all its `Cache-Tag` lines.
pub(crate) fn names(key: &Key, headers: &HeaderMap<http::HeaderValue>) -> Arc<[Name]> {
    const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
    let lines = headers.get_all(CACHE_TAG).iter().map(http::HeaderValue::as_bytes);
    let tags = lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    std::iter::once(Name::key(key)).chain(tags.filter(|tag| !tag.is_empty()).map(Name::tag)).collect()
}

/// Where an answer was found. Travels in the extensions of Pingora's `CacheMeta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// In memory.
    First,
    /// In Redis.
    Second,
}
