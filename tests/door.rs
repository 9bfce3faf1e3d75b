//! The door on the wire: hits from memory, the connection shared with Pingora's path, strictness, bounds in time and size.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::sync::LazyLock;
use std::time::Duration;

use support::gateway::plain;
use support::{Answer, Gateway, Origin, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Seven seconds before the test: what Pingora or we would write is another date.
static MADE: LazyLock<String> =
    LazyLock::new(|| httpdate::fmt_http_date(std::time::SystemTime::now() - Duration::from_secs(7)));

/// Answers tell the target and how often the origin was asked.
async fn counting() -> Origin {
    Origin::start(|asked| async move {
        let body = format!("{} {} {}", asked.number, asked.target, String::from_utf8_lossy(&asked.body));
        Answer::json(body).with("etag", "\"one\"").with("date", &MADE)
    })
    .await
}

/// Sends the bytes, reads until the gateway closes.
async fn exchange(place: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(place).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut all)).await.expect("it is closed");
    String::from_utf8(all).unwrap()
}

fn get(target: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{more}\r\n")
}

#[tokio::test]
async fn pipelined_hits_and_misses_are_answered_in_order() {
    let origin = counting().await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    gateway.client.get("/hot").await;
    let mut wire = String::new();
    for i in 0..20 {
        wire += &get("/hot", "");
        wire += &get(&format!("/cold{i}"), "");
        let body = format!("{{\"n\": {i}}}");
        let length = body.len();
        wire += &format!(
            "POST /read/a HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
    }
    wire += &get("/hot", "Connection: close\r\n");
    let answers = exchange(&gateway.place, wire.as_bytes()).await;
    let bodies: Vec<&str> = answers.split("\r\n\r\n").skip(1).collect();
    assert_eq!(bodies.len(), 61, "{answers}");
    for i in 0..20 {
        assert!(bodies[3 * i].starts_with("1 /hot"), "{i}: {}", bodies[3 * i]);
        assert!(bodies[3 * i + 1].contains(&format!("/cold{i} ")), "{i}: {}", bodies[3 * i + 1]);
        assert!(bodies[3 * i + 2].contains(&format!("/read/a {{\"n\":{i}}}")), "{i}: {}", bodies[3 * i + 2]);
    }
    assert_eq!(answers.matches("x-cache: HIT").count(), 21);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn equal_requests_have_names_and_limits_of_their_own() {
    let origin = counting().await;
    // What shared caches may store does not tell what is left of one client's limits.
    let private = plain(&origin.place)
        .replace("    forward: [accept-language]\n", "    forward: [accept-language]\n    cdn: private\n");
    let config = private.replace("threads: 2", "threads: 1") + "rate_limit: { address: [100/1h] }\n";
    let gateway = Gateway::start(&config).await;
    let wire = get("/hot", "").repeat(11) + &get("/hot", "Connection: close\r\n");
    let answers = exchange(&gateway.place, wire.as_bytes()).await;
    let names: Vec<&str> = answers.lines().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
    assert_eq!(names.len(), 12, "{answers}");
    assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 12, "{answers}");
    let left = answers.lines().filter_map(|line| line.strip_prefix("x-ratelimit-remaining: ")?.parse().ok());
    let left: Vec<u32> = left.collect();
    assert_eq!(left, (0..12).map(|spent| left[0] - spent).collect::<Vec<_>>(), "{answers}");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_hot_hit_is_the_newest_answer() {
    let origin = counting().await;
    let gateway = Gateway::start(&plain(&origin.place).replace("threads: 2", "threads: 1")).await;
    let hot = get("/hot", "").repeat(4);
    let (anew, unsafe_one) = (get("/hot", "Cache-Control: no-cache\r\n"), get("/hot", "").replace("GET", "DELETE"));
    let wire = [&hot, &anew, &hot, &anew, &hot, &unsafe_one, &hot, &get("/hot", "Connection: close\r\n")];
    let answers = exchange(&gateway.place, wire.map(String::as_str).concat().as_bytes()).await;
    let numbers = answers.split("\r\n\r\n").skip(1).map(|body| &body[..1]).collect::<String>();
    assert_eq!(numbers, "11112222233333455555", "{answers}");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_hot_hit_ends_with_the_token_that_asks_for_it() {
    const SECRET: [u8; 32] = [b's'; 32];
    let (origin, folder) = (counting().await, tempfile::tempdir().unwrap());
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let config = plain(&origin.place).replace("threads: 2", "threads: 1").replace("auth: none", "auth: jwt");
    let jwt = format!("algorithms: [HS256], secret_file: {file:?}, issuer: i, audience: a, leeway: 0s");
    let gateway =
        Gateway::start(&format!("{config}clients: {{ web: {{}} }}\nidentity: {{ jwt: {{ {jwt} }} }}\n")).await;
    let expires = jsonwebtoken::get_current_timestamp() + 3;
    let claims = serde_json::json!({"iss": "i", "aud": "a", "sub": "web", "exp": expires});
    let key = jsonwebtoken::EncodingKey::from_secret(&SECRET);
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let ask = async || {
        let request = gateway.client.request("GET", "/hot").header("authorization", format!("Bearer {token}"));
        let (reply, now) = (gateway.client.send(request).await, jsonwebtoken::get_current_timestamp());
        assert!(reply.status == 200 || reply.status == 401 && now >= expires, "{now}: {}", reply.text());
        reply.status
    };
    for _ in 0..5 {
        ask().await;
    }
    until("the token has run out", async || ask().await == 401).await;
    assert_eq!(origin.asked().len(), 1, "all others were hits");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_hit_keeps_what_the_origin_said() {
    let origin = counting().await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let miss = gateway.client.get("/a").await;
    let hit = gateway.client.get("/a").await;
    for reply in [&miss, &hit] {
        assert_eq!(reply.header("date"), *MADE, "{:?}", reply.headers);
        assert_eq!((reply.status, reply.text().as_str()), (200, "1 /a "));
        assert_eq!(reply.header("content-length"), "5");
    }
    assert!(hit.header("cache-status").contains("; hit; ttl="), "{}", hit.header("cache-status"));
    assert_ne!(miss.header("x-request-id"), hit.header("x-request-id"));

    let head = gateway.client.send(gateway.client.request("HEAD", "/a")).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "5", 0));
    let conditional = gateway.client.request("GET", "/a").header("if-none-match", "\"zero\", W/\"one\"");
    let unchanged = gateway.client.send(conditional).await;
    assert_eq!((unchanged.status, unchanged.header("etag"), unchanged.body.len()), (304, "\"one\"", 0));
    assert_eq!(unchanged.header("x-cache"), "HIT");
    let part = gateway.client.send(gateway.client.request("GET", "/a").header("range", "bytes=2-3")).await;
    assert_eq!((part.status, part.text().as_str()), (206, "/a"));
    assert_eq!(origin.asked().len(), 1);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_body_keyed_answer_is_a_hot_hit_in_any_spelling() {
    let origin = counting().await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let first = gateway.client.post_bytes("/read/x", r#"{"a": 1, "b": [2]}"#).await;
    assert_eq!((first.status, first.header("x-cache")), (200, "MISS"));
    let second = gateway.client.post_bytes("/read/x", "{ \"b\":[2],\n\"a\":1 }").await;
    assert_eq!((second.header("x-cache"), second.text()), ("HIT", first.text()));
    let query = gateway.client.request("QUERY", "/read/x").header("content-type", "application/json").body("{\"a\":1}");
    assert_eq!(gateway.client.send(query).await.header("x-cache"), "MISS");
    let twice = gateway.client.post_bytes("/read/x", r#"{"a": 1, "a": 2}"#).await;
    assert_eq!((twice.status, twice.code().as_str()), (400, "INVALID_JSON"));
    assert_eq!(origin.asked().len(), 2);
    gateway.stop(&[]).await;
}

/// What browsers leave unescaped, and what simple clients do, is the same request as its escaped form.
#[tokio::test]
async fn a_query_as_it_was_typed_is_one_request_in_every_spelling() {
    let origin = counting().await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    for (number, (canonical, spellings)) in [
        ("q=Unit%205%7C7", &["q=Unit 5|7", "q=Unit%205|7", "q=Unit%205%7c7"][..]),
        ("q=100%25", &["q=100%", "q=100%25"]),
        ("q=100%25&limit=1%25", &["q=100%&limit=1%", "q=100%25&limit=1%"]),
        ("q=%7B6%7D%5E%60%5C", &["q={6}^`\\", "q=%7b6%7d^%60%5C"]),
        ("q=%22a%22%3Cb%3E", &["q=\"a\"<b>", "q=%22a%22%3cb>"]),
        ("q=caf%C3%A9%20%F0%9F%8F%A0", &["q=caf\u{e9} \u{1f3e0}", "q=caf%c3%a9%20\u{1f3e0}"]),
        ("q=%25zz%252", &["q=%zz%2", "q=%25zz%252"]),
        ("q=6%20A%20St%0D%0AHorsham%09VIC", &["q=6 A St%0d%0aHorsham%09VIC"]),
        ("q=%20%20a%20", &["q=  a ", "q=%20%20a%20"]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut wire: String = spellings.iter().map(|query| get(&format!("/s?{query}"), "").repeat(3)).collect();
        wire += &get(&format!("http://a/s?{}", spellings[0]), "Host: a\r\n").replacen("Host: a\r\n", "", 1);
        wire += &get(&format!("/s?{canonical}"), "Connection: close\r\n");
        let answers = exchange(&gateway.place, wire.as_bytes()).await;
        let expected = format!("{} /s?{canonical} ", number + 1);
        let bodies: Vec<&str> = answers.split("\r\n\r\n").skip(1).collect();
        assert_eq!(bodies.len(), 3 * spellings.len() + 2, "{canonical}: {answers}");
        assert!(bodies.iter().all(|body| body.starts_with(&expected)), "{canonical}: {answers}");
        assert_eq!(answers.matches("x-cache: MISS").count(), 1, "{canonical}: {answers}");
        // The URL library escapes what the URL Standard does, and leaves the rest.
        let http2 = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
        let reply = http2.get(format!("http://{}/s?{}", gateway.place, spellings[0].trim())).send().await.unwrap();
        assert_eq!((reply.version(), reply.status().as_u16()), (reqwest::Version::HTTP_2, 200), "{canonical}");
        if !canonical.ends_with("%20") {
            assert_eq!(reply.headers()["x-cache"], "HIT", "{canonical}");
            assert_eq!(reply.text().await.unwrap(), expected, "{canonical}");
        }
    }
    // A purge reads a URL as requests are read.
    for spelling in ["/s?q=Unit 5|7", "/s?q=100%", "/s?q=caf\u{e9} \u{1f3e0}"] {
        let purge = serde_json::json!({"urls": [spelling]});
        let before = origin.asked().len();
        assert_eq!(gateway.admin("POST", "/admin/v1/cache/purge", Some(purge)).await.status, 200);
        exchange(&gateway.place, get(spelling, "Connection: close\r\n").as_bytes()).await;
        assert_eq!(origin.asked().len(), before + 1, "{spelling} is gone");
    }
    let asked = origin.asked().len();
    for (target, reason) in [
        ("/s?q=a\0b", "malformed"),
        ("/s?q=a\rb", "malformed"),
        ("/s?q=a\nb", "bare_lf"),
        ("/s?q=a b\tc", "malformed"),
        ("/s?q=a b\x1b", "malformed"),
        ("/s?q=a\x7f", "malformed"),
        ("/s?q=a#b", "illegal_character"),
        ("/s?q=%00", "control_character"),
        ("/s?q=a b%1B", "control_character"),
        ("/s t?q=a", "malformed"),
        ("/s|t?q=a", "illegal_character"),
        ("/s?q=a HTTP/1.1", "malformed"),
        ("/s?q=a b HTTP/1.1", "malformed"),
    ] {
        let answer = exchange(&gateway.place, get(target, "Connection: close\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target:?}: {answer}");
        assert!(answer.contains(&format!("\"reason\":\"{reason}\"")), "{target:?}: {answer}");
    }
    let long = exchange(&gateway.place, get(&format!("/s?q={}", " ".repeat(3000)), "").as_bytes()).await;
    assert!(long.starts_with("HTTP/1.1 414 "), "the bound holds for what is escaped: {long}");
    assert_eq!(origin.asked().len(), asked);
    gateway.stop(&[]).await;
}

/// What follows the first request must never be taken for a request, and never reach the origin.
#[tokio::test]
async fn nothing_is_smuggled() {
    let origin = counting().await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let canary = "GET /canary HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = canary.len();
    let post = |fields: &str, body: &str| format!("POST /p HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}{canary}");
    let mut cases = vec![
        post(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"), "0\r\n\r\n"),
        post(&format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"), "0\r\n\r\n"),
        post("Content-Length: 0\r\nContent-Length: 5\r\n", ""),
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        format!("GET /g HTTP/1.1\nHost: a\r\n\r\n{canary}"),
        format!("GET /g HTTP/1.1\r\nHost: a\nX: b\r\n\r\n{canary}"),
        format!("GET /g HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n{canary}"),
        format!("GET /g HTTP/1.1\r\n Host: a\r\n\r\n{canary}"),
        format!("GET /g HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n{canary}"),
        format!("GET /g HTTP/1.1\r\nHost: a\r\nX\x00: b\r\n\r\n{canary}"),
        format!("GET /g HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n{canary}"),
        format!("GET /g HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n{canary}"),
        format!("GET /g HTTP/1.1\r\n\r\n{canary}"),
        format!("GET /g HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{canary}"),
        format!("GET /g\r\nHost: a\r\n\r\n{canary}"),
        format!("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n{canary}"),
        format!("GET http://b@c/ HTTP/1.1\r\nHost: a\r\n\r\n{canary}"),
        format!("CONNECT b:80 HTTP/1.1\r\nHost: a\r\n\r\n{canary}"),
    ];
    for odd in ["+5", "-1", "5,6", "5, 5", "0x5", "", "9223372036854775808", "18446744073709551621", "1e1", "5 5"] {
        cases.push(post(&format!("Content-Length: {odd}\r\n"), "hello"));
    }
    for odd in ["chunked, identity", "xchunked", "chunked;q=1", "identity", "gzip, chunked", "\"chunked\"", "chun\tked"]
    {
        cases.push(post(&format!("Transfer-Encoding: {odd}\r\n"), "0\r\n\r\n"));
    }
    for chunk in [
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\n x: y\r\n\r\n",
        "0\r\nHost: b\r\n\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "1_0\r\na\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "11111111111111111\r\na\r\n0\r\n\r\n",
    ] {
        cases.push(post("Transfer-Encoding: chunked\r\n", chunk));
    }
    for case in &cases {
        let answers = exchange(&gateway.place, case.as_bytes()).await;
        assert!(answers.starts_with("HTTP/1.1 4") || answers.starts_with("HTTP/1.1 501"), "{case:?}: {answers:?}");
        assert_eq!(answers.matches("\r\nx-request-id: ").count(), 1, "{case:?}: {answers:?}");
        assert!(answers.to_lowercase().contains("connection: close"), "{case:?}: {answers:?}");
    }
    assert_eq!(origin.count("/canary"), 0, "{:?}", origin.asked());
    assert_eq!(gateway.client.get("/fine").await.status, 200);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_head_has_bounds_in_size_and_in_time() {
    let origin = counting().await;
    let slow = "limits: { head_time: 1s, keepalive: 2s, requests_per_connection: 3 }\n";
    let gateway = Gateway::start(&(plain(&origin.place) + slow)).await;
    let long = exchange(&gateway.place, get(&format!("/{}", "a".repeat(8192)), "").as_bytes()).await;
    assert!(long.starts_with("HTTP/1.1 414 "), "{long}");
    let many = exchange(&gateway.place, get("/", &"x: y\r\n".repeat(101)).as_bytes()).await;
    assert!(many.starts_with("HTTP/1.1 431 "), "{many}");
    let method = exchange(&gateway.place, format!("{} / HTTP/1.1\r\n\r\n", "A".repeat(9000)).as_bytes()).await;
    assert!(method.starts_with("HTTP/1.1 501 ") && method.contains("method_length"), "{method}");
    let future = exchange(&gateway.place, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n").await;
    assert!(future.starts_with("HTTP/1.1 505 "), "{future}");
    // Never completed, and refused all the same.
    let endless = exchange(&gateway.place, format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(1 << 20)).as_bytes()).await;
    assert!(endless.starts_with("HTTP/1.1 431 "), "{endless}");

    let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut answer = Vec::new();
    for byte in get("/", "X: typed-slowly\r\n").bytes() {
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        if tokio::time::timeout(Duration::from_millis(100), stream.read_buf(&mut answer)).await.is_ok() {
            break;
        }
    }
    assert!(String::from_utf8(answer).unwrap().starts_with("HTTP/1.1 408 "));
    assert!(begun.elapsed() < Duration::from_secs(4), "one byte in 100 ms is no reason to wait longer");

    let begun = tokio::time::Instant::now();
    exchange(&gateway.place, b"PRI * HTTP/2.0\r\n\r\n").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "half of what HTTP/2 begins with is no head");

    let three = exchange(&gateway.place, get("/", "").repeat(5).as_bytes()).await;
    assert_eq!(three.matches("HTTP/1.1 200").count(), 3, "{three}");
    // An idle connection is closed, whatever the client wishes.
    let begun = tokio::time::Instant::now();
    let idle =
        exchange(&gateway.place, get("/", "Connection: keep-alive\r\nKeep-Alive: timeout=86400\r\n").as_bytes()).await;
    assert!(idle.starts_with("HTTP/1.1 200") && begun.elapsed() < Duration::from_secs(10), "{idle}");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn http2_is_handed_over_and_http1_0_served() {
    let origin = counting().await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let http2 = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    for expected in ["MISS", "HIT"] {
        let reply = http2.get(format!("http://{}/two", gateway.place)).send().await.unwrap();
        assert_eq!(reply.version(), reqwest::Version::HTTP_2);
        assert_eq!(reply.headers()["x-cache"], expected);
        assert_eq!(reply.text().await.unwrap(), "1 /two ");
    }
    let old = exchange(&gateway.place, b"GET /two HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.") && old.ends_with("1 /two "), "{old}");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn the_gateway_speaks_its_own_version_whatever_the_origin_speaks() {
    let origin = Origin::start(|_| async {
        Answer::Raw(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\ncache-control: max-age=60\r\n\r\nok".to_vec())
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    for cache in ["MISS", "HIT"] {
        let answer = exchange(&gateway.place, get("/old", "Connection: close\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok"), "{answer}");
        assert!(answer.contains(&format!("x-cache: {cache}")), "{answer}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn interim_answers_are_passed_on_however_they_arrive() {
    let origin = Origin::start(|asked| async move {
        let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncache-control: max-age=60\r\n\r\nok";
        let keep = if asked.target == "/kept" { last.to_owned() } else { last.replace("max-age=60", "no-store") };
        Answer::Raw((early.to_owned() + &keep).into_bytes())
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    for target in ["/kept", "/passing"] {
        let answers = exchange(&gateway.place, get(target, "Connection: close\r\n").as_bytes()).await;
        assert!(answers.starts_with("HTTP/1.1 103 "), "{target}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "{target}: {answers}");
        assert!(answers.ends_with("ok"), "{target}: {answers}");
    }
    let old = exchange(&gateway.place, b"GET /passing HTTP/1.0\r\nHost: a\r\n\r\n").await;
    assert!(old.matches("HTTP/1.").count() == 1 && old.contains(" 200 ") && old.ends_with("ok"), "{old}");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_finishes_what_was_begun() {
    let origin = Origin::start(|asked| async move {
        support::origin::pause(if asked.target == "/slow" { 700 } else { 0 }).await;
        Answer::json("done")
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let mut idle = TcpStream::connect(&gateway.place).await.unwrap();
    idle.write_all(get("/", "").as_bytes()).await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    let place = gateway.place.clone();
    let slow = tokio::spawn(async move { exchange(&place, get("/slow", "").as_bytes()).await });
    support::until("the slow request is asked", || async { origin.count("/slow") == 1 }).await;
    gateway.stop(&[]).await;
    assert!(slow.await.unwrap().ends_with("done"));
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(support::PATIENCE, idle.read_to_end(&mut rest)).await;
    closed.expect("the idle connection is closed").unwrap();
}

#[tokio::test]
async fn the_proxy_protocol_names_the_client_where_balancers_speak_it() {
    let origin = counting().await;
    let config = plain(&origin.place).replace("threads: 2", "threads: 2, proxy_protocol: [\"{listen}\"]")
        + "address: { trusted_proxies: [127.0.0.1/32] }\n";
    // Readiness is asked on the admin listener only: the public one wants the preamble.
    let mut gateway = Gateway::behind_a_balancer(&config).await;
    let place = gateway.place.clone();
    let ask = async |preamble: &[u8]| {
        exchange(&place, &[preamble, get("/", "Connection: close\r\n").as_bytes()].concat()).await
    };
    let one = ask(b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 80\r\n").await;
    assert!(one.starts_with("HTTP/1.1 200"), "{one}");
    gateway.process.line("the first client", |line| line["peer"] == "192.0.2.7").await;
    let mut two = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    two.extend_from_slice(&[192, 0, 2, 8, 198, 51, 100, 1, 1, 2, 0, 80]);
    let two = ask(&two).await;
    assert!(two.starts_with("HTTP/1.1 200"), "{two}");
    gateway.process.line("the second client", |line| line["peer"] == "192.0.2.8").await;
    assert_eq!(ask(b"").await, "", "without it the connection is closed");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn connections_are_bounded_in_all() {
    let origin = counting().await;
    let gateway = Gateway::start(&(plain(&origin.place) + "limits: { connections: 20 }\n")).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
        let _ = stream.write_all(get("/", "").as_bytes()).await;
        held.push(stream);
    }
    let mut served = 0;
    for stream in &mut held {
        let mut first = [0; 12];
        served += usize::from(stream.read_exact(&mut first).await.is_ok());
    }
    assert!((15..=20).contains(&served), "{served}");
    drop(held);
    support::until("there is room again", || async { gateway.client.reaches("/").await }).await;
    gateway.stop(&[]).await;
}
