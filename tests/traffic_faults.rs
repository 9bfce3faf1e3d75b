//! PostGIS killed and the address service frozen under load, in short; and the service obeying the level of degradation. Each
//! has a PostgreSQL of its own, because it does not survive.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "traffic/lib.rs"]
mod traffic;

use serde_json::json;
use traffic::support::postgres::Server;
use traffic::support::stack::{ADMIN_TOKEN, Wishes};
use traffic::support::{Client, Stack};
use traffic::{Scale, faults};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgis_killed_under_load_costs_only_what_is_not_kept() {
    let report = faults::postgis_killed(Scale::Short).await;
    println!("{report}");
    report.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_service_costs_a_miss_its_budget_and_no_memory() {
    let report = faults::service_frozen(Scale::Short).await;
    println!("{report}");
    report.check();
}

#[tokio::test]
async fn a_killed_service_is_refused_in_time_and_kept_answers_go_on() {
    let (_server, mut stack) = faults::start().await;
    stack.service.signal("KILL");
    stack.service.end().await;
    for n in 0..60 {
        assert_eq!(stack.client.get(&faults::kept(n)).await.status, 200);
        let reply = stack.client.get(&faults::new(n)).await;
        assert_eq!((reply.status, reply.code().as_str()), (503, "SERVICE_UNAVAILABLE"), "{}", reply.text());
        let details = &reply.json()["error"]["details"];
        assert!(matches!(details["reason"].as_str(), Some("upstream_down" | "breaker_open")), "{details}");
        assert!(!reply.header("retry-after").is_empty());
    }
    let health = stack.client.get("/api/v1/health").await;
    assert_eq!(health.status, 503, "{}", health.text());
    assert!(stack.gateway.stop().await.success());
}

#[tokio::test]
async fn the_service_skips_its_costly_search_where_the_gateway_says_so() {
    let (_server, url) = Server::with_acton(&[]);
    let mut stack = Stack::with(Wishes { database_url: Some(url), ..Wishes::default() }).await;
    stack.expect_log("level of degradation");
    let admin = Client::new(&stack.admin, "");
    let level = async |level: &str| {
        let request = admin.request("PUT", "/admin/v1/degradation").json(&json!({"level": level, "for": "1m"}));
        let set = admin.send(request.header("authorization", format!("Bearer {ADMIN_TOKEN}"))).await;
        assert_eq!(set.status, 200, "{}", set.text());
    };
    // Only the tolerant stage finds it.
    let path = "/api/v1/addresses/search?q=20+firth+road+acton";
    level("minimal").await;
    let poor = stack.client.get(path).await;
    assert_eq!((poor.status, poor.header("x-degraded")), (200, "no-fuzzy"), "{}", poor.text());
    // What is near, but not what was meant.
    let best = |body: serde_json::Value| body["results"][0]["confidence"].as_u64().unwrap_or(0);
    assert!(best(poor.json()) < 60, "{}", poor.text());
    level("normal").await;
    let full = stack.client.get(path).await;
    assert_eq!((full.status, full.header("x-degraded"), full.header("x-cache")), (200, "", "MISS"));
    assert!(best(full.json()) >= 80, "{}", full.text());
    stack.stop().await;
}
