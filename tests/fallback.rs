//! What clients get when the upstream can't answer: a second try, the fallback, an answer that is kept, or a refusal that
//! says when to come back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use support::origin::pause;
use support::{Answer, Client, Gateway, Origin, free_port, project, until};

/// An origin that says who it is, and fails on demand.
async fn named(name: &'static str) -> (Origin, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let origin = Origin::start(move |_| {
        let fails = failing.load(Ordering::SeqCst);
        async move {
            let answer = Answer::json(format!("{{\"from\": \"{name}\"}}")).with("cache-control", "max-age=3600");
            if fails { answer.status(500) } else { answer }
        }
    })
    .await;
    (origin, fails)
}

fn profile() -> String {
    std::fs::read_to_string(project("tests/traffic/gateway.yaml")).unwrap()
}

async fn with_fallback(primary: &str, fallback: &str) -> (Gateway, Client) {
    let gateway = Gateway::with(&profile(), &[("UPSTREAM", primary), ("FALLBACK", fallback)]).await;
    let client = gateway.client.with_key("demo-interactive");
    (gateway, client)
}

async fn force(gateway: &Gateway, state: &str) {
    let reply = gateway.admin("PUT", "/admin/v1/breakers/origin", Some(json!({ "state": state }))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn the_profile_starts_with_nothing_but_listen_admin_and_upstream() {
    let (primary, _) = named("primary").await;
    let gateway = Gateway::with(&profile(), &[("UPSTREAM", &primary.place), ("ADMIN_TOKEN", "")]).await;
    let limited = gateway.client.with_key("demo-small");
    let reply = limited.get("/a").await;
    assert_eq!((reply.status, reply.header("x-ratelimit-limit")), (200, "100"));
    assert_eq!(limited.get("/a").await.header("x-cache"), "HIT");
    assert_eq!(limited.get("/nocache/a").await.header("x-cache"), "BYPASS");
    assert_eq!(gateway.client.get("/a").await.status, 401, "another key");
    assert_eq!(gateway.admin("GET", "/metrics", None).await.status, 403, "without a token there is no admin");
    gateway.stop(&["admin"]).await;
}

#[tokio::test]
async fn a_failure_before_the_deadline_is_answered_by_the_fallback_and_marked() {
    let ((primary, fails), (fallback, _)) = (named("primary").await, named("fallback").await);
    let (gateway, client) = with_fallback(&primary.place, &fallback.place).await;
    let reply = client.get("/nocache/a").await;
    assert_eq!((reply.json()["from"].as_str(), reply.header("x-source")), (Some("primary"), ""));
    fails.store(true, Ordering::SeqCst);
    let reply = client.get("/nocache/a").await;
    assert_eq!((reply.json()["from"].as_str(), reply.header("x-source")), (Some("fallback"), "fallback"));
    let reply = client.post("/nocache/a", &json!({})).await;
    assert_eq!(reply.status, 500, "what may have been done is not asked of another");
    gateway.stop(&[]).await;

    let nowhere = format!("127.0.0.1:{}", free_port());
    let (gateway, client) = with_fallback(&nowhere, &fallback.place).await;
    let reply = client.get("/nocache/a").await;
    assert_eq!((reply.status, reply.header("x-source")), (200, "fallback"), "nobody listens at the primary");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn while_the_breaker_is_open_the_primary_is_left_alone() {
    let ((primary, fails), (fallback, _)) = (named("primary").await, named("fallback").await);
    let (gateway, client) = with_fallback(&primary.place, &fallback.place).await;
    fails.store(true, Ordering::SeqCst);
    until("the breaker is open", || async {
        assert_eq!(client.get("/nocache/a").await.status, 200, "nobody notices");
        gateway.admin("GET", "/admin/v1/breakers/origin", None).await.json()["state"] == "open"
    })
    .await;
    force(&gateway, "open").await;
    let asked = primary.asked().len();
    for _ in 0..20 {
        assert_eq!(client.get("/nocache/a").await.header("x-source"), "fallback");
    }
    assert_eq!(primary.asked().len(), asked);
    assert!(gateway.metric("addrgate_fallbacks_total{upstream=\"fallback\"}").await >= 20.0);
    fails.store(false, Ordering::SeqCst);
    force(&gateway, "auto").await;
    until("the primary answers again", || async { client.get("/nocache/a").await.header("x-source").is_empty() }).await;
    gateway.stop(&["a breaker opened", "level of degradation"]).await;
}

#[tokio::test]
async fn what_a_fallback_answered_is_kept_for_a_minute_at_most() {
    let ((primary, fails), (fallback, _)) = (named("primary").await, named("fallback").await);
    fails.store(true, Ordering::SeqCst);
    let text = profile().replace("lifetimes: { jitter: 0 }", "lifetimes: { jitter: 0, fallback: 1s }");
    let gateway = Gateway::with(&text, &[("UPSTREAM", &primary.place), ("FALLBACK", &fallback.place)]).await;
    let client = gateway.client.with_key("demo-interactive");
    for word in ["MISS", "HIT"] {
        let reply = client.get("/a").await;
        assert_eq!((reply.header("x-cache"), reply.header("x-source")), (word, "fallback"), "an hour, by its own word");
    }
    fails.store(false, Ordering::SeqCst);
    pause(1200).await;
    until("the primary's answer is there", || async { client.get("/a").await.header("x-source").is_empty() }).await;
    assert_eq!(client.get("/a").await.json()["from"], "primary");
    gateway.stop(&[]).await;

    let (gateway, client) = with_fallback("127.0.0.1:1", &fallback.place).await;
    let reply = client.get("/a").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let status = reply.header("cache-status").to_owned();
    let left = status.split("ttl=").nth(1).and_then(|rest| rest.split(';').next()?.parse::<u64>().ok());
    assert!(left.is_some_and(|left| (55..=60).contains(&left)), "{status}");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn where_both_are_down_the_refusal_says_when_to_come_back() {
    let nowhere = || format!("127.0.0.1:{}", free_port());
    let (gateway, client) = with_fallback(&nowhere(), &nowhere()).await;
    let reply = client.get("/nocache/a").await;
    assert_eq!((reply.status, reply.code().as_str()), (503, "SERVICE_UNAVAILABLE"), "{}", reply.text());
    assert_eq!(reply.json()["error"]["details"]["reason"], "upstream_down");
    assert!(!reply.header("retry-after").is_empty());
    reply.assert_envelope();
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_fallback_stands_in_no_more_often_than_its_budget_allows() {
    let ((primary, fails), (fallback, _)) = (named("primary").await, named("fallback").await);
    fails.store(true, Ordering::SeqCst);
    let text = profile()
        .replace("    addresses: [\"${FALLBACK:-}\"]", "    addresses: [\"${FALLBACK:-}\"]\n    stand_in: 3/1m");
    let gateway = Gateway::with(&text, &[("UPSTREAM", &primary.place), ("FALLBACK", &fallback.place)]).await;
    let client = gateway.client.with_key("demo-interactive");
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(client.get("/nocache/a").await.status);
    }
    assert_eq!(statuses, [200, 200, 200, 500, 500, 500]);
    assert_eq!(gateway.admin("POST", "/admin/v1/reload", None).await.status, 200);
    assert_eq!(client.get("/nocache/a").await.status, 500, "a reload is no new budget");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn where_the_primary_is_not_known_the_fallback_answers() {
    let (fallback, _) = named("fallback").await;
    let (gateway, client) = with_fallback("nowhere.invalid:80", &fallback.place).await;
    let reply = client.get("/nocache/a").await;
    assert_eq!((reply.status, reply.header("x-source")), (200, "fallback"), "{}", reply.text());
    assert_eq!(gateway.metric("addrgate_refused_total").await, 0.0, "it was answered");
    gateway.stop(&["can't be resolved", "a breaker opened", "level of degradation"]).await;
}

#[tokio::test]
async fn a_level_that_asks_the_fallback_asks_the_primary_where_that_is_down() {
    let ((primary, _), (fallback, _)) = (named("primary").await, named("fallback").await);
    let text = profile() + "degrade: { reduced: { enter: { delay: 50ms }, effects: [fallback] } }\n";
    let gateway = Gateway::with(&text, &[("UPSTREAM", &primary.place), ("FALLBACK", &fallback.place)]).await;
    let open = Some(json!({"state": "open"}));
    assert_eq!(gateway.admin("PUT", "/admin/v1/breakers/fallback", open).await.status, 200);
    let level = json!({"level": "reduced", "for": "1m"});
    assert_eq!(gateway.admin("PUT", "/admin/v1/degradation", Some(level)).await.status, 200);
    let reply = gateway.client.with_key("demo-interactive").get("/nocache/a").await;
    assert!(reply.status == 200 && reply.text().contains("primary"), "{}", reply.text());
    gateway.stop(&["level of degradation", "breaker"]).await;
}

#[tokio::test]
async fn a_level_can_send_requests_to_the_fallback() {
    let ((primary, _), (fallback, _)) = (named("primary").await, named("fallback").await);
    let effects = "degrade: { reduced: { enter: { delay: 50ms }, effects: [fallback] } }\n";
    let text = profile() + effects;
    let gateway = Gateway::with(&text, &[("UPSTREAM", &primary.place), ("FALLBACK", &fallback.place)]).await;
    let client = gateway.client.with_key("demo-interactive");
    let level = json!({"level": "reduced", "for": "1m"});
    assert_eq!(gateway.admin("PUT", "/admin/v1/degradation", Some(level)).await.status, 200);
    assert_eq!(client.get("/nocache/a").await.header("x-source"), "fallback");
    assert_eq!(primary.asked().len(), 0);
    gateway.stop(&["level of degradation"]).await;
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_tried_once_more_and_a_refusal_never() {
    let origin = Origin::start(|asked| async move {
        match asked.target.as_str() {
            // Over the connection that the first request has left.
            "/nocache/closed" if asked.number == 2 => Answer::HangUp,
            "/nocache/always" => Answer::HangUp,
            "/nocache/refused" => Answer::json("{}").status(503),
            _ => Answer::json("{}"),
        }
    })
    .await;
    let gateway = Gateway::with(&profile(), &[("UPSTREAM", &origin.place)]).await;
    let client = gateway.client.with_key("demo-interactive");
    assert_eq!(client.get("/nocache/first").await.status, 200);
    assert_eq!(client.get("/nocache/closed").await.status, 200);
    assert_eq!(origin.count("/nocache/closed"), 2);
    assert_eq!(gateway.metric("addrgate_retries_total{upstream=\"origin\"}").await, 1.0);
    assert_eq!(client.get("/nocache/refused").await.status, 503);
    assert_eq!(origin.count("/nocache/refused"), 1, "an answer is an answer");
    let reply = client.get("/nocache/always").await;
    assert_eq!(reply.json()["error"]["details"]["reason"], "upstream_closed");
    assert!(origin.count("/nocache/always") <= 2, "once more at most");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn second_tries_stay_within_their_budget() {
    let text =
        profile().replace("breaker:\n", "retries: { share: 10%, minimum: 3, window: 1m }\nbreaker:\n  mode: observe\n");
    let nowhere = format!("127.0.0.1:{}", free_port());
    let gateway = Gateway::with(&text, &[("UPSTREAM", &nowhere)]).await;
    let client = gateway.client.with_key("demo-interactive");
    for _ in 0..100 {
        assert_eq!(client.get("/nocache/a").await.status, 503);
    }
    let retries = gateway.metric("addrgate_retries_total{upstream=\"origin\"}").await;
    assert!((3.0..=11.0).contains(&retries), "{retries} of 100");
    gateway.stop(&["breaker", "level of degradation"]).await;
}

#[tokio::test]
async fn what_is_kept_goes_out_stale_where_breaker_or_queue_refuses() {
    let origin = Origin::start(|asked| async move {
        pause(if asked.target.contains("slow") { 3000 } else { 0 }).await;
        Answer::json("{}").with("cache-control", "max-age=1, stale-while-revalidate=0, stale-if-error=60")
    })
    .await;
    let text = profile().replace("  ceiling: 30\n", "  ceiling: 1\n  floor: 1\n  size: 0\n");
    let gateway = Gateway::with(&text, &[("UPSTREAM", &origin.place)]).await;
    let client = gateway.client.with_key("demo-interactive");
    assert_eq!(client.get("/kept").await.status, 200);
    pause(1200).await;

    force(&gateway, "open").await;
    let stale = client.get("/kept").await;
    assert_eq!((stale.status, stale.header("x-cache")), (200, "STALE"), "the breaker refuses");
    let miss = client.get("/new").await;
    assert_eq!((miss.status, &miss.json()["error"]["details"]["reason"]), (503, &json!("breaker_forced_open")));
    force(&gateway, "closed").await;

    let slow = {
        let client = client.clone();
        tokio::spawn(async move { client.get("/nocache/slow").await.status })
    };
    until("the only place is taken", || async { origin.count("/nocache/slow") == 1 }).await;
    let stale = client.get("/kept").await;
    assert_eq!((stale.status, stale.header("x-cache")), (200, "STALE"), "the queue refuses");
    let miss = client.get("/new").await;
    assert_eq!((miss.status, &miss.json()["error"]["details"]["reason"]), (503, &json!("queue_full")));
    slow.abort();
    gateway.stop(&[]).await;
}
