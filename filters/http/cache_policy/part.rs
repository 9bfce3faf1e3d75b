//! Parts of a representation: what a `Range` asks for, what a 206 brings, and whether the one is in the other (RFC 9110
//! section 14, RFC 9111 section 3.3). Parts are used as they came; two of them are never combined.

use std::ops::Range;

use crate::http::head::Headers;

/// The one range of bytes that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// From this byte to that one, or to the end.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Last(u64),
}

/// What lies in a stored part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The first byte's place.
    first: u64,
    /// How many bytes there are.
    length: u64,
    /// How many the whole has.
    complete: u64,
}

impl Wanted {
    /// Of a request; `None` without a range, with several, with a condition on it, and for other units.
    pub fn of(request: Headers<'_>) -> Option<Self> {
        if request.count("range") != 1 || request.has("if-range") {
            return None;
        }
        let range = std::str::from_utf8(request.get("range")?).ok()?.trim();
        let (unit, range) = range.split_once('=')?;
        let (first, last) = range.split_once('-').filter(|_| unit.eq_ignore_ascii_case("bytes"))?;
        match (first, last) {
            ("", last) => number(last).filter(|length| *length > 0).map(Self::Last),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => Some(Self::From(number(first)?, Some(number(last)?))).filter(Self::is_in_order),
        }
    }

    fn is_in_order(&self) -> bool {
        !matches!(self, Self::From(first, Some(last)) if last < first)
    }
}

impl Part {
    /// By `Content-Range` and the length of what came. A part that is said to reach the end ends where its bytes do.
    pub fn new(content_range: &[u8], length: usize) -> Option<Self> {
        let text = std::str::from_utf8(content_range).ok()?.trim();
        let (range, complete) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last, complete) = (number(first)?, number(last)?, number(complete)?);
        let length = u64::try_from(length).ok()?;
        let announced = (first <= last && last < complete).then(|| last - first + 1)?;
        (0 < length && length <= announced).then_some(())?;
        Some(Self { first, length, complete: if last + 1 == complete { first + length } else { complete } })
    }

    /// Where in the part's bytes the wanted ones are, if all of them are there.
    pub fn holds(&self, wanted: Wanted) -> Option<Range<usize>> {
        let (begin, end) = match wanted {
            Wanted::From(first, last) => (first, last.map_or(self.complete, |last| last.saturating_add(1))),
            Wanted::Last(length) => (self.complete.saturating_sub(length), self.complete),
        };
        let end = end.min(self.complete);
        let offset = begin.checked_sub(self.first)?;
        let till = end.checked_sub(self.first).filter(|till| offset < *till && *till <= self.length)?;
        Some(usize::try_from(offset).ok()?..usize::try_from(till).ok()?)
    }

    /// `Content-Range` of some of its bytes.
    pub fn content_range(&self, bytes: &Range<usize>) -> String {
        let place = |offset: usize| self.first + u64::try_from(offset).unwrap_or(u64::MAX);
        format!("bytes {}-{}/{}", place(bytes.start), place(bytes.end) - 1, self.complete)
    }
}

/// Digits only, small enough that nothing overflows.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn wanted(range: &str) -> Option<Wanted> {
        Wanted::of(Headers::Raw(&[httparse::Header { name: "Range", value: range.as_bytes() }]))
    }

    #[rstest]
    #[case("bytes=0-4", Some(Wanted::From(0, Some(4))))]
    #[case("Bytes=5-", Some(Wanted::From(5, None)))]
    #[case("bytes=-5", Some(Wanted::Last(5)))]
    #[case("bytes=-0", None)]
    #[case("bytes=4-3", None)]
    #[case("bytes=0-1,3-4", None)]
    #[case("bytes=+1-2", None)]
    #[case("bytes=-", None)]
    #[case("lines=0-4", None)]
    #[case("bytes=99999999999999999999-", None)]
    fn requests(#[case] range: &str, #[case] expected: Option<Wanted>) {
        assert_eq!(wanted(range), expected);
    }

    #[rstest]
    #[case("bytes 4-9/10", 6, "bytes=-5", Some(1..6))]
    #[case("bytes 4-9/10", 6, "bytes=6-8", Some(2..5))]
    #[case("bytes 4-9/10", 6, "bytes=6-", Some(2..6))]
    #[case("bytes 4-9/10", 6, "bytes=6-99", Some(2..6))]
    #[case("bytes 4-9/10", 6, "bytes=3-8", None)]
    #[case("bytes 4-9/10", 6, "bytes=-7", None)]
    #[case("bytes 4-9/10", 6, "bytes=10-", None)]
    #[case("bytes 0-4/10", 5, "bytes=0-4", Some(0..5))]
    #[case("bytes 0-4/10", 5, "bytes=0-5", None)]
    #[case("bytes 0-4/10", 5, "bytes=-1", None)]
    // One byte fewer than announced.
    #[case("bytes 4-9/10", 5, "bytes=6-", Some(2..5))]
    #[case("bytes 4-9/10", 5, "bytes=-1", Some(4..5))]
    #[case("bytes 0-4/10", 6, "bytes=0-1", None)]
    #[case("bytes 0-4/*", 5, "bytes=0-1", None)]
    #[case("bytes 4-3/10", 1, "bytes=4-4", None)]
    #[case("bytes 4-10/10", 7, "bytes=4-4", None)]
    #[case("bytes */10", 1, "bytes=4-4", None)]
    fn parts(#[case] range: &str, #[case] length: usize, #[case] asked: &str, #[case] expected: Option<Range<usize>>) {
        let part = Part::new(range.as_bytes(), length);
        assert_eq!(part.and_then(|part| part.holds(wanted(asked).unwrap())), expected);
    }

    proptest! {
        #[test]
        fn what_is_held_is_what_the_whole_has_there(complete in 1_u64..60, a in 0_u64..60, b in 0_u64..60, range in "bytes=([0-9]{1,2}-([0-9]{1,2})?|-[1-9])") {
            let whole: Vec<u8> = (0..complete as u8).collect();
            let (first, last) = (a.min(b) % complete, a.max(b) % complete);
            prop_assume!(first <= last);
            let body = &whole[first as usize..=last as usize];
            let part = Part::new(format!("bytes {first}-{last}/{complete}").as_bytes(), body.len()).unwrap();
            let Some(wanted) = wanted(&range) else { return Ok(()) };
            let expected = match wanted {
                Wanted::From(first, last) => whole.get(first as usize..=last.unwrap_or(u64::MAX - 1).min(complete - 1) as usize),
                Wanted::Last(length) => whole.get(complete.saturating_sub(length) as usize..),
            };
            if let Some(place) = part.holds(wanted) {
                prop_assert_eq!(Some(&body[place.clone()]), expected);
                let again = Part::new(part.content_range(&place).as_bytes(), place.len());
                prop_assert_eq!(again.and_then(|part| part.holds(wanted)), Some(0..place.len()));
            }
        }
    }
}
