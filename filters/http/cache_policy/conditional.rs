//! A client's own conditions against a stored answer (RFC 9110 section 13.1, RFC 9111 section 4.3.2).

use http::{HeaderMap, header};

use super::{date, list};
use crate::http::head::Headers;

/// Whether a stored 200 answers this GET or HEAD with 304: `If-None-Match` names its entity tag (weak comparison), or,
/// only without that field, it was not modified after `If-Modified-Since`.
pub fn is_not_modified(request: Headers<'_>, stored: &HeaderMap) -> bool {
    if request.has("if-none-match") {
        return names_tag(request, stored.get(header::ETAG).map(|tag| tag.as_bytes()));
    }
    let Some(since) = request.get("if-modified-since") else { return false };
    if request.count("if-modified-since") > 1 {
        return false;
    }
    // Without `Last-Modified` a cache compares `Date` (RFC 9111 section 4.3.2).
    let modified = stored.get(header::LAST_MODIFIED).or_else(|| stored.get(header::DATE));
    let modified = modified.and_then(|value| date::parse(value.as_bytes()));
    matches!((date::parse(since), modified), (Some(since), Some(modified)) if modified <= since)
}

/// Whether `If-None-Match` names this tag; `*` names any stored representation (RFC 9110 section 13.1.2).
pub fn names_tag(request: Headers<'_>, tag: Option<&[u8]>) -> bool {
    fn opaque(tag: &[u8]) -> &[u8] {
        tag.strip_prefix(b"W/").unwrap_or(tag)
    }
    let is_named = |member: &[u8]| member == b"*" || tag.is_some_and(|tag| opaque(member) == opaque(tag));
    let mut names = false;
    request.each("if-none-match", |line| names |= list::members(line).any(is_named));
    names
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const EARLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATE: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn decide(request: &[(&str, &str)], stored: &[(&str, &str)]) -> bool {
        let fields: Vec<_> =
            request.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in stored {
            headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        is_not_modified(Headers::Raw(&fields), &headers)
    }

    #[rstest]
    #[case("\"a\"", "\"a\"", true)]
    #[case("\"b\", \"a\"", "\"a\"", true)]
    #[case("W/\"a\"", "\"a\"", true)]
    #[case("\"a\"", "W/\"a\"", true)]
    #[case("\"a,b\"", "\"a,b\"", true)]
    #[case("*", "\"a\"", true)]
    #[case("\"b\"", "\"a\"", false)]
    #[case("a", "\"a\"", false)]
    #[case("", "\"a\"", false)]
    fn entity_tags(#[case] sent: &str, #[case] stored: &str, #[case] expected: bool) {
        assert_eq!(decide(&[("If-None-Match", sent)], &[("etag", stored)]), expected);
    }

    #[test]
    fn tags_on_two_lines_and_answers_without_one() {
        assert!(decide(&[("if-none-match", "\"b\""), ("if-none-match", "\"a\"")], &[("etag", "\"a\"")]));
        assert!(!decide(&[("if-none-match", "\"a\"")], &[]));
        assert!(decide(&[("if-none-match", "*")], &[]));
    }

    #[test]
    fn dates_count_only_without_tags() {
        assert!(decide(&[("if-modified-since", EARLY)], &[("last-modified", EARLY)]));
        assert!(decide(&[("if-modified-since", LATE)], &[("last-modified", EARLY)]));
        assert!(!decide(&[("if-modified-since", EARLY)], &[("last-modified", LATE)]));
        assert!(decide(&[("if-modified-since", EARLY)], &[("date", EARLY)]));
        assert!(!decide(&[("if-modified-since", EARLY)], &[]));
        assert!(!decide(&[("if-modified-since", "yesterday")], &[("last-modified", EARLY)]));
        let both = [("if-none-match", "\"b\""), ("if-modified-since", LATE)];
        assert!(!decide(&both, &[("etag", "\"a\""), ("last-modified", EARLY)]));
        let twice = [("if-modified-since", EARLY), ("if-modified-since", LATE)];
        assert!(!decide(&twice, &[("last-modified", EARLY)]));
    }
}
