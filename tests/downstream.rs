//! What leaves the gateway for caches in front of it, and what makes a response fit to be stored at all: who may store it and
//! how long, one of each field, its date, its tags, its own address; and purges and warming that name what is stored.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

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

fn raw(head: &[u8], body: &str) -> Answer {
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: max-age=60\r\n".to_vec();
    bytes.extend_from_slice(head);
    if !head.to_ascii_lowercase().windows(15).any(|part| part == b"content-length:" || part == b"transfer-encod") {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.as_bytes());
    Answer::Raw(bytes)
}

#[tokio::test]
async fn tags_are_bytes() {
    let origin = Origin::start(|asked| async move {
        match asked.target.as_str() {
            "/latin" => raw(b"Cache-Tag: locality:caf\xe9, postcode:3400\r\nCache-Tag: \xff, last\r\n", "1"),
            "/utf" => raw("Cache-Tag: locality:caf\u{e9} noir,, postcode:3400\r\n".as_bytes(), "1"),
            _ => {
                let tags: Vec<String> = (0..5000).map(|n| n.to_string()).collect();
                raw(format!("Cache-Tag: {}\r\n", tags.join(",")).as_bytes(), "1")
            }
        }
    })
    .await;
    let gateway = Gateway::start(&(plain(&origin.place) + "warm: { keys: 0 }\n")).await;
    for (path, tag) in [
        ("/latin", "postcode:3400"),
        ("/latin", "locality:caf\u{e9}"),
        ("/latin", "last"),
        ("/utf", "postcode:3400"),
        ("/utf", " locality:caf\u{e9} noir "),
    ] {
        gateway.client.get(path).await;
        assert_eq!(gateway.client.get(path).await.header("x-cache"), "HIT");
        let purged = gateway.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": [tag]}))).await;
        assert_eq!(purged.status, 200, "{}", purged.text());
        assert_eq!(gateway.client.get(path).await.header("x-cache"), "MISS", "{path} {tag}");
    }
    for _ in 0..2 {
        let many = gateway.client.get("/many").await;
        assert_eq!((many.status, many.header("x-cache"), many.header("cache-control")), (200, "MISS", "no-store"));
        assert!(many.header("cache-status").ends_with("detail=too-many-tags"), "{}", many.header("cache-status"));
    }
    gateway.stop(&["more tags than can be stored"]).await;
}

#[tokio::test]
async fn a_purge_that_can_match_nothing_is_refused() {
    let origin = Origin::start(|asked| async move { Answer::json(asked.target) }).await;
    let hosted = "routes:
  - { name: hosted, paths: [/hosted/**], auth: none, cache: { key: { host: true } } }
  - { name: bare, paths: [/bare], auth: none }
";
    let config = plain(&origin.place).replace("routes:\n", hosted) + "warm: { keys: 0 }\n";
    let gateway = Gateway::start(&config).await;
    let purge = async |body| gateway.admin("POST", "/admin/v1/cache/purge", Some(body)).await;
    for (body, word) in [
        (json!({"urls": ["/a*"]}), "wildcards"),
        (json!({"urls": ["/a?q=*"]}), "wildcards"),
        (json!({"urls": [{"url": "/read/*", "method": "POST", "body": {}}]}), "wildcards"),
        (json!({"tags": ["postcode:*"]}), "wildcards"),
        (json!({"tags": ["a", " "]}), "empty"),
        (json!({"tags": ["a,b"]}), "comma"),
        (json!({"tags": ["a\nb"]}), "control"),
        (json!({"urls": [""]}), "starts with"),
        (json!({"urls": ["a/b"]}), "starts with"),
        (json!({"urls": ["ftp://a/b"]}), "starts with"),
        (json!({"urls": ["/bare"]}), "not stored"),
        (json!({"urls": [{"url": "/a", "method": "DELETE"}]}), "not stored"),
        (json!({"urls": [{"url": "/read/a", "method": "POST"}]}), "body"),
        (json!({"urls": ["/hosted/a"]}), "host"),
    ] {
        let reply = purge(body.clone()).await;
        assert_eq!(reply.status, 400, "{body} {}", reply.text());
        assert!(reply.text().contains(word), "{body} {}", reply.text());
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_purge_reads_urls_as_a_browser_does() {
    let origin = Origin::start(|asked| async move { Answer::json(asked.target) }).await;
    let hosted = "routes:\n  - { name: hosted, paths: [/hosted/**], auth: none, cache: { key: { host: true } } }\n";
    let config = plain(&origin.place).replace("routes:\n", hosted) + "warm: { keys: 0 }\n";
    let gateway = Gateway::start(&config).await;
    let host = gateway.place.clone();
    let absolute = format!("http://{host}/hosted/a");
    for (asked, purged) in [
        ("/a?q=caf%C3%A9", "/a?q=caf\u{e9}"),
        ("/caf%C3%A9", "/caf\u{e9}"),
        ("/a%20b?q=c%20d", "/a b?q=c d"),
        ("/a?q=1", "/a?q=1#part"),
        ("/a", "https://any.example/a"),
        ("/a", "HTTP://any.example/x/../a#b"),
        ("/hosted/a", absolute.as_str()),
        ("/a?q=1*2", "/a?q=1%2A2"),
        ("/a?q=1%2A2", "/a?q=1%2A2"),
        ("/a?q=o'b", "/a?q=o'b"),
        ("/a?q=o%27b", "/a?q=o'b"),
    ] {
        gateway.client.raw_get(asked.as_bytes()).await;
        let raw = format!("GET {asked} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        gateway.client.raw(raw.as_bytes()).await;
        assert_eq!(gateway.client.raw(raw.as_bytes()).await.header("x-cache"), "HIT", "{asked}");
        let receipt = gateway.admin("POST", "/admin/v1/cache/purge", Some(json!({"urls": [purged]}))).await;
        assert_eq!(receipt.status, 200, "{purged} {}", receipt.text());
        assert_eq!(gateway.client.raw(raw.as_bytes()).await.header("x-cache"), "MISS", "{asked} by {purged}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn what_comes_without_a_date_gets_one_and_a_validation_makes_it_young_again() {
    let origin = Origin::start(|asked| async move {
        match asked.headers.contains_key("if-none-match") {
            // Fresh for longer than the first was, but not than both together.
            true => Answer::ok("").status(304).with("cache-control", "max-age=3").with("etag", "\"e\""),
            false => {
                Answer::json("1").with("etag", "\"e\"").with("cache-control", "max-age=2, stale-while-revalidate=0")
            }
        }
    })
    .await;
    let gateway = Gateway::start(&(plain(&origin.place) + "warm: { keys: 0 }\n")).await;
    let first = gateway.client.get("/a").await;
    let hit = gateway.client.get("/a").await;
    assert_eq!((hit.header("x-cache"), hit.header("date")), ("HIT", first.header("date")));
    assert!(httpdate::parse_http_date(hit.header("date")).is_ok(), "{:?}", hit.headers);
    pause(2100).await;
    let validated = gateway.client.get("/a").await;
    assert_eq!(validated.header("x-cache"), "REVALIDATED");
    let younger = gateway.client.get("/a").await;
    assert_eq!(younger.header("x-cache"), "HIT", "{}", younger.header("cache-status"));
    assert!(younger.header("age").parse::<u64>().unwrap() <= 1 && younger.header("date") != first.header("date"));
    assert_eq!(origin.asked().len(), 2);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn meta_is_there_on_a_miss_as_on_a_hit() {
    let origin = Origin::start(|asked| async move {
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let chunked = |pieces: &[&str]| {
            let body: String = pieces.iter().map(|piece| chunk(piece)).collect();
            raw(b"Transfer-Encoding: chunked\r\n", &(body + "0\r\n\r\n"))
        };
        match asked.target.split('/').nth(1).unwrap_or_default() {
            "one" => chunked(&["{\"data\":1}"]),
            "pieces" => chunked(&["{\"da", "ta\":{\"a\":1}", "}"]),
            "large" => chunked(&["{\"data\":\"", &"x".repeat(100_000), "\"}"]),
            "close" => Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"data\":1}".to_vec()),
            _ => Answer::json("{\"data\":1}"),
        }
    })
    .await;
    let config =
        plain(&origin.place).replace("    forward: [accept-language]", "    meta: true") + "warm: { keys: 0 }\n";
    let gateway = Gateway::start(&config).await;
    let whole = |reply: &Reply, what: &str| {
        let body = reply.json();
        assert!(body["meta"]["requestId"].is_string() && !body["data"].is_null(), "{what} {}", reply.text());
        assert_eq!(reply.text().matches("requestId").count(), 1, "{what}");
    };
    for path in ["/one/a", "/pieces/a", "/large/a", "/length/a", "/close/a"] {
        for way in ["first", "second"] {
            whole(&gateway.client.get(path).await, &format!("{path} {way}"));
        }
        // Neither stored nor keyed.
        whole(&gateway.client.send(gateway.client.request("PUT", path)).await, path);
        whole(&h2(&gateway, "", &path.replace("/a", "/b")).await, path);
        whole(&h2(&gateway, "", &path.replace("/a", "/b")).await, path);
    }
    // Those who read along, too.
    let many = (0..8).map(|_| gateway.client.get("/pieces/many"));
    for reply in futures::future::join_all(many).await {
        whole(&reply, "many");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn clients_do_not_reach_the_upstream_at_will() {
    let origin = Origin::start(|_| async { Answer::json("1") }).await;
    let config = plain(&origin.place).replace(", request_directives: true", "") + "warm: { keys: 0 }\n";
    let gateway = Gateway::start(&config).await;
    gateway.client.get("/a").await;
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=0"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
    ] {
        let reply = gateway.ask("GET", "/a", &[(name, value)]).await;
        assert_eq!((reply.status, reply.header("x-cache")), (200, "HIT"), "{value}");
    }
    assert_eq!(origin.asked().len(), 1);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn warming_asks_only_for_what_is_stored() {
    let origin = Origin::start(|asked| async move { Answer::json(asked.target) }).await;
    let config =
        plain(&origin.place) + "warm: { keys: 0, targets: [\"/start\", { url: \"/start\", method: DELETE }] }\n";
    let gateway = Gateway::start(&config).await;
    until("it warms at the start", async || origin.count("/start") == 1).await;
    let warm = async |urls| gateway.admin("POST", "/admin/v1/cache/warm", Some(json!({ "urls": urls }))).await;
    for bad in [
        json!({"url": "/a", "method": "DELETE"}),
        json!({"url": "/a", "method": "PUT", "body": {}}),
        json!({"url": "/read/a", "method": "POST"}),
        json!("a"),
    ] {
        let reply = warm(json!(["/good", bad])).await;
        assert_eq!(reply.status, 400, "{bad} {}", reply.text());
    }
    let good = warm(json!(["/caf\u{e9}#x", {"url": "/read/a", "method": "POST", "body": {"a": 1}}])).await;
    assert_eq!(good.status, 202, "{}", good.text());
    until("both are asked", async || origin.count("/caf%C3%A9") == 1 && origin.count("/read/a") == 1).await;
    let asked = origin.asked();
    assert!(asked.iter().all(|asked| matches!(asked.method.as_str(), "GET" | "POST")), "{asked:?}");
    assert_eq!(asked.len(), 3, "all or nothing of a call");
    gateway.stop(&["is not asked"]).await;
}

#[tokio::test]
async fn a_response_has_one_of_each_field() {
    let origin = Origin::start(|asked| async move {
        let body = "{\"a\":1}";
        match asked.target.as_str() {
            "/twice" => raw(b"Content-Length: 7\r\nContent-Length: 7\r\n", body),
            "/list" => raw(b"Content-Length: 7, 7\r\n", body),
            "/types" => raw(b"Content-Type: text/html\r\n", body),
            "/tags" => raw(b"ETag: \"a\"\r\nETag: \"b\"\r\n", body),
            "/dates" => raw(b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Mon, 07 Nov 1994 08:49:37 GMT\r\n", body),
            "/places" => raw(b"Location: /a\r\nLocation: /b\r\n", body),
            _ => raw(b"Content-Range: bytes 0-6/7\r\nContent-Range: bytes 0-6/8\r\n", body),
        }
    })
    .await;
    let config = plain(&origin.place).replace("    forward: [accept-language]", "    meta: true");
    let gateway = Gateway::start(&(config + "warm: { keys: 0 }\n")).await;
    for path in ["/twice", "/list", "/types", "/tags", "/dates"] {
        for way in ["miss", "hit", "hit"] {
            let raw = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let reply = gateway.client.raw(raw.as_bytes()).await;
            assert_eq!(reply.status, 200, "{path} {way}");
            for name in ["content-length", "content-type", "date"] {
                assert_eq!(reply.headers.get_all(name).iter().count(), 1, "{path} {way} {name} {:?}", reply.headers);
            }
            assert_eq!(reply.header("content-length"), reply.body.len().to_string(), "{path} {way}");
            assert_eq!((reply.header("content-type"), reply.header("etag")), ("application/json", ""), "{path} {way}");
        }
    }
    for path in ["/places", "/ranges"] {
        let reply = gateway.client.get(path).await;
        assert_eq!(reply.status, 502, "{path}");
        reply.assert_envelope();
    }
    gateway.stop(&["a breaker opened", "level of degradation"]).await;
}

#[tokio::test]
async fn the_upstreams_own_address_stays_inside() {
    let origin = Origin::start(|asked| async move {
        let own = asked.headers["host"].clone();
        let place = match asked.target.as_str() {
            "/own" | "/stored" => format!("http://{own}/b?c=d#e"),
            "/network" => format!("//{own}/b"),
            "/asked" => "http://public.example/b".to_owned(),
            _ => "https://elsewhere.example/b".to_owned(),
        };
        Answer::json("1")
            .status(if asked.method == "PUT" { 201 } else { 301 })
            .with("location", &place)
            .with("content-location", &place)
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    for (method, path, expected) in [
        ("GET", "/own", "/b?c=d#e"),
        ("GET", "/own", "/b?c=d#e"),
        ("PUT", "/own", "/b?c=d#e"),
        ("GET", "/network", "/b"),
        ("GET", "/asked", "http://public.example/b"),
        ("GET", "/elsewhere", "https://elsewhere.example/b"),
    ] {
        let reply = gateway.ask(method, path, &[("host", "public.example")]).await;
        assert_eq!(
            (reply.header("location"), reply.header("content-location")),
            (expected, expected),
            "{method} {path}"
        );
    }
    // Whatever name the first client used.
    for _ in 0..2 {
        assert_eq!(gateway.ask("GET", "/stored", &[("host", &origin.place)]).await.header("location"), "/b?c=d#e");
    }
    gateway.stop(&[]).await;
    let kept = plain(&origin.place).replace("health:", "map_location: false, health:");
    let gateway = Gateway::start(&kept).await;
    assert!(gateway.client.get("/own").await.header("location").contains(&origin.place));
    gateway.stop(&[]).await;
}
