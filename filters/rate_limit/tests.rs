use rstest::rstest;

use super::*;
use crate::client::Client;
use crate::http::head::Headers;
use crate::route::{Route, Routes};
use crate::traffic::leases::OnError;

/// A client of each test's own, because the accounts are the process's.
fn client(name: &str, limits: Option<&[&str]>) -> Option<Arc<Client>> {
    let limits = limits.map(|limits| limits.iter().map(|text| text.parse().unwrap()).collect());
    Some(Arc::new(Client { name: name.into(), limits, ..Client::default() }))
}

fn filter(mode: Mode, client: &[&str], address: &[&str]) -> RateLimit {
    let rates = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let headers = Fields::Both;
    let config = Config { mode, client: rates(client), address: rates(address), headers, ..Config::default() };
    RateLimit::new(&config).unwrap()
}

fn ask(filter: &RateLimit, client: &Option<Arc<Client>>, peer: &str) -> (Flow, Verdict) {
    ask_route(filter, client, peer, None)
}

fn ask_route(
    filter: &RateLimit,
    client: &Option<Arc<Client>>,
    address: &str,
    route: Option<&Arc<Route>>,
) -> (Flow, Verdict) {
    let (client, address) = (client.clone(), address.parse().ok());
    let mut verdict = Verdict { client, address, route: route.cloned(), ..Verdict::default() };
    (filter.request(&Head::new("GET", "/", Headers::Raw(&[])), &mut verdict), verdict)
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_the_smallest_of_all_limits_and_comes_back() {
    let filter = filter(Mode::Enforce, &["10/15m", "3/1m"], &[]);
    let who = client("smallest", None);
    for left in [2, 1, 0] {
        let (flow, verdict) = ask(&filter, &who, "192.0.2.1");
        assert_eq!((flow, verdict.limit.unwrap().remaining), (Flow::Continue, left));
    }
    let (Flow::Reply(cause), verdict) = ask(&filter, &who, "192.0.2.1") else { panic!("allowed") };
    assert_eq!((cause.code, cause.reason, cause.status()), (Code::RateLimitExceeded, "client_limit", 429));
    assert_eq!((cause.details["limit"].as_u64(), cause.details["remaining"].as_u64()), (Some(3), Some(0)));
    let wait = cause.retry_after.unwrap().as_secs();
    assert!((20..=22).contains(&wait), "twenty seconds, and up to a tenth later: {wait}");
    assert_eq!(verdict.limit.unwrap().rate.count, 3);
    // A refusal costs nothing of the other budget: seven of ten are left, three a minute.
    let mut passed = 0;
    for _ in 0..30 {
        tokio::time::advance(Duration::from_secs(20)).await;
        passed += usize::from(ask(&filter, &who, "192.0.2.1").0 == Flow::Continue);
    }
    assert_eq!(passed, 7 + 6, "seven that were left and one for each of six times ninety seconds");
}

#[test]
fn clients_and_addresses_do_not_share() {
    let filter = filter(Mode::Enforce, &["1/1h"], &[]);
    for name in ["share-a", "share-b"] {
        let who = client(name, None);
        assert_eq!(ask(&filter, &who, "192.0.2.1").0, Flow::Continue);
        assert_ne!(ask(&filter, &who, "192.0.2.2").0, Flow::Continue);
    }
    let own = client("share-own", Some(&["2/1h"]));
    assert_eq!(ask(&filter, &own, "192.0.2.1").0, Flow::Continue);
    assert_eq!(ask(&filter, &own, "192.0.2.1").0, Flow::Continue, "its own limit stands in for the general one");
    assert_ne!(ask(&filter, &own, "192.0.2.1").0, Flow::Continue);
}

#[test]
fn an_address_is_limited_with_a_key_or_without() {
    let filter = filter(Mode::Enforce, &[], &["2/1h"]);
    assert_eq!(ask(&filter, &None, "2001:db8:1:2::1").0, Flow::Continue);
    assert_eq!(ask(&filter, &client("any", None), "2001:db8:1:2:ffff::9").0, Flow::Continue);
    let (Flow::Reply(cause), _) = ask(&filter, &None, "2001:db8:1:2:1::3") else { panic!("allowed") };
    assert_eq!(cause.reason, "address_limit");
    assert_eq!(ask(&filter, &None, "2001:db8:1:3::1").0, Flow::Continue, "another /64");
    assert_eq!(ask(&filter, &None, "::ffff:198.51.100.1").0, Flow::Continue);
    assert_eq!(ask(&filter, &None, "198.51.100.1").0, Flow::Continue);
    assert_ne!(ask(&filter, &None, "198.51.100.1").0, Flow::Continue, "a mapped address is the IPv4 one");
}

fn route(name: &str, limits: serde_json::Value) -> Arc<Route> {
    let route = serde_json::json!([{"name": name, "paths": ["/"], "limits": limits}]);
    Arc::clone(&Routes::new(serde_json::from_value(route).unwrap()).unwrap().list()[0])
}

#[test]
fn a_route_has_limits_of_its_own_besides_the_others() {
    let filter = filter(Mode::Enforce, &["3/1h"], &[]);
    let limits = serde_json::json!({"client": ["1/1h"], "address": ["2/1h"]});
    let (one, other) = (route("scope-one", limits.clone()), route("scope-other", limits));
    let who = client("scoped", None);
    assert_eq!(ask_route(&filter, &who, "192.0.2.10", Some(&one)).0, Flow::Continue);
    let (Flow::Reply(cause), verdict) = ask_route(&filter, &who, "192.0.2.10", Some(&one)) else { panic!("allowed") };
    assert_eq!((cause.reason, verdict.limit.unwrap().rate.count), ("client_route_limit", 1));
    assert!(cause.message.contains("to this endpoint"), "{}", cause.message);
    assert_eq!(ask_route(&filter, &who, "192.0.2.10", Some(&other)).0, Flow::Continue, "each route counts alone");
    assert_eq!(ask(&filter, &who, "192.0.2.10").0, Flow::Continue, "no refusal cost anything");
    assert_ne!(ask(&filter, &who, "192.0.2.10").0, Flow::Continue, "the limit of all routes holds too");
    let free = client("scoped-free", Some(&[]));
    assert_eq!(ask_route(&filter, &free, "192.0.2.11", Some(&one)).0, Flow::Continue);
    assert_ne!(ask_route(&filter, &free, "192.0.2.11", Some(&one)).0, Flow::Continue, "no limits, but the route's");
    let ask_open = || ask_route(&filter, &None, "2001:db8:9::1", Some(&one)).0;
    assert_eq!([ask_open(), ask_open()], [Flow::Continue, Flow::Continue]);
    let Flow::Reply(cause) = ask_open() else { panic!("allowed") };
    assert_eq!(cause.reason, "address_route_limit");
}

#[test]
fn observing_only_counts_and_a_refresh_counts_for_no_one() {
    let filter = filter(Mode::Observe, &["1/1h"], &[]);
    let who = client("observed", None);
    assert!(ask(&filter, &who, "192.0.2.1").1.observed.is_empty());
    let (flow, verdict) = ask(&filter, &who, "192.0.2.1");
    assert_eq!((flow, verdict.observed), (Flow::Continue, vec![("rate_limit", "client_limit")]));
    let mut refresh = Verdict { client: who, background: true, ..Verdict::default() };
    assert_eq!(filter.request(&Head::new("GET", "/", Headers::Raw(&[])), &mut refresh), Flow::Continue);
    assert!(refresh.limit.is_none() && refresh.observed.is_empty());
}

#[test]
fn fields_of_both_kinds() {
    let standing = Standing {
        rate: "100/1m".parse().unwrap(),
        remaining: 7,
        // One comes back each 600 ms.
        full_in: Duration::from_millis(92 * 600 + 500),
        fields: Fields::Both,
    };
    let mut fields = Vec::new();
    let now = std::time::UNIX_EPOCH + Duration::from_millis(1_300);
    standing.write(now, |name, value| fields.push(format!("{name}: {value}")));
    assert_eq!(
        fields,
        [
            "x-ratelimit-limit: 100",
            "x-ratelimit-remaining: 7",
            "x-ratelimit-reset: 57",
            "ratelimit-policy: \"default\";q=100;w=60",
            "ratelimit: \"default\";r=7;t=1",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_keeps_the_budgets_it_has_found() {
    let (filter, who) = (filter(Mode::Enforce, &["3/1h"], &[]), client("kept", None));
    let mut verdict = Verdict::default();
    let mut ask = |filter: &RateLimit, who: &Option<Arc<Client>>| {
        verdict.clear();
        verdict.client = who.clone();
        filter.request(&Head::new("GET", "/", Headers::Raw(&[])), &mut verdict);
        verdict.limit.map(|limit| limit.remaining)
    };
    assert_eq!([ask(&filter, &who), ask(&filter, &who)], [Some(2), Some(1)]);
    assert_eq!(ask(&filter, &client("kept-other", None)), Some(2), "another client on the same connection");
    assert_eq!(ask(&filter, &client("kept", None)), Some(0), "the same after a reload");
    let wider = super::tests::filter(Mode::Enforce, &["5/1h"], &[]);
    assert_eq!(ask(&wider, &who), Some(4), "another limit");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(ask(&wider, &who), Some(3), "looked for again");
}

/// An instance of its own, with nobody to ask.
fn shared(on_error: OnError, mode: Mode) -> RateLimit {
    let config = Config { mode, client: vec!["100/15m".parse().unwrap()], shared: true, on_error, ..Config::default() };
    RateLimit::new(&config).unwrap().over(Arc::default())
}

#[tokio::test(start_paused = true)]
async fn who_finds_nothing_at_hand_waits_for_an_answer_but_not_for_ever() {
    let filter = shared(OnError::Local, Mode::Enforce);
    filter.accounts.leases().set_instances(2);
    let who = client("waiting", None);
    let begin = Instant::now();
    let (flow, mut verdict) = ask(&filter, &who, "192.0.2.1");
    assert_eq!((flow, begin.elapsed()), (Flow::Continue, Duration::ZERO), "the filter itself never waits");
    assert!(verdict.waiting.is_some() && verdict.limit.is_none());
    assert_eq!(filter.settle(&mut verdict).await, Flow::Continue);
    assert_eq!(begin.elapsed(), Duration::from_millis(100));
    assert!(verdict.limit.is_some());
    // From now on nobody waits, and the local share is allowed.
    let allowed = (0..100).filter(|_| {
        let (flow, verdict) = ask(&filter, &who, "192.0.2.1");
        assert!(verdict.waiting.is_none());
        flow == Flow::Continue
    });
    assert_eq!(allowed.count(), 49);
    assert_eq!(begin.elapsed(), Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_the_wait_and_a_drop_is_a_failure() {
    for (granted, on_error, expected) in
        [(true, OnError::Deny, None), (false, OnError::Deny, Some("limits_away")), (false, OnError::Allow, None)]
    {
        let filter = shared(on_error, Mode::Enforce);
        let (flow, mut verdict) = ask(&filter, &client("answered", None), "192.0.2.1");
        assert_eq!(flow, Flow::Continue);
        let mut asks = filter.accounts.leases().asks().unwrap();
        assert!(filter.accounts.leases().asks().is_none(), "one task asks");
        let begin = Instant::now();
        let answer = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let ask = asks.next().await;
            assert!(ask.key().starts_with("lease:1:") && ask.key().len() == 40, "{}", ask.key());
            assert_eq!(ask.arguments(), [900_000_000, 100, 0, 2, 2]);
            if granted {
                ask.leased((2, 18_000_000, 0));
            }
        };
        let (flow, ()) = tokio::join!(filter.settle(&mut verdict), answer);
        assert_eq!(begin.elapsed(), Duration::from_millis(10));
        match (flow, expected) {
            (Flow::Continue, None) => {}
            (Flow::Reply(cause), Some(reason)) => {
                assert_eq!(
                    (cause.reason, cause.status(), cause.retry_after),
                    (reason, 503, Some(Duration::from_secs(1)))
                );
            }
            other => panic!("{other:?}"),
        }
        if granted {
            assert_eq!(verdict.limit.unwrap().remaining, 99);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_limit_refuses_and_what_was_leased_elsewhere_is_given_back() {
    let filter = shared(OnError::Deny, Mode::Enforce);
    let who = client("both", Some(&["100/15m", "50/1m"]));
    let mut asks = filter.accounts.leases().asks().unwrap();
    let (_, mut verdict) = ask(&filter, &who, "192.0.2.1");
    let answers = async {
        for _ in 0..2 {
            let ask = asks.next().await;
            let empty = ask.arguments()[1] == 50;
            ask.leased(if empty { (0, 60_000_000, 1_200_000) } else { (2, 18_000_000, 0) });
        }
    };
    let (flow, ()) = tokio::join!(filter.settle(&mut verdict), answers);
    let Flow::Reply(cause) = flow else { panic!("{flow:?}") };
    assert_eq!((cause.reason, cause.details["limit"].as_u64()), ("client_limit", Some(50)));
    assert_eq!(verdict.limit.unwrap().remaining, 0);
    // Both tokens lie idle, and are given back.
    let begin = Instant::now();
    let ask = asks.next().await;
    assert_eq!(ask.arguments()[2..4], [2, 0]);
    assert!((2..=3).contains(&begin.elapsed().as_secs()), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_while_waiting_takes_nothing_along() {
    let filter = shared(OnError::Deny, Mode::Enforce);
    let who = client("left", Some(&["100/15m", "50/1m"]));
    let mut asks = filter.accounts.leases().asks().unwrap();
    let (_, mut verdict) = ask(&filter, &who, "192.0.2.1");
    let mut waiting = Box::pin(filter.settle(&mut verdict));
    assert!(futures::poll!(&mut waiting).is_pending());
    let ask = asks.next().await;
    ask.leased((2, 18_000_000, 0));
    assert!(futures::poll!(&mut waiting).is_pending(), "one of two limits");
    drop(waiting);
    drop(asks.next().await);
    assert_eq!(asks.next().await.arguments()[2..4], [2, 0], "both tokens come back");
}

#[tokio::test(start_paused = true)]
async fn who_observes_never_waits() {
    let filter = shared(OnError::Deny, Mode::Observe);
    let (flow, verdict) = ask(&filter, &client("observer", None), "192.0.2.1");
    assert_eq!((flow, verdict.waiting.is_none()), (Flow::Continue, true));
}

#[tokio::test(start_paused = true)]
async fn more_questions_than_the_task_can_take_fail_at_once() {
    let filter = shared(OnError::Local, Mode::Enforce);
    for n in 0..4096 {
        assert!(ask(&filter, &client(&format!("many-{n}"), None), "192.0.2.1").1.waiting.is_some());
    }
    let (flow, verdict) = ask(&filter, &client("one-more", None), "192.0.2.1");
    assert_eq!((flow, verdict.waiting.is_none()), (Flow::Continue, true));
}

#[rstest]
#[case("1/2d", "longer than a day")]
#[case("2000/1ms", "")]
fn limits_that_make_no_sense(#[case] rate: &str, #[case] message: &str) {
    let config = Config { client: vec![rate.parse().unwrap()], ..Config::default() };
    match RateLimit::new(&config) {
        Ok(_) => assert!(message.is_empty()),
        Err(error) => assert!(!message.is_empty() && error.contains(message), "{error}"),
    }
}
