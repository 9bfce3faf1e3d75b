//! One canonical form of path and query, used for matching, for the key and for what is forwarded, so that gateway, cache
//! and upstream can never read a target differently.
//!
//! Escapes of unreserved characters are decoded, the others get upper-case digits (RFC 3986 section 6.2.2). What different
//! parsers are known to disagree about in a path (dot segments, empty segments, encoded slashes, control characters) is
//! refused. A query is data: what clients leave unescaped there is escaped as the URL Standard reads it.

/// Appends the canonical form of a path, or says in one word what is wrong with it.
pub fn path(raw: &str, out: &mut String) -> Result<(), &'static str> {
    if !raw.starts_with('/') {
        return Err("target_form");
    }
    let start = out.len();
    copy(raw, out, |rest| {
        if !rest.starts_with('%') {
            return Err("illegal_character");
        }
        let byte = escape(rest).ok_or("bad_escape")?;
        match byte {
            b'/' | b'\\' => Err("encoded_slash"),
            byte if byte.is_ascii_control() => Err("control_character"),
            byte => Ok((byte, 3)),
        }
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

/// Appends a query (without its `?`) in canonical form, its parameters in the order given. Browsers send `|`, `{`, `}`, `^`,
/// a backquote and a `%` that begins no escape as they are, simpler clients also spaces, quotes and UTF-8: each is the byte
/// that it is, and is escaped. Escaped line breaks and tabs are white space, which addresses are pasted with.
///
/// # Errors
/// `control_character` for any other control character, `illegal_character` for a `#`: a fragment is no part of a target (RFC
/// 9112 section 3.2).
pub fn query(raw: &str, out: &mut String) -> Result<(), &'static str> {
    copy(raw, out, |rest| {
        let (byte, escaped) = match (rest.as_bytes()[0], escape(rest)) {
            (b'%', Some(byte)) => (byte, true),
            (byte, _) => (byte, false),
        };
        match byte {
            b'#' if !escaped => Err("illegal_character"),
            b'\t'..=b'\r' if escaped => Ok((byte, 3)),
            byte if byte.is_ascii_control() => Err("control_character"),
            byte => Ok((byte, if escaped { 3 } else { 1 })),
        }
    })
}

/// Copies plain characters; what others mean, and how many bytes of the text say it, `read` is asked.
fn copy(
    raw: &str,
    out: &mut String,
    read: impl Fn(&str) -> Result<(u8, usize), &'static str>,
) -> Result<(), &'static str> {
    let mut rest = raw;
    loop {
        let plain = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(plain);
        out.push_str(run);
        let Some(first) = tail.chars().next() else { return Ok(()) };
        if first.is_ascii() {
            let (byte, length) = read(tail)?;
            push(byte, out);
            rest = &tail[length..];
        } else {
            read(tail)?;
            let (bytes, after) = tail.split_at(first.len_utf8());
            bytes.bytes().for_each(|byte| push(byte, out));
            rest = after;
        }
    }
}

/// The byte that an escape at the beginning of a text stands for.
fn escape(text: &str) -> Option<u8> {
    let digits = text.as_bytes().get(1..3)?;
    Some(hex(digits[0])? << 4 | hex(digits[1])?)
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

    fn is_plain_or_escape(byte: u8) -> bool {
        is_plain(byte) || byte == b'%'
    }

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

    fn canonical_query(raw: &str) -> Result<String, &'static str> {
        let mut out = String::new();
        query(raw, &mut out).map(|()| out)
    }

    #[rstest]
    #[case("q=Unit 5|7", "q=Unit%205%7C7")]
    #[case("q={a}^`b`", "q=%7Ba%7D%5E%60b%60")]
    #[case("q=100%", "q=100%25")]
    #[case("q=100%&a=1", "q=100%25&a=1")]
    #[case("q=%zz%4%%41", "q=%25zz%254%25A")]
    #[case("q=\"6\" <x>\\", "q=%226%22%20%3Cx%3E%5C")]
    #[case("q=caf\u{e9} \u{1f600}", "q=caf%C3%A9%20%F0%9F%98%80")]
    #[case("q=caf%c3%A9", "q=caf%C3%A9")]
    #[case("q=6%0aA%0D%0A%09B%0b%0C", "q=6%0AA%0D%0A%09B%0B%0C")]
    #[case("q=%23%26%2b+a,b;c/d?e", "q=%23%26%2B+a,b;c/d?e")]
    fn what_clients_leave_unescaped_in_a_query_is_escaped(#[case] raw: &str, #[case] expected: &str) {
        assert_eq!(canonical_query(raw).as_deref(), Ok(expected));
        assert_eq!(canonical_query(expected).as_deref(), Ok(expected));
    }

    #[rstest]
    #[case("a#b", "illegal_character")]
    #[case("a%00", "control_character")]
    #[case("a%1F", "control_character")]
    #[case("a%7f", "control_character")]
    #[case("a\u{1}b", "control_character")]
    #[case("a\tb", "control_character")]
    #[case("a\r\nb", "control_character")]
    #[case("a\u{7f}", "control_character")]
    fn refused_in_a_query(#[case] raw: &str, #[case] reason: &str) {
        assert_eq!(canonical_query(raw), Err(reason));
    }

    proptest! {
        #[test]
        fn a_canonical_query_is_a_fixed_point_that_means_the_same(raw in "[^#\\p{Cc}]{0,60}") {
            if let Ok(once) = canonical_query(&raw) {
                prop_assert!(once.bytes().all(is_plain_or_escape), "{once}");
                prop_assert_eq!(canonical_query(&once).unwrap(), once.clone());
                let read = |text: &str| form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>();
                prop_assert_eq!(read(&once), read(&raw));
            }
        }

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
