//! A second request beside one that stays unanswered.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use support::gateway::plain;
use support::origin::pause;
use support::{Answer, Gateway, Origin, until};
use tokio::time::{Duration, Instant};

/// The first of each target is stuck for three seconds.
async fn stuck(asked: support::origin::Asked, firsts: Arc<AtomicUsize>) -> Answer {
    let slow = asked.target.contains("slow") && firsts.fetch_add(1, Ordering::SeqCst) == 0;
    pause(if slow { 3000 } else { 10 }).await;
    Answer::json(format!("{{\"slow\":{slow}}}"))
}

fn hedged(origins: &[&Origin], more: &str) -> String {
    let places: Vec<String> = origins.iter().map(|origin| format!("\"{}\"", origin.place)).collect();
    plain("ORIGIN")
        .replace("\"ORIGIN\"", &places.join(", "))
        .replace("    answers: any\n", "    answers: any\n    hedge: 200ms\n")
        + more
}

#[tokio::test]
async fn the_second_answers_where_the_first_is_stuck() {
    let firsts = Arc::new(AtomicUsize::new(0));
    let handler = {
        let firsts = Arc::clone(&firsts);
        move |asked| stuck(asked, Arc::clone(&firsts))
    };
    let (one, other) = (Origin::start(handler.clone()).await, Origin::start(handler).await);
    let gateway = Gateway::start(&hedged(&[&one, &other], "")).await;
    let won = "addrgate_hedges_total{outcome=\"won\",upstream=\"origin\"}";

    let begun = Instant::now();
    let reply = gateway.client.get("/slow").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"slow":false}"#));
    assert!((200..1500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    assert_eq!((one.count("/slow"), other.count("/slow")), (1, 1), "each address was asked once");
    assert_eq!(gateway.metric(won).await, 1.0);
    assert_eq!(gateway.client.get("/slow").await.header("x-cache"), "HIT");

    firsts.store(0, Ordering::SeqCst);
    let reply = gateway.client.post("/read/slow", &json!({"a": 1})).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"slow":false}"#));
    let bodies = [&one, &other].map(|origin| origin.asked().into_iter().find(|a| a.method == "POST").unwrap().body);
    assert_eq!(bodies, [b"{\"a\":1}".to_vec(), b"{\"a\":1}".to_vec()]);

    // What is answered in time is asked once, and so is what changes something.
    assert_eq!(gateway.client.get("/fast").await.status, 200);
    assert_eq!(one.count("/fast") + other.count("/fast"), 1);
    firsts.store(0, Ordering::SeqCst);
    let begun = Instant::now();
    let reply = gateway.client.send(gateway.client.request("PUT", "/slow-put").body("x")).await;
    assert_eq!(reply.text(), r#"{"slow":true}"#);
    assert!(begun.elapsed() >= Duration::from_secs(3));
    assert_eq!(one.count("/slow-put") + other.count("/slow-put"), 1);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn the_budget_and_the_places_bound_second_requests() {
    let origin = Origin::start(|_| async {
        pause(400).await;
        Answer::json("{}")
    })
    .await;
    let gateway = Gateway::start(&hedged(&[&origin], "retries: { share: 0%, minimum: 3, window: 60s }\n")).await;
    let mut all = tokio::task::JoinSet::new();
    for i in 0..40 {
        let client = gateway.client.clone();
        all.spawn(async move { client.get(&format!("/{i}")).await.status });
    }
    assert!(all.join_all().await.iter().all(|status| *status == 200));
    assert!(origin.asked().len() <= 43, "{} requests for 40", origin.asked().len());
    until("the others were denied", || async {
        gateway.metric("addrgate_hedges_total{outcome=\"denied\",upstream=\"origin\"}").await >= 37.0
    })
    .await;
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn the_second_stands_in_where_the_first_hangs_up() {
    let number = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start(move |_| {
        let number = number.fetch_add(1, Ordering::SeqCst);
        async move {
            pause(if number == 0 { 400 } else { 600 }).await;
            if number == 0 { Answer::HangUp } else { Answer::json("{}") }
        }
    })
    .await;
    let gateway = Gateway::start(&hedged(&[&origin], "")).await;
    assert_eq!(gateway.client.get("/a").await.status, 200);
    assert_eq!(origin.count("/a"), 2);
    gateway.stop(&[]).await;
}
