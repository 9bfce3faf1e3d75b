use rstest::rstest;
use serde_json::json;

use super::*;
use crate::http::head::Headers;
use crate::route::Routes;

/// Everything that `Settings` borrows.
struct Written {
    clients: BTreeMap<String, Config>,
    plans: BTreeMap<String, Plan>,
    identity: Identity,
    routes: Routes,
    token_keys: Vec<u8>,
}

impl Written {
    fn new(clients: serde_json::Value, plans: serde_json::Value, identity: serde_json::Value) -> Self {
        let routes = json!([
            {"name": "keyed", "paths": ["/keyed"]},
            {"name": "other", "paths": ["/other"]},
            {"name": "either", "paths": ["/either"], "auth": "any"},
            {"name": "open", "paths": ["/open"], "auth": "none"},
        ]);
        Self {
            clients: serde_json::from_value(clients).unwrap(),
            plans: serde_json::from_value(plans).unwrap(),
            identity: serde_json::from_value(identity).unwrap(),
            routes: Routes::new(serde_json::from_value(routes).unwrap()).unwrap(),
            token_keys: b"0123456789abcdef0123456789abcdef\n".to_vec(),
        }
    }

    fn compile(&self) -> Result<Clients, String> {
        Clients::new(&Settings {
            clients: &self.clients,
            plans: &self.plans,
            identity: &self.identity,
            token_keys: Some(&self.token_keys),
            routes: self.routes.list(),
        })
    }

    fn ask(&self, path: &str, fields: &[(&str, &str)], address: &str) -> (Flow, Verdict) {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        let head = Head::new("GET", path, Headers::Raw(&fields));
        let mut verdict = Verdict { address: address.parse().ok(), ..Verdict::default() };
        assert_eq!(self.routes.request(&head, &mut verdict), Flow::Continue);
        (self.compile().unwrap().request(&head, &mut verdict), verdict)
    }
}

fn web() -> Written {
    let clients = json!({"web": {"keys": [digest_of("old"), digest_of("new"), ""]}});
    Written::new(clients, json!({}), json!({}))
}

fn refused(flow: Flow) -> (Code, &'static str) {
    match flow {
        Flow::Reply(cause) => (cause.code, cause.reason),
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case("old")]
#[case("new")]
fn both_keys_of_a_client_work(#[case] key: &str) {
    let (flow, verdict) = web().ask("/keyed", &[("X-Api-Key", key)], "192.0.2.1");
    assert!(verdict.is_lasting());
    assert_eq!((flow, &*verdict.client.unwrap().name), (Flow::Continue, "web"));
}

#[rstest]
#[case(&[], Code::MissingApiKey, "no_key")]
#[case(&[("X-API-Key", "")], Code::MissingApiKey, "no_key")]
#[case(&[("X-API-Key", "wrong")], Code::InvalidApiKey, "unknown_key")]
#[case(&[("X-API-Key", "old"), ("x-api-key", "old")], Code::InvalidApiKey, "duplicate_key")]
#[case(&[("X-API-Key", "new"), ("X-API-Key", "wrong")], Code::InvalidApiKey, "duplicate_key")]
#[case(&[("Authorization", "Bearer old")], Code::MissingApiKey, "no_key")]
fn refusals(#[case] fields: &[(&str, &str)], #[case] code: Code, #[case] reason: &str) {
    let (flow, verdict) = web().ask("/keyed", fields, "192.0.2.2");
    assert_eq!(refused(flow), (code, reason));
    assert!(verdict.client.is_none());
}

#[test]
fn open_routes_need_no_key_and_a_key_in_the_url_is_none() {
    assert_eq!(web().ask("/open", &[], "192.0.2.3").0, Flow::Continue);
    assert_eq!(refused(web().ask("/keyed?x-api-key=old", &[], "192.0.2.3").0).1, "no_key");
}

#[test]
fn a_plan_says_what_its_clients_may_and_a_client_may_differ() {
    let clients = json!({
        "one": {"keys": [digest_of("one")], "plan": "small"},
        "two": {"keys": [digest_of("two")], "plan": "small", "limits": [], "routes": ["other"]},
    });
    let plans = json!({"small": {"limits": ["10/1m"], "routes": ["keyed"], "addresses": ["198.51.100.0/24"]}});
    let written = Written::new(clients, plans, json!({}));
    let ask = |path, key, address| written.ask(path, &[("X-API-Key", key)], address);
    let (flow, verdict) = ask("/keyed", "one", "198.51.100.7");
    assert_eq!((flow, verdict.client.unwrap().limits.as_ref().unwrap().len()), (Flow::Continue, 1));
    let (flow, verdict) = ask("/other", "one", "198.51.100.7");
    assert_eq!(refused(flow), (Code::Forbidden, "client_route"));
    assert!(verdict.client.is_some(), "the log says whom it was");
    assert_eq!(refused(ask("/keyed", "one", "203.0.113.1").0), (Code::Forbidden, "client_address"));
    assert_eq!(refused(ask("/keyed", "one", "none").0), (Code::Forbidden, "client_address"));
    assert_eq!(ask("/keyed", "one", "::ffff:198.51.100.7").0, Flow::Continue);
    let (flow, verdict) = ask("/other", "two", "198.51.100.7");
    assert_eq!((flow, verdict.client.unwrap().limits.as_ref().unwrap().len()), (Flow::Continue, 0));
    assert_eq!(refused(ask("/keyed", "two", "198.51.100.7").0).1, "client_route");
}

#[test]
fn observing_refuses_no_one_who_is_known() {
    let clients = json!({"one": {"keys": [digest_of("one")], "routes": []}});
    let written = Written::new(clients, json!({}), json!({"mode": "observe"}));
    let (flow, verdict) = written.ask("/keyed", &[("X-API-Key", "one")], "192.0.2.4");
    assert_eq!((flow, verdict.observed), (Flow::Continue, vec![("client", "client_route")]));
    assert_eq!(refused(written.ask("/keyed", &[("X-API-Key", "two")], "192.0.2.4").0).1, "unknown_key");
}

#[tokio::test(start_paused = true)]
async fn wrong_keys_are_limited_by_address_and_right_ones_are_not() {
    let clients = json!({"web": {"keys": [digest_of("right")]}});
    let written = Written::new(clients, json!({}), json!({"failures": "3/1m"}));
    let ask = |key: &str, address: &str| written.ask("/keyed", &[("X-API-Key", key)], address).0;
    for _ in 0..3 {
        assert_eq!(refused(ask("wrong", "2001:db8:5::1")), (Code::InvalidApiKey, "unknown_key"));
    }
    let Flow::Reply(cause) = ask("other", "2001:db8:5::2") else { panic!("one /64 is one address") };
    assert_eq!((cause.code, cause.reason, cause.status()), (Code::RateLimitExceeded, "auth_failures", 429));
    assert!((20..=21).contains(&cause.retry_after.unwrap().as_secs()));
    assert_eq!(ask("right", "2001:db8:5::1"), Flow::Continue);
    assert_eq!(refused(written.ask("/keyed", &[], "2001:db8:5::1").0).1, "no_key", "nothing shown, nothing wrong");
    assert_eq!(refused(ask("wrong", "2001:db8:6::1")).1, "unknown_key");
    tokio::time::advance(std::time::Duration::from_secs(20)).await;
    assert_eq!(refused(ask("wrong", "2001:db8:5::1")).1, "unknown_key");
}

#[test]
fn any_number_of_failures_where_none_is_set() {
    let written = Written::new(json!({}), json!({}), json!({"failures": null}));
    for _ in 0..100 {
        assert_eq!(refused(written.ask("/keyed", &[("X-API-Key", "w")], "192.0.2.5").0).1, "unknown_key");
    }
}

#[rstest]
#[case(json!({"keys": ["abc"]}), "64 hex digits")]
#[case(json!({"keys": ["sha256:12"]}), "64 hex digits")]
#[case(json!({"keys": [digest_of("1"), digest_of("2"), digest_of("3")]}), "two at most")]
#[case(json!({"keys": [digest_of("1"), digest_of("1")]}), "the same key")]
#[case(json!({"plan": "none"}), "no plan `none`")]
#[case(json!({"routes": ["serach"]}), "no route `serach`")]
#[case(json!({"limits": ["5/2d"]}), "longer than a day")]
fn wrong_clients(#[case] client: serde_json::Value, #[case] message: &str) {
    let error = Written::new(json!({"web": client}), json!({}), json!({})).compile().unwrap_err();
    assert!(error.contains(message) && error.contains("web"), "{error}");
}

#[test]
fn wrong_plans_and_routes() {
    let wrong = Written::new(json!({}), json!({"small": {"routes": ["x"]}}), json!({}));
    assert!(wrong.compile().unwrap_err().contains("plan `small`: there is no route `x`"));
    let mut wrong = Written::new(json!({}), json!({}), json!({}));
    let routes = json!([{"name": "r", "paths": ["/"], "auth": "jwt"}]);
    wrong.routes = Routes::new(serde_json::from_value(routes).unwrap()).unwrap();
    assert!(wrong.compile().unwrap_err().contains("`identity.jwt` is needed"));
}

#[test]
fn fresh_keys_differ_and_are_long() {
    let (a, b) = (new_key().unwrap(), new_key().unwrap());
    assert_ne!(a, b);
    assert_eq!(a.len(), 43);
}

mod tokens {
    use jsonwebtoken::{EncodingKey, Header, encode};

    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn token(claims: serde_json::Value) -> String {
        let mut all = json!({"iss": "issuer", "aud": "addrgate", "exp": jsonwebtoken::get_current_timestamp() + 60});
        all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        format!("Bearer {}", encode(&Header::default(), &all, &EncodingKey::from_secret(SECRET)).unwrap())
    }

    fn written() -> Written {
        let jwt = json!({
            "algorithms": ["HS256"], "secret_file": "s", "issuer": "issuer", "audience": "addrgate", "plan": "plan",
        });
        let clients = json!({"web": {"keys": [digest_of("right")], "routes": ["either"]}});
        let plans = json!({"small": {"limits": ["10/1m"]}});
        Written::new(clients, plans, json!({"jwt": jwt, "failures": "3/1m"}))
    }

    #[rstest]
    #[case(json!({"sub": "web"}), Ok("web"))]
    #[case(json!({"sub": "web", "plan": "small"}), Ok("web"))]
    #[case(json!({"sub": "stranger", "plan": "small"}), Ok("stranger"))]
    #[case(json!({"sub": "stranger", "plan": "large"}), Err((Code::Forbidden, "unknown_client")))]
    #[case(json!({"sub": "stranger"}), Err((Code::Forbidden, "unknown_client")))]
    #[case(json!({"sub": 5}), Err((Code::InvalidApiKey, "token_client")))]
    #[case(json!({"sub": "a\nb"}), Err((Code::InvalidApiKey, "token_client")))]
    #[case(json!({"sub": "web", "exp": 1}), Err((Code::InvalidApiKey, "token_expired")))]
    fn name_clients(#[case] claims: serde_json::Value, #[case] expected: Result<&str, (Code, &str)>) {
        let address = format!("2001:db8:{:x}::1", expected.map_or(1, |name| name.len()) + claims.to_string().len());
        let (flow, verdict) = written().ask("/either", &[("Authorization", &token(claims))], &address);
        match expected {
            Ok(name) => assert_eq!((flow, &*verdict.client.unwrap().name), (Flow::Continue, name)),
            Err(refusal) => assert_eq!(refused(flow), refusal),
        }
    }

    #[test]
    fn the_key_counts_where_both_are_sent() {
        let token = token(json!({"sub": "stranger", "plan": "small"}));
        let ask = |fields: &[(&str, &str)]| written().ask("/either", fields, "192.0.2.6");
        let (flow, verdict) = ask(&[("Authorization", &token), ("X-API-Key", "right")]);
        assert_eq!((flow, &*verdict.client.unwrap().name), (Flow::Continue, "web"));
        assert_eq!(refused(ask(&[("Authorization", &token), ("X-API-Key", "wrong")]).0).1, "unknown_key");
        assert_eq!(refused(ask(&[]).0).1, "no_key");
        assert_eq!(refused(ask(&[("Authorization", "Basic abc")]).0).1, "no_key");
        assert_eq!(refused(ask(&[("Authorization", &token), ("Authorization", &token)]).0).1, "duplicate_token");
        let (flow, _) = written().ask("/keyed", &[("Authorization", &token)], "192.0.2.6");
        assert_eq!(refused(flow).1, "no_key", "a route with `auth: api_key` takes no token");
    }

    #[test]
    fn the_plan_of_a_token_holds() {
        let token = token(json!({"sub": "stranger", "plan": "small"}));
        let (_, verdict) = written().ask("/either", &[("Authorization", &token)], "192.0.2.7");
        assert!(!verdict.is_lasting(), "it runs out");
        assert_eq!(verdict.client.unwrap().limits.as_ref().unwrap()[0].count, 10);
    }

    #[test]
    fn too_many_wrong_ones_and_no_signature_is_checked_any_more() {
        let written = written();
        let clients = written.compile().unwrap();
        let ask = |authorization: &str| {
            let fields = [httparse::Header { name: "Authorization", value: authorization.as_bytes() }];
            let head = Head::new("GET", "/either", Headers::Raw(&fields));
            let mut verdict = Verdict { address: "192.0.2.8".parse().ok(), ..Verdict::default() };
            assert_eq!(written.routes.request(&head, &mut verdict), Flow::Continue);
            clients.request(&head, &mut verdict)
        };
        let (early, late) = (token(json!({"sub": "web"})), token(json!({"sub": "web", "more": 1})));
        assert_eq!(ask(&early), Flow::Continue);
        for _ in 0..3 {
            assert_eq!(refused(ask("Bearer a.b.c")).1, "token_form");
        }
        assert_eq!(refused(ask(&late)), (Code::RateLimitExceeded, "auth_failures"));
        assert_eq!(ask(&early), Flow::Continue, "a token that was good is remembered");
    }
}
