//! JSON bodies as clients send them: with every digit, without a type, in gzip, in other encodings than UTF-8.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::io::Write;

use flate2::{Compression, GzBuilder};
use support::gateway::plain;
use support::{Answer, Gateway, Origin};

/// Tells what arrived: the type, how the body was framed and coded, and the body itself, up to a bound.
async fn telling() -> Origin {
    Origin::start(|asked| async move {
        let field = |name: &str| asked.headers.get(name).cloned().unwrap_or_default();
        let body = match asked.headers.contains_key("transfer-encoding") {
            true => unchunked(&asked.body),
            false => asked.body.clone(),
        };
        let body = match String::from_utf8_lossy(&body) {
            body if body.len() < 1000 => body.into_owned(),
            body => format!("{} bytes", body.matches('x').count()),
        };
        let said = [field("content-type"), field("content-encoding"), field("content-digest"), body];
        Answer::json(said.join("|"))
    })
    .await
}

fn unchunked(mut wire: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = wire.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&wire[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&wire[end + 2..end + 2 + size]);
        wire = &wire[end + 2 + size + 2..];
    }
}

/// Beside what is kept by its body, JSON that passes, and that which takes no coding.
fn with_json(origin: &str) -> String {
    plain(origin).replace(
        "routes:\n",
        "routes:
  - { name: json, paths: [/json/**], methods: [POST], auth: none, answers: any, body: { max: 1MiB } }
  - { name: small, paths: [/small/**], methods: [POST], auth: none, answers: any, body: { max: 1000B } }
  - { name: as-it-is, paths: [/plain/**], methods: [POST], auth: none, answers: any, body: { max: 1MiB, inflate: false } }
",
    )
}

/// The same request over HTTP/1.1 with its length, in chunks, and over HTTP/2 with and without its length: the status and
/// what the origin told, or the reason of the refusal.
async fn each_way(gateway: &Gateway, path: &str, fields: &str, body: &[u8]) -> Vec<(u16, String)> {
    let mut replies = Vec::new();
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}");
    let sized = [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for piece in body.chunks(700) {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    for wire in [sized, chunked] {
        let reply = gateway.client.raw(&wire).await;
        replies.push((reply.status, said(&reply.text())));
    }
    let http2 = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let pieces: Vec<_> = body.chunks(700).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    for body in [reqwest::Body::from(body.to_vec()), reqwest::Body::wrap_stream(futures::stream::iter(pieces))] {
        let request = http2.post(format!("http://{}{path}", gateway.place)).body(body);
        let fields = fields.split_terminator("\r\n").filter_map(|line| line.split_once(": "));
        let request = fields.fold(request, |request, (name, value)| request.header(name, value));
        let reply = request.send().await.unwrap();
        replies.push((reply.status().as_u16(), said(&reply.text().await.unwrap())));
    }
    replies
}

fn said(body: &str) -> String {
    let json = serde_json::from_str::<serde_json::Value>(body).unwrap_or_default();
    json["error"]["details"]["reason"].as_str().unwrap_or(body).to_owned()
}

#[tokio::test]
async fn json_reaches_the_service_with_the_values_that_were_sent() {
    let origin = telling().await;
    let gateway = Gateway::start(&with_json(&origin.place)).await;
    for numbers in [
        ["18446744073709551617", "18446744073709551619"],
        ["1", "1.0"],
        ["-0", "0"],
        ["1e400", "1e401"],
        ["0.1", "0.1000000000000000000001"],
        ["9007199254740993", "9007199254740992"],
    ] {
        for number in numbers {
            let body = format!("{{ \"b\" : [{number}], \"a\": {{\"c\":{number} }} }}");
            let expected = format!("application/json|||{{\"a\":{{\"c\":{number}}},\"b\":[{number}]}}");
            for reply in each_way(&gateway, "/read/n", "", body.as_bytes()).await {
                assert_eq!(reply, (200, expected.clone()));
            }
            assert_eq!(gateway.client.post_bytes("/read/n", body.clone()).await.header("x-cache"), "HIT");
        }
    }
    assert_eq!(origin.asked().len(), 12, "each has a response of its own");
    let body = r#"{"b":[1.0],"a":{"c":1.0}}"#;
    let purge = serde_json::json!({"urls": [{"url": "/read/n", "method": "POST", "body": body}]});
    assert_eq!(gateway.admin("POST", "/admin/v1/cache/purge", Some(purge)).await.status, 200);
    assert_eq!(gateway.client.post_bytes("/read/n", body).await.header("x-cache"), "MISS", "purged digit by digit");
    for (body, reason) in [
        (&br#"{"a": 1, "\u0061": 2}"#[..], "json_duplicate"),
        (br#"{"a": "\ud800"}"#, "json_syntax"),
        (br#"{"a": 01}"#, "json_syntax"),
        (b"\xef\xbb\xbf{}", "byte_order_mark"),
        (b"\xfe\xff\0{\0}", "byte_order_mark"),
        (b"{\"a\": \"caf\xe9\"}", "not_utf8"),
    ] {
        for reply in each_way(&gateway, "/read/n", "", body).await {
            assert_eq!(reply, (400, reason.to_owned()), "{}", String::from_utf8_lossy(body));
        }
    }
    for (kind, reason) in [("application/json; charset=UTF-16LE", "charset"), ("text/json", "media_type")] {
        for path in ["/read/n", "/json/n"] {
            for reply in each_way(&gateway, path, &format!("Content-Type: {kind}\r\n"), b"{}").await {
                assert_eq!(reply, (415, reason.to_owned()), "{path} {kind}");
            }
        }
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_body_without_a_type_is_json_where_json_is_taken() {
    let origin = telling().await;
    let gateway = Gateway::start(&with_json(&origin.place)).await;
    for fields in ["", "Content-Type: \r\n", "Content-Type: application/json\r\n"] {
        for path in ["/json/a", "/read/a"] {
            for reply in each_way(&gateway, path, fields, b"{\"a\":1}").await {
                assert_eq!(reply, (200, "application/json|||{\"a\":1}".to_owned()), "{path} {fields}");
            }
        }
    }
    for reply in each_way(&gateway, "/anything", "", b"{\"a\":1}").await {
        assert_eq!(reply, (200, "|||{\"a\":1}".to_owned()), "where anything is taken, nothing is said of it");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn gzip_is_inflated_within_the_bound_of_the_route() {
    let gzip = |text: &[u8]| {
        let mut coder = GzBuilder::new().write(Vec::new(), Compression::best());
        coder.write_all(text).unwrap();
        coder.finish().unwrap()
    };
    let origin = telling().await;
    let gateway = Gateway::start(&with_json(&origin.place)).await;
    let coded = "Content-Encoding: gzip\r\nContent-Type: application/json\r\nContent-Digest: sha-256=:AA==:\r\n";
    // Kept by its body, passed on, and without a type.
    for path in ["/read/a", "/json/a"] {
        for fields in [coded, "Content-Encoding: identity, x-gzip\r\n"] {
            for reply in each_way(&gateway, path, fields, &gzip(b"{\"a\":1}")).await {
                assert_eq!(reply, (200, "application/json|||{\"a\":1}".to_owned()), "{path} {fields}");
            }
        }
    }
    assert_eq!(gateway.client.post_bytes("/read/a", " {\"a\" : 1}").await.header("x-cache"), "HIT", "coded or not");
    // More on the wire than Pingora replays, and all that the route takes.
    let mut noise = blake3::Hasher::new().finalize_xof();
    let mut bytes = vec![0; 200_000];
    noise.fill(&mut bytes);
    let large: String =
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + &"x".repeat((1 << 20) - 400_000);
    assert!(gzip(large.as_bytes()).len() > 150_000);
    for reply in each_way(&gateway, "/json/a", coded, &gzip(large.as_bytes())).await {
        assert_eq!(reply, (200, format!("application/json|||{} bytes", (1 << 20) - 400_000)));
    }
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000);
    for path in ["/read/a", "/json/a"] {
        for (wire, status, reason) in
            [(&bomb[..], 413, "body_size"), (b"no gzip", 400, "body_coding"), (&gzip(b"{}")[..18], 400, "body_coding")]
        {
            // What is kept by its body takes less on the wire than this.
            if wire.len() < 60_000 || path == "/json/a" {
                for reply in each_way(&gateway, path, coded, wire).await {
                    assert_eq!(reply, (status, reason.to_owned()), "{path}, {} bytes", wire.len());
                }
            }
        }
    }
    for reply in each_way(&gateway, "/small/a", coded, &gzip(&vec![b' '; 1001])).await {
        assert_eq!(reply, (413, "body_size".to_owned()));
    }
    for (path, coding, accepted) in
        [("/json/a", "br", "gzip"), ("/json/a", "gzip, gzip", "gzip"), ("/plain/a", "gzip", "identity")]
    {
        let fields = [("content-encoding", coding), ("content-type", "application/json")];
        let reply = gateway.ask("POST", path, &fields).await;
        assert_ne!(reply.status, 415, "there is no body");
        let request = gateway.client.request("POST", path).header("content-encoding", coding).body(gzip(b"{}"));
        let reply = gateway.client.send(request).await;
        assert_eq!((reply.status, reply.header("accept-encoding")), (415, accepted), "{path} {coding}");
    }
    gateway.stop(&[]).await;
}
