//! Clients that accept a content coding get hits that were coded once, from memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::io::Read;

use support::gateway::plain;
use support::{Answer, Gateway, Origin, until};

#[tokio::test]
async fn a_hit_is_coded_once_and_right_for_each_client() {
    let body: String = (0..500).map(|n| format!("{{\"number\": {n}}}\n")).collect();
    let sent = body.clone();
    let origin = Origin::start(move |asked| {
        assert!(!asked.headers.contains_key("accept-encoding"), "what is kept is plain");
        let answer = Answer::json(if asked.target == "/small" { "{}".to_owned() } else { sent.clone() });
        async move { answer.with("etag", "\"a\"") }
    })
    .await;
    let config = plain(&origin.place).replace("compression: { enabled: false }\n", "");
    let gateway = Gateway::start(&config).await;
    gateway.ask("GET", "/a", &[]).await;
    gateway.ask("GET", "/small", &[]).await;
    let holds = async || gateway.metric("addrgate_cache_holds{what=\"bytes\"}").await;
    let before = holds().await;
    let mut coded = 0;
    for coding in ["gzip", "br", "zstd"] {
        let accepts = [("accept-encoding", coding)];
        let first = gateway.ask("GET", "/a", &accepts).await;
        assert_eq!((first.header("content-encoding"), first.header("x-cache")), (coding, "HIT"));
        // Only what is coded already has a length that is known before it is sent.
        until("it is coded", || async {
            !gateway.ask("GET", "/a", &accepts).await.header("content-length").is_empty()
        })
        .await;
        let hit = gateway.ask("GET", "/a", &accepts).await;
        assert_eq!((hit.header("content-encoding"), hit.header("x-cache")), (coding, "HIT"));
        assert_eq!((hit.header("etag"), hit.header("vary")), ("W/\"a\"", "Accept-Encoding"));
        assert!(hit.body.len() < body.len() / 2 && hit.header("content-length") == hit.body.len().to_string());
        assert_eq!(gateway.ask("GET", "/a", &accepts).await.body, hit.body, "the same bytes again");
        if coding == "gzip" {
            let mut again = String::new();
            flate2::read::GzDecoder::new(&*hit.body).read_to_string(&mut again).unwrap();
            assert_eq!(again, body);
        }
        coded += hit.body.len();
        let unchanged = gateway.ask("GET", "/a", &[accepts[0], ("if-none-match", "W/\"a\"")]).await;
        assert_eq!(
            (unchanged.status, unchanged.header("etag"), unchanged.header("vary")),
            (304, "W/\"a\"", "Accept-Encoding")
        );
        assert_eq!(unchanged.header("content-encoding"), "");
        // Past the door, too, it is told the tag of what it has.
        for (had, tag) in [("W/\"a\"", "W/\"a\""), ("\"a\"", "\"a\"")] {
            let past =
                gateway.ask("GET", "/a", &[accepts[0], ("if-none-match", had), ("cache-control", "max-age=600")]).await;
            assert_eq!((past.status, past.header("etag"), past.header("x-cache")), (304, tag, "HIT"));
        }
    }
    let plain = gateway.ask("GET", "/a", &[("accept-encoding", "identity")]).await;
    assert_eq!((plain.text(), plain.header("etag")), (body, "\"a\""));
    assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "Accept-Encoding"));
    let small = gateway.ask("GET", "/small", &[("accept-encoding", "gzip")]).await;
    assert_eq!((small.text().as_str(), small.header("content-encoding"), small.header("vary")), ("{}", "", ""));
    until("the codings are weighed", || async { holds().await >= before + coded as f64 }).await;
    assert_eq!(origin.asked().len(), 2);
    gateway.stop(&[]).await;
}
