//! What is asked most is there again before anybody asks: after a purge of everything, at the start, when told to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use serde_json::json;
use support::gateway::plain;
use support::origin::pause;
use support::redis::Redis;
use support::{Answer, Gateway, Origin, until};

async fn counting() -> Origin {
    Origin::start(|asked| async move {
        Answer::json(format!("{} {}", asked.number, String::from_utf8_lossy(&asked.body)))
            .with("cache-control", "max-age=600")
    })
    .await
}

/// Five paths and a body-keyed request, asked often; another one, asked once.
async fn make_popular(gateway: &Gateway) {
    for _ in 0..10 {
        for n in 0..5 {
            gateway.client.get(&format!("/hot{n}")).await;
        }
        gateway.client.post_bytes("/read/hot", "{\"a\": 1}").await;
    }
    gateway.client.get("/cold").await;
}

async fn all_hot(gateway: &Gateway) {
    for n in 0..5 {
        assert_eq!(gateway.client.get(&format!("/hot{n}")).await.header("x-cache"), "HIT", "{n}");
    }
    assert_eq!(gateway.client.post_bytes("/read/hot", "{\"a\":1}").await.header("x-cache"), "HIT");
    assert_eq!(gateway.client.get("/cold").await.header("x-cache"), "MISS");
}

#[tokio::test]
async fn after_a_purge_of_everything_the_most_asked_is_fetched_again() {
    let origin = counting().await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    make_popular(&gateway).await;
    let before = origin.asked().len();
    gateway.admin("POST", "/admin/v1/cache/purge", Some(json!({"all": true}))).await;
    until("all are fetched", || async { origin.asked().len() == before + 6 }).await;
    until("warming is done", || async {
        gateway.admin("GET", "/admin/v1/status", None).await.json()["warming"]["progress"]["running"] == false
    })
    .await;
    all_hot(&gateway).await;
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn an_instance_that_starts_knows_what_the_others_know() {
    let (origin, redis) = (counting().await, Redis::start().await);
    let config = format!("{}redis: {{ urls: [\"{}\"] }}\n", plain(&origin.place), redis.url());
    // What nobody asks any more.
    redis.ask::<i64>(&["ZADD", "addrgate:{warm}:rank", "1000", "old"]).await;
    let one = Gateway::start(&config).await;
    make_popular(&one).await;
    until("the list is shared", || async { redis.ask::<i64>(&["ZCARD", "addrgate:{warm}:rank"]).await == 7 }).await;
    assert!(redis.ask::<f64>(&["ZSCORE", "addrgate:{warm}:rank", "old"]).await < 1000.0, "it fades");
    one.stop(&[]).await;
    // Only the list is left.
    for key in redis.ask::<Vec<String>>(&["KEYS", "addrgate:e:*"]).await {
        redis.ask::<i64>(&["DEL", &key]).await;
    }
    let before = origin.asked().len();
    let two = Gateway::start(&config).await;
    until("all are fetched", || async { origin.asked().len() == before + 6 }).await;
    until("warming is done", || async {
        two.admin("GET", "/admin/v1/status", None).await.json()["warming"]["progress"]["done"] == 6
    })
    .await;
    all_hot(&two).await;
    two.stop(&[]).await;
}

#[tokio::test]
async fn targets_of_the_configuration_and_of_a_call_are_fetched() {
    let origin = counting().await;
    let targets = "warm: { targets: [/start, { url: /read/start, method: POST, body: { a: 1 } }] }\n";
    // The operator's own list needs no host of `limits.hosts`.
    let hosts = "limits: { hosts: [\"127.0.0.1\"] }\n";
    let gateway = Gateway::start(&(plain(&origin.place) + targets + hosts)).await;
    until("the targets are fetched", || async {
        gateway.admin("GET", "/admin/v1/status", None).await.json()["warming"]["progress"]["done"] == 2
    })
    .await;
    assert_eq!(gateway.client.get("/start").await.header("x-cache"), "HIT");
    assert_eq!(gateway.client.post_bytes("/read/start", "{\"a\":1}").await.header("x-cache"), "HIT");

    let urls: Vec<String> = (0..50).map(|n| format!("/call{n}")).collect();
    let begun = gateway.admin("POST", "/admin/v1/cache/warm", Some(json!({"urls": urls}))).await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    until("they are fetched", || async {
        let progress = gateway.admin("GET", "/admin/v1/status", None).await.json()["warming"]["progress"].clone();
        progress == json!({"running": false, "total": 50, "done": 50, "failed": 0})
    })
    .await;
    assert_eq!(gateway.client.get("/call49").await.header("x-cache"), "HIT");
    let nothing = gateway.admin("POST", "/admin/v1/cache/warm", Some(json!({}))).await;
    assert_eq!(nothing.status, 400);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn of_many_calls_at_once_one_waits_for_all() {
    let (open, gate) = tokio::sync::watch::channel(true);
    let origin = Origin::start(move |asked| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await.unwrap();
            Answer::json(asked.number.to_string()).with("cache-control", "max-age=600")
        }
    })
    .await;
    let gateway = Gateway::start(&(plain(&origin.place) + "warm: { targets: [/start] }\n")).await;
    let warmed = || gateway.metric("addrgate_warmed_total{outcome=\"ok\"}");
    until("what is asked at the start is fetched", async || warmed().await == 1.0).await;
    make_popular(&gateway).await;
    let all: Vec<String> = (0..5).map(|n| format!("/hot{n}")).collect();
    gateway.admin("POST", "/admin/v1/cache/purge", Some(json!({"urls": all}))).await;
    open.send_replace(false);
    let before = origin.asked().len();
    for _ in 0..10 {
        gateway.admin("POST", "/admin/v1/cache/warm", Some(json!({"popular": true}))).await;
    }
    until("the first run is under way", || async { origin.asked().len() > before }).await;
    pause(200).await;
    open.send_replace(true);
    until("both runs are over", async || warmed().await >= 13.0).await;
    pause(300).await;
    assert_eq!(warmed().await, 13.0);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_stop_is_not_held_up() {
    let origin = Origin::start(|asked| async move {
        pause(200).await;
        Answer::json(asked.number.to_string())
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let urls: Vec<String> = (0..100).map(|n| format!("/call{n}")).collect();
    gateway.admin("POST", "/admin/v1/cache/warm", Some(json!({"urls": urls}))).await;
    until("it is under way", || async { !origin.asked().is_empty() }).await;
    gateway.stop(&[]).await;
    assert!(origin.asked().len() < 100, "{}", origin.asked().len());
}
