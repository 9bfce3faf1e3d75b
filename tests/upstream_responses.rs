//! What upstreams answer that is too large, coded, a refusal in words of their own, or nothing that was asked for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::io::Write;

use futures::StreamExt;
use support::gateway::plain;
use support::origin::pause;
use support::{Answer, Gateway, Origin, Reply, until};
use tokio::task::JoinSet;

/// Beyond what is stored, and beyond what is held of what is not.
const SIZES: [usize; 2] = [200_000, 9_000_000];

fn body(length: usize) -> Vec<u8> {
    let mut body = Vec::with_capacity(length);
    for letter in (b'a'..=b'z').cycle().take(length.div_ceil(1000)) {
        body.resize((body.len() + 1000).min(length), letter);
    }
    body
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: max-age=60\r\n\
                      Transfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    for piece in body.chunks(50_000) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// `/…/length/N` or `/…/chunks/N`: so many bytes.
async fn large() -> Origin {
    Origin::start(|asked| async move {
        let mut parts = asked.target.rsplit('/');
        let length = parts.next().unwrap().parse().unwrap();
        match parts.next() {
            Some("chunks") => Answer::Raw(chunked(&body(length))),
            _ => Answer::json(body(length)),
        }
    })
    .await
}

fn small_entries(origin: &str) -> String {
    plain(origin) + "cache: { entry: 64KiB }\n" + "rate_limit: { shared: false }\n"
}

fn uncached(origin: &str) -> String {
    let text = plain(origin);
    text[..text.find("routes:").unwrap()].to_owned()
        + "routes: [{ name: all, paths: [/**], methods: [GET, POST], auth: none, answers: any, body: { max: 1KiB } }]\n"
}

#[tokio::test]
async fn what_is_too_large_to_be_stored_arrives_whole_for_one_and_for_many() {
    let origin = large().await;
    let gateway = Gateway::start(&small_entries(&origin.place)).await;
    let http2 = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    for kind in ["length", "chunks"] {
        for length in SIZES {
            let expected = body(length);
            for clients in [1, 8] {
                let mut all = JoinSet::new();
                for n in 0..clients {
                    let (client, http2) = (gateway.client.clone(), http2.clone());
                    let path = format!("/{clients}/{kind}/{length}");
                    all.spawn(async move {
                        if n % 2 == 0 {
                            let reply = client.get(&path).await;
                            return (reply.status, reply.body);
                        }
                        let reply = http2.get(format!("{}{path}", client.base)).send().await.unwrap();
                        (reply.status().as_u16(), reply.bytes().await.unwrap().to_vec())
                    });
                }
                for (status, got) in all.join_all().await {
                    assert!(status == 200 && got == expected, "{kind} {length} {clients}: {status}, {}", got.len());
                }
            }
            for (path, fields) in [("read", "POST"), ("read", "QUERY"), ("head", "HEAD")] {
                let request = gateway.client.request(fields, &format!("/{path}/{kind}/{length}"));
                let request = if path == "read" { request.json(&1) } else { request };
                let reply = gateway.client.send(request).await;
                assert_eq!(reply.status, 200, "{fields} {kind} {length}");
                assert!(fields == "HEAD" || reply.body == expected, "{fields} {kind} {length}: {}", reply.body.len());
            }
            let path = format!("/1/{kind}/{length}");
            let before = origin.count(&path);
            let reply = gateway.client.get(&path).await;
            assert_eq!((reply.header("x-cache"), origin.count(&path)), ("MISS", before + 1), "it is not stored");
            assert!(reply.body == expected);
        }
    }
    // What is small enough is, on the same connections.
    assert_eq!(gateway.client.get("/length/60000").await.header("x-cache"), "MISS");
    assert_eq!(gateway.client.get("/length/60000").await.header("x-cache"), "HIT");
    // That for HEAD goes on for a moment.
    until("nothing comes in any more", || async {
        gateway.metric("addrgate_cache_holds{what=\"filling\"}").await == 0.0
    })
    .await;
    gateway.stop(&[]).await;

    let gateway = Gateway::start(&uncached(&origin.place)).await;
    for kind in ["length", "chunks"] {
        let reply = gateway.client.get(&format!("/{kind}/{}", SIZES[1])).await;
        assert!(reply.status == 200 && reply.body == body(SIZES[1]), "{kind}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_of_a_response_that_is_not_cached_gets_it_whole_and_costs_others_nothing() {
    const LENGTH: usize = 30_000_000;
    let whole = bytes::Bytes::from(chunked(&vec![b'x'; LENGTH]));
    let origin = Origin::start(move |_| {
        let whole = whole.clone();
        async move { Answer::Raw(whole.to_vec()) }
    })
    .await;
    let config = uncached(&origin.place);
    // The route's time is much shorter than the slow client's.
    let config = config
        .replace("    auth: none\n", "    auth: none\n    timeout: 2s\n")
        .replace("auth: none,", "auth: none, timeout: 2s,");
    let gateway = Gateway::start(&config).await;
    let path = format!("/chunks/{LENGTH}");
    let url = format!("{}{path}", gateway.client.base);
    let slow = tokio::spawn(async move {
        let reply = reqwest::Client::builder().no_proxy().build().unwrap().get(url).send().await.unwrap();
        let (mut pieces, mut got, mut rested) = (reply.bytes_stream(), 0, 0);
        while let Some(piece) = pieces.next().await {
            got += piece.unwrap().len();
            // Some five seconds in all.
            if got - rested > 128 << 10 {
                rested = got;
                pause(20).await;
            }
        }
        got
    });
    until("it is asked for", || async { origin.count(&path) > 0 }).await;
    let mut others = JoinSet::new();
    for _ in 0..3 {
        let client = gateway.client.clone();
        let path = path.clone();
        others.spawn(async move { client.get(&path).await });
    }
    for reply in others.join_all().await {
        assert_eq!((reply.status, reply.body.len()), (200, LENGTH));
    }
    assert_eq!(slow.await.unwrap(), LENGTH);
    gateway.stop(&[]).await;
}

fn reason(reply: &Reply) -> (u16, String, String, String) {
    reply.assert_envelope();
    let reason = reply.json()["error"]["details"]["reason"].as_str().unwrap().to_owned();
    (reply.status, reply.code(), reason, reply.header("retry-after").to_owned())
}

/// JSON routes, cached and uncached.
fn json_routes(origin: &str, more: &str) -> String {
    let text = plain(origin);
    text[..text.find("routes:").unwrap()].to_owned()
        + more
        + "routes:
  - { name: uncached, paths: [/uncached/**], methods: [GET, POST], auth: none, body: { max: 1KiB } }
  - { name: cached, paths: [/**], auth: none, cache: { lifetimes: { default: { 200: 1m, 204: 1m } } } }
"
}

#[tokio::test]
async fn a_refusal_in_other_words_keeps_its_status_and_when_to_come_back() {
    let origin = Origin::start(|asked| async move {
        let refusal = |status, after: &str| {
            let answer = Answer::ok("<h1>no</h1>").with("content-type", "text/html").status(status);
            if after.is_empty() { answer } else { answer.with("retry-after", after) }
        };
        match asked.target.rsplit('/').next().unwrap() {
            "429" => refusal(429, "7"),
            "429-bare" => refusal(429, ""),
            "503" => refusal(503, "120"),
            "503-date" => refusal(503, "Fri, 31 Dec 9999 23:59:59 GMT"),
            "503-odd" => refusal(503, "-5"),
            "503-json" => Answer::json("{}").status(503).with("retry-after", "33"),
            "404" => refusal(404, ""),
            "405" => refusal(405, "").with("allow", "PUT"),
            "413" => refusal(413, ""),
            "401" => refusal(401, ""),
            "500" => refusal(500, "9"),
            other => panic!("{other}"),
        }
    })
    .await;
    let gateway =
        Gateway::start(&json_routes(&origin.place, "breaker: { mode: observe }\ndegrade: { mode: observe }\n")).await;
    for (path, status, code, why, after) in [
        ("429", 429, "RATE_LIMIT_EXCEEDED", "upstream_limit", "7"),
        ("429-bare", 429, "RATE_LIMIT_EXCEEDED", "upstream_limit", "1"),
        ("503", 503, "SERVICE_UNAVAILABLE", "upstream_unavailable", "120"),
        ("503-date", 503, "SERVICE_UNAVAILABLE", "upstream_unavailable", "86400"),
        ("503-odd", 503, "SERVICE_UNAVAILABLE", "upstream_unavailable", "1"),
        ("404", 404, "ENDPOINT_NOT_FOUND", "upstream_refused", ""),
        ("405", 405, "METHOD_NOT_ALLOWED", "upstream_refused", ""),
        ("413", 413, "PAYLOAD_TOO_LARGE", "upstream_refused", ""),
        ("401", 502, "SERVICE_UNAVAILABLE", "upstream_content", "1"),
        ("500", 502, "SERVICE_UNAVAILABLE", "upstream_content", "9"),
    ] {
        let expected = (status, code.to_owned(), why.to_owned(), after.to_owned());
        for (method, folder) in [("GET", "uncached"), ("GET", "cached"), ("POST", "uncached")] {
            let request = gateway.client.request(method, &format!("/{folder}/{path}"));
            let request = if method == "POST" { request.json(&1) } else { request };
            let reply = gateway.client.send(request).await;
            assert_eq!(reason(&reply), expected, "{method} {folder} {path}");
            assert!(path != "405" || reply.header("allow") == "PUT");
        }
    }
    let reply = gateway.client.get("/uncached/503-json").await;
    assert_eq!((reply.status, reply.header("retry-after"), reply.text().as_str()), (503, "33", "{}"));
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_429_asks_for_fewer_requests_and_opens_no_breaker() {
    let origin = Origin::start(|asked| async move {
        let answer = if asked.target.ends_with("html") {
            Answer::ok("slow").with("content-type", "text/html")
        } else {
            Answer::json("{}")
        };
        answer.status(429)
    })
    .await;
    let breaker = "breaker: { window: 10, minimum: 5, open: 30s, open_max: 30s }\n";
    let gateway = Gateway::start(&json_routes(&origin.place, breaker)).await;
    for _ in 0..30 {
        for path in ["/uncached/json", "/uncached/html"] {
            assert_eq!(gateway.client.get(path).await.status, 429, "{path}");
        }
    }
    let status = gateway.admin("GET", "/admin/v1/status", None).await.json();
    let upstream = &status["upstreams"]["origin"];
    assert_eq!(
        (&upstream["breaker"]["state"], &upstream["breaker"]["failure_rate"]),
        (&"closed".into(), &(0.0).into())
    );
    assert!(upstream["queue"]["limit"].as_u64() < upstream["queue"]["ceiling"].as_u64(), "{upstream}");
    assert_eq!(status["degradation"]["level"], "normal", "{status}");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_length_without_a_body_is_no_failure_and_what_nobody_asked_for_no_answer() {
    let origin = Origin::start(|asked| async move {
        let conditional = asked.headers.contains_key("if-none-match");
        let raw = |text: &str| Answer::Raw(text.replace('\n', "\r\n").into_bytes());
        match asked.target.rsplit('/').next().unwrap() {
            "204" => raw("HTTP/1.1 204 No Content\nContent-Length: 5\n\n"),
            "204-chunks" => raw("HTTP/1.1 204 No Content\nTransfer-Encoding: chunked\n\n"),
            "304-asked" if conditional => raw("HTTP/1.1 304 Not Modified\nETag: \"a\"\nContent-Length: 2\n\n"),
            "304-asked" => Answer::json("{}").with("etag", "\"a\"").with("cache-control", "max-age=0, must-revalidate"),
            "304" => raw("HTTP/1.1 304 Not Modified\nETag: \"a\"\nContent-Length: 2\n\n"),
            "101" => raw("HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: upgrade\n\n"),
            "100" => {
                raw("HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: 2\n\n{}")
            }
            other => panic!("{other}"),
        }
    })
    .await;
    let gateway = Gateway::start(&json_routes(&origin.place, "")).await;
    for folder in ["uncached", "cached"] {
        for path in ["204", "204-chunks"] {
            for _ in 0..2 {
                let reply = gateway.client.get(&format!("/{folder}/{path}")).await;
                assert_eq!(
                    (reply.status, reply.body.len(), reply.header("content-length")),
                    (204, 0, ""),
                    "{folder} {path}"
                );
            }
        }
        for (path, reason_) in [("304", "upstream_invalid"), ("101", "upstream_invalid")] {
            let (status, _, why, _) = reason(&gateway.client.get(&format!("/{folder}/{path}")).await);
            assert_eq!((status, why.as_str()), (502, reason_), "{folder} {path}");
        }
        let path = format!("/{folder}/304-asked");
        assert_eq!(gateway.client.get(&path).await.status, 200);
        let reply = gateway.client.get(&path).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "{}"), "validated where it is stored");
        let reply = gateway.ask("GET", &path, &[("if-none-match", "\"a\"")]).await;
        assert_eq!((reply.status, reply.body.len()), (304, 0));
        let request = format!("GET /{folder}/100 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(gateway.client.raw(request.as_bytes()).await.status, 200, "{folder}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn what_comes_coded_is_decoded_or_refused() {
    let text: String = (0..3000).map(|n| format!("{{\"number\": {n}}}\n")).collect();
    let coded = {
        let mut coder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        coder.write_all(text.as_bytes()).unwrap();
        coder.finish().unwrap()
    };
    let origin = Origin::start({
        let coded = coded.clone();
        move |asked| {
            assert_eq!(asked.headers["accept-encoding"], "identity");
            let coded = coded.clone();
            async move {
                match asked.target.rsplit('/').next().unwrap() {
                    "br" => Answer::json("xx").with("content-encoding", "br"),
                    "wrong" => Answer::json("no gzip at all").with("content-encoding", "gzip"),
                    "empty" => Answer::json("").with("content-encoding", "gzip"),
                    _ => Answer::json(coded).with("content-encoding", "gzip").with("etag", "\"a\""),
                }
            }
        }
    })
    .await;
    let config = json_routes(&origin.place, "").replace("compression: { enabled: false }\n", "");
    let gateway = Gateway::start(&config).await;
    for folder in ["uncached", "cached"] {
        for _ in 0..2 {
            let reply = gateway.client.get(&format!("/{folder}/gzip")).await;
            assert_eq!((reply.status, reply.header("content-encoding"), reply.header("etag")), (200, "", "W/\"a\""));
            assert_eq!(reply.text(), text, "{folder}");
            let reply = gateway.ask("GET", &format!("/{folder}/gzip"), &[("accept-encoding", "gzip")]).await;
            assert_eq!((reply.status, reply.header("content-encoding")), (200, "gzip"));
            let mut plain = String::new();
            std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*reply.body), &mut plain).unwrap();
            assert_eq!(plain, text);
        }
        let head = gateway.ask("HEAD", &format!("/{folder}/gzip"), &[]).await;
        assert_eq!((head.status, head.header("content-encoding")), (200, ""));
        let (status, _, why, _) = reason(&gateway.client.get(&format!("/{folder}/br")).await);
        assert_eq!((status, why.as_str()), (502, "upstream_coding"));
        let empty = gateway.client.get(&format!("/{folder}/empty")).await;
        assert_eq!((empty.status, empty.header("content-encoding"), empty.body.len()), (200, "", 0));
        let wrong = gateway.client.request("GET", &format!("/{folder}/wrong")).send().await.unwrap();
        let whole = wrong.status() == 200 && wrong.bytes().await.is_ok();
        assert!(!whole, "it breaks off, or is refused");
    }
    assert_eq!(gateway.client.get("/cached/gzip").await.header("x-cache"), "HIT");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn nothing_that_is_not_in_the_key_reaches_a_cached_routes_upstream() {
    // The body tells all that can be told of the request.
    let origin = Origin::start(|asked| async move {
        let mut fields: Vec<_> = asked.headers.iter().filter(|(name, _)| *name != "x-request-id").collect();
        fields.retain(|(name, _)| !["x-correlation-id", "x-request-timeout"].contains(&name.as_str()));
        fields.sort();
        let vary = asked.target.split("vary=").nth(1).unwrap_or("accept-language").to_owned();
        Answer::json(format!("{fields:?} {:?}", asked.headers.get("x-correlation-id"))).with("vary", &vary)
    })
    .await;
    let text = plain(&origin.place).replace("    forward: [accept-language]\n", "    forward: [\"*\"]\n");
    let gateway = Gateway::start(&text).await;
    let evil = [
        ("host", "evil.example"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-correlation-id", "evil-correlation"),
        ("x-request-id", "evil-request"),
        ("forwarded", "host=evil.example"),
        ("proxy", "evil.example:1"),
        ("accept-encoding", "evil"),
    ];
    let poisoned = gateway.ask("GET", "/a", &evil).await;
    assert_eq!((poisoned.status, poisoned.header("x-cache")), (200, "MISS"));
    for forbidden in ["evil", "203.0.113.7", "127.0.0.1\")", "x-forwarded"] {
        let hosts = poisoned.text().replace(&origin.place, "origin");
        assert!(!hosts.contains(forbidden), "{forbidden}: {hosts}");
    }
    let clean = gateway.client.get("/a").await;
    assert_eq!((clean.text(), clean.header("x-cache")), (poisoned.text(), "HIT"));
    // `Vary` works for what does reach it, and the rest makes no difference.
    for (name, differs) in [
        ("x-any", true),
        ("cookie", true),
        ("user-agent", true),
        ("authorization", true),
        ("origin", true),
        ("x-forwarded-for", false),
        ("x-forwarded-host", false),
        ("proxy", false),
        ("accept-encoding", false),
    ] {
        let path = format!("/b?vary={name}");
        let get = async |value: &str| {
            let reply = gateway.ask("GET", &path, &[(name, value), ("cache-control", "max-age=60")]).await;
            (reply.text(), reply.header("x-cache").to_owned())
        };
        let (one, _) = get("one").await;
        let (two, cache) = get("two").await;
        assert_eq!((cache == "MISS", one != two), (differs || name == "authorization", differs), "{name}: {one} {two}");
        assert!(differs || !one.contains("one"), "{name}: {one}");
    }
    // On a route that is not cached nothing of a proxy's is passed on either.
    let reply = gateway.ask("PUT", "/c", &[("proxy", "evil.example:1"), ("x-forwarded-for", "203.0.113.7")]).await;
    assert!(!reply.text().contains("evil") && !reply.text().contains("203.0.113.7"), "{}", reply.text());
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_response_that_sets_a_cookie_is_stored_only_where_the_route_says_so() {
    let origin = Origin::start(|asked| async move {
        let control = if asked.target.contains("public") { "public, max-age=60, s-maxage=60" } else { "max-age=60" };
        Answer::json(asked.number.to_string()).with("set-cookie", "session=1").with("cache-control", control)
    })
    .await;
    let never = plain(&origin.place);
    let always = never.replace("jitter: 0,", "jitter: 0, set_cookie: always,");
    for (config, stored) in [(never, false), (always, true)] {
        let gateway = Gateway::start(&config).await;
        for path in ["/public", "/plain"] {
            let first = gateway.client.get(path).await;
            let second = gateway.client.get(path).await;
            assert_eq!((first.text() == second.text(), second.header("x-cache") == "HIT"), (stored, stored), "{path}");
        }
        gateway.stop(&[]).await;
    }
}
