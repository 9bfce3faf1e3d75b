//! What leaves the gateway for caches in front of it, and what makes a response fit to be stored at all: who may store it and
//! how long, one of each field, its date, its tags, its own address; and purges and warming that name what is stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "downstream/fields.rs"]
mod fields;
#[path = "support/lib.rs"]
mod support;

use std::process::Command;

use serde_json::json;
use support::gateway::plain;
use support::origin::pause;
use support::{Answer, Asked, Gateway, Origin, Reply, program, until};

/// The key of all clients here.
const KEY: &str = "demo-interactive";
const CLIENTS: &str =
    "clients: { a: { keys: [\"sha256:8430bbd45dc32025ba28e6c4063c8cea793c4a9b01a6ab847f82cb22d8880b92\"] } }
rate_limit: { client: [100000/1m] }
warm: { keys: 0 }
";

/// Every route needs the key.
fn keyed(origin: &str) -> String {
    plain(origin).replace("auth: none", "auth: api_key") + CLIENTS
}

/// Open to all, limited by address.
fn open(origin: &str) -> String {
    plain(origin) + "rate_limit: { address: [100000/1m] }\nwarm: { keys: 0 }\n"
}

/// A target names how its response is to be stored: `/x?max-age=60;cdn=max-age=5`.
fn behave(asked: &Asked) -> Answer {
    let status = asked.target.split("status=").nth(1).map_or(200, |rest| rest[..3].parse().unwrap());
    let answer = Answer::ok("{\"a\":1}").with("content-type", "application/json");
    let mut answer = answer.with("etag", "\"e\"").status(status);
    if let Some((_, control)) = asked.target.split_once("cc=") {
        let control = control.split('&').next().unwrap().replace(';', ", ");
        answer = answer.with("cache-control", &control);
    }
    if asked.target.contains("cdn") {
        answer = answer.with("cdn-cache-control", "max-age=600").with("surrogate-control", "max-age=700");
    }
    if asked.target.contains("degraded") {
        answer = answer.with("x-degraded", "no-fuzzy");
    }
    answer
}

async fn origin() -> Origin {
    Origin::start(|asked| async move { behave(&asked) }).await
}

/// GET over HTTP/2.
async fn h2(gateway: &Gateway, key: &str, path: &str) -> Reply {
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{}{path}", gateway.place)).header("x-api-key", key).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    Reply { status, headers, body: answer.bytes().await.unwrap().to_vec(), time: std::time::Duration::ZERO }
}

/// The response to the same request in every way in which it can leave: fetched, found by the door, found past it, without a
/// body, as a 304, over HTTP/2.
async fn every_way(gateway: &Gateway, path: &str) -> Vec<(&'static str, Reply)> {
    let client = gateway.client.with_key(KEY);
    let with = |method: &str, name: &'static str, value: &'static str| client.request(method, path).header(name, value);
    vec![
        ("fetched", client.get(path).await),
        ("by the door", client.get(path).await),
        ("past the door", client.send(with("GET", "cache-control", "max-age=100000")).await),
        ("HEAD", client.send(client.request("HEAD", path)).await),
        ("304 by the door", client.send(with("GET", "if-none-match", "\"e\"")).await),
        ("304", client.send(with("GET", "if-none-match", "\"e\"").header("te", "trailers")).await),
        ("part", client.send(with("GET", "range", "bytes=0-1")).await),
        ("HTTP/2", h2(gateway, KEY, path).await),
    ]
}

/// Fields of one request alone.
const OWN: [&str; 4] = ["x-request-id", "x-correlation-id", "x-response-time", "x-ratelimit-remaining"];

#[tokio::test]
async fn what_needs_a_key_is_for_the_clients_own_cache() {
    let origin = origin().await;
    let config = keyed(&origin.place).replace("[GET], lifetimes: {", "[GET], lifetimes: { default: { 200: 30s },");
    let gateway = Gateway::start(&config).await;
    for (path, expected) in [
        ("/a?cc=public;max-age=60", "private, max-age=60"),
        ("/a?cc=max-age=60;stale-if-error=9&cdn", "private, max-age=60, stale-if-error=9"),
        ("/a?cc=s-maxage=60;max-age=5;proxy-revalidate", "private, max-age=5"),
        ("/a?cc=max-age=99999999", "private, max-age=604800"),
    ] {
        for (way, reply) in every_way(&gateway, path).await {
            assert_eq!(reply.header("cache-control"), expected, "{path} {way}");
            for name in ["cdn-cache-control", "surrogate-control", "expires", "addrgate-original"] {
                assert_eq!(reply.header(name), "", "{path} {way} {name}");
            }
            assert!(OWN.iter().all(|name| !reply.header(name).is_empty()), "{path} {way} {:?}", reply.headers);
        }
    }
    let client = gateway.client.with_key(KEY);
    // By the body, and what is not stored at all.
    for _ in 0..2 {
        let posted = client.post_bytes("/read/a?cc=public;max-age=60&cdn", "{}").await;
        assert_eq!((posted.header("cache-control"), posted.header("cdn-cache-control")), ("private, max-age=60", ""));
    }
    let put = client.send(client.request("PUT", "/a?cc=public;max-age=60&cdn")).await;
    assert_eq!((put.header("cache-control"), put.header("surrogate-control")), ("private, max-age=60", ""));
    // The lifetime that the route gives where the upstream names none.
    assert_eq!(client.get("/plain").await.header("cache-control"), "private, max-age=30");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn what_is_shared_names_nobody() {
    let origin = origin().await;
    let config = keyed(&origin.place)
        .replace("    forward: [accept-language]", "    cdn: shared\n    cdn_lifetime: 1d\n    meta: true");
    let gateway = Gateway::start(&config).await;
    for (way, reply) in every_way(&gateway, "/a?cc=private=\"x\";max-age=60").await {
        assert_eq!(reply.header("cache-control"), "public, max-age=60", "{way}");
        assert_eq!(reply.header("cdn-cache-control"), "max-age=86400", "{way}");
        for name in OWN.iter().chain(&["x-ratelimit-limit", "surrogate-control"]) {
            assert_eq!(reply.header(name), "", "{way} {name}");
        }
        assert!(!reply.text().contains("meta"), "{way} {}", reply.text());
    }
    let client = gateway.client.with_key(KEY);
    // What no shared cache may store is the client's own.
    for path in ["/a?cc=no-store", "/a?status=503&cc=max-age=604800", "/a?cc=max-age=60&degraded", "/a?cc=private"] {
        let reply = client.get(path).await;
        let control = reply.header("cache-control");
        assert!(control == "no-store" || control.starts_with("private"), "{path} {control}");
        assert!(OWN.iter().all(|name| !reply.header(name).is_empty()), "{path} {:?}", reply.headers);
        assert_eq!(reply.header("cdn-cache-control"), "", "{path}");
    }
    gateway.stop(&["cdn: shared"]).await;
}

#[tokio::test]
async fn what_was_stored_for_all_goes_out_for_one_once_the_route_says_so() {
    let origin = origin().await;
    let shared = keyed(&origin.place).replace("    forward: [accept-language]", "    cdn: shared");
    let gateway = Gateway::start(&shared).await;
    let client = gateway.client.with_key(KEY);
    for _ in 0..3 {
        assert_eq!(client.get("/a?cc=max-age=600&cdn").await.header("cache-control"), "public, max-age=600");
    }
    let file = gateway.folder.path().join("config.yaml");
    let private = std::fs::read_to_string(&file).unwrap().replace("    cdn: shared\n", "");
    std::fs::write(&file, private).unwrap();
    assert_eq!(gateway.admin("POST", "/admin/v1/reload", None).await.status, 200);
    for (way, reply) in every_way(&gateway, "/a?cc=max-age=600&cdn").await {
        let told = (reply.header("cache-control"), reply.header("cdn-cache-control"), reply.header("x-request-id"));
        assert_eq!((told.0, told.1, told.2.is_empty()), ("private, max-age=600", "", false), "{way}");
    }
    assert_eq!(origin.asked().len(), 1, "all were found");
    gateway.stop(&["cdn: shared"]).await;
}

#[tokio::test]
async fn what_is_open_goes_out_as_it_came_and_without_anybodys_limits() {
    let origin = origin().await;
    let gateway = Gateway::start(&open(&origin.place)).await;
    for (way, reply) in every_way(&gateway, "/a?cc=public;max-age=60;s-maxage=90&cdn").await {
        assert_eq!(reply.header("cache-control"), "public, max-age=60, s-maxage=90", "{way}");
        assert_eq!(
            (reply.header("cdn-cache-control"), reply.header("surrogate-control")),
            ("max-age=600", "max-age=700")
        );
        assert_eq!(
            (reply.header("x-ratelimit-remaining"), reply.header("x-request-id").is_empty()),
            ("", false),
            "{way}"
        );
    }
    let own = gateway.client.get("/a?cc=private").await;
    assert!(!own.header("x-ratelimit-remaining").is_empty(), "{:?}", own.headers);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn what_is_not_stored_here_is_recommended_to_nobody() {
    let origin = origin().await;
    for keyed_route in [true, false] {
        let config = if keyed_route { keyed(&origin.place) } else { open(&origin.place) };
        let bare = "routes:\n  - { name: bare, paths: [/bare/**], auth: none, answers: any }\n";
        let config = config
            .replace("routes:\n", bare)
            .replace("[GET], lifetimes: {", "[GET], lifetimes: { max: 100s, default: { 404: 30s },");
        let gateway = Gateway::start(&config).await;
        let client = gateway.client.with_key(KEY);
        let expected = |private: &str, open: &str| if keyed_route { private } else { open }.to_owned();
        for (path, told) in [
            ("/a?status=503&cc=max-age=604800&cdn", "no-store".to_owned()),
            ("/a?status=400&cc=public;max-age=604800&cdn", "no-store".to_owned()),
            ("/bare/a?status=500&cc=public;max-age=604800&cdn", "no-store".to_owned()),
            ("/a?cc=public;max-age=60&cdn&degraded", "no-store".to_owned()),
            ("/bare/a?cc=public;max-age=60&cdn&degraded", "no-store".to_owned()),
            ("/a?status=404&cc=max-age=604800", expected("private, max-age=30", "max-age=30")),
            ("/a?cc=max-age=604800", expected("private, max-age=100", "max-age=100")),
            ("/a?cc=private;max-age=604800&cdn", expected("private, max-age=100", "private, max-age=100")),
            ("/a?cc=no-store", "no-store".to_owned()),
        ] {
            let replies = [client.get(path).await, client.get(path).await, h2(&gateway, KEY, path).await];
            for reply in replies {
                assert_eq!(reply.header("cache-control"), told, "{path}");
                let targeted = reply.header("cdn-cache-control");
                assert!(["", "max-age=100"].contains(&targeted), "{path} {targeted}");
            }
        }
        // The client that asked not to be stored gets no more than the others.
        let request = client.request("GET", "/a?cc=public;max-age=604800&own").header("cache-control", "no-store");
        assert_eq!(client.send(request).await.header("cache-control"), "private, max-age=100");
        gateway.stop(&["a breaker opened", "level of degradation"]).await;
    }
}

#[tokio::test]
async fn what_a_fallback_answers_is_recommended_no_longer_than_it_is_stored() {
    let (primary, fallback) = (Origin::start(|_| async { Answer::HangUp }).await, origin().await);
    let config = open(&primary.place)
        .replace("upstreams:\n", &format!("upstreams:\n  second: {{ addresses: [\"{}\"] }}\n", fallback.place))
        .replace("answers: any\n", "answers: any\n    upstream: origin\n    fallback: second\n");
    let gateway = Gateway::start(&config).await;
    let reply = gateway.client.get("/a?cc=public;max-age=604800;s-maxage=5&cdn").await;
    assert_eq!(reply.header("x-source"), "second");
    assert_eq!(reply.header("cache-control"), "public, max-age=60, s-maxage=5");
    assert_eq!(reply.header("cdn-cache-control"), "max-age=60");
    gateway.stop(&["a breaker opened", "level of degradation"]).await;
}

#[tokio::test]
async fn a_validation_that_repeats_nothing_keeps_what_the_upstream_said_first() {
    let origin = Origin::start(|asked| async move {
        match asked.headers.contains_key("if-none-match") {
            true => Answer::ok("").status(304).with("etag", "\"e\""),
            false => Answer::json("1")
                .with("etag", "\"e\"")
                .with("cache-control", "private, max-age=50")
                .with("cdn-cache-control", "max-age=1, stale-while-revalidate=0"),
        }
    })
    .await;
    let gateway = Gateway::start(&keyed(&origin.place)).await;
    let client = gateway.client.with_key(KEY);
    for _ in 0..2 {
        until("it is validated", async || {
            let reply = client.get("/a").await;
            assert_eq!(reply.header("cache-control"), "private, max-age=50", "as the upstream says of clients");
            assert_eq!(reply.header("addrgate-original"), "");
            reply.header("x-cache") == "REVALIDATED"
        })
        .await;
    }
    assert_eq!(client.get("/a").await.header("x-cache"), "HIT");
    gateway.stop(&[]).await;
}

#[test]
fn check_warns_of_a_key_that_caches_in_front_do_not_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let check = |config: &str| {
        let config = config.replace("{listen}", "127.0.0.1:1").replace("{admin}", "127.0.0.1:2");
        std::fs::write(&file, config.replace("{token}", "0123456789abcdef")).unwrap();
        let output = Command::new(program("addrgate")).args(["check", "--config"]).arg(&file).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    };
    let config = keyed("127.0.0.1:3");
    let with = |setting: &str| config.replace("    forward: [accept-language]", &format!("    {setting}"));
    let (valid, told) = check(&with("cdn: shared"));
    assert!(valid && told.contains("everything") && told.contains("cdn: shared"), "{told}");
    for quiet in ["cdn: private", "forward: []"] {
        let (valid, told) = check(&with(quiet));
        assert!(valid && !told.contains("cdn"), "{told}");
    }
    let (valid, told) = check(&with("cdn_lifetime: 1d"));
    assert!(!valid && told.contains("needs `cdn: shared`"), "{told}");
    let own = with("cdn: shared").replace("cache: { methods: [GET]", "cache: { key: { client: true }, methods: [GET]");
    let (valid, told) = check(&own);
    assert!(!valid && told.contains("responses of its own"), "{told}");
    let (valid, told) = check(
        &(config + "warm: { targets: [\"/a\", { url: \"/a\", method: DELETE }] }\n").replace("warm: { keys: 0 }\n", ""),
    );
    assert!(valid && told.contains("DELETE /a is not asked") && !told.contains("GET /a"), "{told}");
}
