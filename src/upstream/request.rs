//! What of a request reaches the upstream.
//!
//! Pingora has stripped hop-by-hop fields and those that `Connection` names before this runs, and has put its own
//! validators in where it revalidates. On cached routes only an allow-list passes: a field that could change the answer but
//! is not in the key would poison the cache.

use std::time::Duration;

use addrgate_filters::http::head::Headers;
use addrgate_filters::reply::wants_problem;
use addrgate_filters::route::Route;
use addrgate_filters::traffic::degrade::Effects;
use addrgate_filters::verdict::Verdict;
use http::header::{self, HeaderName};
use http::request::Parts as ReqParts;
use pingora::http::RequestHeader;
use pingora::{ErrorType, OrErr};

use crate::edit::set;

/// These pass on every route. Where an answer is kept, the conditions are Pingora's own; elsewhere one that is lost is an
/// update of somebody else's that is lost (RFC 9110 section 13.1.1).
const NEEDED: [HeaderName; 6] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
];

/// Traces join across the gateway; they can't change an answer.
const TRACE: [&str; 2] = ["traceparent", "tracestate"];

/// Never forwarded: the client's credential is ours to check, and only we say where a request came from.
fn never(name: &HeaderName) -> bool {
    let name = name.as_str();
    matches!(
        name,
        "x-api-key"
            | "forwarded"
            | "via"
            | "x-real-ip"
            | "true-client-ip"
            | "x-client-ip"
            | "client-ip"
            | "x-cluster-client-ip"
            | "fastly-client-ip"
            | "x-original-forwarded-for"
            | "x-azure-clientip"
            | "x-remote-addr"
            | "x-remote-user"
            | "x-original-url"
            | "x-rewrite-url"
            | "x-original-host"
            | "x-host"
            | "x-http-method-override"
            | "x-http-method"
            | "x-method-override"
            | "accept-encoding"
            | "expect"
            | "x-request-id"
            | "x-correlation-id"
            | "x-request-timeout"
            | "x-degrade"
            // A CGI-like reader takes it for its HTTP_PROXY (CVE-2016-5385).
            | "proxy"
    ) || name.starts_with("proxy-")
        || name.starts_with("x-forwarded")
        || name.starts_with("cf-")
        // A CGI-like reader takes X_API_KEY for X-API-Key.
        || name.contains('_')
}

/// Tells what it may leave out under pressure.
pub(crate) fn tell_effects(request: &mut RequestHeader, effects: Effects) -> pingora::Result<()> {
    match effects.hint() {
        Some(hint) => request.insert_header("x-degrade", hint).map(drop),
        None => Ok(()),
    }
}

/// Whether `304 Not Modified` is a response to it (RFC 9110 section 15.4.5).
pub(crate) fn is_conditional(request: &RequestHeader) -> bool {
    [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE].iter().any(|name| request.headers.contains_key(name))
}

/// Where a request came from.
pub(crate) struct Origin<'a> {
    pub(crate) peer: Option<std::net::IpAddr>,
    pub(crate) tls: bool,
    /// What the client asked for as host.
    pub(crate) host: Option<&'a str>,
}

/// Whether the upstream gets the client's `Host`, because answers depend on it.
pub(crate) fn keeps_host(route: &Route) -> bool {
    route.config.cache.as_ref().is_some_and(|cache| cache.key.host)
}

/// Whether the upstream gets all fields but those that are never forwarded.
fn takes_all(route: &Route) -> bool {
    let listed = route.config.forward.as_deref();
    listed.map_or(route.config.cache.is_none(), |list| list.iter().any(|name| name == "*"))
}

/// Whether the upstream gets a field as the client sent it; `keyed` where the answer is found by a key.
fn passes(route: &Route, keyed: bool, name: &HeaderName) -> bool {
    if never(name) || *name == header::AUTHORIZATION && route.config.auth.reads_token() {
        return false;
    }
    let listed = route.config.forward.as_deref();
    // What describes a body is passed on with it as it is; a keyed one is sent in its canonical form.
    let describes = name.as_str().starts_with("content-");
    NEEDED.contains(name)
        || TRACE.contains(&name.as_str())
        || if keyed { takes_all(route) && !describes } else { takes_all(route) || describes }
        || listed.is_some_and(|list| list.iter().any(|listed| listed == name.as_str()))
}

/// Whether a field that an answer names in `Vary` can have made a difference to it: the upstream got it as the client sent
/// it. `Host` is in the key where it gets that, and so is the form of `Accept` where it does not; conditions and ranges are
/// the cache's own.
pub(crate) fn selects(route: &Route, name: &HeaderName) -> bool {
    let own = [header::HOST, header::CONTENT_TYPE, header::RANGE, header::IF_RANGE];
    !own.contains(name) && !NEEDED.contains(name) && passes(route, true, name)
}

/// Rewrites `request` into what the upstream sees. It is told how long it has, in milliseconds, so that it gives up before we
/// do and can say why.
pub(crate) fn shape(
    request: &mut RequestHeader,
    route: &Route,
    verdict: &Verdict,
    upstream_host: &str,
    origin: &Origin<'_>,
    left: Duration,
) -> pingora::Result<()> {
    let problem = wants_problem(Headers::Map(&request.headers));
    let passes = |name: &HeaderName| passes(route, verdict.key.is_some(), name);
    // The form without the case of names, which means nothing and would have to be kept beside each of them.
    let empty = RequestHeader::from(http::Request::new(()).into_parts().0);
    let mut parts = ReqParts::from(std::mem::replace(request, empty));
    let headers = &mut parts.headers;
    let dropped: Vec<HeaderName> =
        headers.keys().filter(|name| **name != header::HOST && !passes(name)).cloned().collect();
    for name in &dropped {
        headers.remove(name);
    }
    // `edge` has seen that it is one number; `005` two readers may take for two (RFC 9110 section 8.6).
    if let Some(length) = headers.get(header::CONTENT_LENGTH).filter(|length| length.as_bytes().starts_with(b"0"))
        && let Some(number) = length.to_str().ok().and_then(|text| text.parse::<u64>().ok())
    {
        set(headers, "content-length", itoa::Buffer::new().format(number))?;
    }
    if !passes(&header::ACCEPT) {
        let accept = if problem { "application/problem+json, application/json" } else { "application/json" };
        set(headers, "accept", accept)?;
    }
    // As it is in the key, from wherever it came: HTTP/1.0 may name it in the target alone.
    let asked = origin.host.filter(|_| keeps_host(route)).map(str::to_ascii_lowercase);
    set(headers, "host", asked.as_deref().unwrap_or(upstream_host))?;
    set(headers, "x-request-id", verdict.request_id.as_str())?;
    // The client's own would be in what is stored, where the upstream repeats it.
    let keyed = verdict.key.is_some();
    set(headers, "x-correlation-id", if keyed { verdict.request_id.as_str() } else { verdict.correlation() })?;
    // What comes coded is decoded, as far as it can be.
    set(headers, "accept-encoding", "identity")?;
    set(headers, "x-request-timeout", itoa::Buffer::new().format(left.as_millis()))?;
    if takes_all(route) && !keyed {
        // What is stored is for all: nothing of one client's connection may be in it.
        if let Some(peer) = origin.peer {
            set(headers, "x-forwarded-for", &peer.to_string())?;
        }
        if let Some(host) = origin.host {
            set(headers, "x-forwarded-host", host)?;
        }
        set(headers, "x-forwarded-proto", if origin.tls { "https" } else { "http" })?;
    }
    join_cookies(headers)?;
    if verdict.gzip {
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
    }
    if verdict.gzip || verdict.body.is_some() {
        // They tell of the bytes that came (RFC 9530), which are not those that go on.
        for digest in ["content-digest", "content-md5", "digest"] {
            headers.remove(digest);
        }
    }
    if let Some(body) = &verdict.body {
        // The canonical form, which is what the key was made of.
        set(headers, "content-type", "application/json")?;
        set(headers, "content-length", itoa::Buffer::new().format(body.len()))?;
        headers.remove(header::TRANSFER_ENCODING);
        // What is kept is fetched anew: 304 is for GET and HEAD, any other method would be answered 412 (RFC 9110 section
        // 13.1.2).
        headers.remove(header::IF_NONE_MATCH);
        headers.remove(header::IF_MODIFIED_SINCE);
    } else if verdict.key.is_some() {
        headers.remove(header::CONTENT_TYPE);
    }
    *request = parts.into();
    // Nearly always it is as it came, and parsing it again is a fifth of all this.
    match request.uri.authority().is_none() && request.raw_path() == verdict.target.as_bytes() {
        true => Ok(()),
        false => request.set_raw_path(verdict.target.as_bytes()),
    }
}

/// HTTP/2 lets clients split `Cookie` into lines, which HTTP/1 knows as one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut http::HeaderMap) -> pingora::Result<()> {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return Ok(());
    }
    let lines: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(|line| line.as_bytes()).collect();
    let joined = http::HeaderValue::from_bytes(&lines.join(&b"; "[..]));
    let joined = joined.or_err(ErrorType::InvalidHTTPHeader, "joining cookies")?;
    headers.insert(header::COOKIE, joined);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use addrgate_filters::http::request_id::RequestId;
    use addrgate_filters::route::Routes;
    use serde_json::json;

    use super::*;

    fn shaped(route: serde_json::Value, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut config = json!({"name": "r", "paths": ["/**"]});
        config.as_object_mut().unwrap().extend(route.as_object().unwrap().clone());
        let routes = Routes::new(vec![serde_json::from_value(config).unwrap()]).unwrap();
        let verdict = Verdict { target: "/a?q=1".to_owned(), request_id: RequestId::new(), ..Verdict::default() };
        let mut request = RequestHeader::build("GET", b"/a?q=1&utm=2", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        let origin = Origin { peer: "192.0.2.1".parse().ok(), tls: true, host: Some("public.example") };
        let left = Duration::from_millis(1500);
        shape(&mut request, &Arc::clone(&routes.list()[0]), &verdict, "svc:1", &origin, left).unwrap();
        assert_eq!(request.headers["x-request-timeout"], "1500");
        assert_eq!(request.headers["x-request-id"], verdict.request_id.as_str());
        request
    }

    const HOSTILE: [(&str, &str); 14] = [
        ("Proxy", "evil:1"),
        ("Proxy-Authorization", "Basic x"),
        ("X-API-Key", "secret"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Host", "evil"),
        ("X-Forwarded-Prefix", "/evil"),
        ("Forwarded", "host=evil"),
        ("X-Original-URL", "/evil"),
        ("X-HTTP-Method-Override", "PURGE"),
        ("CF-Connecting-IP", "1.2.3.4"),
        ("Via", "1.1 evil"),
        ("Accept-Encoding", "gzip"),
        ("X-Request-ID", "mine"),
        ("Expect", "100-continue"),
    ];

    #[test]
    fn cached_routes_pass_an_allow_list() {
        let mut fields = HOSTILE.to_vec();
        fields.extend([("Host", "evil"), ("Cookie", "a=b"), ("X-Any", "1"), ("Accept", "text/html"), ("Origin", "o")]);
        fields.extend([("traceparent", "00-1"), ("If-None-Match", "\"e\"")]);
        let request = shaped(json!({"cache": {}}), &fields);
        let mut names: Vec<&str> = request.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let expected = [
            "accept",
            "accept-encoding",
            "host",
            "if-none-match",
            "traceparent",
            "x-correlation-id",
            "x-request-id",
            "x-request-timeout",
        ];
        assert_eq!(names, expected);
        assert_eq!(
            (&request.headers["host"], &request.headers["accept"]),
            (&"svc:1".parse().unwrap(), &"application/json".parse().unwrap())
        );
        assert_eq!(request.raw_path(), b"/a?q=1");
    }

    #[test]
    fn uncached_routes_pass_all_but_what_we_say_ourselves() {
        let mut fields = HOSTILE.to_vec();
        fields.extend([("Host", "public.example"), ("Cookie", "a=b"), ("X-Any", "1")]);
        let request = shaped(json!({}), &fields);
        for gone in [
            "x-api-key",
            "x-forwarded-prefix",
            "forwarded",
            "x-original-url",
            "via",
            "expect",
            "cf-connecting-ip",
            "proxy",
        ] {
            assert!(!request.headers.contains_key(gone), "{gone}");
        }
        assert_eq!(request.headers["x-any"], "1");
        assert_eq!(request.headers["x-forwarded-for"], "192.0.2.1");
        assert_eq!(request.headers["x-forwarded-host"], "public.example");
        assert_eq!(request.headers["x-forwarded-proto"], "https");
        assert_eq!(request.headers.get_all("x-forwarded-for").iter().count(), 1, "set, not appended");
    }

    #[test]
    fn cookies_leave_on_one_line() {
        let fields = [("Cookie", "a=b"), ("X-Any", "1"), ("cookie", "c=d; e=f"), ("Cookie", "g=h")];
        let request = shaped(json!({}), &fields);
        let lines: Vec<_> = request.headers.get_all("cookie").iter().collect();
        assert_eq!(lines, ["a=b; c=d; e=f; g=h"]);
        assert!(!shaped(json!({"cache": {}}), &fields).headers.contains_key("cookie"));
    }

    #[test]
    fn only_what_the_upstream_sees_selects() {
        let route = |more: serde_json::Value| {
            let mut config = json!({"name": "r", "paths": ["/**"], "cache": {"key": {"host": true}}});
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Arc::clone(&Routes::new(vec![serde_json::from_value(config).unwrap()]).unwrap().list()[0])
        };
        let [own, listed, all] =
            [json!({}), json!({"forward": ["x-any", "accept"]}), json!({"forward": ["*"]})].map(route);
        for (name, expected) in [
            ("accept-encoding", [false, false, false]),
            ("x-forwarded-for", [false, false, false]),
            ("content-type", [false, false, false]),
            ("range", [false, false, false]),
            ("proxy", [false, false, false]),
            ("cookie", [false, false, true]),
            ("host", [false, false, false]),
            ("if-none-match", [false, false, false]),
            ("accept", [false, true, true]),
            ("x-any", [false, true, true]),
            ("origin", [false, false, true]),
            ("traceparent", [true, true, true]),
        ] {
            let name = HeaderName::from_static(name);
            assert_eq!([&own, &listed, &all].map(|route| selects(route, &name)), expected, "{name}");
        }
    }

    #[test]
    fn the_list_can_be_widened() {
        let route = json!({"cache": {"key": {"host": true}}, "forward": ["x-any", "accept"]});
        let request =
            shaped(route, &[("Host", "PUBLIC.example"), ("X-Any", "1"), ("X-Other", "1"), ("Accept", "text/csv")]);
        assert_eq!(
            (&request.headers["x-any"], &request.headers["accept"]),
            (&"1".parse().unwrap(), &"text/csv".parse().unwrap())
        );
        assert!(!request.headers.contains_key("x-other"));
        assert_eq!(request.headers["host"], "public.example", "as it is in the key");
    }

    #[test]
    fn problem_details_can_be_asked_for() {
        let request = shaped(json!({"cache": {}}), &[("Accept", "application/problem+json")]);
        assert!(wants_problem(Headers::Map(&request.headers)));
    }
}
