//! Request bodies on the wire: who sends slowly keeps only its own connection waiting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::time::Duration;

use support::gateway::plain;
use support::origin::pause;
use support::{Answer, Gateway, Origin, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Tells how many bytes `x` arrived, however they were framed.
async fn counting() -> Origin {
    Origin::start(|asked| async move {
        let count = asked.body.iter().filter(|byte| **byte == b'x').count();
        Answer::json(count.to_string()).with("cache-control", "no-store")
    })
    .await
}

async fn connect(gateway: &Gateway, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

/// Reads to the end of the answer, whose connection ends.
async fn rest(mut stream: TcpStream) -> String {
    let mut all = String::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut all))
        .await
        .expect("it is closed")
        .unwrap();
    all
}

/// Three that announce a million bytes and send `length` of them, and what they are answered.
async fn slow_uploads(gateway: &Gateway, length: usize) -> Vec<String> {
    let one = async |_| {
        let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
        let upload = post("Content-Length: 1000000", &"x".repeat(length));
        let _may_be_cut_short = stream.write_all(upload.as_bytes()).await;
        rest(stream).await
    };
    let mut answers = futures::future::join_all((0..3).map(one)).await;
    answers.sort();
    answers
}

fn post(framing: &str, body: &str) -> String {
    format!("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\n{body}")
}

#[tokio::test]
async fn who_sends_slowly_holds_no_place_at_the_upstream() {
    let origin = counting().await;
    let gateway = Gateway::start(&(plain(&origin.place) + "queue: { ceiling: 1, floor: 1 }\n")).await;
    let piece = "x".repeat(100_000);
    let sized = connect(&gateway, &post("Content-Length: 200000", &piece)).await;
    let chunked = connect(&gateway, &post("Transfer-Encoding: chunked", &format!("186a0\r\n{piece}\r\n"))).await;
    let small = connect(&gateway, &post("Content-Length: 10", "x")).await;
    let asking = async |framing: &str, begins: &str| {
        let mut asking = connect(&gateway, &post(&format!("{framing}\r\nExpect: 100-continue"), "")).await;
        let mut go_on = [0; 25];
        asking.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        asking.write_all(begins.as_bytes()).await.unwrap();
        asking
    };
    let asking_little = asking("Content-Length: 10", "x").await;
    let (asking, asking_in_chunks) =
        (asking("Content-Length: 200000", &piece).await, asking("Transfer-Encoding: chunked", "1\r\n").await);
    pause(200).await;
    for n in 0..5 {
        let reply = gateway.client.get(&format!("/{n}")).await;
        assert!(reply.status == 200 && reply.time < Duration::from_millis(500), "{}: {:?}", reply.status, reply.time);
    }
    assert_eq!(origin.count("/echo"), 0, "nothing is asked before all is there");
    let ends = [
        (sized, piece.clone(), "200000"),
        (chunked, format!("186a0\r\n{piece}\r\n0\r\n\r\n"), "200000"),
        (small, "x".repeat(9), "10"),
        (asking_little, "x".repeat(9), "10"),
        (asking, piece.clone(), "200000"),
        (asking_in_chunks, "x\r\n0\r\n\r\n".to_owned(), "1"),
    ];
    for (mut stream, end, length) in ends {
        stream.write_all(end.as_bytes()).await.unwrap();
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&format!("\r\n\r\n{length}")), "{answer}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn what_follows_a_body_in_chunks_is_the_next_request() {
    let origin = counting().await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    for expects in ["", "\r\nExpect: 100-continue"] {
        let odd =
            connect(&gateway, &post(&format!("Transfer-Encoding: chunked{expects}"), "1;\nx\r\na\r\n0\r\n\r\n")).await;
        let answer = rest(odd).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("chunks"), "{answer}");
    }
    let first = post("Transfer-Encoding: chunked", "3\r\nxxx\r\n0;last\r\n\r\n").replace("Connection: close\r\n", "");
    let stream = connect(&gateway, &(first + &post("Content-Length: 4", "xxxx"))).await;
    let answers = rest(stream).await;
    let bodies: Vec<&str> = answers.split("\r\n\r\n").skip(1).map(|text| &text[..1]).collect();
    assert_eq!(bodies, ["3", "4"], "{answers}");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn bodies_have_a_bound_in_size_time_and_together() {
    let origin = counting().await;
    let limits = "limits: { body_time: 1s, bodies: 2176KiB }\n";
    let gateway = Gateway::start(&(plain(&origin.place) + limits)).await;
    for (framing, body) in [
        ("Content-Length: 1048577", String::new()),
        ("Transfer-Encoding: chunked", "100001\r\n".to_owned()),
        ("Transfer-Encoding: chunked", "1\r\nx\r\n".repeat(400_000)),
    ] {
        let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
        let _may_be_cut_short = stream.write_all(post(framing, &body).as_bytes()).await;
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{framing}: {answer}");
    }
    let answers = slow_uploads(&gateway, 1).await;
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 408 ")), "announcing takes no room: {answers:?}");
    let answers = slow_uploads(&gateway, 900_000).await;
    assert!(answers[0].starts_with("HTTP/1.1 408 ") && answers[1].starts_with("HTTP/1.1 408 "), "{answers:?}");
    assert!(answers[2].starts_with("HTTP/1.1 503 ") && answers[2].contains("retry-after: 1"), "{answers:?}");
    let after = async || rest(connect(&gateway, &post("Content-Length: 1000000", &"x".repeat(1_000_000))).await).await;
    until("there is room again", async || after().await.starts_with("HTTP/1.1 200 ")).await;
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_body_that_http2_does_not_announce_is_one_all_the_same() {
    let origin = counting().await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let http2 = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let stream = || reqwest::Body::wrap_stream(futures::stream::iter([Ok::<_, std::io::Error>("xxx"), Ok("xx")]));
    let url = |path: &str| format!("http://{}{path}", gateway.place);
    let reply = http2.post(url("/echo")).body(stream()).send().await.unwrap();
    assert_eq!(reply.text().await.unwrap(), "5");
    let reply = http2.post(url("/echo")).body("xxx").send().await.unwrap();
    assert_eq!(reply.text().await.unwrap(), "3");
    let reply = http2.request(reqwest::Method::from_bytes(b"QUERY").unwrap(), url("/read/a")).body(stream());
    assert_eq!(reply.header("content-type", "text/plain").send().await.unwrap().status(), 415);
    gateway.stop(&[]).await;
}

/// What has no byte is no body, whatever announced it; what a GET carries goes nowhere (RFC 9110 section 9.3.1).
#[tokio::test]
async fn a_body_that_is_none_or_that_nobody_takes_is_dropped() {
    let origin = Origin::start(|asked| async move {
        Answer::json(format!("{} {}", asked.target, String::from_utf8_lossy(&asked.body)))
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let keep = |wire: String| wire.replace("Connection: close\r\n", "");
    let get = |target: &str, framing: &str, body: &str| {
        keep(post(framing, body)).replacen("POST /echo", &format!("GET {target}"), 1)
    };
    let real = "GET /canary HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = format!("Content-Length: {}", real.len());
    let wire = [
        get("/1", "Transfer-Encoding: chunked", "0\r\n\r\n"),
        get("/1", "Transfer-Encoding: chunked", "0\r\n\r\n"),
        get("/2", &length, real),
        get("/2", &length, real),
        get(
            "/3",
            "Transfer-Encoding: chunked\r\nContent-Encoding: gzip",
            &format!("{:x}\r\n{real}\r\n0\r\n\r\n", real.len()),
        ),
        get("/4", "Content-Length: 000", ""),
        get("/5", "Content-Length: 3\r\nExpect: 100-continue\r\nContent-Type: text/plain", "abc")
            .replacen("GET", "HEAD", 1),
        keep(post("Transfer-Encoding: chunked", "0\r\n\r\n")),
        get("/read/a", "Transfer-Encoding: chunked\r\nContent-Type: application/json", "0\r\n\r\n")
            .replacen("GET", "POST", 1),
        post("Content-Length: 0002", "ab"),
    ];
    let answers = rest(connect(&gateway, &wire.concat()).await).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), wire.len(), "{answers}");
    assert_eq!(answers.matches("x-cache: HIT").count(), 2, "{answers}");
    assert_eq!(origin.count("/canary"), 0);
    for asked in origin.asked() {
        let length = asked.headers.get("content-length").map(String::as_str);
        let expected = match (asked.method.as_str(), asked.body.is_empty()) {
            ("POST", true) => Some("0"),
            ("POST", false) => Some("2"),
            (_, empty) => (!empty).then_some("no body"),
        };
        assert!(length == expected && !asked.headers.contains_key("transfer-encoding"), "{}", asked.head);
    }
    let large = rest(connect(&gateway, &get("/2", "Content-Length: 65537", "")).await).await;
    assert!(large.starts_with("HTTP/1.1 413 ") && large.contains("body_size"), "{large}");
    let twice = "Content-Length: 2\r\nContent-Type: application/json\r\nContent-Type: text/plain";
    let twice = rest(connect(&gateway, &post(twice, "{}")).await).await;
    assert!(twice.starts_with("HTTP/1.1 400 ") && twice.contains("duplicate_content_type"), "{twice}");

    let http2 = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let stream = |pieces: &[&'static str]| {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, std::io::Error>(*piece)).collect();
        reqwest::Body::wrap_stream(futures::stream::iter(pieces))
    };
    let url = |path: &str| format!("http://{}{path}", gateway.place);
    for (path, body, cache) in [
        ("/h2", stream(&[]), "MISS"),
        ("/h2", stream(&["x"]), "HIT"),
        ("/h3", stream(&["x", "y"]), "MISS"),
        ("/h4", "abc".into(), "MISS"),
    ] {
        let reply = http2.get(url(path)).body(body).send().await.unwrap();
        assert_eq!((reply.status().as_u16(), &reply.headers()["x-cache"]), (200, &cache.parse().unwrap()), "{path}");
        assert_eq!(reply.text().await.unwrap(), format!("{path} "));
    }
    let reply = http2.post(url("/read/b")).header("content-type", "application/json").body(stream(&[]));
    assert_eq!(reply.send().await.unwrap().text().await.unwrap(), "/read/b ");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn chunks_follow_the_grammar_and_a_wrong_byte_is_refused_at_once() {
    let origin = counting().await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    for codings in [
        "Transfer-Encoding: Chunked",
        "Transfer-Encoding: , chunked,",
        "Transfer-Encoding:\r\nTransfer-Encoding: chunked",
    ] {
        let body = "1 ; a = \"b\\\"c\";d\r\nx\r\n00\r\nDigest: z\r\nX-Sum: 1\r\n\r\n";
        let wire = post(&format!("Trailer: Digest\r\n{codings}"), body).replace("Connection: close\r\n", "");
        let answers = rest(connect(&gateway, &(wire + &post("Content-Length: 2", "xx"))).await).await;
        let bodies: Vec<&str> = answers.split("\r\n\r\n").skip(1).map(|text| &text[..1]).collect();
        assert_eq!(bodies, ["1", "2"], "{codings}: {answers}");
    }
    for asked in origin.asked() {
        assert!(
            !asked.head.to_lowercase().contains("trailer") && !asked.headers.contains_key("digest"),
            "{}",
            asked.head
        );
    }
    for (wrong, reason) in [
        ("0\r\n\n", "trailer"),
        ("0\r\nTransfer-Encoding:", "trailer"),
        ("0\r\nx\r", "trailer"),
        ("1\r\nxx", "chunks"),
        ("1\n", "chunks"),
        ("1;\r", "chunks"),
        ("1;a=\"\n", "chunks"),
        ("0x", "chunks"),
    ] {
        let begun = tokio::time::Instant::now();
        let answer = rest(connect(&gateway, &post("Transfer-Encoding: chunked", wrong)).await).await;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(reason), "{wrong:?}: {answer}");
        // The bound on a whole body is 30 s.
        assert!(begun.elapsed() < Duration::from_secs(10), "{wrong:?}");
    }
    for (codings, status) in [
        ("chunked, gzip", 400),
        ("identity", 400),
        ("", 400),
        ("chunked, chunked", 400),
        ("chunked\r\nTransfer-Encoding: chunked", 400),
        ("gzip\r\nTransfer-Encoding: chunked", 501),
        ("identity, chunked", 501),
    ] {
        let answer = rest(connect(&gateway, &post(&format!("Transfer-Encoding: {codings}"), "0\r\n\r\n")).await).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{codings}: {answer}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_keyed_body_of_any_size_is_answered_and_the_connection_kept() {
    let origin = Origin::start(|asked| async move { Answer::json(asked.body.len().to_string()) }).await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
    for n in 0..60 {
        // Below and far above what is read at once, new and kept.
        let body = format!("{{\"n\":{},\"a\":\"{}\"}}", n / 2, "x".repeat(if n % 4 < 2 { 10 } else { 9_000 }));
        let head = format!(
            "POST /read/a HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        );
        // A request with directives takes Pingora's path, kept or not.
        let more = if n % 3 == 0 { "Cache-Control: max-age=600\r\n" } else { "" };
        stream.write_all(format!("{head}{more}\r\n{body}").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let expected = format!("\r\n\r\n{}", body.len());
        while !answer.ends_with(expected.as_bytes()) {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "request {n}: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&piece[..read]);
        }
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        assert!(answer.starts_with("http/1.1 200 ") && !answer.contains("connection: close"), "request {n}: {answer}");
    }
    let request = gateway.client.request("POST", "/read/a");
    let request = request.header("if-none-match", "*").header("content-type", "application/json");
    let reply = gateway.client.send(request.body("{\"n\":0,\"a\":\"xxxxxxxxxx\"}")).await;
    assert_eq!((reply.status, reply.header("x-cache")), (200, "HIT"), "304 is for GET and HEAD");
    gateway.stop(&[]).await;
}
