//! Comma-separated field values (RFC 9110 section 5.6.1): members, tokens, quoted strings.

use std::borrow::Cow;

/// The non-empty members of one field line, trimmed, split at commas outside quoted strings.
pub fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let (member, after) = split_member(text);
            rest = after;
            let member = member.trim_ascii();
            if !member.is_empty() {
                return Some(member);
            }
        }
    })
}

/// Cuts the text at its first comma outside a quoted string. An unclosed quote runs to the end of the line.
fn split_member(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return (&text[..at], text.get(at + 1..)),
            _ => {}
        }
    }
    (text, None)
}

/// A directive's name and its argument without quotes.
pub type Directive<'a> = (&'a [u8], Option<Cow<'a, [u8]>>);

/// One `name[=value]` member. `None` when the name is no token, so that
/// `max-age =5` is nobody's directive (RFC 9111 section 5.2 allows no spaces there).
pub fn directive(member: &[u8]) -> Option<Directive<'_>> {
    let (name, value) = match member.iter().position(|byte| *byte == b'=') {
        Some(at) => (&member[..at], Some(unquote(&member[at + 1..]))),
        None => (member, None),
    };
    (!name.is_empty() && name.iter().all(|byte| is_token(*byte))).then_some((name, value))
}

/// A quoted string's text (RFC 9110 section 5.6.4); anything else as it stands.
fn unquote(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(inner) = value.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")) else {
        return Cow::Borrowed(value);
    };
    if !inner.contains(&b'\\') {
        return Cow::Borrowed(inner);
    }
    let mut text = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for byte in inner {
        if *byte == b'\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            text.push(*byte);
        }
    }
    Cow::Owned(text)
}

/// `tchar` of RFC 9110 section 5.6.2.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("a, b ,c", &["a", "b", "c"])]
    #[case(", ,a,,", &["a"])]
    #[case("x=\"1,2\", y", &["x=\"1,2\"", "y"])]
    #[case("x=\"a\\\"b,c\", y", &["x=\"a\\\"b,c\"", "y"])]
    #[case("x=\"open, y", &["x=\"open, y"])]
    #[case("", &[])]
    fn splits(#[case] line: &str, #[case] expected: &[&str]) {
        let got: Vec<_> = members(line.as_bytes()).map(|member| String::from_utf8_lossy(member).into_owned()).collect();
        assert_eq!(got, expected);
    }

    #[rstest]
    #[case("max-age=5", Some(("max-age", Some("5"))))]
    #[case("max-age=\"5\"", Some(("max-age", Some("5"))))]
    #[case("a=\"b\\\"c\"", Some(("a", Some("b\"c"))))]
    #[case("no-cache", Some(("no-cache", None)))]
    #[case("max-age =5", None)]
    #[case("=5", None)]
    fn reads_directives(#[case] member: &str, #[case] expected: Option<(&str, Option<&str>)>) {
        let got = directive(member.as_bytes()).map(|(name, value)| {
            (
                String::from_utf8_lossy(name).into_owned(),
                value.map(|value| String::from_utf8_lossy(&value).into_owned()),
            )
        });
        assert_eq!(got, expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
    }

    proptest! {
        #[test]
        fn never_loses_a_member_without_quotes(items in prop::collection::vec("[a-z0-9-]{1,9}", 0..9)) {
            let line = items.join(" , ");
            let got: Vec<_> = members(line.as_bytes()).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(got, items.iter().map(|item| item.clone().into_bytes()).collect::<Vec<_>>());
        }

        #[test]
        fn takes_any_bytes(line in prop::collection::vec(any::<u8>(), 0..200)) {
            for member in members(&line) {
                prop_assert!(!member.is_empty());
                let _ = directive(member);
            }
        }
    }
}
