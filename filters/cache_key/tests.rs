use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::http::head::Headers;
use crate::route::Routes;

fn run(cache: &Value, method: &str, target: &str, body: &[u8]) -> Result<Verdict, Cause> {
    let route = json!([{
        "name": "r", "paths": ["/**"], "methods": ["GET", "POST"], "auth": "none", "body": {"max": "1KiB"}, "cache": cache,
    }]);
    let routes = Routes::new(serde_json::from_value(route).unwrap()).unwrap();
    let fields = [httparse::Header { name: "Host", value: b"H.example" }];
    let head = Head::new(method, target, Headers::Raw(&fields));
    let mut verdict = Verdict::default();
    for flow in [routes.request(&head, &mut verdict), Keys.request(&head, &mut verdict)] {
        if let Flow::Reply(cause) = flow {
            return Err(cause);
        }
    }
    if verdict.route.as_ref().unwrap().config.cache.as_ref().is_some_and(|cache| cache.by_body(method))
        && let Flow::Reply(cause) = Keys.body(&head, body, &mut verdict)
    {
        return Err(cause);
    }
    Ok(verdict)
}

fn search() -> Value {
    json!({"key": {"query": {"q": {"fold": true}, "limit": {"default": 10}, "latitude": {"decimals": 6}}}})
}

#[rstest]
#[case("/s?q=6+Collins%20%20ST&limit=10", "/s?q=6%20collins%20st")]
#[case("/s?limit=5&q=a", "/s?limit=5&q=a")]
#[case("/s?utm_source=x&q=a&callback=f", "/s?q=a")]
#[case("/s?%71=a", "/s?q=a")]
#[case("/s?q=a&q=b", "/s?q=a&q=b")]
#[case("/s?q[]=a", "/s")]
#[case("/s?a=1;q=x", "/s")]
#[case("/s?latitude=-37.81362819", "/s?latitude=-37.813628")]
#[case("/s?limit=10", "/s")]
#[case("/s?", "/s")]
#[case("/s?q=%E2%82%AC%26", "/s?q=%E2%82%AC%26")]
#[case("/s?q=Unit 5|7 {A}^`", "/s?q=unit%205%7C7%20%7Ba%7D%5E%60")]
#[case("/s?q=100%", "/s?q=100%25")]
#[case("/s?q=100%25", "/s?q=100%25")]
#[case("/s?q=%zz%2", "/s?q=%25zz%252")]
#[case("/s?q=É <b>\"", "/s?q=%C3%A9%20%3Cb%3E%22")]
#[case("/s?q=6%20A%20St%0D%0AHorsham%09VIC", "/s?q=6%20a%20st%2Chorsham%20vic")]
fn what_is_not_in_the_key_is_not_forwarded(#[case] target: &str, #[case] forwarded: &str) {
    let verdict = run(&search(), "GET", target, b"").unwrap();
    assert_eq!(verdict.target, forwarded);
    assert_eq!(verdict.key, run(&search(), "GET", forwarded, b"").unwrap().key);
}

#[test]
fn without_rules_the_query_stays_as_written() {
    let verdict = run(&json!({}), "GET", "/s?b=1&a=%7e+x&a", b"").unwrap();
    assert_eq!(verdict.target, "/s?b=1&a=~+x&a");
}

#[rstest]
#[case("/s?q=%00", "control_character")]
#[case("/s?q=%1b", "control_character")]
#[case("/s?q=a#b", "illegal_character")]
fn hostile_queries_are_refused_with_and_without_rules(#[case] target: &str, #[case] reason: &str) {
    for cache in [search(), json!({}), Value::Null] {
        assert_eq!(run(&cache, "GET", target, b"").unwrap_err().reason, reason);
    }
}

#[test]
fn head_shares_with_get_and_other_inputs_do_not() {
    let key = |cache: &Value, method, target| run(cache, method, target, b"").unwrap().key.unwrap();
    let plain = json!({});
    assert_eq!(key(&plain, "GET", "/s"), key(&plain, "HEAD", "/s"));
    assert_ne!(key(&plain, "GET", "/s"), key(&plain, "GET", "/t"));
    assert_ne!(key(&plain, "GET", "/s"), key(&json!({"key": {"host": true}}), "GET", "/s"));
    assert!(run(&plain, "POST", "/s", b"").unwrap().key.is_none(), "POST is not among the cache's methods");
    assert!(run(&Value::Null, "GET", "/s", b"").unwrap().key.is_none(), "no cache, no key");
}

#[test]
fn clients_share_unless_the_key_says_so() {
    let mut verdict = run(&json!({}), "GET", "/s", b"").unwrap();
    verdict.client = Some(crate::client::Client { name: "web".into(), ..Default::default() }.into());
    let head = Head::new("GET", "/s", Headers::Raw(&[]));
    let own = Config { client: true, ..Config::default() };
    let shared = key(&Config::default(), &head, &verdict, b"");
    assert_ne!(key(&own, &head, &verdict, b""), shared);
    verdict.client = None;
    assert_eq!(key(&Config::default(), &head, &verdict, b""), shared);
}

#[test]
fn bodies_make_keys() {
    let cache = json!({"methods": ["POST"], "key": {"body": "json", "members": {"address": {"fold": true}}}});
    let body = |text: &str| run(&cache, "POST", "/v", text.as_bytes());
    let one = body(r#"{"address":"6 Collins St","strictMode":true}"#).unwrap();
    let same = body(r#" {"strictMode":true, "address":"6  collins ST"} "#).unwrap();
    let other = body(r#"{"address":"7 Collins St","strictMode":true}"#).unwrap();
    assert_eq!((one.key, &one.body), (same.key, &same.body));
    assert_ne!(one.key, other.key);
    assert_eq!(&one.body.unwrap()[..], br#"{"address":"6 collins st","strictMode":true}"#);
    assert_eq!(body(r#"{"a":1,"a":2}"#).unwrap_err().reason, "json_duplicate");
    assert_eq!(body("").unwrap_err().code, Code::InvalidJson);
}

proptest! {
    #[test]
    fn equal_keys_mean_equal_forwarded_targets(a in "[a-c&=%20+Q]{0,12}", b in "[a-c&=%20+Q]{0,12}") {
        let get = |query: &str| run(&search(), "GET", &format!("/s?{query}&q={query}"), b"");
        if let (Ok(a), Ok(b)) = (get(&a), get(&b)) {
            prop_assert_eq!(a.key == b.key, a.target == b.target);
        }
    }
}
