//! HTTP/2 frame by frame, as no library would send them, in clear text and over TLS (RFC 9113).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "support/lib.rs"]
mod support;

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use support::gateway::plain;
use support::{Answer, Gateway, Origin};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames, flags, and an error code.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PROTOCOL_ERROR: u32 = 1;

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// One connection.
struct Connection(Box<dyn Wire>);

/// How a stream ended.
#[derive(Debug, PartialEq)]
enum End {
    /// A whole response: its status and its body.
    Response(u16, String),
    /// The stream was reset, or the connection given up, with this code.
    Error(u32),
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// Fields as literals without indexing or Huffman coding (RFC 7541 section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

impl Connection {
    async fn open(wire: Box<dyn Wire>) -> Self {
        let mut connection = Self(wire);
        connection.send(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat()).await;
        connection
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// The next frame: its type, flags, stream and payload; `None` at the end, which must be in order.
    async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let read = async {
            let mut head = [0; 9];
            match self.0.read_exact(&mut head[..1]).await {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    // Over TLS that is what comes without close_notify, too, but then with words.
                    assert!(!error.to_string().contains("close_notify"), "{error}");
                    return None;
                }
                read => drop(read.unwrap()),
            }
            self.0.read_exact(&mut head[1..]).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            assert!(length <= 16_384, "no frame of HTTP/2: {:?}", String::from_utf8_lossy(&head));
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.unwrap();
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            Some((head[3], head[4], stream, payload))
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("a frame, or the end")
    }

    /// How a stream ends.
    async fn end(&mut self, stream: u32) -> End {
        let (mut status, mut body) = (0, Vec::new());
        loop {
            let Some((kind, flags, of, payload)) = self.next().await else { panic!("the connection is over") };
            let code = |payload: &[u8]| u32::from_be_bytes(payload.try_into().unwrap());
            match kind {
                GOAWAY => return End::Error(code(&payload[4..8])),
                RST_STREAM if of == stream => return End::Error(code(&payload)),
                // The status is the first field, and of those that are in the static table or a literal with its name from it.
                HEADERS if of == stream => {
                    status = match payload[0] {
                        0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(payload[0] - 0x88)],
                        _ => 1,
                    };
                }
                DATA if of == stream => body.extend_from_slice(&payload),
                _ => continue,
            }
            if of == stream && matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                return End::Response(status, String::from_utf8(body).unwrap());
            }
        }
    }

    /// A whole request with these fields besides those that each has.
    async fn ask(&mut self, stream: u32, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> End {
        let mut all = vec![(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)];
        all.extend(fields);
        let last = if body.is_empty() { END_STREAM } else { 0 };
        let mut wire = frame(HEADERS, END_HEADERS | last, stream, &block(&all));
        if !body.is_empty() {
            wire.extend(frame(DATA, END_STREAM, stream, body.as_bytes()));
        }
        self.send(&wire).await;
        self.end(stream).await
    }
}

/// A gateway over TLS beside one in clear text, and connections to both.
struct Both {
    plain: Gateway,
    secret: Gateway,
    connector: TlsConnector,
    _folder: tempfile::TempDir,
}

impl Both {
    async fn start(origin: &Origin) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let all = "routes:\n  - { name: all, paths: [/all/**], methods: [POST], auth: none, answers: any, body: { max: 64KiB, type: any } }\n";
        let config = plain(&origin.place).replace("routes:\n", all);
        let tls = format!("tls: {{ certificate_file: {certificate:?}, key_file: {key:?} }}");
        let secret = config.replace("threads: 2", &format!("threads: 2, {tls}"));
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&certificate).unwrap()).unwrap();
        let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            plain: Gateway::start(&config).await,
            secret: Gateway::behind_a_balancer(&secret).await,
            connector: TlsConnector::from(Arc::new(client)),
            _folder: folder,
        }
    }

    async fn wires(&self) -> [(&'static str, Box<dyn Wire>); 2] {
        let clear = TcpStream::connect(&self.plain.place).await.unwrap();
        let tcp = TcpStream::connect(&self.secret.place).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let secret = self.connector.connect(name, tcp).await.unwrap();
        assert_eq!(secret.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        [("clear text", Box::new(clear)), ("TLS", Box::new(secret))]
    }

    async fn stop(self) {
        self.plain.stop(&[]).await;
        self.secret.stop(&[]).await;
    }
}

/// Tells target, cookies and body.
async fn telling() -> Origin {
    Origin::start(|asked| async move {
        let cookies: Vec<&str> = asked.head.lines().filter(|line| line.to_lowercase().starts_with("cookie:")).collect();
        let body = String::from_utf8_lossy(&asked.body).into_owned();
        Answer::json(format!("{}|{}|{body}", asked.target, cookies.join("+"))).with("cache-control", "no-store")
    })
    .await
}

#[tokio::test]
async fn queries_that_a_browser_leaves_unescaped_are_taken() {
    let origin = telling().await;
    let both = Both::start(&origin).await;
    for (how, wire) in both.wires().await {
        let mut connection = Connection::open(wire).await;
        for (at, (raw, canonical)) in [
            ("/s?q=Unit%205|7", "/s?q=Unit%205%7C7"),
            ("/s?q={6}^`\\", "/s?q=%7B6%7D%5E%60%5C"),
            ("/s?q=100%", "/s?q=100%25"),
            ("/s?q=100%&a=%zz", "/s?q=100%25&a=%25zz"),
            ("/s?q=caf\u{e9}", "/s?q=caf%C3%A9"),
            ("/s?q=6%0D%0A%09a", "/s?q=6%0D%0A%09a"),
        ]
        .into_iter()
        .enumerate()
        {
            let end = connection.ask(at as u32 * 2 + 1, "GET", raw, &[], "").await;
            assert_eq!(end, End::Response(200, format!("{canonical}||")), "{how}: {raw}");
        }
        let refused = connection.ask(101, "GET", "/s?q=%00", &[], "").await;
        assert!(matches!(&refused, End::Response(400, body) if body.contains("control_character")), "{refused:?}");
        // What is no URL at all is malformed (RFC 9113 section 8.3.1).
        for (at, raw) in ["/s?q=a b", "/s?q=a\0b", "/s?q=a\nb", "/s?q=a\u{7f}"].into_iter().enumerate() {
            let end = connection.ask(at as u32 * 2 + 103, "GET", raw, &[], "").await;
            assert_eq!(end, End::Error(PROTOCOL_ERROR), "{how}: {raw:?}");
        }
    }
    both.stop().await;
}

#[tokio::test]
async fn field_values_that_begin_or_end_with_white_space_are_malformed() {
    let origin = telling().await;
    let both = Both::start(&origin).await;
    for (how, wire) in both.wires().await {
        let mut connection = Connection::open(wire).await;
        for (at, value) in [" a", "a ", "\ta", "a\t", " ", "\t"].into_iter().enumerate() {
            for (more, name) in ["x-any", "accept-language", "cookie"].into_iter().enumerate() {
                let stream = (at * 3 + more) as u32 * 2 + 1;
                let end = connection.ask(stream, "GET", "/spaces", &[(name, value)], "").await;
                assert!(
                    matches!(&end, End::Response(400, body) if body.contains("field_value")),
                    "{how}: {name}: {value:?}: {end:?}"
                );
            }
        }
        let end = connection.ask(101, "GET", "/fine", &[("x-any", "a \t b"), ("x-empty", "")], "").await;
        assert_eq!(end, End::Response(200, "/fine||".to_owned()), "{how}");
    }
    assert_eq!(origin.count("/spaces"), 0);
    both.stop().await;
}

#[tokio::test]
async fn cookie_lines_are_joined_before_they_leave() {
    let origin = telling().await;
    let both = Both::start(&origin).await;
    for (how, wire) in both.wires().await {
        let mut connection = Connection::open(wire).await;
        // Where all fields pass: the method is not cached, and nothing is listed.
        for (stream, fields, expected) in [
            (
                1,
                &[("cookie", "a=b"), ("x-any", "1"), ("cookie", "c=d"), ("cookie", "e=f")][..],
                "cookie: a=b; c=d; e=f",
            ),
            (3, &[("cookie", "a=b; c=d")], "cookie: a=b; c=d"),
            (5, &[], ""),
        ] {
            let end = connection.ask(stream, "POST", "/all/cookies", fields, "{}").await;
            let End::Response(200, body) = end else { panic!("{how}: {end:?}") };
            let told = body.split('|').nth(1).unwrap();
            assert_eq!(told.to_lowercase(), expected, "{how}");
        }
    }
    both.stop().await;
}

#[tokio::test]
async fn a_body_beyond_its_length_never_reaches_the_upstream() {
    let origin = telling().await;
    let both = Both::start(&origin).await;
    for (how, wire) in both.wires().await {
        let mut connection = Connection::open(wire).await;
        for (at, (length, body)) in [("0", "x"), ("0", "{\"a\":1}"), ("1", "xx"), ("3", "xx")].into_iter().enumerate() {
            for (more, path) in ["/long", "/read/long"].into_iter().enumerate() {
                let stream = (at * 2 + more) as u32 * 2 + 1;
                let fields = [("content-length", length), ("content-type", "application/json")];
                let end = connection.ask(stream, "POST", path, &fields, body).await;
                assert_ne!(end, End::Response(200, format!("{path}||{body}")), "{how}: {length} {body}");
                assert!(!matches!(end, End::Response(200, _)), "{how}: {length} {body}: {end:?}");
            }
        }
        let end = connection.ask(101, "POST", "/right", &[("content-length", "2")], "xx").await;
        assert_eq!(end, End::Response(200, "/right||xx".to_owned()), "{how}: the others were none of its business");
    }
    assert_eq!(origin.asked().iter().filter(|asked| asked.target.ends_with("long")).count(), 0, "{:?}", origin.asked());
    both.stop().await;
}

#[tokio::test]
async fn a_refusal_arrives_before_the_body_that_it_refuses() {
    let origin = telling().await;
    let both = Both::start(&origin).await;
    for (how, wire) in both.wires().await {
        let mut connection = Connection::open(wire).await;
        for at in 0..30 {
            let stream = at * 2 + 1;
            let fields = [
                (":method", "POST"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", "/read/refused"),
                ("content-type", "text/plain"),
            ];
            connection.send(&frame(HEADERS, END_HEADERS, stream, &block(&fields))).await;
            if at % 2 == 0 {
                connection.send(&frame(DATA, END_STREAM, stream, b"{}")).await;
            }
            let end = connection.end(stream).await;
            assert!(matches!(&end, End::Response(_, body) if body.contains("media_type")), "{how}, {at}: {end:?}");
        }
    }
    assert_eq!(origin.count("/read/refused"), 0);
    both.stop().await;
}

#[tokio::test]
async fn what_is_not_how_http2_begins_is_told_so_and_closed_in_order() {
    let origin = telling().await;
    let both = Both::start(&origin).await;
    for begin in [
        &b"INVALID CONNECTION PREFACE\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nNO\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ] {
        for (how, mut wire) in both.wires().await {
            wire.write_all(begin).await.unwrap();
            wire.flush().await.unwrap();
            let mut connection = Connection(wire);
            let said = format!("{how}: {:?}", String::from_utf8_lossy(begin));
            let (kind, ..) = connection.next().await.expect(&said);
            assert_eq!(kind, SETTINGS, "{said}: what a server begins with");
            let (kind, _, stream, payload) = connection.next().await.expect(&said);
            assert_eq!((kind, stream, &payload[..8]), (GOAWAY, 0, &[0, 0, 0, 0, 0, 0, 0, 1][..]), "{said}");
            assert_eq!(connection.next().await, None, "{said}");
        }
    }
    // Whoever has agreed on HTTP/2 speaks nothing else.
    let [_, (_, mut wire)] = both.wires().await;
    wire.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut connection = Connection(wire);
    assert_eq!(connection.next().await.map(|(kind, ..)| kind), Some(SETTINGS));
    assert_eq!(connection.next().await.map(|(kind, ..)| kind), Some(GOAWAY));
    assert_eq!(connection.next().await, None);
    assert!(both.plain.metric("addrgate_refused_total{by=\"door\",reason=\"preface\"}").await >= 3.0);
    both.stop().await;
}

/// The public suite, where its program is on PATH: it is built from source with Go, and no package registry has it.
#[tokio::test]
async fn h2spec_passes_where_it_is_installed() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(suite) = std::env::split_paths(&path).map(|folder| folder.join("h2spec")).find(|file| file.is_file())
    else {
        return eprintln!("h2spec is not on PATH: left out");
    };
    // A response of a few bytes is too short for what it asks of windows.
    let origin = Origin::start(|_| async { Answer::json("{\"ok\": true}") }).await;
    let both = Both::start(&origin).await;
    for (place, over_tls) in [(&both.plain.place, &[][..]), (&both.secret.place, &["-t", "-k"])] {
        let (host, port) = place.split_once(':').unwrap();
        let mut command = tokio::process::Command::new(&suite);
        let output = command.args(["-h", host, "-p", port, "-o", "10"]).args(over_tls).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("146 tests, 146 passed, 0 skipped, 0 failed"), "{over_tls:?}: {said}");
    }
    both.stop().await;
}

/// Every refusal has the envelope, and one authority may be written in more than one way (RFC 9110 section 4.2.3).
#[tokio::test]
async fn authorities_are_compared_as_such_and_refusals_have_the_envelope() {
    let origin = telling().await;
    let both = Both::start(&origin).await;
    for (name, wire) in both.wires().await {
        let mut connection = Connection::open(wire).await;
        let mut stream = 1;
        for (authority, host, expected) in [
            (Some("a.example"), None, 200),
            (Some("A.example"), Some("a.EXAMPLE"), 200),
            (Some("a.example"), Some("a.example"), 200),
            (None, Some("a.example"), 200),
            (Some("a.example"), Some("b.example"), 400),
            (Some("a.example"), Some("a.example.b"), 400),
            (Some("user@a.example"), None, 400),
            (None, None, 400),
        ] {
            let mut fields = vec![(":method", "GET"), (":scheme", "http"), (":path", "/authority")];
            fields.extend(authority.map(|authority| (":authority", authority)));
            fields.extend(host.map(|host| ("host", host)));
            connection.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&fields))).await;
            match connection.end(stream).await {
                End::Response(status, body) => {
                    assert_eq!(status, expected, "{name} {authority:?} {host:?} {body}");
                    assert!(status == 200 || body.contains("\"requestId\""), "{name} {authority:?} {host:?} {body}");
                }
                end => panic!("{name} {authority:?} {host:?}: {end:?}"),
            }
            stream += 2;
        }
    }
    both.stop().await;
}

/// What the origin says of its response reaches clients of both protocols: its `Date`, and interim responses.
#[tokio::test]
async fn the_date_is_the_origins_and_interim_responses_are_passed_on() {
    let date = (chrono::Utc::now() - chrono::TimeDelta::seconds(9)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let sent = date.clone();
    let origin = Origin::start(move |asked| {
        let date = sent.clone();
        async move {
            let early =
                if asked.target.starts_with("/early") { "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" } else { "" };
            let fields = "content-length: 2\r\ncache-control: max-age=60";
            Answer::Raw(format!("{early}HTTP/1.1 200 OK\r\ndate: {date}\r\n{fields}\r\n\r\nok").into_bytes())
        }
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let http2 = gateway.client.over_http2();
    for path in ["/dated", "/early"] {
        for expected in ["MISS", "HIT"] {
            let reply = http2.get(path).await;
            assert_eq!((reply.header("x-cache"), reply.header("date")), (expected, &*date), "{path}");
        }
    }
    let mut connection = Connection::open(Box::new(TcpStream::connect(&gateway.place).await.unwrap())).await;
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/early/again")];
    connection.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields))).await;
    let mut heads = 0;
    loop {
        let (kind, flags, _, _) = connection.next().await.expect("a response");
        heads += usize::from(kind == HEADERS);
        if matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
            break;
        }
    }
    assert_eq!(heads, 2, "103 and 200");
    gateway.stop(&[]).await;
}
