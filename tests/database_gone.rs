//! The database goes away under load and comes back: clients get a 503 they can act on, in time, or the answer that is kept;
//! nothing needs a restart.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use support::postgres::Server;
use support::stack::Wishes;
use support::{Stack, until};

#[tokio::test]
async fn without_the_database_kept_answers_go_on_and_the_rest_is_refused_in_time() {
    let (server, url) = Server::with_acton(&["data/boundaries/asgs2021_act_sa2.geojson.gz"]);
    let mut stack = Stack::with(Wishes { database_url: Some(url.clone()), ..Wishes::default() }).await;
    for text in ["database", "connection", "health", "upstream", "503", "unavailable"] {
        stack.expect_log(text);
    }
    // Where it takes long to come back, most of what is asked meanwhile fails.
    stack.expect_log("level of degradation");
    let kept_search = "/api/v1/addresses/search?q=20+frith+road+acton";
    let kept_validate = json!({"address": "20 Frith Road, Acton ACT 2601"});
    let before_search = stack.client.get(kept_search).await;
    let before_validate = stack.client.post("/api/v1/addresses/validate", &kept_validate).await;
    assert_eq!((before_search.status, before_validate.status), (200, 200));
    assert_eq!(before_validate.json()["isValid"], true, "{}", before_validate.text());

    server.signal("KILL");
    // A connection that was open may answer once more.
    let mut n = 0;
    until("the last of it is gone", || {
        n += 1;
        let (client, path) = (stack.client.clone(), format!("/api/v1/addresses/search?q=frith+road+{n}"));
        async move { client.get(&path).await.status == 503 }
    })
    .await;
    for round in 0..3 {
        // What is in the cache does not notice.
        let reply = stack.client.get(kept_search).await;
        assert_eq!((reply.status, &reply.body), (200, &before_search.body), "round {round}");
        let reply = stack.client.post("/api/v1/addresses/validate", &kept_validate).await;
        assert_eq!((reply.status, &reply.body), (200, &before_validate.body), "round {round}");
        // What isn't is refused honestly, below the deadline of the known client.
        for (reply, deadline) in [
            (stack.client.get(&format!("/api/v1/addresses/search?q=mccoy+circuit+{round}")).await, 2.5),
            (
                stack
                    .client
                    .post(
                        "/api/v1/addresses/validate",
                        &json!({"address": format!("{round} McCoy Circuit, Acton ACT")}),
                    )
                    .await,
                4.5,
            ),
            (
                stack
                    .client
                    .post(
                        "/api/v1/spatial/boundaries",
                        &json!({"coordinates": {"latitude": -35.2, "longitude": 149.0 + f64::from(round)}}),
                    )
                    .await,
                4.5,
            ),
        ] {
            assert_eq!((reply.status, reply.code().as_str()), (503, "SERVICE_UNAVAILABLE"), "{}", reply.text());
            reply.assert_envelope();
            let wait: u64 = reply.header("retry-after").parse().expect("whole seconds");
            assert!((1..=120).contains(&wait), "{wait}");
            assert!(reply.time < Duration::from_secs_f64(deadline + 0.3), "took {:?}", reply.time);
        }
        let health = stack.client.get("/api/v1/health").await;
        assert_eq!((health.status, &health.json()["status"]), (503, &json!("unhealthy")), "{}", health.text());
        assert!(health.time < Duration::from_secs(1), "health took {:?}", health.time);
    }
    assert!(stack.gateway.is_running() && stack.service.is_running());

    assert_eq!(server.script("start"), url, "it comes back where it was");
    let path = "/api/v1/addresses/search?q=16+clunies+ross+street";
    until("an uncached search is answered again", || async { stack.client.get(path).await.status == 200 }).await;
    // One response for a second.
    until("health is good again", || async { stack.client.get("/api/v1/health").await.status == 200 }).await;
    stack.stop().await;
}

#[tokio::test]
async fn a_database_that_hangs_costs_no_more_than_the_deadline() {
    let (server, url) = Server::with_acton(&[]);
    let mut stack = Stack::with(Wishes { database_url: Some(url), ..Wishes::default() }).await;
    for text in
        ["database", "connection", "health", "upstream", "503", "unavailable", "statement", "deadline", "timeout"]
    {
        stack.expect_log(text);
    }
    assert_eq!(stack.client.get("/api/v1/addresses/search?q=frith+road").await.status, 200);
    // Every process of the server stands still: connections stay open, nothing is answered.
    let postmaster = server.script("pid");
    let children = children_of(&postmaster);
    let all: Vec<&str> = children.iter().map(String::as_str).chain([postmaster.as_str()]).collect();
    assert!(Command::new("kill").args(["-s", "STOP"]).args(&all).status().unwrap().success());
    let reply = stack.client.get("/api/v1/addresses/search?q=mccoy+circuit").await;
    let health = stack.client.get("/api/v1/health").await;
    assert!(Command::new("kill").args(["-s", "CONT"]).args(&all).status().unwrap().success());
    assert_eq!((reply.status, reply.code().as_str()), (503, "SERVICE_UNAVAILABLE"), "{}", reply.text());
    assert!(reply.time < Duration::from_millis(2_800), "took {:?}", reply.time);
    assert!(health.time < Duration::from_millis(1_300), "health took {:?}", health.time);
    until("it is answered again", || async {
        stack.client.get("/api/v1/addresses/search?q=barrine+drive").await.status == 200
    })
    .await;
    stack.stop().await;
}

/// The processes whose parent is `pid`, from Linux's procfs.
fn children_of(pid: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter(|name| {
            let stat = std::fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.split(' ').nth(1) == Some(pid))
        })
        .collect()
}
