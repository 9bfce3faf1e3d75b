//! What clients send besides the request itself: offers, options, half-closed connections, blank lines, trailers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use rcgen::CertifiedKey;
use support::gateway::plain;
use support::{Answer, Gateway, Origin, until};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Answers tell the target and the body.
async fn echo() -> Origin {
    Origin::start(|asked| async move {
        support::origin::pause(if asked.target.starts_with("/slow") { 300 } else { 0 }).await;
        Answer::json(format!("{} {}", asked.target, String::from_utf8_lossy(&asked.body)))
    })
    .await
}

/// Sends the bytes, reads until the gateway closes.
async fn exchange(place: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(place).await.unwrap();
    let _ = stream.write_all(bytes).await;
    rest(&mut stream).await
}

async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = String::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut all)).await;
    read.expect("it is closed").unwrap();
    all
}

fn get(target: &str, more: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n{more}\r\n")
}

/// Nobody has to take up an offer (RFC 9110 section 7.8): it is ignored wherever the response comes from.
#[tokio::test]
async fn an_offer_of_another_protocol_is_ignored() {
    let origin = echo().await;
    let own = "routes:\n  - { name: live, paths: [/live], auth: none, answer: livez }\n";
    let gateway = Gateway::start(&plain(&origin.place).replace("routes:\n", own)).await;
    gateway.client.get("/hot").await;
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
    let websocket = "Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n";
    let wire: String = [h2c, websocket, "Upgrade: TLS/1.0, h2c\r\nConnection: upgrade\r\n"]
        .map(|offer| {
            let targets = ["/hot", &format!("/cold{}", offer.len()), "/live"];
            let mut wire: String = targets.iter().map(|target| get(target, offer)).collect();
            let body = "{\"n\": 1}";
            wire +=
                &format!("{}{body}", get("/echo", &format!("{offer}Content-Length: 8\r\n")).replacen("GET", "POST", 1));
            wire
        })
        .concat();
    let answers = exchange(&gateway.place, (wire + &get("//refused", h2c)).as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 12, "{answers}");
    assert_eq!(answers.matches("x-cache: HIT").count(), 3, "{answers}");
    assert!(answers.contains("\"reason\":\"empty_segment\""), "{answers}");
    for asked in origin.asked() {
        let head = asked.head.to_lowercase();
        assert!(!head.contains("upgrade") && !head.contains("http2-settings"), "{head}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn connection_is_one_list_and_names_what_stays_on_this_hop() {
    let origin = echo().await;
    let uncached = plain(&origin.place)
        .replace("    cache: { methods: [GET], lifetimes: { jitter: 0, request_directives: true } }\n", "");
    for config in [plain(&origin.place), uncached.replace("[accept-language]", "[\"*\"]")] {
        let gateway = Gateway::start(&config).await;
        for target in ["/a", "/a"] {
            let fields = "Connection: keep-alive, x-hop\r\nX-Hop: 1\r\nX-End: 2\r\nConnection: Close\r\n";
            let answers = exchange(&gateway.place, (get(target, fields) + &get("/second", "")).as_bytes()).await;
            assert_eq!(answers.matches("HTTP/1.1 200").count(), 1, "{answers}");
            assert!(answers.to_lowercase().contains("connection: close"), "{answers}");
        }
        for named in ["X-Api-Key", "Host", "content-length", "X-Forwarded-For", "a b"] {
            let answer =
                exchange(&gateway.place, get("/a", &format!("Connection: close, {named}\r\n")).as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("connection_option"), "{named}: {answer}");
        }
        gateway.stop(&[]).await;
    }
    assert_eq!(origin.count("/second"), 0);
    let heads: String = origin.asked().into_iter().map(|asked| asked.head.to_lowercase()).collect();
    assert!(heads.contains("x-end: 2") && !heads.contains("x-hop"), "{heads}");
}

/// Sends all, and that nothing more comes; the responses must be these, in order.
async fn sends_all(mut stream: impl AsyncRead + AsyncWrite + Unpin, wire: &str, bodies: &[&str]) {
    stream.write_all(wire.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answers = rest(&mut stream).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), bodies.len(), "{wire}: {answers}");
    let mut from = 0;
    for body in bodies {
        from += answers[from..].find(&format!("\r\n\r\n{body}")).unwrap_or_else(|| panic!("{body}: {answers}"));
    }
}

/// Each with the bodies of its responses; a hit, misses, bodies, several requests.
fn whole_requests() -> [(String, Vec<&'static str>); 6] {
    let body = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let post = |target: &str| format!("POST {target} HTTP/1.1\r\nHost: a\r\n{body}");
    let chunks = "POST /slow-chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    [
        (get("/hot", ""), vec!["/hot "]),
        (get("/slow", ""), vec!["/slow "]),
        (post("/slow-echo"), vec!["/slow-echo {}"]),
        (post("/read/slow"), vec!["/read/slow {}"]),
        (chunks.to_owned(), vec!["/slow-chunks {}"]),
        (get("/slow1", "") + &get("/hot", "") + &get("/slow2", ""), vec!["/slow1 ", "/hot ", "/slow2 "]),
    ]
}

#[tokio::test]
async fn a_client_that_has_sent_all_gets_its_responses() {
    let origin = echo().await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    gateway.client.get("/hot").await;
    for (wire, bodies) in whole_requests() {
        sends_all(TcpStream::connect(&gateway.place).await.unwrap(), &wire, &bodies).await;
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_client_that_has_sent_all_over_tls_gets_its_responses() {
    let (origin, folder) = (echo().await, tempfile::tempdir().unwrap());
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, cert.pem()).unwrap();
    std::fs::write(&key, signing_key.serialize_pem()).unwrap();
    let tls = format!("threads: 2, tls: {{ certificate_file: {certificate:?}, key_file: {key:?} }}");
    let gateway = Gateway::behind_a_balancer(&plain(&origin.place).replace("threads: 2", &tls)).await;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(versions.with_root_certificates(roots).with_no_client_auth()));
    // Readiness was asked on the admin listener only.
    until("the public listener is there", async || TcpStream::connect(&gateway.place).await.is_ok()).await;
    for (wire, bodies) in whole_requests() {
        let stream = TcpStream::connect(&gateway.place).await.unwrap();
        let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        sends_all(stream, &wire, &bodies).await;
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn blank_lines_before_a_request_are_skipped_however_they_arrive() {
    let origin = echo().await;
    let gateway = Gateway::start(&(plain(&origin.place) + "limits: { keepalive: 1s }\n")).await;
    let request = get("/a", "");
    for pieces in [&["\r\n"][..], &["\r", "\n"], &["\r\n\r", "\n\r\n"], &["", "\r", "\n\r", "\n"]] {
        let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for round in 0..2 {
            // The blank line that some clients send after a body comes with the end of one request, or before the next.
            for piece in pieces {
                stream.write_all(piece.as_bytes()).await.unwrap();
                support::origin::pause(30).await;
            }
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"/a ") {
                assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "{pieces:?} {round}: {answer:?}");
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{pieces:?}: {answer:?}");
        }
        // What is left over is no beginning of a request that would be refused as too slow.
        stream.write_all(b"\r\n\r").await.unwrap();
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "");
    }
    gateway.stop(&[]).await;
}
