//! What an unsafe request makes invalid (RFC 9111 section 4.4).

use http::{HeaderMap, header};

/// Whether a method may change the resource: every method that is not known to be safe (RFC 9110 section 9.2.1; QUERY
/// by its own definition).
pub fn is_unsafe(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "QUERY")
}

/// Whether this answer to an unsafe method invalidates: any non-error status.
pub fn applies(method: &str, status: u16) -> bool {
    is_unsafe(method) && (200..400).contains(&status)
}

/// The other targets (path and query) that `Location` and `Content-Location` name on the same origin. A field that
/// points elsewhere is ignored, or one site could empty another's cache.
pub fn also<'a>(headers: &'a HeaderMap, authority: &'a str, target: &'a str) -> impl Iterator<Item = String> + 'a {
    [header::LOCATION, header::CONTENT_LOCATION]
        .into_iter()
        .filter_map(move |name| resolve(&ascii(headers.get(name)?.as_bytes().trim_ascii()), authority, target))
}

/// A reference with what is beyond ASCII escaped, as clients read it.
fn ascii(reference: &[u8]) -> String {
    let mut text = String::with_capacity(reference.len());
    for byte in reference {
        match byte.is_ascii() {
            true => text.push(char::from(*byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Path and query of a reference (RFC 3986 section 5.2) if it stays on the origin. The scheme is not compared: which one
/// the client used is not always visible behind a balancer, and both name the same entries here.
fn resolve(reference: &str, authority: &str, target: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    let after_scheme = ["http://", "https://"]
        .iter()
        .find_map(|scheme| {
            reference
                .get(..scheme.len())
                .filter(|head| head.eq_ignore_ascii_case(scheme))
                .map(|_| &reference[scheme.len()..])
        })
        .or_else(|| reference.strip_prefix("//"));
    if let Some(rest) = after_scheme {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (named, path) = rest.split_at(end);
        let rooted = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        return named.eq_ignore_ascii_case(authority).then(|| without_dots(&rooted));
    }
    let path_end = reference.find('?').unwrap_or(reference.len());
    if reference[..path_end].contains(':') && !reference.starts_with('/') {
        // Another scheme.
        return None;
    }
    if reference.starts_with('/') {
        return Some(without_dots(reference));
    }
    let base = target.split('?').next().unwrap_or_default();
    if reference.is_empty() || reference.starts_with('?') {
        return Some(format!("{base}{reference}"));
    }
    let directory = base.rfind('/').map_or("/", |at| &base[..=at]);
    Some(without_dots(&format!("{directory}{reference}")))
}

/// Removes `.` and `..` segments (RFC 3986 section 5.2.4).
fn without_dots(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("GET", 200, false)]
    #[case("HEAD", 200, false)]
    #[case("QUERY", 200, false)]
    #[case("POST", 200, true)]
    #[case("POST", 303, true)]
    #[case("DELETE", 204, true)]
    #[case("M-SEARCH", 200, true)]
    #[case("PUT", 404, false)]
    #[case("PUT", 500, false)]
    #[case("POST", 100, false)]
    fn when(#[case] method: &str, #[case] status: u16, #[case] expected: bool) {
        assert_eq!(applies(method, status), expected);
    }

    #[rstest]
    #[case("/x?y", Some("/x?y"))]
    #[case("http://Api.example/x", Some("/x"))]
    #[case("HTTPS://api.example/x#part", Some("/x"))]
    #[case("//api.example/x", Some("/x"))]
    #[case("http://api.example", Some("/"))]
    #[case("http://api.example?q", Some("/?q"))]
    #[case("http://other.example/x", None)]
    #[case("http://api.example@other.example/x", None)]
    #[case("http://api.example:81/x", None)]
    #[case("mailto:a@api.example", None)]
    #[case("", Some("/a/b/c"))]
    #[case("?z", Some("/a/b/c?z"))]
    #[case("d", Some("/a/b/d"))]
    #[case("./d", Some("/a/b/d"))]
    #[case("../d", Some("/a/d"))]
    #[case("../../../d", Some("/d"))]
    #[case("..", Some("/a/"))]
    #[case("/x/../y/./z", Some("/y/z"))]
    fn references(#[case] reference: &str, #[case] expected: Option<&str>) {
        assert_eq!(resolve(reference, "api.example", "/a/b/c?q=1").as_deref(), expected);
    }

    #[test]
    fn both_fields_count() {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, "/one".parse().unwrap());
        headers.insert(header::CONTENT_LOCATION, "two".parse().unwrap());
        assert_eq!(also(&headers, "h", "/").collect::<Vec<_>>(), ["/one", "/two"]);
        let raw = http::HeaderValue::from_bytes("caf\u{e9}?q=\u{e9}".as_bytes()).unwrap();
        headers.insert(header::LOCATION, raw);
        assert_eq!(also(&headers, "h", "/").next().as_deref(), Some("/caf%C3%A9?q=%C3%A9"));
    }

    proptest! {
        #[test]
        fn always_rooted(reference in "[ -~]{0,30}", target in "/[a-z/]{0,12}") {
            if let Some(resolved) = resolve(&reference, "h", &target) {
                prop_assert!(resolved.starts_with('/'));
            }
        }
    }
}
