//! One of several addresses of an upstream is dead, swallows connections or closes them: what tells of one address is charged to
//! that address, and no request fails for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use support::origin::pause;
use support::{Answer, Gateway, Origin, free_port, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Nothing is cached; `POST` may change something.
fn config(addresses: &[String], more: &str) -> String {
    format!(
        "version: 1
server: {{ listen: [\"{{listen}}\"], threads: 2 }}
admin: {{ listen: \"{{admin}}\", token: \"{{token}}\" }}
upstreams: {{ origin: {{ addresses: {addresses:?}, connect_time: 300ms, slow_start: 0s, health: {{ interval: 300ms, timeout: 300ms }} }} }}
degrade: {{ mode: observe }}
{more}
routes: [{{ name: all, paths: [/**], methods: [GET, POST], auth: none, body: {{ max: 1KiB }}, timeout: 3s }}]
"
    )
}

async fn live() -> Origin {
    Origin::start(|_| async { Answer::json("{}") }).await
}

/// An address that is no good, and what keeps it so.
enum Bad {
    Refuses(u16),
    Swallows { listener: TcpListener, _waiting: Vec<TcpStream> },
    Closes(String, tokio::task::JoinHandle<()>),
}

impl Bad {
    fn refuses() -> Self {
        Self::Refuses(free_port())
    }

    /// Its queue of connections is full, so that the kernel answers no SYN.
    async fn swallows() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let place = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(place)).await {
            waiting.push(stream.unwrap());
        }
        Self::Swallows { listener, _waiting: waiting }
    }

    async fn closes() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = listener.local_addr().unwrap().to_string();
        let closing = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        Self::Closes(place, closing)
    }

    fn place(&self) -> String {
        match self {
            Self::Refuses(port) => format!("127.0.0.1:{port}"),
            Self::Swallows { listener, .. } => listener.local_addr().unwrap().to_string(),
            Self::Closes(place, _) => place.clone(),
        }
    }
}

impl Drop for Bad {
    fn drop(&mut self) {
        if let Self::Closes(_, closing) = self {
            closing.abort();
        }
    }
}

/// Eight clients, for two and a half seconds; when and with which status requests failed, and how many there were.
async fn under_load(gateway: &Gateway, method: &'static str) -> (Vec<(Duration, u16)>, usize) {
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let client = gateway.client.clone();
        clients.spawn(async move {
            let (mut failed, mut all) = (Vec::new(), 0);
            while begun.elapsed() < Duration::from_millis(2500) {
                let request = client.request(method, "/a");
                let request = if method == "POST" { request.json(&1) } else { request };
                let reply = client.send(request).await;
                if reply.status != 200 {
                    failed.push((begun.elapsed(), reply.status));
                }
                all += 1;
                pause(5).await;
            }
            (failed, all)
        });
    }
    let (failed, all): (Vec<_>, Vec<_>) = clients.join_all().await.into_iter().unzip();
    (failed.concat(), all.iter().sum())
}

async fn spent(gateway: &Gateway) -> Value {
    gateway.admin("GET", "/admin/v1/status", None).await.json()["upstreams"]["origin"].clone()
}

#[tokio::test]
async fn an_address_that_can_not_be_reached_costs_no_request_and_no_retry() {
    for others in [1, 2] {
        for bad in [Bad::refuses(), Bad::swallows().await] {
            let mut origins = Vec::new();
            for _ in 0..others {
                origins.push(live().await);
            }
            let mut places = vec![bad.place()];
            places.extend(origins.iter().map(|origin| origin.place.clone()));
            let gateway = Gateway::start(&config(&places, "retries: { share: 0%, minimum: 0 }")).await;
            for method in ["GET", "POST"] {
                let (failed, all) = under_load(&gateway, method).await;
                assert!(failed.is_empty() && all > 100, "{method}, {others} others: {failed:?} of {all}");
            }
            let status = spent(&gateway).await;
            assert_eq!((&status["healthy"], &status["retries"]["spent"]), (&others.into(), &0.into()), "{status}");
            assert_eq!(status["breaker"]["failure_rate"], 0.0, "{status}");
            gateway.stop(&["left out"]).await;
        }
    }
}

#[tokio::test]
async fn an_address_that_closes_connections_is_left_out() {
    for bad in [Bad::closes().await, Bad::closes().await] {
        let origin = live().await;
        let gateway = Gateway::start(&config(&[bad.place(), origin.place.clone()], "")).await;
        let (failed, all) = under_load(&gateway, "GET").await;
        let late = failed.iter().filter(|(at, _)| *at > Duration::from_secs(1)).count();
        assert!(late == 0 && failed.len() < 8 && all > 100, "{failed:?} of {all}");
        gateway.stop(&["left out", "level of degradation"]).await;
        // A request that was sent and may change something is not repeated.
        let gateway = Gateway::start(&config(&[bad.place(), origin.place.clone()], "")).await;
        let (failed, all) = under_load(&gateway, "POST").await;
        let late = failed.iter().filter(|(at, _)| *at > Duration::from_secs(1)).count();
        assert!(late == 0 && failed.len() < 12 && all > 100, "{failed:?} of {all}");
        assert_eq!(spent(&gateway).await["healthy"], 1);
        gateway.stop(&["left out", "level of degradation"]).await;
    }
}

#[tokio::test]
async fn an_address_that_hangs_is_left_out() {
    let hangs = Origin::start(|_| async {
        pause(60_000).await;
        Answer::HangUp
    })
    .await;
    let origin = live().await;
    let text = config(&[hangs.place.clone(), origin.place.clone()], "breaker: { window: 10, minimum: 10 }");
    let gateway = Gateway::start(&text.replace("timeout: 3s", "timeout: 400ms")).await;
    until("it is left out", || async {
        gateway.client.get("/a").await;
        spent(&gateway).await["healthy"] == 1 || hangs.asked().len() > 20
    })
    .await;
    assert!(hangs.asked().len() <= 8, "{}", hangs.asked().len());
    gateway.stop(&["left out", "breaker"]).await;
}

#[tokio::test]
async fn the_breaker_counts_what_no_address_could_serve() {
    let places = [Bad::refuses().place(), Bad::refuses().place()];
    let breaker = "breaker: { window: 5, minimum: 5, open: 30s, open_max: 30s, probe_every: 60s }";
    let gateway = Gateway::start(&config(&places, breaker)).await;
    for n in 1..=5 {
        let reply = gateway.client.get("/a").await;
        assert_eq!((reply.status, &reply.json()["error"]["details"]["reason"]), (503, &"upstream_down".into()));
        let calls = spent(&gateway).await["breaker"]["calls"].clone();
        assert!(calls == n || n == 5, "{calls} for {n} requests");
    }
    assert_eq!(gateway.client.get("/a").await.json()["error"]["details"]["reason"], "breaker_open");
    gateway.stop(&["left out", "breaker"]).await;
}

#[tokio::test]
async fn an_address_that_returns_is_used_again() {
    let (port, origin) = (free_port(), live().await);
    let back = format!("127.0.0.1:{port}");
    let gateway = Gateway::start(&config(&[back.clone(), origin.place.clone()], "")).await;
    until("it is left out", || async {
        assert_eq!(gateway.client.get("/a").await.status, 200);
        spent(&gateway).await["healthy"] == 1
    })
    .await;
    let returned = Origin::on(TcpListener::bind(&back).await.unwrap(), |_| async { Answer::json("{}") });
    until("it gets requests", || async {
        assert_eq!(gateway.client.get("/a").await.status, 200);
        returned.count("/a") > 0
    })
    .await;
    gateway.stop(&["left out"]).await;
}

#[tokio::test]
async fn where_all_are_out_the_first_that_returns_is_found_without_a_check() {
    let (port, other) = (free_port(), Bad::refuses());
    let back = format!("127.0.0.1:{port}");
    let text = config(&[back.clone(), other.place()], "breaker: { mode: observe }")
        .replace("interval: 300ms", "interval: 60s");
    let gateway = Gateway::start(&text).await;
    for _ in 0..6 {
        assert_eq!(gateway.client.get("/a").await.status, 503);
    }
    let _returned = Origin::on(TcpListener::bind(&back).await.unwrap(), |_| async { Answer::json("{}") });
    for _ in 0..6 {
        assert_eq!(gateway.client.get("/a").await.status, 200);
    }
    gateway.stop(&["left out", "breaker"]).await;
}

#[tokio::test]
async fn the_quicker_address_gets_more() {
    let slow = Origin::start(|_| async {
        pause(200).await;
        Answer::json("{}")
    })
    .await;
    let quick = Origin::start(|_| async {
        pause(20).await;
        Answer::json("{}")
    })
    .await;
    let gateway = Gateway::start(&config(&[slow.place.clone(), quick.place.clone()], "")).await;
    let (failed, all) = under_load(&gateway, "GET").await;
    assert!(failed.is_empty(), "{failed:?} of {all}");
    assert!(quick.count("/a") > 3 * slow.count("/a"), "{} and {}", quick.count("/a"), slow.count("/a"));
    gateway.stop(&[]).await;
}

/// Reads one request; whether there was one.
async fn request(stream: &mut TcpStream) -> bool {
    let (mut read, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return true;
            }
        }
        match stream.read(&mut piece).await {
            Ok(n @ 1..) => read.extend_from_slice(&piece[..n]),
            _ => return false,
        }
    }
}

/// Serves one request on each connection, and resets it under the next one; at last the first one, too.
async fn serve_once(listener: TcpListener, closed: Arc<AtomicUsize>, fresh_too: Arc<AtomicBool>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (closed, fresh_too) = (Arc::clone(&closed), Arc::clone(&fresh_too));
        tokio::spawn(async move {
            if !request(&mut stream).await || fresh_too.load(Ordering::SeqCst) {
                return;
            }
            let response = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
            stream.write_all(response).await.unwrap();
            // What is unread when it is closed resets the connection.
            if stream.read(&mut [0]).await.is_ok_and(|read| read > 0) {
                closed.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
}

#[tokio::test]
async fn a_kept_connection_that_is_reset_costs_no_retry_where_asking_twice_does_no_harm() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let (closed, fresh_too) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let serving = tokio::spawn(serve_once(listener, Arc::clone(&closed), Arc::clone(&fresh_too)));
    let routes = "routes:
  - { name: read, paths: [/read], methods: [POST], auth: none, body: { max: 1KiB }, cache: { methods: [POST], key: { body: json } } }
  - { name: repeatable, paths: [/repeatable], methods: [POST], auth: none, body: { max: 1KiB }, repeatable: true }
  - {";
    let text =
        config(&[place], "retries: { share: 0%, minimum: 0 }").replace("routes: [{", routes).replace("}]\n", "}\n");
    let gateway = Gateway::start(&text).await;
    // One connection is kept at a time, and each is reset under the next request.
    for n in 0..5 {
        for (method, path, body) in
            [("GET", "/a", None), ("POST", "/read", Some(n)), ("POST", "/repeatable", Some(n)), ("GET", "/b", None)]
        {
            let request = gateway.client.request(method, path);
            let request = if let Some(body) = body { request.json(&body) } else { request };
            assert_eq!(gateway.client.send(request).await.status, 200, "{method} {path} {n}");
        }
    }
    assert!(closed.load(Ordering::SeqCst) >= 5, "{closed:?}");
    let status = spent(&gateway).await;
    assert_eq!(
        (&status["retries"]["spent"], &status["breaker"]["failure_rate"]),
        (&0.into(), &(0.0).into()),
        "{status}"
    );
    // What may change something is asked once.
    let mut statuses = Vec::new();
    for _ in 0..6 {
        statuses.push(gateway.client.post("/a", &1.into()).await.status);
    }
    assert!(statuses.contains(&502) && statuses.contains(&200), "{statuses:?}");
    // Over a new connection it is a failure like any other.
    fresh_too.store(true, Ordering::SeqCst);
    let before = closed.load(Ordering::SeqCst);
    assert_eq!(gateway.client.get("/a").await.status, 502);
    assert!(closed.load(Ordering::SeqCst) <= before + 1);
    serving.abort();
    gateway.stop(&[]).await;
}
