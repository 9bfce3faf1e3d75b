use rstest::rstest;
use serde_json::json;

use super::*;
use crate::client::Client;
use crate::http::head::Headers;
use crate::http::request_id::RequestId;
use crate::route::Routes;

fn route(name: &str, settings: Value) -> Result<Arc<Route>, String> {
    let mut config = json!({"name": name, "paths": ["/"], "methods": ["GET", "POST", "DELETE"], "upstream": "now"});
    config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let routes = Routes::new(vec![serde_json::from_value(config).unwrap()]).map_err(|mistake| mistake.message)?;
    Ok(Arc::clone(&routes.list()[0]))
}

fn ask(route: &Arc<Route>, method: &str, mut verdict: Verdict) -> Verdict {
    verdict.route = Some(Arc::clone(route));
    let head = Head::new(method, "/", Headers::Raw(&[]));
    assert_eq!(Rollout.request(&head, &mut verdict), Flow::Continue);
    verdict
}

fn client(number: u32) -> Verdict {
    let client = Client { name: format!("client-{number}").into(), ..Client::default() };
    Verdict { client: Some(Arc::new(client)), ..Verdict::default() }
}

fn chosen(route: &Arc<Route>) -> Vec<u32> {
    (0..2000).filter(|n| ask(route, "GET", client(*n)).upstream.is_some()).collect()
}

#[test]
fn clients_stay_where_they_are_and_are_only_added() {
    let at = |share: f64| chosen(&route("r", json!({"rollout": {"upstream": "next", "share": share}})).unwrap());
    let (tenth, third) = (at(0.1), at(0.3));
    assert!((150..=250).contains(&tenth.len()), "{}", tenth.len());
    assert!((530..=670).contains(&third.len()), "{}", third.len());
    assert!(tenth.iter().all(|client| third.contains(client)));
    assert_eq!(at(0.1), tenth, "the same ones each time");
    assert_eq!((at(0.0).len(), at(1.0).len()), (0, 2000));
    let upstream = ask(&route("r", json!({"rollout": {"upstream": "next", "share": 1.0}})).unwrap(), "GET", client(1));
    assert_eq!(upstream.upstream.as_deref(), Some("next"));
    assert!(upstream.is_lasting());
}

#[test]
fn routes_choose_independently() {
    let of = |name| chosen(&route(name, json!({"rollout": {"upstream": "next", "share": 0.5}})).unwrap());
    let (one, other) = (of("one"), of("other"));
    let both = one.iter().filter(|client| other.contains(client)).count();
    assert!((400..=600).contains(&both), "a quarter is in both: {both}");
}

#[test]
fn without_a_client_the_address_counts_and_without_one_nobody_is_moved() {
    let route = route("r", json!({"rollout": {"upstream": "next", "share": 0.5}})).unwrap();
    let from = |address: String| {
        let verdict = Verdict { address: Some(address.parse().unwrap()), ..Verdict::default() };
        ask(&route, "GET", verdict).upstream.is_some()
    };
    let moved = (0..200).filter(|n| from(format!("192.0.2.{n}"))).count();
    assert!((70..=130).contains(&moved), "{moved}");
    for n in 0..20 {
        assert_eq!(from(format!("2001:db8:0:{n}::1")), from(format!("2001:db8:0:{n}:9::2")), "one /64, one upstream");
    }
    assert_eq!(ask(&route, "GET", Verdict::default()).upstream, None);
}

#[test]
fn reads_are_copied_by_chance() {
    let shadow = json!({"upstream": "next", "share": 0.25});
    let cached = json!({"methods": ["POST"], "key": {"body": "json"}});
    let route = route("r", json!({"shadow": shadow, "body": {"max": "1KiB"}, "cache": cached})).unwrap();
    let copied = |method: &str| {
        let ask = |_: &u32| {
            let verdict = ask(&route, method, Verdict { request_id: RequestId::new(), ..Verdict::default() });
            assert_eq!(verdict.upstream, None);
            assert!(!verdict.is_lasting(), "the next one is drawn anew");
            verdict.shadow.is_some()
        };
        (0..1000).filter(ask).count()
    };
    assert!((180..=320).contains(&copied("GET")));
    assert!((180..=320).contains(&copied("POST")), "what is cached by its body is a read");
    assert_eq!(copied("DELETE"), 0);
}

#[test]
fn nothing_is_copied_that_goes_there_anyway_or_that_nobody_waits_for() {
    let all = json!({"upstream": "next", "share": 1.0});
    let only_shadow = route("r", json!({"shadow": all})).unwrap();
    assert_eq!(ask(&only_shadow, "GET", client(1)).shadow.as_deref(), Some("next"));
    let refresh = Verdict { background: true, ..client(1) };
    assert_eq!(ask(&only_shadow, "GET", refresh).shadow, None);
    let refresh = Verdict { background: true, upstream: Some("next".into()), ..client(1) };
    let nobody = route("r", json!({"rollout": {"upstream": "next", "share": 0.0}})).unwrap();
    assert_eq!(ask(&nobody, "GET", refresh).upstream.as_deref(), Some("next"), "a refresh goes where it came from");
    let both = route("r", json!({"shadow": all, "rollout": all})).unwrap();
    assert_eq!(ask(&both, "GET", client(1)).shadow, None);
}

#[rstest]
#[case(json!({"rollout": {"upstream": "next", "share": 1.1}}), "from 0 to 1")]
#[case(json!({"shadow": {"upstream": "next", "share": -0.1}}), "from 0 to 1")]
#[case(json!({"rollout": {"upstream": "now", "share": 0.1}}), "the route's own upstream")]
#[case(json!({"shadow": {"upstream": "now", "share": 0.1}}), "the route's own upstream")]
fn mistakes(#[case] settings: Value, #[case] message: &str) {
    let error = route("r", settings).unwrap_err();
    assert!(error.contains(message), "{error}");
}

#[rstest]
#[case((200, r#"{"a":1,"b":[{"c":2}]}"#), (200, r#"{ "b": [{"c": 2}], "a": 1 }"#), None)]
#[case((200, r#"{"a":1,"executionTime":3}"#), (200, r#"{"a":1,"executionTime":8.5}"#), None)]
#[case((200, r#"{"a":1,"meta":{"timestamp":"x","requestId":"y"}}"#), (200, r#"{"a":1,"meta":{}}"#), None)]
#[case((200, r#"{"r":[{"searchTime":1,"n":1}]}"#), (200, r#"{"r":[{"n":1}]}"#), None)]
#[case((200, r#"{"a":1}"#), (200, r#"{"a":2}"#), Some(Difference::Body))]
#[case((200, r#"{"a":[1,2]}"#), (200, r#"{"a":[2,1]}"#), Some(Difference::Body))]
#[case((200, r#"{"a":"executionTime"}"#), (200, r#"{"a":"searchTime"}"#), Some(Difference::Body))]
#[case((200, "plain"), (200, "plain"), None)]
#[case((200, "plain"), (200, "plain "), Some(Difference::Body))]
#[case((200, ""), (200, "{}"), Some(Difference::Body))]
#[case((200, r#"{"a":1}"#), (404, r#"{"a":1}"#), Some(Difference::Status))]
fn answers_compared(#[case] own: (u16, &str), #[case] copy: (u16, &str), #[case] difference: Option<Difference>) {
    let of = |(status, body): (u16, &str)| Fingerprint::new(status, body.as_bytes(), &config::volatile());
    assert_eq!(of(own).differs(&of(copy)), difference);
    assert_eq!(of(copy).differs(&of(own)), difference);
}
