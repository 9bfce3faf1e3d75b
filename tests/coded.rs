//! Clients that accept a content coding get hits that were coded once, from memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::io::Read;

use support::gateway::plain;
use support::{Answer, Gateway, Origin, Reply, until};

#[tokio::test]
async fn a_hit_is_coded_once_and_right_for_each_client() {
    let body: String = (0..500).map(|n| format!("{{\"number\": {n}}}\n")).collect();
    let sent = body.clone();
    let origin = Origin::start(move |asked| {
        assert_eq!(asked.headers["accept-encoding"], "identity", "what is kept is plain");
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

/// The status and the fields in which HEAD and GET must agree; the length of what is coded while it is sent is not known.
fn told(reply: &Reply) -> [String; 5] {
    let length = match reply.header("transfer-encoding") {
        "chunked" => "",
        _ => reply.header("content-length"),
    };
    ["content-encoding", "etag", "vary", "content-type"]
        .map(|name| reply.header(name).to_owned())
        .into_iter()
        .chain([length.to_owned()])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

#[tokio::test]
async fn head_says_what_get_says() {
    let body: String = (0..500).map(|n| format!("{{\"number\": {n}}}\n")).collect();
    let sent = body.clone();
    let origin = Origin::start(move |asked| {
        let body = if asked.target.contains("small") { "{}".to_owned() } else { sent.clone() };
        let answer = Answer::json(body).with("etag", "\"a\"");
        let answer = match asked.target.as_bytes() {
            [b'/', b't', ..] => answer.with("content-type", "text/plain"),
            [b'/', b'i', ..] => answer.with("content-type", "image/png"),
            [b'/', b'n', ..] => answer.with("cache-control", "no-store"),
            _ => answer,
        };
        async move { answer }
    })
    .await;
    let config = plain(&origin.place).replace("compression: { enabled: false }\n", "")
        + "  - { name: stamped, paths: [/stamped/**], auth: none, meta: true, cache: {} }\n";
    let (before, after) = config.split_once("routes:\n").unwrap();
    let stamped = after.rfind("  - { name: stamped").unwrap();
    let config = format!("{before}routes:\n{}{}", &after[stamped..], &after[..stamped]);
    let gateway = Gateway::start(&config).await;
    let http2 = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let http2 = async |method: &str, path: &str, coding: &str| {
        let url = format!("http://{}{path}", gateway.place);
        let request = http2.request(method.parse().unwrap(), url).header("accept-encoding", coding);
        gateway.client.send(request).await
    };
    let mut number = 0;
    for kind in ["json", "text", "image", "nostore", "small", "stamped"] {
        for coding in ["gzip", "br", "zstd", "identity", "gzip;q=0.5, br", "gzip;q=0"] {
            number += 1;
            let accepts = [("accept-encoding", coding)];
            let path = |way: &str| format!("/{kind}/{way}{number}");
            for way in ["head", "get"] {
                // Whichever comes first finds nothing.
                let [head, get] = match way {
                    "head" => {
                        let head = gateway.ask("HEAD", &path(way), &accepts).await;
                        [head, gateway.ask("GET", &path("other"), &accepts).await]
                    }
                    _ => {
                        let get = gateway.ask("GET", &path(way), &accepts).await;
                        [gateway.ask("HEAD", &path("another"), &accepts).await, get]
                    }
                };
                assert_eq!((head.status, head.body.len()), (200, 0));
                assert_eq!(told(&head), told(&get), "{kind} {coding} {way}: {:?} {:?}", head.headers, get.headers);
                assert_eq!(head.header("x-cache"), get.header("x-cache"), "{kind} {coding} {way}");
            }
            for way in ["head", "get"] {
                let [head, get] = [http2("HEAD", &path(way), coding).await, http2("GET", &path(way), coding).await];
                assert_eq!(
                    told(&head)[..4],
                    told(&get)[..4],
                    "HTTP/2: {kind} {coding}: {:?}",
                    [head.headers, get.headers]
                );
                assert!(head.body.is_empty());
                let [head, get] =
                    [gateway.ask("HEAD", &path(way), &accepts).await, gateway.ask("GET", &path(way), &accepts).await];
                assert_eq!(told(&head)[..4], told(&get)[..4], "{kind} {coding}: {:?} {:?}", head.headers, get.headers);
                // A coding may be made between the two.
                until("HEAD and GET agree on a hit", || async {
                    let head = gateway.ask("HEAD", &path(way), &accepts).await;
                    let same = told(&head) == told(&gateway.ask("GET", &path(way), &accepts).await);
                    let [head, get] = [http2("HEAD", &path(way), coding).await, http2("GET", &path(way), coding).await];
                    same && told(&head) == told(&get)
                })
                .await;
            }
        }
    }
    // On one connection, whose next response must be where it is expected.
    let wire = "HEAD /json/keep HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n".repeat(3)
        + "GET /small/keep HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let reply = gateway.client.raw(wire.as_bytes()).await;
    let rest = reply.text();
    assert_eq!(rest.matches("HTTP/1.1 200").count(), 3, "{rest}");
    assert!(rest.ends_with("\r\n\r\n{}"), "{rest}");
    gateway.stop(&[]).await;
}

/// The fields of a response that both protocols have in common, in alphabetical order.
fn fields(reply: &Reply) -> Vec<(String, String)> {
    const OWN: [&str; 8] = [
        "transfer-encoding",
        "x-request-id",
        "x-correlation-id",
        "x-response-time",
        "date",
        "age",
        "connection",
        "cache-status",
    ];
    let fields = reply.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let mut fields: Vec<_> = fields.filter(|(name, _)| !OWN.contains(&name.as_str())).collect();
    fields.sort();
    fields
}

/// A hit is the same response over both, whatever the request asks for.
#[tokio::test]
async fn a_hit_has_the_same_fields_and_body_over_both_protocols() {
    let origin = Origin::start(|asked| async move {
        let text = format!(r#"{{"success":true,"data":"{}"}}"#, asked.target.repeat(200));
        let answer = match asked.target.as_bytes() {
            [b'/', b'm', ..] => Answer::json(text).status(203),
            [b'/', b'l', ..] => Answer::json(text.repeat(100)),
            _ => Answer::json(text),
        };
        answer.with("etag", "\"a\"").with("x-own", "1").with("x-own", "2").with("vary", "Accept")
    })
    .await;
    let config = plain(&origin.place).replace("compression: { enabled: false }\n", "").replace(
        "routes:\n",
        "routes:\n  - { name: stamped, paths: [/stamped/**], auth: none, meta: true, cache: {} }\n",
    );
    let gateway = Gateway::start(&config).await;
    let clients = [gateway.client.clone(), gateway.client.over_http2()];
    let asks: [&[(&str, &str)]; 6] = [
        &[],
        &[("accept-encoding", "gzip")],
        &[("if-none-match", "\"a\"")],
        &[("if-none-match", "W/\"a\""), ("accept-encoding", "br")],
        &[("if-none-match", "\"b\"")],
        &[("accept", "application/json")],
    ];
    for path in ["/plain", "/stamped/a", "/modified", "/large"] {
        for method in ["GET", "HEAD"] {
            for ask in asks {
                let send = |client: usize| {
                    let mut request = clients[client].request(method, path);
                    for (name, value) in ask {
                        request = request.header(*name, *value);
                    }
                    clients[client].send(request)
                };
                // A coding is made behind the first hit that wants it.
                until("both have the same", || async {
                    let _warm = send(0).await;
                    let replies = [send(0).await, send(1).await];
                    let [first, second] = &replies;
                    assert_eq!(first.status, second.status, "{path} {ask:?}");
                    // The time in a stamp has more digits or fewer.
                    let same = |name: &str| !(path == "/stamped/a" && name == "content-length");
                    let [own, other] = [first, second]
                        .map(|reply| fields(reply).into_iter().filter(|(name, _)| same(name)).collect::<Vec<_>>());
                    let hits = replies.iter().all(|reply| reply.header("x-cache") == "HIT");
                    let lengths = [first, second].map(|reply| reply.body.len());
                    hits && own == other && (path == "/stamped/a" || lengths[0] == lengths[1])
                })
                .await;
            }
        }
    }
    gateway.stop(&[]).await;
}
