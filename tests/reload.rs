//! Settings are taken in live; what is wrong changes nothing and says so; a key that is revoked is refused within seconds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::time::Duration;

use addrgate_filters::client::digest_of;
use support::{Answer, Gateway, Origin, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

fn config(origin: &str, more: &str) -> String {
    format!(
        "version: 1
server: {{ listen: [\"{{listen}}\"], threads: 2 }}
admin: {{ listen: \"{{admin}}\", token: \"{{token}}\" }}
upstreams: {{ origin: {{ addresses: [\"{origin}\"], health: {{ interval: 60s }} }} }}
routes: [{{ name: all, paths: [/**], cache: {{}} }}]
{more}
"
    )
}

/// One request with the key `key`, on a connection of the test's own.
async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\nX-API-Key: key\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn a_key_is_added_and_revoked_live_through_the_clients_file() {
    let origin = Origin::start(|_| async { Answer::json("x") }).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.yaml");
    std::fs::write(&file, format!("web: {{ keys: [\"{}\"] }}\n", digest_of("key"))).unwrap();
    let gateway =
        Gateway::start(&config(&origin.place, &format!("identity: {{ clients_file: \"{}\" }}", file.display()))).await;
    assert_eq!(gateway.client.get("/a").await.status, 200);
    let mut idle = TcpStream::connect(&gateway.place).await.unwrap();
    // As often as it takes for its head to be known.
    for _ in 0..5 {
        assert!(ask(&mut idle).await.starts_with("HTTP/1.1 200"));
    }

    std::fs::write(&file, format!("web: {{ keys: [\"{}\"] }}\n", digest_of("another"))).unwrap();
    let begun = Instant::now();
    until("the old key is refused", || async { gateway.client.get("/a").await.status == 401 }).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(ask(&mut idle).await.starts_with("HTTP/1.1 401"), "also on a connection that waited meanwhile");
    let other = gateway.client.with_key("another");
    assert_eq!(other.get("/a").await.status, 200);

    // A file that is not valid changes nothing.
    std::fs::write(&file, "web: { keyz: [] }\n").unwrap();
    until("it is refused", || async {
        let status = gateway.admin("GET", "/admin/v1/status", None).await.json();
        status["config"]["lastReload"].as_str().is_some_and(|said| said.starts_with("refused"))
    })
    .await;
    assert_eq!(gateway.client.get("/a").await.status, 401);
    gateway.stop(&["not valid"]).await;
}
