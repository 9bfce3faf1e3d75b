//! Rules of the cache that show only where its parts meet: what a purge, a failure, a validation or a foreign field does to
//! what is kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use serde_json::json;
use support::origin::pause;
use support::redis::Redis;
use support::{Answer, Gateway, Origin, Reply, until};

/// Fresh for an instant, and then good only where the upstream fails.
const FALLS_BACK: &str = "max-age=1, stale-while-revalidate=0, stale-if-error=600";

/// Nothing is asked but what the test asks: what is warmed would be counted, too.
fn plain(origin: &str) -> String {
    support::gateway::plain(origin) + "warm: { keys: 0 }\n"
}

/// Asks until what is kept is no longer fresh, so that the upstream is asked again.
async fn asked_again(gateway: &Gateway, origin: &Origin, path: &str) -> Reply {
    let before = origin.count(path);
    for _ in 0..100 {
        let reply = gateway.client.get(path).await;
        if origin.count(path) > before {
            return reply;
        }
        pause(50).await;
    }
    panic!("{path} stays fresh");
}

#[tokio::test]
async fn an_error_behind_a_stale_answer_counts_as_any_other() {
    let origin = Origin::start(|asked| async move {
        match asked.number {
            1 => Answer::json("1").with("cache-control", FALLS_BACK),
            _ => Answer::ok("").status(503),
        }
    })
    .await;
    // Opens where half of two calls failed, and stays so.
    let breaker = "breaker: { window: 10, minimum: 2, open: 60s, open_max: 60s, probe_every: 60s }\n";
    let gateway = Gateway::start(&(plain(&origin.place) + breaker)).await;
    assert_eq!(gateway.client.get("/a").await.text(), "1");
    assert_eq!(asked_again(&gateway, &origin, "/a").await.header("x-cache"), "STALE");
    assert_eq!(gateway.metric("addrgate_upstream_total{outcome=\"server_error\"").await, 1.0);
    let asked = origin.count("/a");
    assert_eq!(gateway.client.get("/a").await.header("x-cache"), "STALE");
    assert_eq!(origin.count("/a"), asked, "its breaker is open");
    gateway.stop(&["a breaker opened", "level of degradation"]).await;
}

#[tokio::test]
async fn what_is_purged_while_the_upstream_fails_does_not_go_out() {
    let origin = Origin::start(|asked| async move {
        match asked.number {
            1 => Answer::json("1").with("cache-control", FALLS_BACK),
            _ => {
                pause(500).await;
                Answer::ok("").status(503)
            }
        }
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    assert_eq!(gateway.client.get("/a").await.text(), "1");
    let purged = async {
        until("the upstream is asked", async || origin.count("/a") == 2).await;
        gateway.admin("POST", "/admin/v1/cache/purge", Some(json!({"urls": ["/a"]}))).await
    };
    let (reply, purged) = tokio::join!(asked_again(&gateway, &origin, "/a"), purged);
    assert_eq!((reply.status, purged.status), (503, 200), "{}", reply.text());
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_304_that_changes_what_selects_an_answer_ends_it() {
    let origin = Origin::start(|asked| async move {
        let language = asked.headers.get("accept-language").cloned().unwrap_or_default();
        let answer = Answer::json(language).with("etag", "\"a\"");
        match (asked.number, asked.headers.contains_key("if-none-match")) {
            (1, _) => answer.with("cache-control", "max-age=1, stale-while-revalidate=0"),
            (_, true) => Answer::ok("").status(304).with("etag", "\"a\"").with("vary", "accept-language"),
            (_, false) => answer.with("vary", "accept-language"),
        }
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let get = async |language| gateway.ask("GET", "/a", &[("accept-language", language)]).await.text();
    assert_eq!(get("en").await, "en");
    until("it is validated", async || {
        assert_eq!(get("en").await, "en");
        origin.count("/a") == 2
    })
    .await;
    assert_eq!((get("de").await, get("en").await), ("de".to_owned(), "en".to_owned()));
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn what_every_client_has_of_its_own_is_purged_for_all() {
    let origin = Origin::start(|asked| async move { Answer::json(asked.number.to_string()) }).await;
    let config = plain(&origin.place)
        .replace("cache: { methods: [GET]", "cache: { methods: [GET], key: { client: true }")
        .replace("auth: none", "auth: api_key");
    let clients = "clients:
  a: { keys: [\"sha256:8430bbd45dc32025ba28e6c4063c8cea793c4a9b01a6ab847f82cb22d8880b92\"] }
  b: { keys: [\"sha256:f3f767a83a51f8e9c8c2bb5fddfcfc7a13b05a6a5a7dd0a9298809fccbe6987e\"] }
";
    let gateway = Gateway::start(&(config + clients)).await;
    let [a, b] = ["demo-interactive", "demo-batch"].map(|key| gateway.client.with_key(key));
    let all = async || [a.get("/a").await.text(), b.get("/a").await.text()];
    let first = all().await;
    assert_ne!(first[0], first[1], "each has its own");
    assert_eq!(all().await, first);
    assert_eq!(a.send(a.request("DELETE", "/a")).await.status, 200);
    let second = all().await;
    assert!(second.iter().all(|text| !first.contains(text)), "{first:?} {second:?}");
    let purged = gateway.admin("POST", "/admin/v1/cache/purge", Some(json!({"urls": ["/a"]}))).await;
    assert_eq!(purged.status, 200, "{}", purged.text());
    assert!(all().await.iter().all(|text| !second.contains(text)));
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_field_that_is_not_in_the_key_makes_no_difference() {
    // Takes what it is told for true: the coding of a body, the form of errors.
    let origin = Origin::start(|asked| async move {
        let field = |name: &str| asked.headers.get(name).cloned().unwrap_or_default();
        Answer::json(format!("{} {}", field("content-type"), field("accept")))
            .with("cache-control", "max-age=1, stale-while-revalidate=60")
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let post = async |kind: &str| {
        let request = gateway.client.request("POST", "/read/a").header("content-type", kind);
        gateway.client.send(request.body("{\"a\":1}")).await.text()
    };
    assert_eq!(post("application/json; profile=x").await, "application/json application/json");
    assert_eq!(post("application/problem+json").await, "application/json application/json");
    let get = async |fields: &[(&str, &str)]| gateway.ask("GET", "/a", fields).await;
    let problem = [("accept", "application/problem+json"), ("content-type", "text/plain")];
    let problem_text = " application/problem+json, application/json";
    assert_eq!(get(&problem).await.text(), problem_text);
    assert_eq!(get(&[("content-type", "text/plain")]).await.text(), " application/json");
    // The refresh behind the reply asks for the same form.
    until("it is refreshed", async || {
        assert_eq!(get(&problem).await.text(), problem_text);
        origin.count("/a") > 2
    })
    .await;
    assert_eq!(get(&[]).await.text(), " application/json");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn what_the_upstream_does_not_see_selects_nothing() {
    const VARY: &str = "origin, accept, accept-encoding, x-any, host, traceparent, accept-language";
    let origin = Origin::start(|asked| async move { Answer::json(asked.number.to_string()).with("vary", VARY) }).await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let get = async |fields: &[(&str, &str)]| gateway.ask("GET", "/a", fields).await;
    assert_eq!(get(&[]).await.text(), "1");
    for n in 0..10 {
        let value = n.to_string();
        let fields = ["origin", "accept", "accept-encoding", "x-any"].map(|name| (name, value.as_str()));
        let reply = get(&fields).await;
        assert_eq!((reply.text().as_str(), reply.header("x-cache"), reply.header("vary")), ("1", "HIT", VARY));
    }
    for field in [("accept-language", "de"), ("traceparent", "00-1"), ("accept", "application/problem+json")] {
        assert_eq!(get(&[field]).await.header("x-cache"), "MISS", "{field:?}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn conditions_of_what_is_not_cached_reach_the_upstream() {
    let origin = Origin::start(|asked| async move {
        match asked.headers.get("if-match").is_some_and(|tag| tag != "\"new\"") {
            true => Answer::ok("").status(412),
            false => Answer::json("1"),
        }
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let fields = [
        ("if-match", "\"old\""),
        ("if-none-match", "*"),
        ("if-unmodified-since", date),
        ("content-range", "bytes 0-0/1"),
    ];
    assert_eq!(gateway.ask("PUT", "/a", &fields).await.status, 412);
    let asked = origin.asked().pop().unwrap();
    for (name, value) in fields {
        assert_eq!(asked.headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    // What is kept is for all, so it is fetched without.
    assert_ne!(gateway.ask("GET", "/a", &fields).await.status, 412);
    let asked = origin.asked().pop().unwrap();
    assert!(fields.iter().all(|(name, _)| !asked.headers.contains_key(*name)), "{}", asked.head);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn what_is_kept_by_its_body_is_fetched_anew_not_validated() {
    let origin = Origin::start(|asked| async move {
        // As RFC 9110 section 13.1.2 wants of methods other than GET and HEAD.
        if asked.headers.contains_key("if-none-match") {
            return Answer::ok("").status(412);
        }
        let answer = Answer::json("1").with("etag", "\"a\"").with("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
        answer.with("cache-control", "max-age=1, stale-while-revalidate=0")
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    for method in ["POST", "QUERY"] {
        until("it is fetched anew", async || {
            let request = gateway.client.request(method, "/read/a").header("content-type", "application/json");
            let reply = gateway.client.send(request.body("{}")).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "1"));
            origin.asked().iter().filter(|asked| asked.method == method).count() == 2
        })
        .await;
    }
    assert!(origin.asked().iter().all(|asked| !asked.headers.contains_key("if-modified-since")));
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn an_error_takes_no_good_answers_place() {
    let origin = Origin::start(|asked| async move {
        let error = Answer::json(asked.number.to_string()).status(503);
        match (asked.target.as_str(), asked.number) {
            ("/fresh", 1) => Answer::json("good"),
            ("/refreshed", _) if !asked.headers.contains_key("if-none-match") => Answer::json("good")
                .with("cache-control", "max-age=1, stale-while-revalidate=600, stale-if-error=600")
                .with("etag", "\"a\""),
            _ => error,
        }
    })
    .await;
    let config = plain(&origin.place).replace("[GET], lifetimes: {", "[GET], lifetimes: { errors: explicit,");
    let gateway = Gateway::start(&config).await;
    let anew = async |path| gateway.ask("GET", path, &[("cache-control", "no-cache")]).await;
    assert_eq!(gateway.client.get("/fresh").await.text(), "good");
    let failed = anew("/fresh").await;
    assert_eq!(failed.status, 503, "who wants no kept answer gets none");
    assert!(failed.header("cache-status").ends_with("; detail=error-status"), "{:?}", failed.headers);
    let kept = gateway.client.get("/fresh").await;
    assert_eq!((kept.text().as_str(), kept.header("x-cache")), ("good", "HIT"));
    // Behind the reply.
    until("it was refreshed twice in vain", async || {
        assert_eq!(gateway.client.get("/refreshed").await.text(), "good");
        origin.count("/refreshed") >= 4
    })
    .await;
    // Where there is nothing better, an error is kept, and the newest.
    let first = gateway.client.get("/error").await;
    assert_eq!(gateway.client.get("/error").await.text(), first.text());
    let second = anew("/error").await;
    assert_ne!(second.text(), first.text());
    assert_eq!(gateway.client.get("/error").await.text(), second.text());
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn parts_are_for_get_and_for_who_has_the_same_bytes() {
    let origin = Origin::start(|asked| async move {
        Answer::json("0123456789").with("etag", if asked.target == "/weak" { "W/\"a\"" } else { "\"a\"" })
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let range = ("range", "bytes=2-3");
    // Missed and found.
    for _ in 0..2 {
        for (method, path, tag, status, text) in [
            ("GET", "/weak", "W/\"a\"", 200, "0123456789"),
            ("GET", "/strong", "W/\"a\"", 200, "0123456789"),
            ("GET", "/strong", "\"a\"", 206, "23"),
            ("HEAD", "/head", "\"a\"", 200, ""),
        ] {
            let reply = gateway.ask(method, path, &[range, ("if-range", tag)]).await;
            assert_eq!((reply.status, reply.text().as_str()), (status, text), "{method} {path} {tag}");
        }
        let head = gateway.ask("HEAD", "/other", &[range]).await;
        assert_eq!((head.status, head.header("content-range"), head.header("content-length")), (200, "", "10"));
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn stamped_answers_are_whole() {
    let origin = Origin::start(|_| async { Answer::json("{\"data\":1}").with("accept-ranges", "bytes") }).await;
    let config =
        plain(&origin.place).replace("    cache: { methods: [GET]", "    meta: true\n    cache: { methods: [GET]");
    let gateway = Gateway::start(&config).await;
    for cache in ["MISS", "HIT"] {
        let reply = gateway.ask("GET", "/a", &[("range", "bytes=0-3")]).await;
        assert_eq!((reply.status, reply.header("x-cache"), reply.header("accept-ranges")), (200, cache, ""));
        assert_eq!((&reply.json()["data"], reply.json()["meta"].is_object()), (&json!(1), true), "{}", reply.text());
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn nothing_of_redis_is_used_before_the_log_was_read() {
    let (origin, redis) =
        (Origin::start(|asked| async move { Answer::json(asked.number.to_string()) }).await, Redis::start().await);
    let config = format!("{}redis: {{ urls: [\"{}\"], timeout: 1s }}\n", plain(&origin.place), redis.url());
    let status = async |gateway: &Gateway| gateway.admin("GET", "/admin/v1/status", None).await.json();
    let one = Gateway::start(&config).await;
    one.log_is_read().await;
    assert_eq!(one.client.get("/a").await.text(), "1");
    until("it is shared", async || !redis.ask::<Vec<String>>(&["KEYS", "addrgate:e:*"]).await.is_empty()).await;
    one.stop(&[]).await;
    // What was purged meanwhile can't be known: the log is no log.
    redis.ask::<()>(&["SET", "addrgate:{log}", "x"]).await;
    let two = Gateway::start(&config).await;
    until("Redis is connected", async || status(&two).await["cache"]["second"]["redis"]["connected"] == true).await;
    assert_eq!(two.client.get("/a").await.text(), "2");
    redis.ask::<()>(&["DEL", "addrgate:{log}"]).await;
    two.log_is_read().await;
    two.stop(&["invalidation log", "Redis"]).await;
}
