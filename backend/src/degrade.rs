//! Under pressure the gateway asks for less (`X-Degrade: no-fuzzy`); an answer that is less says so.

use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue};

const ASKED: &str = "x-degrade";
const MARK: HeaderName = HeaderName::from_static("x-degraded");
const NO_FUZZY: &str = "no-fuzzy";

/// Whether the request forbids the second, tolerant stage of a lookup.
pub(crate) fn no_fuzzy(headers: &HeaderMap) -> bool {
    headers
        .get_all(ASKED)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| list.split(',').any(|effect| effect.trim().eq_ignore_ascii_case(NO_FUZZY)))
}

/// Marks an answer that would have been better without the restriction.
pub(crate) fn with_mark(mut response: Response, degraded: bool) -> Response {
    if degraded {
        response.headers_mut().insert(MARK, HeaderValue::from_static(NO_FUZZY));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_one_of_a_list() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ASKED, HeaderValue::from_static(value));
            no_fuzzy(&headers)
        };
        assert!(with("no-fuzzy"));
        assert!(with("cheap, No-Fuzzy"));
        assert!(!with("no-batch"));
        assert!(!no_fuzzy(&HeaderMap::new()));
    }
}
