//! Which header fields of a response a cache keeps (RFC 9111 section 3.1) and how a 304 changes them (section 3.2).

use http::{HeaderMap, HeaderName, header};

use super::{
    directives::{ResponseDirectives, Scope},
    list,
};

/// Fields of one connection or one hop: never stored, never forwarded (RFC 9110 section 7.6.1, RFC 9111 section 3.1).
const HOP_BY_HOP: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields that describe the stored bytes: a 304 has other bytes, or none, so its values are not taken over. The entity tag
/// is among them: it is what the 304 confirmed.
const OF_THE_BODY: [HeaderName; 7] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::ETAG,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// Removes the hop-by-hop fields and those that `Connection` nominates.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| list::members(line.as_bytes()))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .collect();
    for name in nominated.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// What caches nearer to the origin did for one request (RFC 9211 section 2).
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Removes what must not be stored or used without validation, and `Age`, which is made anew at each use. Gives what is
/// only for the request that fetched: fields listed by `private="…"` and `no-cache="…"` (RFC 9111 sections 5.2.2.4,
/// 5.2.2.7), and `Cache-Status`.
pub fn strip_unstorable(headers: &mut HeaderMap, directives: &ResponseDirectives) -> HeaderMap {
    strip_hop_by_hop(headers);
    headers.remove(header::AGE);
    let listed = [&directives.private, &directives.no_cache].into_iter().flat_map(|scope| match scope {
        Scope::Fields(names) => names.as_slice(),
        Scope::Absent | Scope::Response => &[],
    });
    let mut own = HeaderMap::new();
    // How long a body is can't be kept from anyone.
    for name in listed.filter(|name| **name != header::CONTENT_LENGTH).chain([&CACHE_STATUS]) {
        own.extend(headers.get_all(name).iter().map(|value| (name.clone(), value.clone())));
        headers.remove(name);
    }
    own
}

/// Takes over the fields of a 304, or of the 200 to a HEAD, each name replacing all its stored lines
/// (RFC 9111 section 3.2). What describes the stored body stays.
pub fn update(stored: &mut HeaderMap, fresh: &HeaderMap) {
    let mut fresh = fresh.clone();
    strip_hop_by_hop(&mut fresh);
    for name in OF_THE_BODY {
        fresh.remove(name);
    }
    // The stored Age belongs to the exchange that brought the body.
    stored.remove(header::AGE);
    for name in fresh.keys() {
        stored.remove(name);
    }
    for (name, value) in &fresh {
        stored.append(name, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        map
    }

    #[test]
    fn hop_by_hop_and_nominated_fields_go() {
        let mut map = headers(&[
            ("connection", "a, B"),
            ("connection", "close"),
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("keep-alive", "x"),
            ("te", "x"),
            ("upgrade", "x"),
            ("proxy-authenticate", "x"),
            ("proxy-connection", "x"),
            ("transfer-encoding", "chunked"),
        ]);
        strip_hop_by_hop(&mut map);
        assert_eq!(map, headers(&[("c", "3")]));
    }

    #[test]
    fn what_is_for_one_request_is_not_stored() {
        let mut map = headers(&[("a", "1"), ("b", "2"), ("c", "3"), ("age", "9"), ("a", "4"), ("te", "x")]);
        map.extend(headers(&[("content-length", "5"), ("cache-status", "cdn; hit")]));
        let line = b"no-cache=\"a, te, content-length\", private=\"b, a\"".as_slice();
        let own = strip_unstorable(&mut map, &ResponseDirectives::read([line]));
        assert_eq!(map, headers(&[("c", "3"), ("content-length", "5")]));
        assert_eq!(own, headers(&[("a", "1"), ("a", "4"), ("b", "2"), ("cache-status", "cdn; hit")]));
    }

    #[test]
    fn a_304_replaces_all_but_the_body_fields() {
        let mut stored = headers(&[
            ("etag", "\"1\""),
            ("x", "a"),
            ("x", "b"),
            ("keep", "1"),
            ("content-length", "5"),
            ("content-encoding", "gzip"),
            ("age", "7"),
        ]);
        let fresh = headers(&[
            ("etag", "\"2\""),
            ("x", "c"),
            ("content-length", "0"),
            ("content-encoding", "br"),
            ("connection", "y"),
            ("y", "hop"),
        ]);
        update(&mut stored, &fresh);
        let expected = headers(&[
            ("etag", "\"1\""),
            ("x", "c"),
            ("keep", "1"),
            ("content-length", "5"),
            ("content-encoding", "gzip"),
        ]);
        assert_eq!(stored, expected);
    }
}
