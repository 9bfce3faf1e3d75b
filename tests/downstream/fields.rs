//! Fields of a response, and purges and warming as operators write them.

use super::*;

fn raw(head: &[u8], body: &str) -> Answer {
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: max-age=60\r\n".to_vec();
    bytes.extend_from_slice(head);
    if !head.to_ascii_lowercase().windows(15).any(|part| part == b"content-length:" || part == b"transfer-encod") {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body.as_bytes());
    Answer::Raw(bytes)
}

#[tokio::test]
async fn tags_are_bytes() {
    let origin = Origin::start(|asked| async move {
        match asked.target.as_str() {
            "/latin" => raw(b"Cache-Tag: locality:caf\xe9, postcode:3400\r\nCache-Tag: \xff, last\r\n", "1"),
            "/utf" => raw("Cache-Tag: locality:caf\u{e9} noir,, postcode:3400\r\n".as_bytes(), "1"),
            _ => {
                let tags: Vec<String> = (0..5000).map(|n| n.to_string()).collect();
                raw(format!("Cache-Tag: {}\r\n", tags.join(",")).as_bytes(), "1")
            }
        }
    })
    .await;
    let gateway = Gateway::start(&(plain(&origin.place) + "warm: { keys: 0 }\n")).await;
    for (path, tag) in [
        ("/latin", "postcode:3400"),
        ("/latin", "locality:caf\u{e9}"),
        ("/latin", "last"),
        ("/utf", "postcode:3400"),
        ("/utf", " locality:caf\u{e9} noir "),
    ] {
        gateway.client.get(path).await;
        assert_eq!(gateway.client.get(path).await.header("x-cache"), "HIT");
        let purged = gateway.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": [tag]}))).await;
        assert_eq!(purged.status, 200, "{}", purged.text());
        assert_eq!(gateway.client.get(path).await.header("x-cache"), "MISS", "{path} {tag}");
    }
    for _ in 0..2 {
        let many = gateway.client.get("/many").await;
        assert_eq!((many.status, many.header("x-cache"), many.header("cache-control")), (200, "MISS", "no-store"));
        assert!(many.header("cache-status").ends_with("detail=too-many-tags"), "{}", many.header("cache-status"));
    }
    gateway.stop(&["more tags than can be stored"]).await;
}

#[tokio::test]
async fn a_purge_that_can_match_nothing_is_refused() {
    let origin = Origin::start(|asked| async move { Answer::json(asked.target) }).await;
    let hosted = "routes:
  - { name: hosted, paths: [/hosted/**], auth: none, cache: { key: { host: true } } }
  - { name: bare, paths: [/bare], auth: none }
";
    let config = plain(&origin.place).replace("routes:\n", hosted) + "warm: { keys: 0 }\n";
    let gateway = Gateway::start(&config).await;
    let purge = async |body| gateway.admin("POST", "/admin/v1/cache/purge", Some(body)).await;
    for (body, word) in [
        (json!({"urls": ["/a*"]}), "wildcards"),
        (json!({"urls": ["/a?q=*"]}), "wildcards"),
        (json!({"urls": [{"url": "/read/*", "method": "POST", "body": {}}]}), "wildcards"),
        (json!({"tags": ["postcode:*"]}), "wildcards"),
        (json!({"tags": ["a", " "]}), "empty"),
        (json!({"tags": ["a,b"]}), "comma"),
        (json!({"tags": ["a\nb"]}), "control"),
        (json!({"urls": [""]}), "starts with"),
        (json!({"urls": ["a/b"]}), "starts with"),
        (json!({"urls": ["ftp://a/b"]}), "starts with"),
        (json!({"urls": ["/bare"]}), "not stored"),
        (json!({"urls": [{"url": "/a", "method": "DELETE"}]}), "not stored"),
        (json!({"urls": [{"url": "/read/a", "method": "POST"}]}), "body"),
        (json!({"urls": ["/hosted/a"]}), "host"),
    ] {
        let reply = purge(body.clone()).await;
        assert_eq!(reply.status, 400, "{body} {}", reply.text());
        assert!(reply.text().contains(word), "{body} {}", reply.text());
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_purge_reads_urls_as_a_browser_does() {
    let origin = Origin::start(|asked| async move { Answer::json(asked.target) }).await;
    let hosted = "routes:\n  - { name: hosted, paths: [/hosted/**], auth: none, cache: { key: { host: true } } }\n";
    let config = plain(&origin.place).replace("routes:\n", hosted) + "warm: { keys: 0 }\n";
    let gateway = Gateway::start(&config).await;
    let host = gateway.place.clone();
    let absolute = format!("http://{host}/hosted/a");
    for (asked, purged) in [
        ("/a?q=caf%C3%A9", "/a?q=caf\u{e9}"),
        ("/caf%C3%A9", "/caf\u{e9}"),
        ("/a%20b?q=c%20d", "/a b?q=c d"),
        ("/a?q=1", "/a?q=1#part"),
        ("/a", "https://any.example/a"),
        ("/a", "HTTP://any.example/x/../a#b"),
        ("/hosted/a", absolute.as_str()),
        ("/a?q=1*2", "/a?q=1%2A2"),
        ("/a?q=1%2A2", "/a?q=1%2A2"),
        ("/a?q=o'b", "/a?q=o'b"),
        ("/a?q=o%27b", "/a?q=o'b"),
    ] {
        gateway.client.raw_get(asked.as_bytes()).await;
        let raw = format!("GET {asked} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        gateway.client.raw(raw.as_bytes()).await;
        assert_eq!(gateway.client.raw(raw.as_bytes()).await.header("x-cache"), "HIT", "{asked}");
        let receipt = gateway.admin("POST", "/admin/v1/cache/purge", Some(json!({"urls": [purged]}))).await;
        assert_eq!(receipt.status, 200, "{purged} {}", receipt.text());
        assert_eq!(gateway.client.raw(raw.as_bytes()).await.header("x-cache"), "MISS", "{asked} by {purged}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn what_comes_without_a_date_gets_one_and_a_validation_makes_it_young_again() {
    let origin = Origin::start(|asked| async move {
        match asked.headers.contains_key("if-none-match") {
            // Fresh for longer than the first was, but not than both together.
            true => Answer::ok("").status(304).with("cache-control", "max-age=3").with("etag", "\"e\""),
            false => {
                Answer::json("1").with("etag", "\"e\"").with("cache-control", "max-age=2, stale-while-revalidate=0")
            }
        }
    })
    .await;
    let gateway = Gateway::start(&(plain(&origin.place) + "warm: { keys: 0 }\n")).await;
    let first = gateway.client.get("/a").await;
    let hit = gateway.client.get("/a").await;
    assert_eq!((hit.header("x-cache"), hit.header("date")), ("HIT", first.header("date")));
    assert!(httpdate::parse_http_date(hit.header("date")).is_ok(), "{:?}", hit.headers);
    pause(2100).await;
    let validated = gateway.client.get("/a").await;
    assert_eq!(validated.header("x-cache"), "REVALIDATED");
    let younger = gateway.client.get("/a").await;
    assert_eq!(younger.header("x-cache"), "HIT", "{}", younger.header("cache-status"));
    assert!(younger.header("age").parse::<u64>().unwrap() <= 1 && younger.header("date") != first.header("date"));
    assert_eq!(origin.asked().len(), 2);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn meta_is_there_on_a_miss_as_on_a_hit() {
    let origin = Origin::start(|asked| async move {
        let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
        let chunked = |pieces: &[&str]| {
            let body: String = pieces.iter().map(|piece| chunk(piece)).collect();
            raw(b"Transfer-Encoding: chunked\r\n", &(body + "0\r\n\r\n"))
        };
        match asked.target.split('/').nth(1).unwrap_or_default() {
            "one" => chunked(&["{\"data\":1}"]),
            "pieces" => chunked(&["{\"da", "ta\":{\"a\":1}", "}"]),
            "large" => chunked(&["{\"data\":\"", &"x".repeat(100_000), "\"}"]),
            "close" => Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"data\":1}".to_vec()),
            _ => Answer::json("{\"data\":1}"),
        }
    })
    .await;
    let config =
        plain(&origin.place).replace("    forward: [accept-language]", "    meta: true") + "warm: { keys: 0 }\n";
    let gateway = Gateway::start(&config).await;
    let whole = |reply: &Reply, what: &str| {
        let body = reply.json();
        assert!(body["meta"]["requestId"].is_string() && !body["data"].is_null(), "{what} {}", reply.text());
        assert_eq!(reply.text().matches("requestId").count(), 1, "{what}");
    };
    for path in ["/one/a", "/pieces/a", "/large/a", "/length/a", "/close/a"] {
        for way in ["first", "second"] {
            whole(&gateway.client.get(path).await, &format!("{path} {way}"));
        }
        // Neither stored nor keyed.
        whole(&gateway.client.send(gateway.client.request("PUT", path)).await, path);
        whole(&h2(&gateway, "", &path.replace("/a", "/b")).await, path);
        whole(&h2(&gateway, "", &path.replace("/a", "/b")).await, path);
    }
    // Those who read along, too.
    let many = (0..8).map(|_| gateway.client.get("/pieces/many"));
    for reply in futures::future::join_all(many).await {
        whole(&reply, "many");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn clients_do_not_reach_the_upstream_at_will() {
    let origin = Origin::start(|_| async { Answer::json("1") }).await;
    let config = plain(&origin.place).replace(", request_directives: true", "") + "warm: { keys: 0 }\n";
    let gateway = Gateway::start(&config).await;
    gateway.client.get("/a").await;
    for (name, value) in [
        ("cache-control", "no-cache"),
        ("cache-control", "max-age=0"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
    ] {
        let reply = gateway.ask("GET", "/a", &[(name, value)]).await;
        assert_eq!((reply.status, reply.header("x-cache")), (200, "HIT"), "{value}");
    }
    assert_eq!(origin.asked().len(), 1);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn warming_asks_only_for_what_is_stored() {
    let origin = Origin::start(|asked| async move { Answer::json(asked.target) }).await;
    let config =
        plain(&origin.place) + "warm: { keys: 0, targets: [\"/start\", { url: \"/start\", method: DELETE }] }\n";
    let gateway = Gateway::start(&config).await;
    until("it warms at the start", async || origin.count("/start") == 1).await;
    let warm = async |urls| gateway.admin("POST", "/admin/v1/cache/warm", Some(json!({ "urls": urls }))).await;
    for bad in [
        json!({"url": "/a", "method": "DELETE"}),
        json!({"url": "/a", "method": "PUT", "body": {}}),
        json!({"url": "/read/a", "method": "POST"}),
        json!("a"),
    ] {
        let reply = warm(json!(["/good", bad])).await;
        assert_eq!(reply.status, 400, "{bad} {}", reply.text());
    }
    let good = warm(json!(["/caf\u{e9}#x", {"url": "/read/a", "method": "POST", "body": {"a": 1}}])).await;
    assert_eq!(good.status, 202, "{}", good.text());
    until("both are asked", async || origin.count("/caf%C3%A9") == 1 && origin.count("/read/a") == 1).await;
    let asked = origin.asked();
    assert!(asked.iter().all(|asked| matches!(asked.method.as_str(), "GET" | "POST")), "{asked:?}");
    assert_eq!(asked.len(), 3, "all or nothing of a call");
    gateway.stop(&["is not asked"]).await;
}

#[tokio::test]
async fn a_response_has_one_of_each_field() {
    let origin = Origin::start(|asked| async move {
        let body = "{\"a\":1}";
        match asked.target.as_str() {
            "/twice" => raw(b"Content-Length: 7\r\nContent-Length: 7\r\n", body),
            "/list" => raw(b"Content-Length: 7, 7\r\n", body),
            "/types" => raw(b"Content-Type: text/html\r\n", body),
            "/tags" => raw(b"ETag: \"a\"\r\nETag: \"b\"\r\n", body),
            "/dates" => raw(b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nDate: Mon, 07 Nov 1994 08:49:37 GMT\r\n", body),
            "/places" => raw(b"Location: /a\r\nLocation: /b\r\n", body),
            _ => raw(b"Content-Range: bytes 0-6/7\r\nContent-Range: bytes 0-6/8\r\n", body),
        }
    })
    .await;
    let config = plain(&origin.place).replace("    forward: [accept-language]", "    meta: true");
    let gateway = Gateway::start(&(config + "warm: { keys: 0 }\n")).await;
    for path in ["/twice", "/list", "/types", "/tags", "/dates"] {
        for way in ["miss", "hit", "hit"] {
            let raw = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let reply = gateway.client.raw(raw.as_bytes()).await;
            assert_eq!(reply.status, 200, "{path} {way}");
            for name in ["content-length", "content-type", "date"] {
                assert_eq!(reply.headers.get_all(name).iter().count(), 1, "{path} {way} {name} {:?}", reply.headers);
            }
            assert_eq!(reply.header("content-length"), reply.body.len().to_string(), "{path} {way}");
            assert_eq!((reply.header("content-type"), reply.header("etag")), ("application/json", ""), "{path} {way}");
        }
    }
    for path in ["/places", "/ranges"] {
        let reply = gateway.client.get(path).await;
        assert_eq!(reply.status, 502, "{path}");
        reply.assert_envelope();
    }
    gateway.stop(&["a breaker opened", "level of degradation"]).await;
}

#[tokio::test]
async fn the_upstreams_own_address_stays_inside() {
    let origin = Origin::start(|asked| async move {
        let own = asked.headers["host"].clone();
        let place = match asked.target.as_str() {
            "/own" | "/stored" => format!("http://{own}/b?c=d#e"),
            "/network" => format!("//{own}/b"),
            "/asked" => "http://public.example/b".to_owned(),
            _ => "https://elsewhere.example/b".to_owned(),
        };
        Answer::json("1")
            .status(if asked.method == "PUT" { 201 } else { 301 })
            .with("location", &place)
            .with("content-location", &place)
    })
    .await;
    let gateway = Gateway::start(&plain(&origin.place)).await;
    for (method, path, expected) in [
        ("GET", "/own", "/b?c=d#e"),
        ("GET", "/own", "/b?c=d#e"),
        ("PUT", "/own", "/b?c=d#e"),
        ("GET", "/network", "/b"),
        ("GET", "/asked", "http://public.example/b"),
        ("GET", "/elsewhere", "https://elsewhere.example/b"),
    ] {
        let reply = gateway.ask(method, path, &[("host", "public.example")]).await;
        assert_eq!(
            (reply.header("location"), reply.header("content-location")),
            (expected, expected),
            "{method} {path}"
        );
    }
    // Whatever name the first client used.
    for _ in 0..2 {
        assert_eq!(gateway.ask("GET", "/stored", &[("host", &origin.place)]).await.header("location"), "/b?c=d#e");
    }
    gateway.stop(&[]).await;
    let kept = plain(&origin.place).replace("health:", "map_location: false, health:");
    let gateway = Gateway::start(&kept).await;
    assert!(gateway.client.get("/own").await.header("location").contains(&origin.place));
    gateway.stop(&[]).await;
}
