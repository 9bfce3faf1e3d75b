//! Another upstream is tried: copies of reads go there, and a part of the clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use serde_json::json;
use support::gateway::plain;
use support::origin::pause;
use support::{Answer, Gateway, Origin, until};

fn shadowed(origin: &Origin, next: &Origin) -> String {
    let next = &next.place;
    plain(&origin.place)
        .replace("routes:\n", &format!("  next: {{ addresses: [\"{next}\"], health: {{ interval: 60s }} }}\nroutes:\n"))
        .replace(
            "    answers: any\n",
            "    answers: any\n    upstream: origin\n    shadow: { upstream: next, share: 1 }\n",
        )
}

#[tokio::test]
async fn copies_are_compared_and_change_nothing() {
    let origin = Origin::start(|asked| async move {
        match asked.target.as_str() {
            "/large" => Answer::json(vec![b'x'; 300 << 10]),
            "/empty" => Answer::ok("").status(204),
            _ => Answer::json(r#"{"a": 1, "executionTime": 5}"#),
        }
    })
    .await;
    let next = Origin::start(|asked| async move {
        match asked.target.as_str() {
            "/same" | "/read/same" => Answer::json(r#"{"executionTime": 7, "a": 1}"#),
            "/body" => Answer::json(r#"{"a": 2, "executionTime": 5}"#),
            "/status" => Answer::json("{}").status(404),
            "/empty" => Answer::ok("").status(204),
            "/slow" => {
                pause(2000).await;
                Answer::json("{}")
            }
            _ => Answer::HangUp,
        }
    })
    .await;
    let gateway = Gateway::start(&shadowed(&origin, &next)).await;
    let outcome = async |route: &str, outcome: &str, count: f64| {
        let name = format!("addrgate_shadows_total{{outcome=\"{outcome}\",route=\"{route}\"}}");
        until(&format!("{count} of {name}"), || async { gateway.metric(&name).await == count }).await;
    };
    for path in ["/same", "/body", "/status", "/broken", "/large", "/empty"] {
        let reply = gateway.client.get(path).await;
        assert!(reply.status < 300, "{path}: {}", reply.status);
    }
    let posted = gateway.client.post("/read/same", &json!({"b": [1, 2]})).await;
    assert_eq!((posted.status, posted.text().as_str()), (200, r#"{"a": 1, "executionTime": 5}"#));
    outcome("read", "same", 1.0).await;
    outcome("everything", "same", 2.0).await;
    outcome("everything", "body", 1.0).await;
    outcome("everything", "status", 1.0).await;
    outcome("everything", "failed", 1.0).await;
    outcome("everything", "skipped", 1.0).await;
    let copy = next.asked().into_iter().find(|asked| asked.target == "/read/same").unwrap();
    assert_eq!((copy.body.as_slice(), copy.headers["host"].as_str()), (br#"{"b":[1,2]}"#.as_slice(), &*next.place));

    // A hit needs no copy, what changes something must not have one, and nobody waits for one.
    assert_eq!(gateway.client.get("/same").await.header("x-cache"), "HIT");
    let put = gateway.client.send(gateway.client.request("PUT", "/same").body("x")).await;
    assert_eq!(put.status, 200);
    let begun = tokio::time::Instant::now();
    assert_eq!(gateway.client.get("/slow").await.status, 200);
    assert!(begun.elapsed().as_millis() < 1500, "{:?}", begun.elapsed());
    until("the slow copy is sent", || async { next.count("/slow") == 1 }).await;
    assert_eq!((next.count("/same"), next.asked().iter().filter(|asked| asked.method == "PUT").count()), (1, 0));
    gateway.stop(&[]).await;
}
