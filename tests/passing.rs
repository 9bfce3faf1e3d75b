//! What passes through: how a request reaches the upstream, and how its answer reaches clients of every age.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use serde_json::json;
use support::gateway::plain;
use support::{Answer, Gateway, Origin, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nothing is kept; all of a request is passed on.
fn uncached(origin: &str) -> String {
    let cached = "    forward: [accept-language]\n    cache: { methods: [GET], lifetimes: { jitter: 0, request_directives: true } }\n";
    plain(origin).replace(cached, "")
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let body = "{\"n\": \"a body that is worth coding\"}".repeat(100);
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let fields = "Content-Type: application/json\r\nConnection: close\r\n";
    let wire = format!("HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    let until_the_end = format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
    let origin = Origin::start(move |asked| {
        let answer = if asked.target == "/chunks" { wire.clone() } else { until_the_end.clone() };
        async { Answer::Raw(answer.into_bytes()) }
    })
    .await;
    let config = plain(&origin.place).replace("compression: { enabled: false }", "compression: { from: 10B }");
    for config in [config.clone(), uncached(&origin.place).replace("enabled: false", "from: 10B")] {
        let gateway = Gateway::start(&config).await;
        for target in ["/chunks", "/end", "/chunks"] {
            let ask = format!("GET {target} HTTP/1.0\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
            let reply = gateway.client.raw(ask.as_bytes()).await;
            let fields = format!("{target} {:?}", reply.headers);
            assert!(!reply.headers.contains_key("transfer-encoding"), "{fields}");
            assert!(!reply.headers.contains_key("content-encoding"), "{fields}");
            assert!(reply.text() == body, "{fields}: {}", reply.text());
        }
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn what_is_of_one_hop_stays_there() {
    let origin = Origin::start(|_| async {
        let answer = Answer::json("{}").with("connection", "x-internal, upgrade").with("upgrade", "h2c");
        answer.with("x-internal", "secret").with("proxy-authenticate", "Basic").with("x-mine", "yes")
    })
    .await;
    let gateway = Gateway::start(&uncached(&origin.place)).await;
    let reply = gateway.client.get("/a").await;
    assert_eq!(reply.header("x-mine"), "yes");
    for name in ["x-internal", "upgrade", "proxy-authenticate"] {
        assert!(!reply.headers.contains_key(name), "{name}: {:?}", reply.headers);
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn another_protocol_is_no_answer() {
    let switching =
        b"HTTP/1.1 101 Switching Protocols\r\nCache-Control: max-age=60\r\nConnection: upgrade\r\n\r\nhello";
    let origin = Origin::start(|_| async { Answer::Raw(switching.to_vec()) }).await;
    for config in [plain(&origin.place), uncached(&origin.place)] {
        let gateway = Gateway::start(&config).await;
        for _ in 0..2 {
            let reply = gateway.client.raw(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
            assert_eq!(reply.status, 502, "{:?}", reply.headers);
        }
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_whether_tls_ended_at_it() {
    let origin = Origin::start(|asked| async move {
        Answer::json(asked.headers.get("x-forwarded-proto").cloned().unwrap_or_default())
    })
    .await;
    let trusting = "address: { trusted_proxies: [127.0.0.0/8] }\n";
    for (more, expected) in [(trusting, "https"), ("", "http")] {
        let gateway = Gateway::start(&(uncached(&origin.place) + more)).await;
        let told = async |proto: &str| {
            let request = gateway.client.request("GET", "/a").header("x-forwarded-proto", proto);
            gateway.client.send(request).await.text()
        };
        assert_eq!(told("https").await, expected);
        assert_eq!(told("gopher").await, "http");
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn a_host_that_is_in_the_key_is_the_one_that_is_asked_for() {
    let origin = Origin::start(|asked| async move { Answer::json(asked.headers["host"].clone()) }).await;
    let config =
        plain(&origin.place).replace("cache: { methods: [GET],", "cache: { methods: [GET], key: { host: true },");
    let gateway = Gateway::start(&config).await;
    let ask =
        async |head: &str| gateway.client.raw(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.text();
    assert_eq!(ask("GET http://one.example/x HTTP/1.0").await, "one.example");
    assert_eq!(ask("GET /x HTTP/1.1\r\nHost: One.Example").await, "one.example");
    assert_eq!(ask("GET /x HTTP/1.1\r\nHost: TWO.example").await, "two.example");
    assert_eq!(ask("GET /y HTTP/1.0").await, origin.place, "without any, the upstream's own");
    assert_eq!(origin.asked().len(), 3);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_refusal_reaches_who_is_still_sending() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let gateway = Gateway::start(&(plain(&origin.place) + "rate_limit: { address: [1/1h] }\n")).await;
    assert_eq!(gateway.client.get("/a").await.status, 200);
    let piece = vec![b'x'; 300_000];
    for framing in ["Content-Length: 600000", "Transfer-Encoding: chunked"] {
        let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
        let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        if framing.starts_with('T') {
            stream.write_all(b"927c0\r\n").await.unwrap();
        }
        // It goes on although the answer is there by now.
        for _ in 0..2 {
            stream.write_all(&piece).await.expect("not reset");
            support::origin::pause(50).await;
        }
        let mut answer = vec![0; 4096];
        let read = stream.read(&mut answer).await.expect("not reset");
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with("HTTP/1.1 429 "), "{framing}: {answer}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn who_leaves_while_its_post_waits_frees_its_turn() {
    let origin = Origin::start(|asked| async move {
        if asked.target == "/slow" {
            support::origin::pause(3_000).await;
        }
        Answer::json("{}")
    })
    .await;
    let config = uncached(&origin.place) + "queue: { ceiling: 1, floor: 1, deadline: 8s }\n";
    let gateway = Gateway::start(&config).await;
    let client = gateway.client.clone();
    let slow = tokio::spawn(async move { client.get("/slow").await.status });
    until("the place is taken", async || origin.count("/slow") == 1).await;
    let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
    let wire = "POST /left HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    stream.write_all(wire.as_bytes()).await.unwrap();
    let waiting = async || {
        let status = gateway.admin("GET", "/admin/v1/status", None).await.json();
        status["upstreams"]["origin"]["queue"]["waiting"]
            .as_object()
            .unwrap()
            .values()
            .filter_map(|n| n.as_u64())
            .sum::<u64>()
    };
    until("it waits", async || waiting().await == 1).await;
    drop(stream);
    until("it waits no more", async || waiting().await == 0).await;
    assert_eq!(slow.await.unwrap(), 200);
    assert_eq!(gateway.client.post("/next", &json!({})).await.status, 200);
    assert_eq!(origin.count("/left"), 0);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn authorities_are_compared_by_what_they_mean() {
    let origin = Origin::start(|asked| async move { Answer::json(asked.target) }).await;
    let hosts = "limits: { hosts: [\"127.0.0.1\", api.example, \"[::1]\"] }\n";
    let gateway = Gateway::start(&(plain(&origin.place) + hosts)).await;
    let ask = async |head: &str| gateway.client.raw(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await;
    for (target, host, served) in [
        ("http://API.example/a", "api.EXAMPLE", "/a"),
        ("http://api.example:80/a", "api.example", "/a"),
        ("HTTP://api.example/a", "api.example:80", "/a"),
        ("https://api.example:443/a", "api.example:", "/a"),
        ("http://api.example", "api.example", "/"),
        ("http://api.example?x=1", "api.example", "/?x=1"),
        ("http://[::1]:80/a", "[0:0:0:0:0:0:0:1]", "/a"),
        ("/a", "API.Example:8080", "/a"),
    ] {
        for _hit_or_miss in 0..2 {
            let reply = ask(&format!("GET {target} HTTP/1.1\r\nHost: {host}")).await;
            assert_eq!((reply.status, reply.text().as_str()), (200, served), "{target} {host}: {}", reply.text());
        }
    }
    for (target, host, reason) in [
        ("http://api.example:8080/a", "api.example", "host"),
        ("https://api.example:80/a", "api.example", "host"),
        ("http://[::1]/a", "[::2]", "host"),
        ("http://other.example/a", "OTHER.example", "foreign_host"),
        ("/a", "[a", "host"),
        ("/a", "]", "host"),
        ("/a", "::1", "host"),
        ("/a", "[zz]", "host"),
        ("/a", "[::1]x", "host"),
        ("http://[zz]/a", "[zz]", "host"),
        ("/a", "api.example:99999", "host"),
    ] {
        let reply = ask(&format!("GET {target} HTTP/1.1\r\nHost: {host}")).await;
        assert_eq!(reply.json()["error"]["details"]["reason"], reason, "{target} {host}: {}", reply.text());
    }
    gateway.stop(&[]).await;
}

/// Sends a request over HTTP/2 in clear text, with a body and fields after it if any; the body of its response, empty where
/// the stream was reset.
async fn over_http2(place: &str, fields: &[(&str, &str)], body: Option<(&str, &[(&str, &str)])>) -> String {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
    };
    // Literals without indexing and without Huffman's code (RFC 7541 section 6.2.2).
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let block = |fields: &[(&str, &str)]| {
        fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect::<Vec<_>>()
    };
    let mut stream = TcpStream::connect(place).await.unwrap();
    let mut opening = vec![b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])];
    opening.push(frame(1, if body.is_none() { 5 } else { 4 }, 1, &block(fields)));
    if let Some((body, trailers)) = body {
        opening.extend([frame(0, 0, 1, body.as_bytes()), frame(1, 5, 1, &block(trailers))]);
    }
    stream.write_all(&opening.concat()).await.unwrap();
    let mut body = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).await.unwrap();
        let (kind, ends, is_ours) = (head[3], head[4] & 1 == 1, head[8] == 1);
        if kind == 0 {
            body.extend_from_slice(&payload);
        }
        // A reset, or the end of headers or data.
        if is_ours && (kind == 3 || ends && kind < 2) {
            return String::from_utf8(body).unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_asked_of_the_server_itself_is_answered_and_tunnels_are_refused_alike() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let mut gateway = Gateway::start(&plain(&origin.place)).await;
    for head in ["OPTIONS * HTTP/1.1", "OPTIONS http://a HTTP/1.1"] {
        let reply = gateway.client.raw(format!("{head}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert_eq!((reply.status, reply.header("allow")), (204, "DELETE, GET, HEAD, OPTIONS, POST, PUT, QUERY"));
    }
    let refused = |text: &str| text.contains("METHOD_NOT_ALLOWED") && text.contains("requestId");
    for target in ["/", "a:443", "http://a/"] {
        let reply = gateway.client.raw(format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
        assert!(reply.status == 405 && refused(&reply.text()), "{target}: {}", reply.text());
        assert!(reply.header("allow").contains("GET, HEAD"), "{target}: {:?}", reply.headers);
    }
    let body = over_http2(&gateway.place, &[(":method", "CONNECT"), (":authority", "a:443")], None).await;
    assert!(refused(&body), "{body}");
    let line =
        gateway.process.line("the tunnel", |line| line["method"] == "CONNECT" && line["reason"] == "method").await;
    assert_eq!(line["status"], 405);
    let counted = gateway.metric("addrgate_refused_total{by=\"route\",reason=\"method\"}").await;
    assert!(counted >= 4.0, "{counted}");
    // A target of no known form is refused here, not by the parser behind.
    for target in ["http:/a/", "foo", "http:a"] {
        let reply = gateway.client.raw(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
        assert_eq!(reply.json()["error"]["details"]["reason"], "target_form", "{target}: {}", reply.text());
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn fields_after_a_body_are_dropped_over_http2_too() {
    let origin = Origin::start(|asked| async move {
        Answer::json(format!("{} {}", asked.target, String::from_utf8_lossy(&asked.body).replace("\r\n", " ")))
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let trailers = [("x-sum", "1")];
    for (method, path, body, expected) in [
        ("POST", "/echo", "{}", "/echo 2 {} 0  "),
        ("POST", "/read/a", "{}", "/read/a {}"),
        ("POST", "/read/a", "{}", "/read/a {}"),
        ("GET", "/a", "", "/a "),
        ("GET", "/b", "x", "/b "),
    ] {
        let fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a")];
        let fields = [&fields[..], &[("content-type", "application/json")]].concat();
        assert_eq!(over_http2(&gateway.place, &fields, Some((body, &trailers))).await, expected, "{method} {path}");
    }
    let heads: String = origin.asked().into_iter().map(|asked| asked.head).collect();
    assert!(!heads.contains("x-sum"), "{heads}");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn an_interim_or_conditional_answer_that_nobody_requested_is_none() {
    let origin = Origin::start(|asked| async move {
        let fields = "etag: \"one\"\r\ncache-control: max-age=60\r\n";
        let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let text = match asked.target.as_str() {
            "/continue" => format!("HTTP/1.1 100 Continue\r\n\r\n{last}"),
            "/never" => "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
            _ => format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"),
        };
        Answer::Raw(text.into_bytes())
    })
    .await;
    for config in [plain(&origin.place), uncached(&origin.place)] {
        let is_cached = config.contains("cache: { methods: [GET]");
        let gateway = Gateway::start(&config).await;
        let ask = async |target: &str, fields: &str| {
            let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
            gateway.client.raw(head.as_bytes()).await
        };
        let reply = ask("/continue", "").await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
        assert_eq!(ask("/never", "").await.status, 502);
        let reply = ask("/unchanged", "").await;
        assert_eq!(reply.json()["error"]["details"]["reason"], "upstream_invalid", "{}", reply.text());
        let asked = ask("/unchanged", "If-None-Match: \"one\"\r\n").await;
        assert_eq!(asked.status, if is_cached { 502 } else { 304 }, "{is_cached}: {:?}", asked.headers);
        gateway.stop(&[]).await;
    }
}
