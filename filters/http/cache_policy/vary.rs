//! Which stored answer fits which request (RFC 9111 section 4.1): the secondary key made of the fields that `Vary` names.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header};

use super::list;
use crate::http::head::Headers;

/// A response's `Vary`, all lines together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vary {
    /// The same answer for every request with this key.
    Nothing,
    /// These request fields select it; sorted, each once.
    Fields(Box<[HeaderName]>),
    /// `*`, or a name that can't be a field's: no request can be known to match (RFC 9110 section 12.5.5).
    Everything,
}

impl Vary {
    /// Reads the field.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut names = Vec::new();
        for name in headers.get_all(header::VARY).iter().flat_map(|line| list::members(line.as_bytes())) {
            match HeaderName::from_bytes(name) {
                Ok(name) if name != "*" => names.push(name),
                _ => return Self::Everything,
            }
        }
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        if names.is_empty() { Self::Nothing } else { Self::Fields(names.into()) }
    }
}

/// The secondary key: 128 bits of BLAKE3 over the normalised values of `fields`. Requests that lack a field match each
/// other only.
pub fn variance(fields: &[HeaderName], request: Headers<'_>) -> [u8; 16] {
    let mut hash = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hash.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(bytes);
    };
    for field in fields {
        part(field.as_str().as_bytes());
        match value(field, request) {
            Some(value) => {
                part(b"+");
                part(&value);
            }
            None => part(b"-"),
        }
    }
    let mut short = [0; 16];
    hash.finalize_xof().fill(&mut short);
    short
}

/// A selecting field's value in normal form: lines joined and spaces at the ends of members removed, which RFC 9111
/// section 4.1 allows for every field; order and letter case too where the field's own definition makes them meaningless.
fn value<'a>(field: &HeaderName, request: Headers<'a>) -> Option<Cow<'a, [u8]>> {
    let first = request.get(field.as_str())?;
    let unordered =
        [header::ACCEPT, header::ACCEPT_CHARSET, header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE].contains(field);
    if !unordered && !first.contains(&b',') && request.count(field.as_str()) == 1 {
        return Some(Cow::Borrowed(first.trim_ascii()));
    }
    let mut members: Vec<Cow<'a, [u8]>> = Vec::new();
    request.each(field.as_str(), |line| {
        members
            .extend(list::members(line).map(|member| if unordered { folded(member) } else { Cow::Borrowed(member) }));
    });
    if unordered {
        members.sort_unstable();
        members.dedup();
    }
    Some(Cow::Owned(members.join(&b","[..])))
}

/// Lower case and without the optional spaces around `;` and `=`.
fn folded(member: &[u8]) -> Cow<'_, [u8]> {
    Cow::Owned(member.iter().filter(|byte| !byte.is_ascii_whitespace()).map(u8::to_ascii_lowercase).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn response(lines: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for line in lines {
            map.append(header::VARY, line.parse().unwrap());
        }
        map
    }

    #[rstest]
    #[case(&["*"])]
    #[case(&["*, *"])]
    #[case(&["*", "*"])]
    #[case(&[", *"])]
    #[case(&["", "*"])]
    #[case(&["*, Foo"])]
    #[case(&["Foo, *"])]
    #[case(&["Foo", "Bar, *"])]
    #[case(&["no name"])]
    fn star_matches_nothing(#[case] lines: &[&str]) {
        assert_eq!(Vary::of(&response(lines)), Vary::Everything);
    }

    #[test]
    fn names_are_sorted_and_unique() {
        let foo_bar = Vary::Fields([HeaderName::from_static("bar"), HeaderName::from_static("foo")].into());
        assert_eq!(Vary::of(&response(&["Foo, BAR", "foo"])), foo_bar);
        assert_eq!(Vary::of(&response(&["", ","])), Vary::Nothing);
        assert_eq!(Vary::of(&HeaderMap::new()), Vary::Nothing);
    }

    fn same(name: &'static str, a: &[&str], b: &[&str]) -> bool {
        let of = |values: &[&str]| {
            let fields: Vec<_> =
                values.iter().map(|value| httparse::Header { name, value: value.as_bytes() }).collect();
            variance(&[HeaderName::from_static(name)], Headers::Raw(&fields))
        };
        of(a) == of(b)
    }

    #[rstest]
    #[case("foo", &["1"], &["1"], true)]
    #[case("foo", &["1"], &["2"], false)]
    #[case("foo", &["1"], &[], false)]
    #[case("foo", &[""], &[], false)]
    #[case("foo", &["1, 2"], &["1", "2"], true)]
    #[case("foo", &["1,2"], &[" 1, 2 "], true)]
    #[case("foo", &["1, 2"], &["2, 1"], false)]
    #[case("foo", &["a"], &["A"], false)]
    #[case("foo", &["a b"], &["ab"], false)]
    #[case("accept-language", &["en, de"], &["de, en"], true)]
    #[case("accept-language", &["en, de"], &["eN, De"], true)]
    #[case("accept-language", &["en, de"], &[" en ,   de"], true)]
    #[case("accept-language", &["en;q=0.5"], &["en; q=0.5"], true)]
    #[case("accept-language", &["en;q=0.5"], &["en;q=0.6"], false)]
    #[case("accept-encoding", &["gzip", "br"], &["br,gzip"], true)]
    fn normalises(#[case] name: &'static str, #[case] a: &[&str], #[case] b: &[&str], #[case] expected: bool) {
        assert_eq!(same(name, a, b), expected);
    }

    #[test]
    fn values_do_not_slip_into_neighbours() {
        let fields = [HeaderName::from_static("a"), HeaderName::from_static("b")];
        let one = [httparse::Header { name: "a", value: b"1" }, httparse::Header { name: "b", value: b"" }];
        let two = [httparse::Header { name: "a", value: b"" }, httparse::Header { name: "b", value: b"1" }];
        assert_ne!(variance(&fields, Headers::Raw(&one)), variance(&fields, Headers::Raw(&two)));
    }

    proptest! {
        #[test]
        fn both_head_forms_agree(values in prop::collection::vec("[a-zA-Z0-9, ;=]{0,12}", 0..4)) {
            let raw: Vec<_> = values.iter().map(|v| httparse::Header { name: "Accept", value: v.as_bytes() }).collect();
            let mut map = HeaderMap::new();
            for value in &values {
                map.append(header::ACCEPT, value.parse().unwrap());
            }
            for name in [header::ACCEPT, header::HOST] {
                let fields = [name];
                prop_assert_eq!(variance(&fields, Headers::Raw(&raw)), variance(&fields, Headers::Map(&map)));
            }
        }
    }
}
