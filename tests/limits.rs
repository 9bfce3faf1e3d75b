//! Limits as clients meet them: fields on every answer, a 429 that says when to come back, and a budget that concurrent
//! requests can't overdraw.

#[path = "support/lib.rs"]
mod support;

use support::Stack;
use support::stack::Wishes;
use tokio::time::Instant;

async fn limited(limit: &str, burst: &str) -> Stack {
    let gateway = vec![("ADDRGATE_LIMIT", limit.to_owned()), ("ADDRGATE_BURST", burst.to_owned())];
    Stack::with(Wishes { gateway, ..Wishes::default() }).await
}

const SEARCH: &str = "/api/v1/addresses/search?q=5+firebrace+street+horsham";

#[tokio::test]
async fn every_answer_with_a_key_tells_of_the_limit_and_the_last_says_when_to_come_back() {
    let stack = limited("1000/15m", "5/1m").await;
    for left in (0..5).rev() {
        let reply = stack.client.get(SEARCH).await;
        assert_eq!(reply.status, 200, "hits count too: {}", reply.text());
        assert_eq!(reply.header("x-ratelimit-limit"), "5");
        assert_eq!(reply.header("x-ratelimit-remaining"), left.to_string());
        assert!(reply.header("x-ratelimit-reset").parse::<i64>().unwrap() > 1_700_000_000);
    }
    let reply = stack.client.get(SEARCH).await;
    assert_eq!((reply.status, reply.code().as_str()), (429, "RATE_LIMIT_EXCEEDED"));
    reply.assert_envelope();
    let wait: u64 = reply.header("retry-after").parse().unwrap();
    assert!((1..=14).contains(&wait), "{wait}");
    let details = &reply.json()["error"]["details"];
    assert_eq!((details["limit"].as_u64(), details["remaining"].as_u64()), (Some(5), Some(0)));
    assert!(details["resetTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{details}");
    assert_eq!(reply.header("x-ratelimit-remaining"), "0");
    // Where no key is needed none is limited.
    for _ in 0..10 {
        assert_eq!(stack.client.get("/api/v1/health/live").await.status, 200);
    }
    stack.stop().await;
}

#[tokio::test]
async fn two_thousand_at_once_get_exactly_the_budget() {
    let stack = limited("100/15m", "1000000/1m").await;
    let begun = Instant::now();
    assert_eq!(stack.client.get(SEARCH).await.status, 200);
    let mut asked = tokio::task::JoinSet::new();
    for worker in 0..20 {
        let client = stack.client.clone();
        asked.spawn(async move {
            let mut statuses = Vec::with_capacity(100);
            for _ in 0..100 {
                let reply = client.get(SEARCH).await;
                assert!(matches!(reply.status, 200 | 429), "{worker}: {}", reply.text());
                statuses.push(reply.status);
            }
            statuses
        });
    }
    let statuses = asked.join_all().await.concat();
    let admitted = statuses.iter().filter(|status| **status == 200).count();
    // One every nine seconds comes back meanwhile.
    let most = 99 + begun.elapsed().as_secs() as usize / 9;
    assert!((99..=most).contains(&admitted), "{admitted} of {}, at most {most}", statuses.len());
    stack.stop().await;
}
