//! What each level of degradation really does, set by the operator and ended by its expiry.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use support::origin::pause;
use support::{Answer, Gateway, Origin, until};

const CACHE: &str = "cache: { lifetimes: { jitter: 0 } }";

/// Everything is kept, batches and analyses are shed.
fn config(origin: &str, more: &str) -> String {
    format!(
        "version: 1
server: {{ listen: [\"{{listen}}\"], threads: 2 }}
admin: {{ listen: \"{{admin}}\", token: \"{{token}}\" }}
upstreams: {{ origin: {{ addresses: [\"{origin}\"], health: {{ interval: 60s }} }} }}
{more}
routes:
  - {{ name: batch, paths: [/batch/**], auth: none, sheds: batch, {CACHE} }}
  - {{ name: analysis, paths: [/analysis/**], auth: none, sheds: analysis, {CACHE} }}
  - {{ name: all, paths: [/**], auth: none, {CACHE} }}
"
    )
}

async fn set(gateway: &Gateway, level: &str, time: &str) -> Value {
    let wanted = match level {
        "auto" => json!({"level": level}),
        _ => json!({"level": level, "for": time}),
    };
    let reply = gateway.admin("PUT", "/admin/v1/degradation", Some(wanted)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// An origin that can be made to fail; its answers are stale after a second and may be used for two more.
async fn origin() -> (Origin, Arc<AtomicBool>) {
    let fails = Arc::new(AtomicBool::new(false));
    let failing = Arc::clone(&fails);
    let origin = Origin::start(move |asked| {
        let fails = failing.load(Ordering::SeqCst);
        async move {
            let answer = Answer::json(format!("{{\"number\": {}}}", asked.number));
            match fails {
                true => answer.status(500).with("cache-control", "no-store"),
                false => answer.with("cache-control", "max-age=1, stale-while-revalidate=0, stale-if-error=2"),
            }
        }
    })
    .await;
    (origin, fails)
}

#[tokio::test]
async fn stale_windows_are_widened_and_narrow_again() {
    let (origin, fails) = origin().await;
    // Errors of that class are no signal, and no breaker opens, so that only the operator sets the level.
    let breaker = "breaker: { mode: observe, window: 10000, minimum: 10000 }";
    let config = config(&origin.place, breaker).replace("name: all,", "name: all, class: low,");
    let gateway = Gateway::start(&config).await;
    let first = gateway.client.get("/a").await;
    assert_eq!(first.status, 200);
    fails.store(true, Ordering::SeqCst);
    pause(3200).await;
    assert_eq!(gateway.client.get("/a").await.status, 500, "beyond its window");
    // Twelve times two seconds.
    assert_eq!(set(&gateway, "minimal", "3s").await["effects"]["stale"], 12);
    until("the window is wider", || async { gateway.client.get("/a").await.status == 200 }).await;
    let stale = gateway.client.get("/a").await;
    assert_eq!((stale.text(), stale.header("x-cache")), (first.text(), "STALE"));
    until("what the operator set expires", || async { gateway.client.get("/a").await.status == 500 }).await;
    assert_eq!(gateway.admin("GET", "/admin/v1/degradation", None).await.json()["level"], "normal");
    gateway.stop(&["level of degradation"]).await;
}

#[tokio::test]
async fn a_widened_window_also_covers_refreshing_behind_the_reply() {
    let origin = Origin::start(|asked| async move {
        let control = "max-age=1, stale-while-revalidate=1, stale-if-error=0";
        Answer::json(format!("{{\"number\": {}}}", asked.number)).with("cache-control", control)
    })
    .await;
    let gateway = Gateway::start(&config(&origin.place, "")).await;
    let first = gateway.client.get("/a").await;
    pause(2500).await;
    set(&gateway, "reduced", "1m").await;
    until("the window is four times as wide", || async {
        // A new level reaches the cache within a moment.
        let reply = gateway.client.get("/a").await;
        reply.header("x-cache") == "STALE" || reply.text() != first.text()
    })
    .await;
    until("it was refreshed", || async { origin.count("/a") == 2 }).await;
    gateway.stop(&["level of degradation"]).await;
}

#[tokio::test]
async fn batches_and_analyses_are_refused_and_their_kept_answers_are_not() {
    let (origin, _) = origin().await;
    let gateway = Gateway::start(&config(&origin.place, "")).await;
    assert_eq!(gateway.client.get("/analysis/kept").await.status, 200);
    let told = set(&gateway, "minimal", "1m").await;
    assert_eq!((&told["level"], &told["automatic"]), (&json!("minimal"), &json!("normal")));
    assert!(told["forced_for"].as_u64().is_some_and(|left| left <= 60), "{told}");
    for (path, reason) in [("/batch/new", "degraded_batch"), ("/analysis/new", "degraded_analysis")] {
        let reply = gateway.client.get(path).await;
        assert_eq!((reply.status, reply.code().as_str()), (503, "SERVICE_UNAVAILABLE"));
        reply.assert_envelope();
        let details = &reply.json()["error"]["details"];
        assert_eq!((&details["reason"], &details["level"]), (&json!(reason), &json!("minimal")));
        assert!(reply.header("retry-after").parse::<u64>().is_ok_and(|wait| (10..=20).contains(&wait)));
    }
    assert_eq!(gateway.client.get("/analysis/kept").await.header("x-cache"), "HIT");
    assert_eq!(gateway.client.get("/other").await.status, 200);
    let text = gateway.admin("GET", "/metrics", None).await.text();
    assert!(text.contains("degraded_batch"), "refusals are counted by reason");
    set(&gateway, "auto", "").await;
    assert_eq!(gateway.client.get("/batch/new").await.status, 200);
    gateway.stop(&["level of degradation"]).await;
}

#[tokio::test]
async fn the_upstream_is_asked_to_skip_what_is_costly_and_its_poorer_answer_is_not_kept() {
    let origin = Origin::start(|asked| async move {
        match asked.headers.get("x-degrade").map(String::as_str) {
            Some("no-fuzzy") => Answer::json("{}").with("x-degraded", "no-fuzzy"),
            Some(other) => panic!("{other}"),
            None => Answer::json("{}"),
        }
    })
    .await;
    let gateway = Gateway::start(&config(&origin.place, "")).await;
    set(&gateway, "minimal", "1m").await;
    // A client can't ask for it.
    let forged = gateway.client.request("GET", "/forged").header("x-degrade", "everything");
    for reply in [gateway.client.get("/a").await, gateway.client.get("/a").await, gateway.client.send(forged).await] {
        assert_eq!((reply.status, reply.header("x-degraded")), (200, "no-fuzzy"));
        assert_eq!(reply.header("x-cache"), "MISS");
    }
    set(&gateway, "auto", "").await;
    let full = [gateway.client.get("/a").await, gateway.client.get("/a").await];
    assert_eq!(full.map(|reply| reply.header("x-cache").to_owned()), ["MISS", "HIT"]);
    gateway.stop(&["level of degradation"]).await;
}

#[tokio::test]
async fn in_an_emergency_only_what_is_kept_is_served_stale_if_need_be() {
    let (origin, _) = origin().await;
    let gateway = Gateway::start(&config(&origin.place, "")).await;
    assert_eq!(gateway.client.get("/kept").await.status, 200);
    set(&gateway, "emergency", "1m").await;
    let miss = gateway.client.get("/new").await;
    assert_eq!(miss.json()["error"]["details"]["reason"], "degraded_cache_only");
    miss.assert_envelope();
    // A hundred times its window.
    pause(3500).await;
    let kept = gateway.client.get("/kept").await;
    assert_eq!((kept.status, kept.header("x-cache")), (200, "STALE"));
    assert_eq!((origin.count("/kept"), origin.count("/new")), (1, 0), "the origin is left alone");
    gateway.stop(&["level of degradation"]).await;
}

#[tokio::test]
async fn an_observed_level_is_shown_and_has_no_effect() {
    let (origin, _) = origin().await;
    let gateway = Gateway::start(&config(&origin.place, "degrade: { mode: observe }")).await;
    let told = set(&gateway, "emergency", "1m").await;
    assert_eq!((&told["level"], &told["effects"]["cache_only"]), (&json!("emergency"), &json!(false)));
    assert_eq!(gateway.client.get("/batch/new").await.status, 200);
    let wrong = gateway.admin("PUT", "/admin/v1/degradation", Some(json!({"level": "worst"}))).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "INVALID_JSON"));
    gateway.stop(&["level of degradation"]).await;
}

#[tokio::test]
async fn a_cache_that_takes_too_much_memory_gives_it_back_until_the_level_is_left() {
    let origin =
        Origin::start(|_| async { Answer::json("x".repeat(100_000)).with("cache-control", "max-age=600") }).await;
    // Any process takes more than this, so the cache is never small enough.
    let squeezed = "cache: { memory: 1MiB }
warm: { keys: 0 }
degrade:
  smooth: 100ms
  stay: 100ms
  reduced: { enter: { delay: 1h }, effects: [] }
  minimal: { enter: { delay: 1h }, effects: [] }
  emergency: { enter: { memory: 0.01% }, effects: [shrink_cache] }";
    let calm = squeezed.replace("0.01%", "95%");
    let gateway = Gateway::start(&config(&origin.place, &calm)).await;
    let fill = async || {
        for n in 0..9 {
            assert_eq!(gateway.client.get(&format!("/{n}")).await.status, 200);
        }
    };
    let held = async || gateway.metric("addrgate_cache_holds{what=\"bytes\"}").await;
    let reload = async |config: &str| {
        let file = gateway.folder.path().join("config.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let (from, to) = if config == "squeezed" { ("95%", "0.01%") } else { ("0.01%", "95%") };
        std::fs::write(&file, text.replace(from, to)).unwrap();
        assert_eq!(gateway.admin("POST", "/admin/v1/reload", None).await.status, 200);
    };
    fill().await;
    until("the cache is full", async || held().await > 800_000.0).await;
    // An operator's own word frees nothing that is not needed.
    set(&gateway, "emergency", "3s").await;
    pause(1500).await;
    assert!(held().await > 800_000.0);
    set(&gateway, "auto", "").await;
    reload("squeezed").await;
    until("it is smaller", async || held().await < 530_000.0).await;
    fill().await;
    assert!(held().await < 530_000.0, "what comes in finds no more room");
    until("it gives back all it has", async || held().await < 100_000.0).await;
    reload("calm").await;
    until("the level is left", async || {
        fill().await;
        held().await > 800_000.0
    })
    .await;
    gateway.stop(&["level of degradation", "another share of its memory"]).await;
}
