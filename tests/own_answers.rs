//! What the gateway answers by itself on its public listener.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use support::gateway::plain;
use support::{Answer, Gateway, Origin};

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
async fn metrics_on_a_route_tell_how_it_is_now() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let gateway = Gateway::start(&with_route(&origin.place, "answer: metrics")).await;
    let text = gateway.client.get("/own").await.text();
    for line in ["addrgate_in_flight 1", "addrgate_breaker_state{breaker=\"origin\"} 0"] {
        assert!(text.lines().any(|found| found == line), "no {line} in {text}");
    }
    gateway.stop(&[]).await;
}
