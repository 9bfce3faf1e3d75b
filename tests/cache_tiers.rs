//! Two instances over one Redis: they share entries, fetches and purges.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::time::Duration;

use serde_json::json;
use support::gateway::plain;
use support::origin::pause;
use support::redis::{Cluster, Redis, Sentinels, Silent};
use support::{Answer, Gateway, Origin, until};
use tokio::time::Instant;

/// Every answer tells which request it answers; `/slow…` takes half a second.
async fn counting() -> Origin {
    Origin::start(|asked| async move {
        if asked.target.starts_with("/slow") {
            pause(500).await;
        }
        let language = asked.headers.get("accept-language").cloned().unwrap_or_default();
        let body = format!("{} {} {}", asked.number, String::from_utf8_lossy(&asked.body), language);
        let answer = Answer::json(body).with("cache-tag", &format!("all, {}", asked.target.trim_start_matches('/')));
        let answer = answer.with("cache-control", "max-age=600, stale-while-revalidate=60");
        if asked.target == "/brief" {
            return answer.with("cache-control", "max-age=1, stale-while-revalidate=60");
        }
        if asked.target == "/slow-brief" {
            return answer.with("cache-control", "max-age=2, must-revalidate").with("etag", "\"a\"");
        }
        if asked.target.starts_with("/varies") { answer.with("vary", "accept-language") } else { answer }
    })
    .await
}

fn shared(origin: &str, redis: &str, more: &str) -> String {
    format!("{}redis: {{ urls: [{redis}], timeout: 1s }}\n{more}", plain(origin))
}

async fn two(origin: &Origin, redis: &str, more: &str) -> [Gateway; 2] {
    let config = shared(&origin.place, redis, more);
    let gateways = [Gateway::start(&config).await, Gateway::start(&config).await];
    for gateway in &gateways {
        ready(gateway).await;
    }
    gateways
}

/// Redis is connected, the log read, and both instances known.
async fn ready(gateway: &Gateway) {
    until("Redis is connected and the log is read", || async {
        let status = gateway.admin("GET", "/admin/v1/status", None).await.json();
        status["cache"]["second"]["redis"]["connected"] == true && status["invalidation"]["log"] == "read"
    })
    .await;
}

async fn entries(redis: &Redis) -> Vec<String> {
    let mut keys: Vec<String> = redis.ask(&["KEYS", "addrgate:e:*"]).await;
    keys.retain(|key| !key.ends_with(":lease"));
    keys
}

async fn kept(redis: &Redis) -> usize {
    entries(redis).await.len()
}

#[tokio::test]
async fn entries_are_shared_and_promoted_with_what_is_left_of_their_lifetime() {
    let (origin, redis) = (counting().await, Redis::start().await);
    let [one, two] = two(&origin, &format!("\"{}\"", redis.url()), "").await;
    let first = one.client.get("/a").await;
    assert_eq!(first.header("x-cache"), "MISS");
    let posted = one.client.post_bytes("/read/p", "{\"a\": 1}").await;
    until("they are written behind the reply", || async { kept(&redis).await == 2 }).await;
    pause(1100).await;

    let second = two.client.get("/a").await;
    assert_eq!((second.text(), second.header("x-cache")), (first.text(), "HIT"));
    let status = second.header("cache-status").to_owned();
    assert!(status.contains("detail=L2"), "{status}");
    let ttl: u64 = status.split("ttl=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    assert!((590..=598).contains(&ttl), "what is left of 600 s: {status}");
    assert!(second.header("age").parse::<u64>().unwrap() >= 1);
    let third = two.client.get("/a").await;
    assert!(third.header("cache-status").contains("detail=L1"), "{}", third.header("cache-status"));
    assert_eq!(two.client.post_bytes("/read/p", "{ \"a\":1}").await.text(), posted.text());
    assert_eq!(origin.asked().len(), 2);
    for gateway in [one, two] {
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn what_is_stale_in_the_second_tier_is_refreshed_by_the_first_who_asks() {
    for memory in ["64MiB", "0B"] {
        let (origin, redis) = (counting().await, Redis::start().await);
        let more = format!("cache: {{ memory: {memory} }}\nwarm: {{ keys: 0 }}\n");
        let [one, two] = two(&origin, &format!("\"{}\"", redis.url()), &more).await;
        let old = one.client.get("/brief").await.text();
        until("it is written", || async { kept(&redis).await == 1 }).await;
        pause(1100).await;
        let stale = two.client.get("/brief").await;
        assert_eq!((stale.text(), stale.header("x-cache")), (old, "STALE"));
        until("it is refreshed", || async { origin.count("/brief") == 2 }).await;
        for gateway in [one, two] {
            gateway.stop(&[]).await;
        }
    }
}

#[tokio::test]
async fn a_hit_of_the_second_tier_is_one_round_trip() {
    let (origin, redis) = (counting().await, Redis::start().await);
    let [one, two] = two(&origin, &format!("\"{}\"", redis.url()), "").await;
    for n in 0..50 {
        one.client.get(&format!("/{n}")).await;
    }
    until("they are written behind the reply", || async { kept(&redis).await == 50 }).await;
    let calls = async || {
        let statistics = redis.ask::<String>(&["INFO", "commandstats"]).await;
        let of = |command: &str| -> u64 {
            let line = statistics.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
            line.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or_default()
        };
        // What the cache could use; the log is read at its own pace, by a script with other commands.
        ["get", "mget", "pttl", "set", "hget", "hgetall", "unlink"].map(of)
    };
    let before = calls().await;
    for n in 0..50 {
        let reply = two.client.get(&format!("/{n}")).await;
        assert!(reply.header("cache-status").contains("detail=L2"), "{}", reply.header("cache-status"));
    }
    let after = calls().await;
    assert_eq!(after[0] - before[0], 50, "one GET for each hit");
    assert_eq!(after[1..], before[1..], "and nothing else");
    for gateway in [one, two] {
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn variants_are_shared_too() {
    let (origin, redis) = (counting().await, Redis::start().await);
    let [one, two] = two(&origin, &format!("\"{}\"", redis.url()), "").await;
    let ask = async |gateway: &Gateway, language: &str| {
        let request = gateway.client.request("GET", "/varies").header("accept-language", language);
        gateway.client.send(request).await
    };
    let (en, de) = (ask(&one, "en").await, ask(&one, "de").await);
    assert_ne!(en.text(), de.text());
    until("both are written", || async { kept(&redis).await == 3 }).await;
    for (language, expected) in [("de", &de), ("en", &en), ("de", &de)] {
        let reply = ask(&two, language).await;
        assert_eq!((reply.text(), reply.header("x-cache")), (expected.text(), "HIT"), "{language}");
    }
    assert_eq!(ask(&two, "fr").await.header("x-cache"), "MISS");
    assert_eq!(origin.asked().len(), 3);
    for gateway in [one, two] {
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn a_purge_reaches_everyone_within_a_quarter_of_a_second_and_stays() {
    let (origin, redis) = (counting().await, Redis::start().await);
    let [one, two] = two(&origin, &format!("\"{}\"", redis.url()), "").await;
    until("both are announced", || async {
        one.admin("GET", "/admin/v1/status", None).await.json()["invalidation"]["instances"] == 2
    })
    .await;
    for (what, body, soft) in [
        ("tag", json!({"tags": ["a"]}), false),
        ("url", json!({"urls": ["/a"]}), false),
        ("all", json!({"all": true}), false),
        ("soft tag", json!({"tags": ["all"], "soft": true}), true),
    ] {
        // They are the same unless Redis was late.
        let old = [one.client.get("/a").await.text(), two.client.get("/a").await.text()];
        let slow = tokio::spawn({
            let client = two.client.clone();
            async move { client.get(&format!("/slow-{}", rand::random::<u32>())).await }
        });
        let receipt = one.admin("POST", "/admin/v1/cache/purge", Some(body)).await;
        let begun = Instant::now();
        assert_eq!(receipt.status, 200, "{what}: {}", receipt.text());
        assert_eq!(receipt.json(), json!({"confirmed": true, "applied": 2, "instances": 2}), "{what}");
        if soft {
            assert_eq!(two.client.get("/a").await.header("x-cache"), "STALE");
        }
        let changed = async |gateway: &Gateway| !old.contains(&gateway.client.get("/a").await.text());
        until("no instance has the old answer", async || changed(&two).await && changed(&one).await).await;
        assert!(
            begun.elapsed() < Duration::from_millis(if soft { 1000 } else { 250 }),
            "{what}: {:?}",
            begun.elapsed()
        );
        for _ in 0..20 {
            pause(20).await;
            assert!(changed(&one).await && changed(&two).await, "{what}: the old answer came back");
        }
        slow.await.unwrap();
    }
    for gateway in [one, two] {
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn a_fetch_that_began_before_a_purge_does_not_bring_the_old_answer_back() {
    let (origin, redis) = (counting().await, Redis::start().await);
    let [one, two] = two(&origin, &format!("\"{}\"", redis.url()), "").await;
    let fetch = tokio::spawn({
        let client = two.client.clone();
        async move { client.get("/slow").await }
    });
    until("the fetch is under way", || async { origin.count("/slow") == 1 }).await;
    let receipt = one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["slow"]}))).await;
    assert_eq!(receipt.json()["applied"], 2);
    let old = fetch.await.unwrap();
    assert_eq!(old.status, 200, "its own request is answered");
    for gateway in [&two, &one] {
        assert_ne!(gateway.client.get("/slow").await.text(), old.text());
    }
    for gateway in [one, two] {
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn an_unsafe_request_purges_on_every_instance() {
    let (origin, redis) = (counting().await, Redis::start().await);
    let [one, two] = two(&origin, &format!("\"{}\"", redis.url()), "").await;
    let old = one.client.get("/a").await.text();
    until("it is shared", || async { kept(&redis).await == 1 }).await;
    assert_eq!(two.client.get("/a").await.text(), old);
    assert_eq!(one.client.send(one.client.request("DELETE", "/a")).await.status, 200);
    assert_ne!(one.client.get("/a").await.text(), old);
    until("the other one knows", || async { two.client.get("/a").await.text() != old }).await;
    for gateway in [one, two] {
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn with_a_lease_one_instance_fetches_for_all() {
    let (origin, redis) = (counting().await, Redis::start().await);
    let [one, two] = two(&origin, &format!("\"{}\"", redis.url()), "cache: { lease: 3s }\nwarm: { keys: 0 }\n").await;
    let ask = async |path: &'static str| {
        let mut all = tokio::task::JoinSet::new();
        for gateway in [&one, &two] {
            for _ in 0..20 {
                let client = gateway.client.clone();
                all.spawn(async move { client.get(path).await });
            }
        }
        let replies = all.join_all().await;
        assert!(replies.iter().all(|reply| reply.status == 200 && reply.text() == replies[0].text()), "{path}");
        until("the lease is given back", || async { redis.ask::<Vec<String>>(&["KEYS", "*:lease"]).await.is_empty() })
            .await;
    };
    ask("/slow").await;
    assert_eq!(origin.count("/slow"), 1);
    let purged = one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["slow"]}))).await;
    assert_eq!(purged.json()["applied"], 2);
    let clock = async |gateway: &Gateway| {
        gateway.admin("GET", "/admin/v1/status", None).await.json()["invalidation"]["clock"].clone()
    };
    until("the log is read where it was purged, too", async || clock(&one).await == clock(&two).await).await;
    ask("/slow").await;
    assert_eq!(origin.count("/slow"), 2, "what was purged is still in Redis");
    ask("/slow-brief").await;
    pause(2500).await;
    ask("/slow-brief").await;
    assert_eq!(origin.count("/slow-brief"), 2, "what has expired is kept to be validated");
    for gateway in [one, two] {
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn what_another_instance_fetches_slowly_serves_those_who_wait_here_too() {
    let origin = Origin::start(|asked| async move {
        pause(1700).await;
        Answer::json(asked.number.to_string())
    })
    .await;
    let redis = Redis::start().await;
    let config = shared(&origin.place, &format!("\"{}\"", redis.url()), "cache: { lease: 3s }\nwarm: { keys: 0 }\n");
    let config = config.replace("cache: { methods: [GET]", "timeout: 2500ms\n    cache: { methods: [GET]");
    let gateways = [Gateway::start(&config).await, Gateway::start(&config).await];
    let mut all = tokio::task::JoinSet::new();
    for gateway in &gateways {
        ready(gateway).await;
    }
    for (gateway, over_http2) in gateways.iter().zip([false, true]) {
        let client = if over_http2 { gateway.client.over_http2() } else { gateway.client.clone() };
        for _ in 0..11 {
            let client = client.clone();
            all.spawn(async move { client.get("/a").await });
        }
    }
    // The second has too little time left for a fetch of its own when it gives the first up.
    let replies = all.join_all().await;
    assert!(replies.iter().all(|reply| reply.status == 200 && reply.text() == replies[0].text()), "{replies:#?}");
    assert!(origin.asked().len() <= 2, "{}", origin.asked().len());
    for gateway in gateways {
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn a_lease_is_waited_for_while_it_lasts_and_while_the_request_has_time() {
    let (origin, redis) = (counting().await, Redis::start().await);
    let config = shared(&origin.place, &format!("\"{}\"", redis.url()), "cache: { lease: 60s }\nwarm: { keys: 0 }\n");
    let config = config.replace("cache: { methods: [GET]", "timeout: 5s\n    cache: { methods: [GET]");
    let gateway = Gateway::start(&config).await;
    ready(&gateway).await;
    gateway.client.get("/a").await;
    until("it is written", || async { kept(&redis).await == 1 }).await;
    let lease = format!("{}:lease", entries(&redis).await[0]);
    for given_back in [true, false] {
        until("no lease is left", || async { redis.ask::<i64>(&["EXISTS", &lease]).await == 0 }).await;
        gateway.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["a"]}))).await;
        redis.ask::<String>(&["SET", &lease, "another", "PX", "60000"]).await;
        let client = gateway.client.clone();
        let asked = tokio::spawn(async move { client.get("/a").await });
        pause(300).await;
        assert!(!asked.is_finished(), "another instance fetches it");
        if given_back {
            redis.ask::<i64>(&["DEL", &lease]).await;
        }
        let reply = asked.await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        // Three of its five seconds.
        assert_eq!(reply.time < Duration::from_millis(2900), given_back, "{:?}", reply.time);
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_purge_that_comes_during_a_stop_reaches_the_others() {
    let (origin, redis) = (counting().await, Redis::start().await);
    let [mut one, two] = two(&origin, &format!("\"{}\"", redis.url()), "").await;
    let old = two.client.get("/slow").await.text();
    let client = one.client.clone();
    let deleted = tokio::spawn(async move { client.send(client.request("DELETE", "/slow")).await });
    until("it is under way", || async { origin.count("/slow") == 2 }).await;
    assert!(one.process.stop().await.success());
    assert_eq!(deleted.await.unwrap().status, 200);
    until("the other one knows", || async { two.client.get("/slow").await.text() != old }).await;
    one.process.assert_clean(&[]);
    two.stop(&[]).await;
}

#[tokio::test]
async fn without_memory_the_second_tier_serves_alone() {
    let (origin, redis) = (counting().await, Redis::start().await);
    let config = shared(&origin.place, &format!("\"{}\"", redis.url()), "cache: { memory: 0B }\n");
    let gateway = Gateway::start(&config).await;
    ready(&gateway).await;
    assert_eq!(gateway.client.get("/a").await.header("x-cache"), "MISS");
    for _ in 0..3 {
        let reply = gateway.client.get("/a").await;
        assert!(reply.header("cache-status").contains("detail=L2"), "{}", reply.header("cache-status"));
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn nothing_of_a_clients_choosing_reaches_redis_in_a_key() {
    let (origin, redis) = (counting().await, Redis::start().await);
    let gateway = Gateway::start(&shared(&origin.place, &format!("\"{}\"", redis.url()), "")).await;
    ready(&gateway).await;
    for n in 0..50 {
        gateway.client.get(&format!("/%7Ba%7D?x=%7Ba%7D&n={n}")).await;
    }
    until("they are written", || async { kept(&redis).await == 50 }).await;
    for key in redis.ask::<Vec<String>>(&["KEYS", "*"]).await {
        let rest = key.strip_prefix("addrgate:").unwrap_or_else(|| panic!("{key}"));
        let ours = matches!(rest, "{log}" | "{log}:seen" | "{log}:read");
        let digest =
            rest.strip_prefix("e:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
        assert!(ours || digest, "{key}");
        assert!(!digest || redis.ask::<i64>(&["PTTL", &key]).await > 0, "{key} never expires");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_cluster_and_a_sentinel_serve_as_well_also_after_a_master_died() {
    let origin = counting().await;
    let (mut cluster, mut sentinels) = tokio::join!(Cluster::start(), Sentinels::start());
    // The first of those that are named hangs.
    let silent = Silent::start();
    let config = |mode: &str, urls: &str| {
        let more = format!("redis: {{ mode: {mode}, master: mymaster, urls: [{urls}] }}\n");
        format!("{}{more}", plain(&origin.place))
    };
    for mode in ["cluster", "sentinel"] {
        let urls = if mode == "cluster" { cluster.urls() } else { sentinels.urls() };
        let urls = format!("{:?}, {urls}", silent.url());
        let config = config(mode, &urls);
        let gateways = [Gateway::start(&config).await, Gateway::start(&config).await];
        for gateway in &gateways {
            ready(gateway).await;
        }
        let [one, two] = &gateways;
        for n in 0..30 {
            one.client.get(&format!("/{mode}{n}")).await;
        }
        let asked = origin.asked().len();
        let written = "addrgate_second_tier_total{operation=\"put\",outcome=\"kept\"}";
        until("all are shared", async || one.metric(written).await >= 30.0).await;
        for n in 0..30 {
            let reply = two.client.get(&format!("/{mode}{n}")).await;
            assert_eq!(reply.header("x-cache"), "HIT", "{mode} {n}");
        }
        assert_eq!(origin.asked().len(), asked, "{mode}");

        if mode == "cluster" {
            cluster.nodes[0].kill()
        } else {
            sentinels.servers[0].kill()
        }
        for n in 0..200 {
            let reply = two.client.get(&format!("/{mode}-after{n}")).await;
            assert_eq!(reply.status, 200, "{mode} {n}");
            assert!(reply.time < Duration::from_millis(400), "{mode} {n}: {:?}", reply.time);
        }
        let mut n = 1000;
        let mut shares = async || {
            n += 1;
            let path = format!("/{mode}{n}");
            one.client.get(&path).await;
            pause(50).await;
            two.client.get(&path).await.header("x-cache") == "HIT"
        };
        // A cluster needs all its slots back for ten in a row.
        let mut row = 0;
        let begun = Instant::now();
        while row < 10 {
            row = if shares().await { row + 1 } else { 0 };
            assert!(begun.elapsed() < Duration::from_secs(40), "{mode}: not shared again");
        }
        let receipt = one.admin("POST", "/admin/v1/cache/purge", Some(json!({"all": true}))).await;
        assert_eq!(receipt.json()["confirmed"], true, "{mode}: {}", receipt.text());
        for gateway in gateways {
            gateway.stop(&["a breaker opened", "Redis", "invalidation log", "written to the log"]).await;
        }
    }
}
