//! One canonical form of path and query, used for matching, for the key and for what is forwarded, so that gateway, cache
//! and upstream can never read a target differently.
//!
//! Escapes of unreserved characters are decoded, the others get upper-case digits (RFC 3986 section 6.2.2); what different
//! parsers are known to disagree about (dot segments, empty segments, encoded slashes, control characters) is refused.

/// Appends the canonical form of a path, or says in one word what is wrong with it.
pub fn path(raw: &str, out: &mut String) -> Result<(), &'static str> {
    if !raw.starts_with('/') {
        return Err("target_form");
    }
    let start = out.len();
    escapes(raw, out, |decoded| match decoded {
        b'/' | b'\\' => Err("encoded_slash"),
        _ => Ok(()),
    })?;
    let mut segments = out[start + 1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err("dot_segment"),
            // A trailing slash leaves one empty segment at the end.
            "" if segments.peek().is_some() => return Err("empty_segment"),
            _ => {}
        }
    }
    Ok(())
}

/// Appends a query as it is but for its escapes, in the order given.
pub fn query(raw: &str, out: &mut String) -> Result<(), &'static str> {
    escapes(raw, out, |_| Ok(()))
}

/// Copies with normalised escapes; `check` may refuse an escaped byte.
fn escapes(raw: &str, out: &mut String, check: impl Fn(u8) -> Result<(), &'static str>) -> Result<(), &'static str> {
    let mut rest = raw;
    loop {
        let plain = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(plain);
        out.push_str(run);
        let Some(escape) = tail.bytes().next() else { return Ok(()) };
        if escape != b'%' {
            return Err("illegal_character");
        }
        let digits = tail.as_bytes().get(1..3).ok_or("bad_escape")?;
        let decoded = hex(digits[0]).zip(hex(digits[1])).map(|(a, b)| a << 4 | b).ok_or("bad_escape")?;
        if decoded < 0x20 || decoded == 0x7f {
            return Err("control_character");
        }
        check(decoded)?;
        push(decoded, out);
        rest = &tail[3..];
    }
}

/// Whether a byte goes on as it is.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'%' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'#')
}

/// Appends one byte of data: as it is where it is unreserved, else escaped.
pub(crate) fn push(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        out.push(char::from(byte));
    } else {
        out.push('%');
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn canonical(raw: &str) -> Result<String, &'static str> {
        let mut out = String::new();
        path(raw, &mut out).map(|()| out)
    }

    #[rstest]
    #[case("/api/v1/x", "/api/v1/x")]
    #[case("/%61pi/%7e", "/api/~")]
    #[case("/a%20b%c3%a9", "/a%20b%C3%A9")]
    #[case("/a/", "/a/")]
    #[case("/", "/")]
    #[case("/x;v=1", "/x;v=1")]
    fn one_form(#[case] raw: &str, #[case] expected: &str) {
        assert_eq!(canonical(raw).unwrap(), expected);
    }

    #[rstest]
    #[case("", "target_form")]
    #[case("*", "target_form")]
    #[case("/a//b", "empty_segment")]
    #[case("//", "empty_segment")]
    #[case("/a/../b", "dot_segment")]
    #[case("/a/%2e%2e/b", "dot_segment")]
    #[case("/a/.", "dot_segment")]
    #[case("/a%2fb", "encoded_slash")]
    #[case("/a%5cb", "encoded_slash")]
    #[case("/a%00", "control_character")]
    #[case("/a%0d%0a", "control_character")]
    #[case("/a%", "bad_escape")]
    #[case("/a%zz", "bad_escape")]
    #[case("/a%+1", "bad_escape")]
    #[case("/a#b", "illegal_character")]
    #[case("/a b", "illegal_character")]
    #[case("/\u{e9}", "illegal_character")]
    fn refused(#[case] raw: &str, #[case] reason: &str) {
        assert_eq!(canonical(raw), Err(reason));
    }

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point_and_never_panics(raw in "/[ -~]{0,60}") {
            if let Ok(once) = canonical(&raw) {
                prop_assert_eq!(canonical(&once).unwrap(), once);
            }
        }

        #[test]
        fn data_survives(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let mut out = String::new();
            bytes.iter().for_each(|b| push(*b, &mut out));
            let back: Vec<u8> = percent_encoding::percent_decode_str(&out).collect();
            prop_assert_eq!(back, bytes);
        }
    }
}
