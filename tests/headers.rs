//! What every answer carries besides its body, and the rules that hold for every endpoint: identity, methods, encodings.

#[path = "support/lib.rs"]
mod support;

use serde_json::json;
use support::Stack;

const SEARCH: &str = "/api/v1/addresses/search?q=5+firebrace+street+horsham&limit=10";

#[tokio::test]
async fn every_answer_carries_the_contracts_headers() {
    let stack = Stack::start().await;
    let client = &stack.client;
    let validate = json!({"address": "5 Firebrace Street, Horsham VIC 3400"});
    for reply in [
        client.get(SEARCH).await,
        client.get(SEARCH).await, // from the cache
        client.post("/api/v1/addresses/validate", &validate).await,
        client.get("/api/v1/health").await,
        client.get("/api/v1/addresses/search").await,
        client.get("/nothing/here").await,
        client.send(client.request("DELETE", "/api/v1/health")).await,
    ] {
        let what = format!("{} {:?}", reply.status, reply.headers);
        assert_eq!(reply.header("content-type"), "application/json; charset=utf-8", "{what}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{what}");
        assert!(!reply.header("x-request-id").is_empty() && !reply.header("x-correlation-id").is_empty(), "{what}");
        let time = reply.header("x-response-time").strip_suffix("ms").unwrap_or_else(|| panic!("{what}"));
        assert!(time.parse::<f64>().is_ok_and(|time| (0.0..5_000.0).contains(&time)), "{what}");
        assert!(!reply.header("date").is_empty(), "{what}");
        assert!(!reply.headers.contains_key("server") || !reply.header("server").contains('/'), "a version: {what}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_correlation_id_is_echoed_when_it_is_harmless() {
    let stack = Stack::start().await;
    let long = "x".repeat(128);
    let longer = "x".repeat(129);
    for (sent, echoed) in [
        ("abc-123", true),
        ("A.b_c:d-9", true),
        (long.as_str(), true),
        (longer.as_str(), false),
        ("with space", false),
        ("<script>", false),
        ("", false),
    ] {
        let request = stack.client.request("GET", "/api/v1/health/live").header("x-correlation-id", sent);
        let got = stack.client.send(request).await.header("x-correlation-id").to_owned();
        assert_eq!(got == sent, echoed, "{sent:?} became {got:?}");
        assert!(!got.is_empty());
    }
    stack.stop().await;
}

#[tokio::test]
async fn a_key_is_asked_for_wherever_there_is_data_and_nowhere_else() {
    let stack = Stack::start().await;
    let client = &stack.client;
    let ask = async |path: &str, key: Option<&str>| {
        let mut request = client.request("GET", path).build().unwrap();
        request.headers_mut().remove("x-api-key");
        if let Some(key) = key {
            request.headers_mut().insert("x-api-key", key.parse().unwrap());
        }
        let reply = reqwest::Client::new().execute(request).await.unwrap();
        let status = reply.status().as_u16();
        let body: serde_json::Value = reply.json().await.unwrap();
        (status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    for path in [
        SEARCH,
        "/api/v1/addresses/GAACT714878821",
        "/api/v1/spatial/coverage",
        "/api/v1/reverse-geocode?latitude=-35&longitude=149",
    ] {
        assert_eq!(ask(path, None).await, (401, "MISSING_API_KEY".into()), "{path}");
        assert_eq!(ask(path, Some("wrong")).await, (401, "INVALID_API_KEY".into()), "{path}");
        assert_eq!(ask(path, Some(&client.key)).await.0, 200, "{path}");
    }
    for path in [
        "/api/v1/health",
        "/api/v1/health/live",
        "/api/v1/health/ready",
        "/api/v1/addresses/health",
        "/api/v1/spatial/health",
    ] {
        assert_eq!(ask(path, None).await.0, 200, "{path}");
    }
    // The check comes before the body is read: what is wrong with the body is not told to strangers.
    let mut request = client.request("POST", "/api/v1/addresses/validate").body("{not json").build().unwrap();
    request.headers_mut().remove("x-api-key");
    assert_eq!(reqwest::Client::new().execute(request).await.unwrap().status().as_u16(), 401);
    stack.stop().await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let stack = Stack::start().await;
    let client = &stack.client;
    for path in [
        "/",
        "/api",
        "/api/v1",
        "/api/v2/addresses/search",
        "/api/v1/addresses/search/more/parts",
        "/metrics/x",
        "/api/v1/addresse",
    ] {
        let reply = client.get(path).await;
        assert_eq!((reply.status, reply.code().as_str()), (404, "ENDPOINT_NOT_FOUND"), "{path}");
        reply.assert_envelope();
    }
    for (method, path, allowed) in [
        ("POST", "/api/v1/addresses/search?q=x", &["GET", "HEAD"][..]),
        ("DELETE", "/api/v1/addresses/search?q=x", &["GET", "HEAD"]),
        ("GET", "/api/v1/addresses/batch/validate", &["POST"]),
        ("PUT", "/api/v1/spatial/proximity", &["GET", "HEAD", "POST"]),
        ("PATCH", "/api/v1/addresses/reverse-geocode", &["GET", "HEAD", "POST"]),
        ("POST", "/api/v1/health", &["GET", "HEAD"]),
    ] {
        let reply = client.send(client.request(method, path)).await;
        assert_eq!((reply.status, reply.code().as_str()), (405, "METHOD_NOT_ALLOWED"), "{method} {path}");
        reply.assert_envelope();
        let allow: Vec<&str> = reply.header("allow").split(',').map(str::trim).collect();
        assert!(allowed.iter().all(|method| allow.contains(method)), "{method} {path}: Allow is {allow:?}");
        assert!(!allow.contains(&method), "{method} {path}: Allow is {allow:?}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn head_and_trailing_slash_work_on_every_get() {
    let stack = Stack::start().await;
    let client = &stack.client;
    for path in [
        "/api/v1/addresses/search?q=5+firebrace+street+horsham",
        "/api/v1/addresses/reverse-geocode?latitude=-35.26895538&longitude=149.10951156",
        "/api/v1/addresses/GAACT714878821",
        "/api/v1/spatial/coverage",
        "/api/v1/spatial/statistical-areas/SA2/801051123",
        "/api/v1/health",
        "/api/v1/health/ready",
    ] {
        // HEAD first, so that the body of a later GET can't come from an empty fill.
        let head = client.send(client.request("HEAD", path)).await;
        let get = client.get(path).await;
        assert_eq!((head.status, get.status), (200, 200), "{path}: {}", get.text());
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        let (plain, query) = path.split_once('?').map_or((path, String::new()), |(p, q)| (p, format!("?{q}")));
        let slashed = client.get(&format!("{plain}/{query}")).await;
        assert_eq!(slashed.status, 200, "{path} with a slash: {}", slashed.text());
    }
    stack.stop().await;
}

#[tokio::test]
async fn answers_say_how_long_they_may_be_kept() {
    let stack = Stack::start().await;
    let client = &stack.client;
    let max_age = |reply: &support::Reply| -> Option<u64> {
        let all = reply.header("cache-control").to_owned();
        all.split(',').find_map(|one| one.trim().strip_prefix("max-age=").and_then(|n| n.parse().ok()))
    };
    let acton = json!({"latitude": -35.26895538, "longitude": 149.10951156});
    for (name, reply, seconds) in [
        ("search", client.get(SEARCH).await, 300),
        ("search without results", client.get("/api/v1/addresses/search?q=zzyzx+road").await, 60),
        (
            "validate",
            client.post("/api/v1/addresses/validate", &json!({"address": "20 frith rd acton act 2601"})).await,
            3600,
        ),
        ("geocode", client.post("/api/v1/geocode", &json!({"address": "20 frith rd acton act 2601"})).await, 1800),
        ("reverse", client.post("/api/v1/reverse-geocode", &acton).await, 1800),
        ("proximity", client.post("/api/v1/spatial/proximity", &json!({"coordinates": acton})).await, 600),
        ("boundaries", client.post("/api/v1/spatial/boundaries", &json!({"coordinates": acton})).await, 1800),
        ("statistics", client.post("/api/v1/spatial/statistics", &json!({"coordinates": acton})).await, 86400),
    ] {
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        assert_eq!(max_age(&reply), Some(seconds), "{name}: {}", reply.header("cache-control"));
        assert!(!reply.header("etag").is_empty(), "{name}: no ETag");
    }
    assert!(client.get("/api/v1/health").await.header("cache-control").contains("no-store"));
    stack.stop().await;
}

#[tokio::test]
async fn a_known_answer_is_not_sent_again() {
    let stack = Stack::start().await;
    let first = stack.client.get(SEARCH).await;
    let etag = first.header("etag").to_owned();
    for (tags, status) in
        [(etag.clone(), 304), (format!("\"other\", {etag}"), 304), ("*".to_owned(), 304), ("\"other\"".to_owned(), 200)]
    {
        let reply = stack.client.send(stack.client.request("GET", SEARCH).header("if-none-match", &tags)).await;
        assert_eq!(reply.status, status, "{tags}");
        assert_eq!(reply.header("etag"), etag);
        assert_eq!(reply.body.is_empty(), status == 304);
    }
    stack.stop().await;
}

#[tokio::test]
async fn answers_are_compressed_from_a_kilobyte_and_only_for_those_who_ask() {
    let stack = Stack::start().await;
    let client = &stack.client;
    let long = "/api/v1/addresses/search?q=firebrace+street+horsham&limit=50";
    let plain = client.get(long).await;
    assert!(plain.body.len() > 1024 && plain.header("content-encoding").is_empty());
    assert!(plain.header("vary").to_lowercase().contains("accept-encoding"), "{:?}", plain.headers);
    for (encoding, magic) in [("gzip", &[0x1f, 0x8b][..]), ("br", &[]), ("zstd", &[0x28, 0xb5, 0x2f, 0xfd])] {
        for _ in 0..2 {
            let reply = client.send(client.request("GET", long).header("accept-encoding", encoding)).await;
            assert_eq!((reply.status, reply.header("content-encoding")), (200, encoding));
            assert!(reply.body.len() < plain.body.len() / 2 && reply.body.starts_with(magic), "{encoding}");
        }
    }
    let refused = client.send(client.request("GET", long).header("accept-encoding", "gzip;q=0, identity")).await;
    assert_eq!(refused.header("content-encoding"), "");
    let short = client.send(client.request("GET", "/api/v1/health/live").header("accept-encoding", "gzip")).await;
    assert_eq!(short.header("content-encoding"), "", "{} bytes", short.body.len());
    stack.stop().await;
}

#[tokio::test]
async fn browsers_may_ask_from_other_origins() {
    let stack = Stack::start().await;
    let client = &stack.client;
    let request = client
        .request("OPTIONS", "/api/v1/addresses/validate")
        .header("origin", "https://shop.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "x-api-key, content-type");
    let preflight = client.send(request).await;
    assert!(matches!(preflight.status, 200 | 204), "{}", preflight.status);
    assert!(
        ["*", "https://shop.example"].contains(&preflight.header("access-control-allow-origin")),
        "{:?}",
        preflight.headers
    );
    assert_eq!(preflight.header("access-control-allow-methods"), "GET, POST, HEAD");
    for (path, methods) in [
        (SEARCH, "GET, HEAD"),
        ("/api/v1/addresses/reverse-geocode", "GET, POST, HEAD"),
        ("/api/v1/addresses/GAVIC411711441", "GET, HEAD"),
        ("/nothing/here", ""),
    ] {
        let request = client.request("OPTIONS", path).header("origin", "https://shop.example");
        let preflight = client.send(request.header("access-control-request-method", "GET")).await;
        assert_eq!(preflight.status, 204, "{path}");
        assert_eq!(preflight.header("access-control-allow-methods"), methods, "{path}");
    }
    assert!(preflight.header("access-control-allow-headers").to_lowercase().contains("x-api-key"));
    assert_eq!(preflight.header("access-control-max-age"), "86400");
    let reply = client.send(client.request("GET", SEARCH).header("origin", "https://shop.example")).await;
    assert!(!reply.header("access-control-allow-origin").is_empty(), "{:?}", reply.headers);
    let exposed = reply.header("access-control-expose-headers");
    for name in ["x-ratelimit-remaining", "ratelimit", "ratelimit-policy", "retry-after", "etag"] {
        assert!(exposed.split(", ").any(|exposed| exposed == name), "{name}: {exposed}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn errors_come_as_problem_details_to_those_who_prefer_them() {
    let stack = Stack::start().await;
    for path in ["/api/v1/addresses/search", "/nothing/here"] {
        let request = stack.client.request("GET", path).header("accept", "application/problem+json");
        let reply = stack.client.send(request).await;
        assert_eq!(reply.header("content-type").split(';').next(), Some("application/problem+json"), "{path}");
        let body = reply.json();
        assert_eq!(body["status"], reply.status, "{path}");
        for member in ["title", "code"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{path}: {body}");
        }
    }
    stack.stop().await;
}
