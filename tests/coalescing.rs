//! Many ask at once for what has to be fetched once; and stale answers that are refreshed behind the reply.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::time::Duration;

use support::gateway::plain;
use support::origin::pause;
use support::{Answer, Gateway, Origin, Reply, until};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;
use tokio::time::Instant;

async fn at_once(gateway: &Gateway, path: &str, n: usize) -> Vec<Reply> {
    let mut all = JoinSet::new();
    for _ in 0..n {
        let (client, path) = (gateway.client.clone(), path.to_owned());
        all.spawn(async move { client.get(&path).await });
    }
    all.join_all().await
}

#[tokio::test]
async fn one_fetch_serves_all_who_wait() {
    let origin = Origin::start(|asked| async move {
        pause(300).await;
        Answer::json(format!("{}", asked.number))
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let replies = at_once(&gateway, "/a", 200).await;
    let others: Vec<&Reply> = replies.iter().filter(|reply| (reply.status, &*reply.body) != (200, b"1")).collect();
    assert!(others.is_empty(), "{others:#?}");
    assert_eq!(origin.count("/a"), 1);
    let collapsed = replies.iter().filter(|reply| reply.header("x-cache") == "COLLAPSED").count();
    assert!(collapsed >= 150, "{collapsed} waited");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn each_variant_is_fetched_once() {
    let origin = Origin::start(|asked| async move {
        pause(300).await;
        Answer::json(asked.number.to_string()).with("vary", "accept-language")
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let mut all = JoinSet::new();
    for n in 0..120 {
        let client = gateway.client.clone();
        let language = ["en", "de", "fr"][n % 3];
        all.spawn(async move {
            let request = client.request("GET", "/a").header("accept-language", language);
            (language, client.send(request).await.text())
        });
    }
    let replies: std::collections::BTreeSet<_> = all.join_all().await.into_iter().collect();
    assert_eq!((replies.len(), origin.count("/a")), (3, 3), "one answer for each: {replies:?}");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn what_is_not_kept_is_not_waited_for_one_after_the_other() {
    let origin = Origin::start(|_| async {
        pause(300).await;
        Answer::json("x").with("cache-control", "no-store")
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let begun = Instant::now();
    assert!(at_once(&gateway, "/a", 60).await.iter().all(|reply| reply.status == 200));
    // The leader's 300 ms, then all others' at once.
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    let begun = Instant::now();
    at_once(&gateway, "/a", 60).await;
    assert!(begun.elapsed() < Duration::from_millis(900), "nobody waits again: {:?}", begun.elapsed());
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_leader_that_hangs_up_harms_nobody() {
    let origin = Origin::start(|_| async {
        pause(600).await;
        Answer::json("x")
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let mut leader = tokio::net::TcpStream::connect(&gateway.place).await.unwrap();
    leader.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    until("the leader fetches", || async { origin.count("/a") == 1 }).await;
    let others = tokio::spawn({
        let client = gateway.client.clone();
        async move {
            let mut all = JoinSet::new();
            for _ in 0..20 {
                let client = client.clone();
                all.spawn(async move { client.get("/a").await });
            }
            all.join_all().await
        }
    });
    pause(100).await;
    drop(leader);
    assert!(others.await.unwrap().iter().all(|reply| reply.status == 200 && reply.text() == "x"));
    assert!(origin.count("/a") <= 2, "{}", origin.count("/a"));
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_leader_that_reads_nothing_holds_up_nobody() {
    // More than fits between the gateway and a client that does not read.
    const LENGTH: usize = 15 << 20;
    let origin = Origin::start(|_| async {
        pause(300).await;
        Answer::json(vec![b'x'; LENGTH])
    })
    .await;
    let gateway = Gateway::start(&(plain(&origin.place) + "limits: { write_time: 60s }\n")).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut leader = socket.connect(gateway.place.parse().unwrap()).await.unwrap();
    leader.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    until("the leader fetches", || async { origin.count("/a") == 1 }).await;
    for reply in at_once(&gateway, "/a", 3).await {
        assert_eq!((reply.status, reply.body.len()), (200, LENGTH));
        assert!(reply.time < Duration::from_secs(9), "within the route's time: {:?}", reply.time);
    }
    assert_eq!(origin.count("/a"), 1);
    drop(leader);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn who_waits_and_leaves_frees_the_place() {
    let origin = Origin::start(|_| async {
        pause(1500).await;
        Answer::json("x")
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let client = gateway.client.clone();
    let leader = tokio::spawn(async move { client.get("/a").await });
    until("the leader fetches", || async { origin.count("/a") == 1 }).await;
    let mut waiting = Vec::new();
    for _ in 0..50 {
        let mut stream = tokio::net::TcpStream::connect(&gateway.place).await.unwrap();
        stream.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        waiting.push(stream);
    }
    until("all are in flight", || async { gateway.metric("addrgate_in_flight").await == 51.0 }).await;
    drop(waiting);
    until("only the leader is", || async { gateway.metric("addrgate_in_flight").await == 1.0 }).await;
    assert!(!leader.is_finished(), "they left because their clients did, not because the leader was done");
    assert_eq!(leader.await.unwrap().text(), "x");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_stale_answer_is_refreshed_once_behind_the_reply_also_a_body_keyed_one() {
    let origin = Origin::start(|asked| async move {
        pause(if asked.number > 2 { 500 } else { 0 }).await;
        Answer::json(format!("{} {}", asked.number, String::from_utf8_lossy(&asked.body)))
            .with("cache-control", "max-age=1, stale-while-revalidate=60")
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let post = || gateway.client.post_bytes("/read/p", "{\"a\": 1}");
    let (first, body) = (gateway.client.get("/g").await, post().await);
    pause(1200).await;
    let begun = Instant::now();
    for reply in at_once(&gateway, "/g", 20).await {
        assert_eq!((reply.text(), reply.header("x-cache")), (first.text(), "STALE"));
        assert!(reply.header("cache-status").contains("detail=updating"), "{}", reply.header("cache-status"));
    }
    let stale = post().await;
    assert_eq!((stale.text(), stale.header("x-cache")), (body.text(), "STALE"));
    assert!(begun.elapsed() < Duration::from_millis(400), "nobody waited: {:?}", begun.elapsed());
    until("both are fresh again", || async {
        gateway.client.get("/g").await.header("x-cache") == "HIT" && post().await.header("x-cache") == "HIT"
    })
    .await;
    assert_eq!((origin.count("/g"), origin.count("/read/p")), (2, 2));
    assert!(matches!(post().await.text().as_str(), "3 {\"a\":1}" | "4 {\"a\":1}"), "the refresh asked the same");
    gateway.stop(&[]).await;
}
