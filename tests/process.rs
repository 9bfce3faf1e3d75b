//! The process among others: TLS and load balancers in front of it, its stop, its log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use rcgen::CertifiedKey;
use support::gateway::plain;
use support::origin::pause;
use support::{Answer, Client, Gateway, Origin, PATIENCE, free_port, program, until};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

// ----- TLS -----

/// A new certificate for `localhost` with its key, as files in `folder`.
fn certify(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("certificate.pem"), cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    cert.der().clone()
}

fn with_tls(config: &str, folder: &Path) -> String {
    let file = |name: &str| folder.join(name).display().to_string();
    let tls = format!(
        "threads: 2, tls: {{ certificate_file: \"{}\", key_file: \"{}\" }}",
        file("certificate.pem"),
        file("key.pem")
    );
    config.replace("threads: 2", &tls)
}

/// A client that trusts these certificates and speaks this protocol.
fn trusting(certificates: &[CertificateDer<'static>], protocol: &[u8]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).unwrap();
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    Arc::new(config)
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    config: &Arc<ClientConfig>,
    stream: S,
) -> std::io::Result<TlsStream<S>> {
    let name = ServerName::try_from("localhost").unwrap();
    timeout(PATIENCE, TlsConnector::from(Arc::clone(config)).connect(name, stream)).await.expect("a handshake in time")
}

fn get(target: &str, more: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n").into_bytes()
}

/// All that comes until the other side closes.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut all = Vec::new();
    // Whether it says goodbye or not.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut all)).await.expect("the connection is closed");
    String::from_utf8_lossy(&all).into_owned()
}

/// One request that ends its connection.
async fn ask(config: &Arc<ClientConfig>, place: &str, target: &str) -> String {
    let mut stream = handshake(config, TcpStream::connect(place).await.unwrap()).await.unwrap();
    stream.write_all(&get(target, "Connection: close\r\n")).await.unwrap();
    rest(&mut stream).await
}

async fn refused(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(&format!("addrgate_refused_total{{by=\"door\",reason=\"{reason}\"}}")).await
}

#[tokio::test]
async fn connections_are_bounded_before_their_handshake() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    for (limits, reason) in [
        ("connections: 1000, connections_per_address: 5", "connections_per_address"),
        ("connections: 5, connections_per_address: 1000", "connections"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let trusts = trusting(&[certify(folder.path())], b"http/1.1");
        let config = plain(&origin.place) + &format!("limits: {{ head_time: 2s, {limits} }}\n");
        let gateway = Gateway::behind_a_balancer(&with_tls(&config, folder.path())).await;
        let begun = Instant::now();
        let mut silent = Vec::new();
        for _ in 0..30 {
            silent.push(TcpStream::connect(&gateway.place).await.unwrap());
        }
        until("what is too much is closed", || async { refused(&gateway, reason).await == 25.0 }).await;
        assert_eq!(refused(&gateway, "tls_time").await, 0.0, "before any time is up");
        for stream in &mut silent {
            assert_eq!(rest(stream).await, "");
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        until("the others too", || async { refused(&gateway, "tls_time").await == 5.0 }).await;
        assert!(ask(&trusts, &gateway.place, "/a").await.starts_with("HTTP/1.1 200"), "and there is room again");
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn who_does_not_shake_hands_fills_no_log() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let folder = tempfile::tempdir().unwrap();
    let certificate = certify(folder.path());
    let trusts = trusting(std::slice::from_ref(&certificate), b"http/1.1");
    let gateway = Gateway::behind_a_balancer(&with_tls(&plain(&origin.place), folder.path())).await;
    // Checks of balancers: closed, and closed hard.
    for hard in [false, true] {
        let stream = TcpStream::connect(&gateway.place).await.unwrap();
        if hard {
            stream.set_zero_linger().unwrap();
        }
        drop(stream);
    }
    until("both have left", || async { refused(&gateway, "tls_closed").await == 2.0 }).await;
    // Another protocol, and another certificate than is there.
    let mut wrong = TcpStream::connect(&gateway.place).await.unwrap();
    wrong.write_all(&get("/", "")).await.unwrap();
    rest(&mut wrong).await;
    let other = trusting(&[certify(tempfile::tempdir().unwrap().path())], b"http/1.1");
    assert!(handshake(&other, TcpStream::connect(&gateway.place).await.unwrap()).await.is_err());
    until("both are refused", || async { refused(&gateway, "tls").await == 2.0 }).await;
    // HTTP/2 that is none, after the handshake.
    let http2 = trusting(&[certificate], b"h2");
    let mut wrong = handshake(&http2, TcpStream::connect(&gateway.place).await.unwrap()).await.unwrap();
    wrong.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nno frames at all, but many bytes").await.unwrap();
    rest(&mut wrong).await;
    assert!(ask(&trusts, &gateway.place, "/a").await.starts_with("HTTP/1.1 200"));
    let paths = [env!("CARGO_MANIFEST_DIR"), "/registry/", "/rustc/"];
    for line in gateway.process.lines() {
        assert!(!paths.iter().any(|path| line.contains(path)), "{line}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn an_address_as_server_name_gets_the_certificate() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let folder = tempfile::tempdir().unwrap();
    let trusts = trusting(&[certify(folder.path())], b"http/1.1");
    let gateway = Gateway::behind_a_balancer(&with_tls(&plain(&origin.place), folder.path())).await;
    // No library sends such names, so they take the place of one as long in a client's first message.
    for name in ["127.0.0.1", "10.20.30.255", "2001:db8::1", "a_b.example", "LOCALHOST", "unknown.example"] {
        let stand_in = "x".repeat(name.len());
        let server = ServerName::try_from(stand_in.clone()).unwrap();
        let mut client = ClientConnection::new(Arc::clone(&trusts), server).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        let at = hello.windows(name.len()).position(|bytes| bytes == stand_in.as_bytes()).unwrap();
        hello[at..at + name.len()].copy_from_slice(name.as_bytes());
        let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
        stream.write_all(&hello).await.unwrap();
        let mut first = [0; 1];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(first, [22], "{name}: the handshake goes on; 21 is an alert");
    }
    gateway.stop(&[]).await;
}

/// The frame types of an HTTP/2 connection, with a request for `/` on each of `streams`, until `enough`.
async fn http2(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), streams: &[u8], enough: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    if streams.contains(&1) {
        bytes.extend_from_slice(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    }
    for id in streams {
        // HEADERS with END_STREAM and END_HEADERS: GET, /, http, `a`.
        bytes.extend_from_slice(&[0, 0, 6, 1, 5, 0, 0, 0, *id, 0x82, 0x84, 0x86, 0x41, 1, b'a']);
    }
    stream.write_all(&bytes).await.unwrap();
    let mut types = Vec::new();
    while !types.contains(&enough) {
        let mut head = [0; 9];
        timeout(PATIENCE, stream.read_exact(&mut head)).await.expect("a frame in time").unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).await.unwrap();
        let [.., kind, flags, _, _, _, _] = head;
        if kind == 6 && flags == 0 {
            let pong = [&[0, 0, 8, 6, 1, 0, 0, 0, 0], &payload[..]].concat();
            stream.write_all(&pong).await.unwrap();
        }
        types.push(kind);
    }
    types
}

const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;

/// A head of version 2 that says 192.0.2.`last`, with so many bytes of additional fields.
fn preamble(last: u8, more: u16) -> Vec<u8> {
    let length = (12 + more).to_be_bytes();
    let mut bytes = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length[..]].concat();
    bytes.extend_from_slice(&[192, 0, 2, last, 198, 51, 100, 1, 1, 2, 0, 80]);
    if more > 0 {
        // One field (NOOP) that fills them.
        bytes.extend_from_slice(&[&[4], &(more - 3).to_be_bytes()[..], &vec![b'x'; usize::from(more) - 3]].concat());
    }
    bytes
}

#[tokio::test]
async fn the_proxy_protocol_comes_before_tls() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let folder = tempfile::tempdir().unwrap();
    let certificate = certify(folder.path());
    let config = with_tls(&plain(&origin.place), folder.path())
        .replace("threads: 2", "threads: 2, proxy_protocol: [\"{listen}\"]")
        + "address: { trusted_proxies: [127.0.0.1/32] }\nlimits: { connections_per_address: 2 }\n";
    let mut gateway = Gateway::behind_a_balancer(&config).await;
    let trusts = trusting(std::slice::from_ref(&certificate), b"http/1.1");
    let line = b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n";
    for (preamble, peer) in [
        (line.to_vec(), "2001:db8::7"),
        (preamble(8, 0), "192.0.2.8"),
        (preamble(9, 300), "192.0.2.9"),
        (preamble(10, 4096 - 28), "192.0.2.10"),
        // The balancer itself.
        (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec(), "127.0.0.1"),
    ] {
        // In one segment with the handshake's first message, and byte by byte before it.
        let mut together = BufWriter::new(TcpStream::connect(&gateway.place).await.unwrap());
        together.write_all(&preamble).await.unwrap();
        let mut apart = TcpStream::connect(&gateway.place).await.unwrap();
        apart.set_nodelay(true).unwrap();
        for byte in preamble.chunks(preamble.len().div_ceil(20)) {
            apart.write_all(byte).await.unwrap();
            pause(1).await;
        }
        let mut together = handshake(&trusts, together).await.unwrap();
        let mut apart = handshake(&trusts, apart).await.unwrap();
        together.write_all(&get("/together", "Connection: close\r\n")).await.unwrap();
        together.flush().await.unwrap();
        apart.write_all(&get("/apart", "Connection: close\r\n")).await.unwrap();
        for answer in [rest(&mut together).await, rest(&mut apart).await] {
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        for path in ["/together", "/apart"] {
            gateway.process.line(path, |line| line["peer"] == peer && line["path"] == path).await;
        }
    }
    // HTTP/2 knows it, too.
    let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
    stream.write_all(&preamble(11, 0)).await.unwrap();
    let mut stream = handshake(&trusting(&[certificate], b"h2"), stream).await.unwrap();
    assert!(http2(&mut stream, &[1], HEADERS).await.contains(&HEADERS));
    gateway.process.line("the client of HTTP/2", |line| line["peer"] == "192.0.2.11").await;

    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&gateway.place).await.unwrap();
        stream.write_all(&preamble(12, 0)).await.unwrap();
        held.push(stream);
    }
    until("each client has its own bound", || async { refused(&gateway, "connections_per_address").await == 1.0 })
        .await;
    let without = TcpStream::connect(&gateway.place).await.unwrap();
    assert!(handshake(&trusts, without).await.is_err(), "nobody comes without it");
    let mut long = TcpStream::connect(&gateway.place).await.unwrap();
    let _ = long.write_all(&preamble(13, 5000)).await;
    assert_eq!(rest(&mut long).await, "");
    assert_eq!((refused(&gateway, "proxy_signature").await, refused(&gateway, "proxy_length").await), (1.0, 1.0));
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_without_a_restart() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let folder = tempfile::tempdir().unwrap();
    let first = trusting(&[certify(folder.path())], b"http/1.1");
    let gateway = Gateway::behind_a_balancer(&with_tls(&plain(&origin.place), folder.path())).await;
    let mut kept = handshake(&first, TcpStream::connect(&gateway.place).await.unwrap()).await.unwrap();
    let is_shown = async |config: &Arc<ClientConfig>| {
        handshake(config, TcpStream::connect(&gateway.place).await.unwrap()).await.is_ok()
    };

    // Its files change, one after the other.
    let second = trusting(&[certify(folder.path())], b"http/1.1");
    until("the second is shown", || is_shown(&second)).await;
    assert!(!is_shown(&first).await);
    kept.write_all(&get("/a", "Connection: close\r\n")).await.unwrap();
    assert!(rest(&mut kept).await.starts_with("HTTP/1.1 200"), "what is connected stays");

    // On SIGHUP, also where nothing tells of the change: the files are swapped behind links.
    let third = trusting(&[certify(folder.path())], b"http/1.1");
    gateway.process.signal("HUP");
    until("the third is shown", || is_shown(&third)).await;
    let reply = gateway.admin("POST", "/admin/v1/reload", None).await.json();
    assert_eq!(reply["restartNeeded"], serde_json::json!([]), "{reply}");

    // One that can't be used is refused, and the one before stays.
    let key = std::fs::read(folder.path().join("key.pem")).unwrap();
    certify(folder.path());
    std::fs::write(folder.path().join("key.pem"), key).unwrap();
    let reply = gateway.admin("POST", "/admin/v1/reload", None).await;
    assert!(reply.status == 400 && reply.text().contains("key of the certificate"), "{}", reply.text());
    assert!(is_shown(&third).await);
    gateway.stop(&["not valid"]).await;
}

// ----- stopping -----

/// The first request on `stream`, and whether the response says that the connection ends; `None` where there is none.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Option<bool> {
    stream.write_all(request).await.ok()?;
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("http/1.1 200"), "{head}");
            let length: usize = head.split("content-length: ").nth(1)?.lines().next()?.parse().ok()?;
            if body.len() == length {
                return Some(head.lines().any(|line| line == "connection: close"));
            }
        }
        match timeout(PATIENCE, stream.read(&mut piece)).await.expect("a response in time") {
            Ok(n @ 1..) => bytes.extend_from_slice(&piece[..n]),
            _ => return None,
        }
    }
}

#[tokio::test]
async fn a_stop_loses_no_request_of_clients_at_work() {
    let origin = Origin::start(|asked| async move {
        let answer = Answer::json("{\"a\": 1}");
        match asked.target.starts_with("/read") || asked.target.contains("fresh") {
            true => answer,
            false => answer.with("cache-control", "no-store"),
        }
    })
    .await;
    let mut gateway = Gateway::start(&plain(&origin.place)).await;
    let post = "POST /read/a HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let requests = [get("/fresh", ""), get("/passing", ""), post.as_bytes().to_vec()];
    let clients = (0..30_u64).map(|n| {
        let (place, request) = (gateway.place.clone(), requests[n as usize % 3].clone());
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(&place).await.unwrap();
            for asked in 0.. {
                match exchange(&mut stream, &request).await {
                    Some(false) => pause(n * 37 % 400).await,
                    Some(true) => {
                        assert_eq!(rest(&mut stream).await, "", "what is announced is done");
                        return asked;
                    }
                    None => panic!("client {n} lost request {asked}"),
                }
            }
            0
        })
    });
    let clients: Vec<_> = clients.collect();
    until("all are at work", || async { gateway.metric("addrgate_requests_total").await > 100.0 }).await;
    gateway.process.signal("TERM");
    for client in join_all(clients).await {
        assert!(client.expect("no request is lost") > 0);
    }
    assert!(gateway.process.end().await.success());
    gateway.process.assert_clean(&[]);
}

#[tokio::test]
async fn from_its_beginning_a_stop_ends_connections_and_still_takes_new_ones() {
    let origin = Origin::start(|asked| async move {
        pause(if asked.target == "/slow" { 500 } else { 0 }).await;
        Answer::json("{}")
    })
    .await;
    let config = plain(&origin.place).replace("threads: 2", "threads: 2, shutdown: { delay: 6s }");
    let mut gateway = Gateway::start(&config).await;
    let [mut slow, mut idle] =
        [TcpStream::connect(&gateway.place).await.unwrap(), TcpStream::connect(&gateway.place).await.unwrap()];
    assert_eq!(exchange(&mut idle, &get("/a", "")).await, Some(false));
    let mut multiplexed = TcpStream::connect(&gateway.place).await.unwrap();
    http2(&mut multiplexed, &[1], HEADERS).await;
    let in_flight = tokio::spawn(async move { exchange(&mut slow, &get("/slow", "")).await });
    until("the slow one is asked", || async { origin.count("/slow") == 1 }).await;
    gateway.process.signal("TERM");
    until("it is not ready", || async { gateway.control.get("/readyz").await.status == 503 }).await;

    assert_eq!(in_flight.await.unwrap(), Some(true), "it came before the stop");
    assert_eq!(exchange(&mut idle, &get("/a", "")).await, Some(true), "hits");
    for target in ["/a", "/new", "/livez"] {
        let mut new = TcpStream::connect(&gateway.place).await.unwrap();
        assert_eq!(exchange(&mut new, &get(target, "")).await, Some(true), "{target}");
    }
    http2(&mut multiplexed, &[], GOAWAY).await;
    let mut new = TcpStream::connect(&gateway.place).await.unwrap();
    let types = http2(&mut new, &[1], HEADERS).await;
    assert!(!types.contains(&GOAWAY), "its request comes first: {types:?}");
    http2(&mut new, &[], GOAWAY).await;
    assert!(gateway.process.is_running(), "the delay goes on");
    assert!(gateway.process.end().await.success());
    gateway.process.assert_clean(&[]);
}

#[tokio::test]
async fn a_stop_waits_for_those_who_poll_and_for_nobody_else() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    for polled in [true, false] {
        let mut gateway = Gateway::start(&plain(&origin.place)).await;
        let mut interval = tokio::time::interval(Duration::from_millis(400));
        for n in 0..12 {
            interval.tick().await;
            // The polls by which this test waits for the start were closer to each other.
            let client = if n % 2 == 0 { &gateway.client } else { &gateway.control };
            if polled {
                assert!(client.reaches("/readyz").await);
            }
        }
        let begun = Instant::now();
        gateway.process.signal("TERM");
        assert!(gateway.process.end().await.success());
        let line = gateway.process.line("the stop", |line| line["delay"].is_string()).await;
        let delay: f64 = match line["delay"].as_str().unwrap() {
            text if text.ends_with("ms") => text.trim_end_matches("ms").parse::<f64>().unwrap() / 1000.0,
            text if text.ends_with("ns") => 0.0,
            text => text.trim_end_matches('s').parse().unwrap(),
        };
        match polled {
            true => assert!((1.2..6.0).contains(&delay) && begun.elapsed().as_secs_f64() >= delay, "{delay}"),
            false => assert_eq!(delay, 0.0),
        }
        gateway.process.assert_clean(&[]);
    }
}

// ----- its log -----

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing_and_lines_lost_are_counted() {
    let origin = Origin::start(|_| async { Answer::json("{}").with("cache-control", "no-store") }).await;
    let [public, admin] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let text = plain(&origin.place).replace("{listen}", &public).replace("{admin}", &admin);
    let text = text.replace("{token}", support::stack::ADMIN_TOKEN) + "log: { level: trace }\n";
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(program("addrgate"));
    command.args(["run", "--config"]).arg(&file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let client = Client::new(&format!("http://{public}"), "key");
    let control = Client::new(&format!("http://{admin}"), "");
    until("it answers", || async { client.reaches("/readyz").await }).await;
    until("lines are lost", || async {
        for n in 0..50 {
            assert_eq!(client.get(&format!("/{n}")).await.status, 200);
        }
        let metrics = control.request("GET", "/metrics").bearer_auth(support::stack::ADMIN_TOKEN);
        let metrics = control.send(metrics).await.text();
        let lost =
            metrics.lines().find_map(|line| line.strip_prefix("addrgate_log_dropped_total ")).unwrap().to_owned();
        lost != "0"
    })
    .await;
    // Nor does it keep the process from ending.
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
    until("it ends", || {
        let over = child.try_wait().unwrap();
        async move { over.is_some_and(|status| status.success()) }
    })
    .await;
}
