//! A fetch belongs to nobody: neither the client that caused it nor any other that waits for it harms the others, over HTTP/1
//! and HTTP/2.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use support::gateway::plain;
use support::origin::pause;
use support::{Answer, Client, Gateway, Origin, Reply, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// One client for each protocol.
fn clients(gateway: &Gateway) -> [(&'static str, Client); 2] {
    [("h1", gateway.client.clone()), ("h2", gateway.client.over_http2())]
}

async fn at_once(client: &Client, path: &str, n: usize) -> Vec<Reply> {
    let mut all = JoinSet::new();
    for _ in 0..n {
        let (client, path) = (client.clone(), path.to_owned());
        all.spawn(async move { client.get(&path).await });
    }
    all.join_all().await
}

fn statuses(replies: &[Reply]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for reply in replies {
        *counts.entry(reply.status).or_default() += 1;
    }
    counts
}

/// An HTTP/2 client whose window is closed, so that it gets no byte of a body, with these requests, whose bodies it does not
/// send where there are any.
async fn stuck_over_http2(gateway: &Gateway, path: &str, bodies: u8) -> TcpStream {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend_from_slice(&[kind, flags, 0, 0, 0, stream]);
        frame.extend_from_slice(payload);
        frame
    };
    let block = |fields: &[(&str, &str)]| {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).unwrap());
                block.extend_from_slice(text.as_bytes());
            }
        }
        block
    };
    let target = [(":scheme", "http"), (":path", path), (":authority", "a")];
    // SETTINGS_INITIAL_WINDOW_SIZE: 0
    let mut bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
    if bodies == 0 {
        bytes.extend(frame(1, 5, 1, &block(&[&[(":method", "GET")][..], &target].concat())));
    }
    for number in 0..bodies {
        let post = [&[(":method", "POST")][..], &target, &[("content-length", "1000000")]].concat();
        bytes.extend(frame(1, 4, 2 * number + 1, &block(&post)));
    }
    let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    stream
}

/// The same over HTTP/1, with as small a buffer as the system gives.
async fn stuck_over_http1(gateway: &Gateway, path: &str) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(gateway.place.parse().unwrap()).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

fn head(length: usize, control: &str) -> Vec<u8> {
    let kind = "Content-Type: application/json";
    format!("HTTP/1.1 200 OK\r\n{kind}\r\nCache-Control: {control}\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn who_waits_waits_to_the_deadline_and_never_fetches_anew() {
    let origin = Origin::start(|asked| async move {
        pause(if asked.target.contains("late") { 9000 } else { 1700 }).await;
        Answer::json("x")
    })
    .await;
    let config = plain(&origin.place).replace("    body: { max: 1MiB", "    timeout: 2500ms\n    body: { max: 1MiB");
    let gateway = Gateway::start(&config).await;
    let mut all = JoinSet::new();
    for (protocol, client) in clients(&gateway) {
        for (path, status) in [("slow", 200), ("late", 504)] {
            let client = client.clone();
            all.spawn(async move {
                let path = format!("/{path}-{protocol}");
                (at_once(&client, &path, 11).await, status, path)
            });
        }
    }
    for (replies, status, path) in all.join_all().await {
        assert_eq!(statuses(&replies), BTreeMap::from([(status, 11)]), "{path}");
        let last = replies.iter().map(|reply| reply.time).max().unwrap();
        assert!(last < Duration::from_secs(4), "{path}: {last:?}");
        assert_eq!(origin.count(&path), 1, "{path}");
    }
    gateway.stop(&["breaker", "level of degradation"]).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_costs_nobody_else_anything() {
    const SIZES: [usize; 3] = [20_000, 300_000, 900_000];
    let origin = Origin::start(|asked| async move {
        let size: usize = asked.target.rsplit('/').next().unwrap().parse().unwrap();
        let body = vec![b'x'; size];
        if asked.target.contains("dribbles") {
            let pieces = body.chunks(size / 10).map(|piece| (30, piece.to_vec()));
            return Answer::Pieces(std::iter::once((200, head(size, "max-age=60"))).chain(pieces).collect());
        }
        pause(200).await;
        Answer::json(body)
    })
    .await;
    let gateway = Gateway::start(&(plain(&origin.place) + "limits: { write_time: 60s }\n")).await;
    let mut all = JoinSet::new();
    let mut stuck = Vec::new();
    for size in SIZES {
        for way in ["whole", "dribbles"] {
            for first in ["h1", "h2"] {
                let path = format!("/{way}/{first}/{size}");
                stuck.push(match first {
                    "h1" => stuck_over_http1(&gateway, &path).await,
                    _ => stuck_over_http2(&gateway, &path, 0).await,
                });
                until("it causes the fetch", || async { origin.count(&path) == 1 }).await;
                for (protocol, client) in clients(&gateway) {
                    let path = path.clone();
                    all.spawn(async move {
                        let reply = client.get(&path).await;
                        (format!("{path} over {protocol}"), reply, size)
                    });
                }
            }
        }
    }
    for (what, reply, size) in all.join_all().await {
        assert_eq!((reply.status, reply.body.len()), (200, size), "{what}");
        assert!(reply.time < Duration::from_secs(5), "{what}: {:?}", reply.time);
    }
    assert_eq!(origin.asked().len(), 12);
    drop(stuck);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn no_place_at_the_upstream_is_held_for_a_body_that_does_not_come() {
    let origin = Origin::start(|asked| async move { Answer::json(asked.body.len().to_string()) }).await;
    let gateway = Gateway::start(&(plain(&origin.place) + "queue: { ceiling: 8 }\n")).await;
    let stuck = [stuck_over_http2(&gateway, "/post", 40).await, stuck_over_http2(&gateway, "/post", 40).await];
    until("their requests are there", || async { gateway.metric("addrgate_in_flight").await >= 40.0 }).await;
    for (protocol, client) in clients(&gateway) {
        let reply = client.get(&format!("/{protocol}")).await;
        assert_eq!((reply.status, reply.time < Duration::from_secs(2)), (200, true), "{protocol}: {:?}", reply.time);
        // A large body arrives whole, and once more where the first try failed.
        let reply = client.post_bytes("/large", vec![b'x'; 900_000]).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "900000"), "{protocol}");
    }
    drop(stuck);
    until("their requests are gone", || async { gateway.metric("addrgate_in_flight").await == 0.0 }).await;
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn what_one_request_asks_for_is_its_own_affair() {
    let origin = Origin::start(|asked| async move {
        pause(600).await;
        let answer = Answer::json(asked.number.to_string());
        match () {
            () if asked.target.contains("degraded") => answer.with("x-degraded", "no_fuzzy"),
            () if asked.target.contains("fails") => answer.status(500).with("cache-control", "no-store"),
            () => answer,
        }
    })
    .await;
    let config = plain(&origin.place).replace("methods: [GET], lifetimes", "methods: [GET], min_uses: 2, lifetimes");
    for (config, leaders) in [
        (plain(&origin.place), &["no-store", "authorization", "range", "degraded", "fails", "none"][..]),
        (config, &["min-uses"][..]),
    ] {
        let gateway = Gateway::start(&config).await;
        for (protocol, client) in clients(&gateway) {
            let mut all = JoinSet::new();
            for leader in leaders {
                let (client, path) = (client.clone(), format!("/{leader}-{protocol}"));
                let origin = &origin;
                let field = match *leader {
                    "no-store" => ("cache-control", "no-store"),
                    "authorization" => ("authorization", "x"),
                    "range" => ("range", "bytes=0-0"),
                    _ => ("x-none", "1"),
                };
                let first = client.clone();
                let request = first.request("GET", &path).header(field.0, field.1);
                let led = tokio::spawn(async move { first.send(request).await });
                until("it fetches", || async { origin.count(&path) >= 1 }).await;
                all.spawn(async move {
                    let replies = at_once(&client, &path, 50).await;
                    (path, replies, led.await.unwrap().status)
                });
            }
            for (path, replies, led) in all.join_all().await {
                let (status, first) = match () {
                    () if path.contains("fails") => (500, 500),
                    () if path.contains("range") => (200, 206),
                    () => (200, 200),
                };
                assert_eq!((statuses(&replies), led), (BTreeMap::from([(status, 50)]), first), "{path}");
                let most = if path.contains("no-store") || path.contains("authorization") { 2 } else { 1 };
                assert!(origin.count(&path) <= most, "{path}: {} calls", origin.count(&path));
            }
        }
        gateway.stop(&["breaker", "level of degradation"]).await;
    }
}

#[tokio::test]
async fn a_failure_is_one_response_for_all_who_waited() {
    let origin = Origin::start(|asked| async move {
        pause(500).await;
        match () {
            () if asked.target.contains("hangs-up") => Answer::HangUp,
            () => Answer::json("x").status(503).with("set-cookie", "session=1"),
        }
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    for (protocol, client) in clients(&gateway) {
        for (way, status) in [("hangs-up", 502), ("fails", 503)] {
            let path = format!("/{way}-{protocol}");
            let replies = at_once(&client, &path, 200).await;
            assert_eq!(statuses(&replies), BTreeMap::from([(status, 200)]), "{path}");
            assert!(origin.count(&path) <= 4, "{path}: {} calls", origin.count(&path));
            let cookies = replies.iter().filter(|reply| reply.headers.contains_key("set-cookie")).count();
            assert!(cookies <= origin.count(&path), "{path}: a cookie is for who caused the call: {cookies}");
        }
    }
    gateway.stop(&["breaker", "level of degradation"]).await;
}

#[tokio::test]
async fn what_may_go_out_stale_goes_out_however_the_refresh_ends() {
    const CONTROL: &str = "max-age=1, stale-while-revalidate=60, stale-if-error=60";
    let origin = Origin::start(|asked| async move {
        match asked.number {
            1 | 2 => Answer::json(vec![b'x'; 1000]).with("cache-control", CONTROL),
            // The head, half of the body, a pause, and the end.
            _ => Answer::Pieces(vec![(0, head(1000, CONTROL)), (0, vec![b'y'; 500]), (1500, Vec::new())]),
        }
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let clients = clients(&gateway);
    for (protocol, client) in &clients {
        assert_eq!(client.get(&format!("/{protocol}")).await.status, 200);
    }
    pause(1200).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        for (protocol, client) in &clients {
            let reply = client.get(&format!("/{protocol}")).await;
            assert_eq!((reply.status, reply.header("x-cache"), reply.body[0]), (200, "STALE", b'x'), "{protocol}");
            assert!(reply.time < Duration::from_millis(700), "{protocol}: {:?}", reply.time);
        }
        pause(100).await;
    }
    assert!(origin.asked().len() >= 4, "it was refreshed meanwhile");
    gateway.stop(&["breaker", "level of degradation"]).await;
}

#[tokio::test]
async fn what_is_to_be_validated_each_time_is_asked_for_once_each_time() {
    let origin = Origin::start(|asked| async move {
        let answer = Answer::json("x").with("etag", "\"1\"").with("cache-control", "max-age=60, no-cache");
        if asked.headers.contains_key("if-none-match") { answer.status(304) } else { answer }
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    for (protocol, client) in clients(&gateway) {
        let path = format!("/{protocol}");
        for (number, cache) in ["MISS", "REVALIDATED", "REVALIDATED"].into_iter().enumerate() {
            let reply = client.get(&path).await;
            assert_eq!((reply.status, reply.header("x-cache"), reply.text().as_str()), (200, cache, "x"), "{path}");
            assert_eq!(origin.count(&path), number + 1, "{path}");
        }
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn an_upstream_that_breaks_off_bodies_is_a_failing_one() {
    let origin = Origin::start(|_| async { Answer::Raw([head(50, "max-age=60"), b"[1,2,3]".to_vec()].concat()) }).await;
    let breaker = "breaker: { window: 20, minimum: 10, open: 60s, open_max: 60s }\n";
    // Of what is not cached something may have left already.
    for (cached, protocol) in [(true, 0), (true, 1), (false, 0)] {
        let gateway = Gateway::start(&(plain(&origin.place) + breaker)).await;
        let (name, client) = clients(&gateway)[protocol].clone();
        let mut opened = false;
        for number in 0..30 {
            let path = format!("/{cached}-{name}-{number}");
            if !cached && !opened {
                let _broken = raw(&gateway, &path).await;
                opened = gateway.admin("GET", "/admin/v1/status", None).await.text().contains("\"open\"");
            } else {
                let reply = client.get(&path).await;
                match reply.json()["error"]["details"]["reason"].as_str() {
                    Some("upstream_closed") => assert_eq!(reply.status, 502),
                    Some("breaker_open") => opened = true,
                    other => panic!("{path}: {} {other:?}", reply.status),
                }
            }
        }
        assert!(opened, "{cached} {name}");
        let ok = gateway.metric("addrgate_upstream_total{outcome=\"ok\"").await;
        let broken = gateway.metric("addrgate_upstream_total{outcome=\"broken\"").await;
        assert!(ok == 0.0 && broken >= 10.0, "{cached} {name}: {ok} ok, {broken} broken");
        gateway.stop(&["breaker", "level of degradation"]).await;
    }
}

async fn raw(gateway: &Gateway, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
    let request = format!("PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    let _reset = stream.read_to_end(&mut reply).await;
    reply
}
