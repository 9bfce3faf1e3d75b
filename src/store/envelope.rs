//! The form in which an answer lies in Redis.
//!
//! A version, a checksum over everything behind it, and the whole identity: what was cut off, bent, put under another's key
//! or written by another version is noticed, and then it is as good as absent. Nothing is believed that was read, every
//! length has a bound.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use addrgate_filters::cache_key::Key;
use addrgate_filters::http::cache_policy::{freshness::Windows, reuse::Times};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::HeaderName;

use super::entry::{Entry, Kept, MAX_NAMES, Meta};
use super::id::Id;
use crate::invalidation::{Clock, Name};

/// Changed whenever the form changes: other versions don't understand each other.
const MAGIC: [u8; 4] = *b"AG\x00\x03";

/// Of 32; enough against accidents, and nobody else may write here.
const CHECKSUM: usize = 16;

const MAX_HEAD: usize = 128 << 10;
const MAX_FIELDS: usize = 64;

/// What lies under a key.
#[derive(Debug)]
pub(super) enum Value {
    /// An answer.
    Answer(Arc<Entry>),
    /// The fields that select one of several, and until when that is of use.
    Varies(Arc<[HeaderName]>, SystemTime),
}

/// Why bytes are no value of ours; also the metrics label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Not of this version.
    Version,
    /// The checksum does not hold.
    Checksum,
    /// Another answer's.
    Identity,
    /// The checksum holds, the content does not.
    Content,
}

impl Wrong {
    /// In a word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Checksum => "checksum",
            Self::Identity => "identity",
            Self::Content => "content",
        }
    }
}

/// An answer's bytes.
pub(super) fn answer(entry: &Entry) -> Vec<u8> {
    let (head, body) = (entry.head(), entry.body());
    let mut out = begin(&entry.id, 0, head.len() + body.len() + 512);
    let kept = &entry.kept;
    for time in [kept.times.made, kept.times.fresh_until, kept.stored] {
        out.put_u64_le(millis_since_epoch(time));
    }
    for span in [kept.windows.while_revalidate, kept.windows.if_error, kept.keep] {
        out.put_u64_le(millis(span));
    }
    out.put_u8(kept.windows.on_request.into());
    out.put_u64_le(kept.clock.ms);
    out.put_u64_le(kept.clock.seq);
    put_fields(&mut out, kept.vary.as_deref().unwrap_or_default());
    out.put_u16_le(u16::try_from(kept.names.len()).unwrap_or(u16::MAX));
    kept.names.iter().for_each(|name| out.put_slice(&name.0));
    out.put_u32_le(u32::try_from(head.len()).unwrap_or(u32::MAX));
    out.put_u32_le(u32::try_from(body.len()).unwrap_or(u32::MAX));
    out.put_slice(&head);
    out.put_slice(&body);
    seal(out)
}

/// The bytes of what is said about a key whose answers vary.
pub(super) fn varies(key: &Key, fields: &[HeaderName], until: SystemTime) -> Vec<u8> {
    let mut out = begin(&Id::primary(*key), 1, 256);
    out.put_u64_le(millis_since_epoch(until));
    put_fields(&mut out, fields);
    seal(out)
}

/// Reads what lies under the key of `id`; a body of at most `largest` bytes.
pub(super) fn read(id: &Id, bytes: &[u8], largest: usize) -> Result<Value, Wrong> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(Wrong::Version)?;
    let (sum, mut rest) = rest.split_at_checked(CHECKSUM).ok_or(Wrong::Checksum)?;
    if blake3::hash(rest).as_bytes()[..CHECKSUM] != *sum {
        return Err(Wrong::Checksum);
    }
    content(id, &mut rest, largest).ok_or(Wrong::Content).and_then(|found| found)
}

/// `None` where something is missing or too large; identity is judged apart.
fn content(id: &Id, from: &mut &[u8], largest: usize) -> Option<Result<Value, Wrong>> {
    let kind = from.try_get_u8().ok()?;
    let key = Key(array(from)?);
    let variance: [u8; 16] = array(from)?;
    let varies = from.try_get_u8().ok()? != 0;
    if key != id.key || varies.then_some(variance) != id.variance {
        return Some(Err(Wrong::Identity));
    }
    if kind == 1 {
        let until = time(from)?;
        let fields = get_fields(from)?;
        return (from.is_empty() && !fields.is_empty()).then_some(Ok(Value::Varies(fields.into(), until)));
    }
    let times = (time(from)?, time(from)?);
    let stored = time(from)?;
    let times = Times { made: times.0, fresh_until: times.1 };
    let windows = (span(from)?, span(from)?);
    let keep = span(from)?;
    let on_request = from.try_get_u8().ok()? != 0;
    let windows = Windows { while_revalidate: windows.0, if_error: windows.1, on_request };
    // What an instance has counted by itself says nothing to others: the earlier moment is the safe one.
    let clock = Clock { ms: from.try_get_u64_le().ok()?, seq: from.try_get_u64_le().ok()?, local: 0 };
    let vary = get_fields(from)?;
    // A part has a slot of its own as a variant has, but no fields select it.
    let selected = varies && *id != Id::part(id.key);
    let count = usize::from(from.try_get_u16_le().ok()?);
    if kind != 0 || count > MAX_NAMES || vary.is_empty() == selected {
        return None;
    }
    let names = (0..count).map(|_| array(from).map(Name)).collect::<Option<Vec<_>>>()?;
    let head = usize::try_from(from.try_get_u32_le().ok()?).ok()?;
    let body = usize::try_from(from.try_get_u32_le().ok()?).ok()?;
    if head > MAX_HEAD || body > largest || from.len() != head + body {
        return None;
    }
    let (head, body) = from.split_at(head);
    let kept = Kept { times, windows, stored, keep, vary: selected.then(|| vary.into()), names: names.into(), clock };
    let meta = Meta { id: *id, kept, head: Bytes::copy_from_slice(head) };
    // What Pingora could not read later must not be taken now.
    meta.to_cache_meta()?;
    Some(Ok(Value::Answer(Arc::new(Entry::new(&meta, &[Bytes::copy_from_slice(body)])))))
}

fn begin(id: &Id, kind: u8, size: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(size + 128);
    out.put_slice(&MAGIC);
    out.put_bytes(0, CHECKSUM);
    out.put_u8(kind);
    out.put_slice(&id.key.0);
    out.put_slice(&id.variance.unwrap_or_default());
    out.put_u8(id.variance.is_some().into());
    out
}

fn seal(mut out: BytesMut) -> Vec<u8> {
    let sum = blake3::hash(&out[MAGIC.len() + CHECKSUM..]);
    out[MAGIC.len()..MAGIC.len() + CHECKSUM].copy_from_slice(&sum.as_bytes()[..CHECKSUM]);
    out.into()
}

fn put_fields(out: &mut BytesMut, fields: &[HeaderName]) {
    out.put_u8(u8::try_from(fields.len()).unwrap_or(u8::MAX));
    for field in fields {
        out.put_u8(u8::try_from(field.as_str().len()).unwrap_or(u8::MAX));
        out.put_slice(field.as_str().as_bytes());
    }
}

fn get_fields(from: &mut &[u8]) -> Option<Vec<HeaderName>> {
    let count = usize::from(from.try_get_u8().ok()?);
    if count > MAX_FIELDS {
        return None;
    }
    let field = |from: &mut &[u8]| {
        let length = usize::from(from.try_get_u8().ok()?);
        let (name, rest) = from.split_at_checked(length)?;
        *from = rest;
        HeaderName::from_bytes(name).ok()
    };
    (0..count).map(|_| field(from)).collect()
}

fn array<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*array)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn millis_since_epoch(time: SystemTime) -> u64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// No longer than a hundred years, so that adding to a time can't overflow.
fn span(from: &mut &[u8]) -> Option<Duration> {
    const CENTURY: u64 = 100 * 365 * 86_400_000;
    from.try_get_u64_le().ok().filter(|ms| *ms <= CENTURY).map(Duration::from_millis)
}

fn time(from: &mut &[u8]) -> Option<SystemTime> {
    Some(UNIX_EPOCH + span(from)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(n: u8, variance: Option<u8>) -> Id {
        Id { key: Key([n; 32]), variance: variance.map(|n| [n; 16]) }
    }

    fn entry(id: Id, body: &[u8]) -> Entry {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let kept = Kept {
            times: Times { made: at(1_000), fresh_until: at(2_000) },
            windows: Windows {
                while_revalidate: Duration::from_secs(30),
                if_error: Duration::from_secs(60),
                on_request: true,
            },
            stored: at(1_001),
            keep: Duration::from_secs(3600),
            vary: id.variance.map(|_| [HeaderName::from_static("accept-language")].into()),
            names: [Name::tag("a"), Name::key(&id.key)].into(),
            clock: Clock { ms: 5, seq: 6, local: 7 },
        };
        let head = Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n");
        Entry::new(&Meta { id, kept, head }, &[Bytes::copy_from_slice(body)])
    }

    #[test]
    fn an_answer_comes_back_whole() {
        for id in [id(1, None), id(1, Some(2))] {
            let entry = entry(id, b"hello");
            let Ok(Value::Answer(back)) = read(&id, &answer(&entry), 100) else { panic!("no answer") };
            assert_eq!((back.id, back.wire()), (entry.id, entry.wire()));
            // But for what only the instance that wrote it understands.
            let kept = Kept { clock: Clock { local: 0, ..entry.kept.clock }, ..entry.kept.clone() };
            assert_eq!(format!("{:?}", back.kept), format!("{kept:?}"));
        }
        let fields = [HeaderName::from_static("a"), HeaderName::from_static("b")];
        let until = UNIX_EPOCH + Duration::from_secs(9);
        let Ok(Value::Varies(back, then)) = read(&id(3, None), &varies(&id(3, None).key, &fields, until), 0) else {
            panic!("no fields")
        };
        assert_eq!((&*back, then), (&fields[..], until));
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let good = answer(&entry(id(1, None), b"hello"));
        let wrong = |id: Id, bytes: &[u8], largest| read(&id, bytes, largest).map(|_| ()).unwrap_err();
        assert_eq!(wrong(id(2, None), &good, 100), Wrong::Identity, "another entry's");
        assert_eq!(wrong(id(1, Some(1)), &good, 100), Wrong::Identity, "another variant's");
        assert_eq!(wrong(id(1, None), &good[..good.len() - 1], 100), Wrong::Checksum, "cut");
        assert_eq!(wrong(id(1, None), &good, 4), Wrong::Content, "larger than is kept");
        assert_eq!(wrong(id(1, None), b"", 100), Wrong::Version);
        let future = [b"AG\x00\x04", &good[4..]].concat();
        assert_eq!(wrong(id(1, None), &future, 100), Wrong::Version);
    }

    proptest! {
        #[test]
        fn no_bit_can_flip_unseen(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = answer(&entry(id(1, None), b"hello"));
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            prop_assert!(read(&id(1, None), &bytes, 100).is_err());
        }

        /// Whatever lies behind a good checksum: no panic, no memory beyond what was read.
        #[test]
        fn hostile_content_is_harmless(content in proptest::collection::vec(any::<u8>(), 0..400), kind in 0u8..3) {
            let mut out = begin(&id(1, None), kind, 0);
            out.put_slice(&content);
            let _any = read(&id(1, None), &seal(out), 1 << 20);
        }

        #[test]
        fn any_bytes_are_harmless(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read(&id(1, None), &bytes, 100).is_err());
        }
    }
}
