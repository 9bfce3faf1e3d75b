use rstest::rstest;

use super::*;
use crate::client::Client;
use crate::head::Headers;

/// A client of each test's own, because the accounts are the process's.
fn client(name: &str, limits: Option<&[&str]>) -> Option<Arc<Client>> {
    let limits = limits.map(|limits| limits.iter().map(|text| text.parse().unwrap()).collect());
    Some(Arc::new(Client { name: name.into(), limits, ..Client::default() }))
}

fn filter(mode: Mode, client: &[&str], address: &[&str]) -> RateLimit {
    let rates = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    RateLimit::new(&Config { mode, client: rates(client), address: rates(address), headers: Fields::Both }).unwrap()
}

fn ask(filter: &RateLimit, client: &Option<Arc<Client>>, peer: &str) -> (Flow, Verdict) {
    let mut head = Head::new("GET", "/", Headers::Raw(&[]));
    head.peer = peer.parse().ok();
    let mut verdict = Verdict { client: client.clone(), ..Verdict::default() };
    (filter.request(&head, &mut verdict), verdict)
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
    assert!(cause.retry_after.unwrap() <= Duration::from_secs(20));
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
        reset: DateTime::UNIX_EPOCH + Duration::from_secs(42),
        full_in: Duration::from_millis(12_500),
        fields: Fields::Both,
    };
    let mut fields = Vec::new();
    standing.write(|name, value| fields.push(format!("{name}: {value}")));
    assert_eq!(
        fields,
        [
            "x-ratelimit-limit: 100",
            "x-ratelimit-remaining: 7",
            "x-ratelimit-reset: 42",
            "ratelimit-policy: \"default\";q=100;w=60",
            "ratelimit: \"default\";r=7;t=12",
        ]
    );
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
