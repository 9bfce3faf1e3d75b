//! Every outcome of the cache has its line in `Cache-Status` (RFC 9211), and the rules of a route that decide about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use serde_json::json;
use support::gateway::plain;
use support::origin::pause;
use support::redis::Redis;
use support::{Answer, Asked, Gateway, Origin, Reply, until};

/// What a target is named after is how the origin behaves.
fn behave(asked: &Asked) -> Answer {
    let count = asked.number.to_string();
    let answer = |control: &str| Answer::json(count.clone()).with("cache-control", control);
    let first = !asked.headers.contains_key("if-none-match");
    let name = asked.target.trim_start_matches('/').split(['?', '/']).next().unwrap_or_default();
    match name {
        "updating" => answer("max-age=1, stale-while-revalidate=60"),
        "error" if asked.headers.contains_key("x-fail") => Answer::ok("").status(503),
        "error" => answer("max-age=1, stale-while-revalidate=0, stale-if-error=60"),
        "validated" if first => answer("max-age=1, stale-while-revalidate=0").with("etag", "\"a\""),
        "validated" => Answer::ok("").status(304).with("cache-control", "max-age=60").with("etag", "\"a\""),
        "changed" => answer("max-age=1, stale-while-revalidate=0, stale-if-error=60"),
        "varies" => answer("max-age=60").with("vary", "accept-language"),
        "no-store" => answer("no-store"),
        "private" => answer("private"),
        "set-cookie" => answer("max-age=60").with("set-cookie", "a=b"),
        "vary-star" => answer("max-age=60").with("vary", "*"),
        "error-status" => answer("max-age=60").status(404),
        "not-understood" => answer("max-age=60, must-understand").status(299),
        "no-lifetime" => Answer::ok("x").with("content-type", "application/json"),
        "stale-on-arrival" => answer("max-age=0, stale-while-revalidate=0, stale-if-error=0"),
        "partial" => answer("max-age=60").status(206).with("content-range", "bytes 0-0/9"),
        "parts" if asked.headers.contains_key("range") => {
            Answer::json("cdefg").with("content-range", "bytes 2-6/9").status(206)
        }
        _ => answer("max-age=60"),
    }
}

async fn origin() -> Origin {
    Origin::start(|asked| async move {
        if asked.target.starts_with("/slow") {
            pause(500).await;
        }
        behave(&asked)
    })
    .await
}

/// Besides the usual routes one without a cache, one with parts, and one that wants two uses.
fn config(origin: &Origin, more: &str) -> String {
    let special = "routes:
  - { name: bare, paths: [/bare/**], auth: none, answers: any }
  - name: parts
    paths: [/parts/**]
    auth: none
    answers: any
    cache: { lifetimes: { jitter: 0, parts: true } }
  - name: twice
    paths: [/twice/**]
    methods: [GET]
    auth: none
    cache: { min_uses: 2, min_uses_within: 1m, tags: [twice, of-the-route], lifetimes: { jitter: 0 } }
";
    let config = plain(&origin.place).replace("routes:\n", special);
    // `X-Fail` is not in any key, which only a test may want.
    config.replace("forward: [accept-language]", "forward: [accept-language, x-fail]") + more
}

/// Numbers are not the point.
fn line(reply: &Reply) -> String {
    let status = reply.header("cache-status");
    let ttl = |member: &str| match member.strip_prefix("ttl=") {
        Some(ttl) if ttl.parse::<i64>().unwrap() < 0 => "ttl=past".to_owned(),
        Some(_) => "ttl=left".to_owned(),
        None => member.to_owned(),
    };
    status.split("; ").map(ttl).collect::<Vec<_>>().join("; ")
}

/// Method, path and fields; status, `X-Cache` and `Cache-Status`.
type Case<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16, &'a str, &'a str);

#[tokio::test]
async fn every_outcome_has_its_line() {
    let (origin, redis) = (origin().await, Redis::start().await);
    let config = config(&origin, &format!("redis: {{ urls: [\"{}\"], timeout: 1s }}\n", redis.url()));
    let [one, two] = [Gateway::start(&config).await, Gateway::start(&config).await];
    for gateway in [&one, &two] {
        gateway.log_is_read().await;
    }
    // What is asked for beforehand, so that it is kept, and by now stale.
    for path in ["/plain", "/updating", "/error", "/validated", "/changed", "/varies", "/l2"] {
        let reply = one.ask("GET", path, &[("accept-language", "en")]).await;
        assert_eq!(line(&reply), "addrgate; fwd=uri-miss; fwd-status=200; stored; ttl=left", "{path}");
        assert_eq!(reply.header("x-cache"), "MISS");
    }
    one.ask("GET", "/parts/a", &[("range", "bytes=2-6")]).await;
    pause(1200).await;

    let fail = ("x-fail", "1");
    let table: &[Case] = &[
        ("GET", "/plain", &[], 200, "HIT", "hit; ttl=left; detail=L1"),
        ("HEAD", "/plain", &[], 200, "HIT", "hit; ttl=left; detail=L1"),
        ("GET", "/plain", &[("range", "bytes=0-0")], 206, "HIT", "hit; ttl=left; detail=L1"),
        ("GET", "/updating", &[], 200, "STALE", "hit; ttl=past; detail=updating"),
        ("GET", "/error", &[fail], 200, "STALE", "hit; ttl=past; detail=error"),
        ("GET", "/validated", &[], 200, "REVALIDATED", "fwd=stale; fwd-status=304; ttl=left"),
        ("GET", "/changed", &[], 200, "MISS", "fwd=stale; fwd-status=200; stored; ttl=left"),
        (
            "GET",
            "/varies",
            &[("accept-language", "de")],
            200,
            "MISS",
            "fwd=vary-miss; fwd-status=200; stored; ttl=left",
        ),
        (
            "GET",
            "/plain",
            &[("cache-control", "no-cache")],
            200,
            "MISS",
            "fwd=request; fwd-status=200; stored; ttl=left",
        ),
        (
            "GET",
            "/x",
            &[("cache-control", "no-store")],
            200,
            "MISS",
            "fwd=uri-miss; fwd-status=200; detail=request-no-store",
        ),
        ("GET", "/y", &[("authorization", "x")], 200, "MISS", "fwd=uri-miss; fwd-status=200; detail=authorization"),
        ("GET", "/no-store", &[], 200, "MISS", "fwd=uri-miss; fwd-status=200; detail=no-store"),
        ("GET", "/private", &[], 200, "MISS", "fwd=uri-miss; fwd-status=200; detail=private"),
        ("GET", "/set-cookie", &[], 200, "MISS", "fwd=uri-miss; fwd-status=200; detail=set-cookie"),
        ("GET", "/vary-star", &[], 200, "MISS", "fwd=uri-miss; fwd-status=200; detail=vary-star"),
        ("GET", "/error-status", &[], 404, "MISS", "fwd=uri-miss; fwd-status=404; detail=error-status"),
        ("GET", "/not-understood", &[], 299, "MISS", "fwd=uri-miss; fwd-status=299; detail=not-understood"),
        ("GET", "/no-lifetime", &[], 200, "MISS", "fwd=uri-miss; fwd-status=200; detail=no-lifetime"),
        ("GET", "/stale-on-arrival", &[], 200, "MISS", "fwd=uri-miss; fwd-status=200; detail=stale-on-arrival"),
        ("GET", "/partial", &[], 206, "MISS", "fwd=uri-miss; fwd-status=206; detail=partial"),
        ("GET", "/parts/a", &[("range", "bytes=3-4")], 206, "HIT", "hit; ttl=left; detail=L1"),
        ("GET", "/parts/a", &[("range", "bytes=0-4")], 206, "MISS", "fwd=uri-miss; fwd-status=206; stored; ttl=left"),
        ("GET", "/twice/a", &[], 200, "MISS", "fwd=uri-miss; fwd-status=200; detail=min-uses"),
        ("GET", "/twice/a", &[], 200, "MISS", "fwd=uri-miss; fwd-status=200; stored; ttl=left"),
        ("GET", "/twice/a", &[], 200, "HIT", "hit; ttl=left; detail=L1"),
        ("GET", "/bare/a", &[], 200, "BYPASS", "fwd=bypass; fwd-status=200"),
        ("POST", "/plain", &[], 200, "BYPASS", "fwd=method; fwd-status=200"),
    ];
    for (method, path, fields, status, word, expected) in table {
        let reply = one.ask(method, path, fields).await;
        let got = (reply.status, reply.header("x-cache"), line(&reply));
        assert_eq!(got, (*status, *word, format!("addrgate; {expected}")), "{method} {path} {fields:?}");
    }
    let other = two.ask("GET", "/l2", &[]).await;
    assert_eq!((other.header("x-cache"), line(&other).as_str()), ("HIT", "addrgate; hit; ttl=left; detail=L2"));
    let part = two.ask("GET", "/parts/a", &[("range", "bytes=4-5")]).await;
    assert_eq!((part.text().as_str(), line(&part).as_str()), ("ef", "addrgate; hit; ttl=left; detail=L2"));
    assert_eq!(part.header("content-range"), "bytes 4-5/9");
    let nothing = one.ask("GET", "/z", &[("cache-control", "only-if-cached")]).await;
    assert_eq!((nothing.status, nothing.header("cache-status")), (504, ""), "the gateway's own answers have none");

    let mut many = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = one.client.clone();
        many.spawn(async move { client.get("/slow").await });
    }
    let lines: Vec<String> = many.join_all().await.iter().map(line).collect();
    let collapsed = lines.iter().filter(|line| *line == "addrgate; fwd=uri-miss; collapsed; ttl=left").count();
    let fetched =
        lines.iter().filter(|line| *line == "addrgate; fwd=uri-miss; fwd-status=200; stored; ttl=left").count();
    assert_eq!((fetched, collapsed), (1, 7), "{lines:?}");
    for gateway in [one, two] {
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_said_to_be_stored() {
    let origin =
        Origin::start(
            |asked| async move { Answer::json("x".repeat(if asked.target == "/large" { 2000 } else { 200 })) },
        )
        .await;
    let gateway = Gateway::start(&(plain(&origin.place) + "cache: { entry: 1KiB }\n")).await;
    for (path, expected) in [("/large", "detail=too-large"), ("/small", "stored; ttl=left")] {
        let reply = gateway.client.get(path).await;
        assert_eq!(line(&reply), format!("addrgate; fwd=uri-miss; fwd-status=200; {expected}"));
    }
    assert_eq!(gateway.client.get("/large").await.header("x-cache"), "MISS");
    assert_eq!(gateway.client.get("/small").await.header("x-cache"), "HIT");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn what_is_for_the_one_who_fetched_is_kept_for_nobody_else() {
    let origin = Origin::start(|_| async {
        let answer = Answer::json("1").with("cache-control", "public, max-age=60, no-cache=\"set-cookie\"");
        answer.with("set-cookie", "a=b").with("cache-status", "cdn; hit")
    })
    .await;
    let config = plain(&origin.place).replace("jitter: 0,", "jitter: 0, set_cookie: always,");
    let gateway = Gateway::start(&config).await;
    let lines = |reply: &Reply| {
        let all = reply.headers.get_all("cache-status").iter();
        all.map(|line| line.to_str().unwrap().split("; ttl").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let miss = gateway.client.get("/a").await;
    assert_eq!(miss.header("set-cookie"), "a=b");
    assert_eq!(lines(&miss), ["cdn; hit", "addrgate; fwd=uri-miss; fwd-status=200; stored"]);
    // By the door, and past it.
    for fields in [&[][..], &[("cache-control", "max-age=600")]] {
        let hit = gateway.ask("GET", "/a", fields).await;
        assert_eq!((hit.header("set-cookie"), lines(&hit)), ("", vec!["addrgate; hit".to_owned()]));
    }
    let passed = gateway.ask("POST", "/a", &[]).await;
    assert_eq!(lines(&passed), ["cdn; hit", "addrgate; fwd=method; fwd-status=200"]);
    gateway.stop(&[]).await;
}

fn tags(reply: &Reply) -> String {
    let lines = reply.headers.get_all("cache-tag").iter().map(|line| line.to_str().unwrap());
    lines.collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn a_routes_own_tags_purge_beside_the_upstreams() {
    let origin =
        Origin::start(|asked| async move { Answer::json(asked.number.to_string()).with("cache-tag", "theirs") }).await;
    let gateway = Gateway::start(&config(&origin, "")).await;
    for tag in ["of-the-route", "twice", "theirs"] {
        for _ in 0..2 {
            gateway.client.get("/twice/a").await;
        }
        let kept = gateway.client.get("/twice/a").await;
        assert_eq!((kept.header("x-cache"), tags(&kept)), ("HIT", "theirs; twice, of-the-route".to_owned()));
        let receipt = gateway.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": [tag]}))).await;
        assert_eq!(receipt.status, 200);
        assert_eq!(gateway.client.get("/twice/a").await.header("x-cache"), "MISS", "{tag}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn min_uses_keeps_what_is_asked_for_once_out_of_both_tiers() {
    let (origin, redis) = (origin().await, Redis::start().await);
    let gateway =
        Gateway::start(&config(&origin, &format!("redis: {{ urls: [\"{}\"], timeout: 1s }}\n", redis.url()))).await;
    gateway.log_is_read().await;
    for n in 0..50 {
        gateway.client.get(&format!("/twice/{n}")).await;
    }
    gateway.client.get("/twice/7").await;
    let entries = async || redis.ask::<Vec<String>>(&["KEYS", "addrgate:e:*"]).await.len();
    until("the one that was asked for twice is written", || async { entries().await == 1 }).await;
    pause(200).await;
    assert_eq!(entries().await, 1);
    assert_eq!(gateway.client.get("/twice/7").await.header("x-cache"), "HIT");
    let held = async || gateway.metric("addrgate_cache_holds{what=\"entries\"}").await;
    until("it is counted", async || held().await > 0.0).await;
    assert_eq!(held().await, 1.0);
    gateway.stop(&[]).await;
}
