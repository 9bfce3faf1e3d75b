//! What the gateway answers by itself on its public listener.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use support::gateway::plain;
use support::redis::Redis;
use support::{Answer, Gateway, Origin, until};

/// In front of everything else.
fn with_route(origin: &str, route: &str) -> String {
    plain(origin).replace("routes:\n", &format!("routes:\n  - {{ name: own, paths: [/own], auth: none, {route} }}\n"))
}

#[tokio::test]
async fn however_many_ask_for_health_the_upstreams_are_asked_once() {
    let origin = Origin::start(|_| async {
        support::origin::pause(100).await;
        Answer::json("{\"mine\": 1}")
    })
    .await;
    let gateway = Gateway::start(&with_route(&origin.place, "answer: detailed")).await;
    let replies = futures::future::join_all((0..50).map(|_| gateway.client.get("/own"))).await;
    for reply in replies {
        let body = reply.json();
        assert_eq!(
            (reply.status, &body["status"], &body["services"]["origin"]["mine"]),
            (200, &"healthy".into(), &1.into())
        );
    }
    // Twice, should a second have passed meanwhile.
    assert!((1..=2).contains(&origin.count("/own")), "{}", origin.count("/own"));
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn no_spelling_of_the_path_asks_the_upstreams_again_and_nobody_waits_for_another() {
    let origin = Origin::start(|asked| async move {
        // Longer than health waits.
        support::origin::pause(if asked.target.starts_with("/own") { 5000 } else { 0 }).await;
        Answer::json("{}")
    })
    .await;
    let gateway = Gateway::start(&with_route(&origin.place, "answer: detailed")).await;
    let spellings = ["/own", "/own/", "/%6fwn", "/ow%6E/", "/own?x=1"];
    let begun = tokio::time::Instant::now();
    let replies = futures::future::join_all((0..40).map(|n| gateway.client.get(spellings[n % spellings.len()]))).await;
    for reply in replies {
        assert_eq!((reply.status, &reply.json()["status"]), (503, &"unhealthy".into()));
        assert!(reply.time.as_millis() < 3000, "{:?}", reply.time);
    }
    let seconds = begun.elapsed().as_secs() as usize + 1;
    let asked = origin.asked().iter().filter(|asked| asked.target.contains("wn")).count();
    assert!((1..=seconds).contains(&asked), "{asked} times in {seconds} s");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn health_says_that_redis_is_away_and_names_no_server() {
    let origin = Origin::start(|asked| async move {
        let state = if asked.target.contains("bad") { "unhealthy" } else { "healthy" };
        let body = format!(
            "{{\"status\": \"{state}\", \"checks\": {{\"cache\": {{\"status\": \"none\"}}, \"database\": 1}}}}"
        );
        Answer::json(body).status(if state == "healthy" { 200 } else { 503 })
    })
    .await;
    let mut redis = Redis::start().await;
    let place = format!("127.0.0.1:{}", redis.port);
    let routes = "routes:
  - { name: health, paths: [/health, /bad-health], auth: none, answer: health }
  - { name: detailed, paths: [/detailed], auth: none, answer: detailed }
";
    let config =
        plain(&origin.place).replace("routes:\n", routes) + &format!("redis: {{ urls: [\"redis://{place}\"] }}\n");
    let gateway = Gateway::start(&config).await;
    gateway.log_is_read().await;
    let says = async |path: &str| {
        let reply = gateway.client.get(path).await;
        let body = reply.json();
        (reply.status, body["status"].as_str().unwrap().to_owned(), body["checks"]["cache"]["status"].clone(), body)
    };
    until("a second is over", || async {
        says("/health").await.1 == "healthy" && says("/detailed").await.1 == "healthy"
    })
    .await;
    let (status, _, cache, body) = says("/health").await;
    assert_eq!((status, &cache, &body["checks"]["database"]), (200, &"healthy".into(), &1.into()));
    assert_eq!((says("/bad-health").await.0, &*says("/bad-health").await.1), (503, "unhealthy"));
    let (public, admin) = (says("/detailed").await.3, gateway.admin("GET", "/admin/v1/status", None).await.text());
    assert!(!public.to_string().contains(&place) && !public.to_string().contains(&origin.place), "{public}");
    assert!(admin.contains(&place), "{admin}");

    redis.kill();
    until("both say so", || async { says("/health").await.1 == "degraded" && says("/detailed").await.1 == "degraded" })
        .await;
    let (status, _, cache, body) = says("/health").await;
    assert_eq!((status, cache), (200, "degraded".into()), "it serves all the same: {body}");
    assert_eq!(body["checks"]["cache"]["details"]["redis"]["state"], "down");
    redis.restart().await;
    until("it is back", || async { says("/health").await.1 == "healthy" }).await;
    gateway.stop(&["Redis", "breaker", "invalidation log"]).await;
}

#[tokio::test]
async fn health_without_its_service_is_unhealthy() {
    let place = format!("127.0.0.1:{}", support::free_port());
    for kind in ["health", "detailed"] {
        let gateway = Gateway::start(&with_route(&place, &format!("answer: {kind}"))).await;
        let reply = gateway.client.get("/own").await;
        assert_eq!((reply.status, &reply.json()["status"]), (503, &"unhealthy".into()), "{}", reply.text());
        gateway.stop(&["upstream", "healthy"]).await;
    }
}

#[tokio::test]
async fn metrics_on_a_route_tell_how_it_is_now() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let gateway = Gateway::start(&with_route(&origin.place, "answer: metrics")).await;
    let text = gateway.client.get("/own").await.text();
    for line in ["addrgate_in_flight 1", "addrgate_breaker_state{breaker=\"origin\"} 0"] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
    gateway.stop(&[]).await;
}
