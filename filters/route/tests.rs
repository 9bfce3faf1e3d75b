use rstest::rstest;
use serde_json::json;

use super::*;
use crate::http::head::Headers;
use crate::request_body::most;

fn routes(value: serde_json::Value) -> Result<Routes, Mistake> {
    Routes::new(serde_json::from_value(value).unwrap())
}

fn table() -> Routes {
    routes(json!([
        {"name": "search", "paths": ["/a/search"], "auth": "none"},
        {"name": "validate", "paths": ["/a/validate", "/v"], "methods": ["POST"], "body": {"max": "10B"},
         "cache": {"methods": ["POST"], "key": {"body": "json"}}},
        {"name": "one", "paths": ["/a/{pid}"]},
        {"name": "rest", "paths": ["/x/**"], "methods": ["GET", "POST"], "body": {"max": "1KiB", "type": "any"}},
    ]))
    .unwrap()
}

fn ask(method: &str, target: &str) -> Result<(String, String), Cause> {
    let mut verdict = Verdict::default();
    match table().request(&Head::new(method, target, Headers::Raw(&[])), &mut verdict) {
        Flow::Continue => Ok((verdict.route.unwrap().name().to_owned(), verdict.target)),
        Flow::Reply(cause) => Err(cause),
        Flow::Answer(_) => unreachable!("routes answer nothing"),
    }
}

#[rstest]
#[case("GET", "/a/search", "search", "/a/search")]
#[case("HEAD", "/a/search/", "search", "/a/search")]
#[case("GET", "/%61/search?q=1", "search", "/a/search")]
#[case("GET", "/a/GAVIC42", "one", "/a/GAVIC42")]
#[case("POST", "/v", "validate", "/v")]
#[case("GET", "/a/validate", "one", "/a/validate")]
#[case("GET", "/x/y/", "rest", "/x/y/")]
fn first_match_wins(#[case] method: &str, #[case] target: &str, #[case] name: &str, #[case] forwarded: &str) {
    assert_eq!(ask(method, target).unwrap(), (name.to_owned(), forwarded.to_owned()));
}

#[test]
fn the_server_itself_says_what_it_has() {
    let head = Head::new("OPTIONS", "*", Headers::Raw(&[]));
    let Flow::Answer(reply) = table().request(&head, &mut Verdict::default()) else { panic!("no response") };
    assert_eq!((reply.status, reply.fields), (204, vec![("allow", "GET, HEAD, OPTIONS, POST".to_owned())]));
    for target in ["a:443", "/", "*"] {
        let cause = ask("CONNECT", target).unwrap_err();
        assert_eq!((cause.reason, cause.status(), cause.close), ("method", 405, true), "{target}");
        assert_eq!(cause.allow.as_deref(), Some("GET, HEAD, OPTIONS, POST"));
    }
}

#[rstest]
#[case("GET", "/nowhere", "no_route", None)]
#[case("GET", "*", "target_form", None)]
#[case("GET", "/a/../v", "dot_segment", None)]
#[case("DELETE", "/a/search", "method", Some("GET, HEAD"))]
#[case("PURGE", "/v", "method", Some("POST"))]
#[case("get", "/a/search", "method", Some("GET, HEAD"))]
fn no_match(#[case] method: &str, #[case] target: &str, #[case] reason: &str, #[case] allow: Option<&str>) {
    let cause = ask(method, target).unwrap_err();
    assert_eq!((cause.reason, cause.allow.as_deref()), (reason, allow));
}

#[rstest]
#[case(json!({"name": "r", "paths": []}), "at least one path")]
#[case(json!({"name": "r", "paths": ["x"]}), "not a path")]
#[case(json!({"name": "r", "paths": ["/"], "methods": ["get"]}), "in capitals")]
#[case(json!({"name": "r", "paths": ["/"], "methods": ["TRACE"]}), "not offered")]
#[case(json!({"name": "r", "paths": ["/"], "limits": {"client": ["5/2d"]}}), "longer than a day")]
#[case(json!({"name": "r", "paths": ["/"], "timeout": "0s"}), "timeout of zero")]
#[case(json!({"name": "r", "paths": ["/"], "answer": "livez", "upstream": "u"}), "the gateway itself responds")]
#[case(json!({"name": "r", "paths": ["/"], "methods": ["POST"], "cache": {"methods": ["POST"]}}), "needs `body: json`")]
#[case(json!({"name": "r", "paths": ["/"], "methods": ["POST"], "cache": {"methods": ["POST"], "key": {"body": "json"}}}), "needs `body`")]
#[case(json!({"name": "r", "paths": ["/"], "methods": ["POST"], "body": {"max": "1MiB"}, "cache": {"methods": ["POST"], "key": {"body": "json"}}}), "at most 64KiB")]
#[case(json!({"name": "r", "paths": ["/"], "methods": ["POST"], "cache": {}}), "not among its methods")]
fn mistakes(#[case] route: serde_json::Value, #[case] message: &str) {
    let mistake = routes(json!([route])).unwrap_err();
    assert!(mistake.to_string().starts_with("route `r`") && mistake.message.contains(message), "{mistake}");
}

#[test]
fn names_are_unique() {
    let mistake = routes(json!([{"name": "r", "paths": ["/"]}, {"name": "r", "paths": ["/x"]}])).unwrap_err();
    assert!(mistake.message.contains("twice"));
}

#[test]
fn the_largest_body_is_the_routes() {
    assert_eq!(table().list().iter().map(|route| most(route, "POST")).collect::<Vec<_>>(), [65536, 10, 65536, 1024]);
}
