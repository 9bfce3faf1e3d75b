//! Wrong requests get the contract's code in the contract's envelope, and nothing that a client can send makes a 5xx,
//! a slow answer or an error in the database's log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Database, Reply, Stack};

const POINT: &str = r#"{"latitude": -35.26895538, "longitude": 149.10951156}"#;

#[tokio::test]
async fn wrong_queries_get_their_code() {
    let stack = Stack::start().await;
    let long = "x".repeat(501);
    for (path, code) in [
        ("addresses/search", "MISSING_QUERY"),
        ("addresses/search?q=", "MISSING_QUERY"),
        ("addresses/search?q=%20+%20", "MISSING_QUERY"),
        ("addresses/search?q=x&limit=0", "INVALID_LIMIT"),
        ("addresses/search?q=x&limit=51", "INVALID_LIMIT"),
        ("addresses/search?q=x&limit=ten", "INVALID_LIMIT"),
        ("addresses/search?q=x&limit=1.5", "INVALID_LIMIT"),
        ("addresses/search?q=x&limit=99999999999999999999", "INVALID_LIMIT"),
        ("addresses/search?q=x&state=XX", "INVALID_STATE"),
        ("addresses/search?q=x&postcode=123", "INVALID_POSTCODE"),
        ("addresses/search?q=x&postcode=abcd", "INVALID_POSTCODE"),
        ("addresses/reverse-geocode", "INVALID_COORDINATES"),
        ("addresses/reverse-geocode?latitude=-35", "INVALID_COORDINATES"),
        ("addresses/reverse-geocode?latitude=NaN&longitude=149", "INVALID_LATITUDE"),
        ("addresses/reverse-geocode?latitude=-91&longitude=149", "INVALID_LATITUDE"),
        ("addresses/reverse-geocode?latitude=-35&longitude=181", "INVALID_LONGITUDE"),
        ("addresses/reverse-geocode?latitude=-35&longitude=inf", "INVALID_LONGITUDE"),
        ("addresses/reverse-geocode?latitude=51.5&longitude=0.1", "COORDINATES_OUT_OF_BOUNDS"),
        ("addresses/reverse-geocode?latitude=-35&longitude=149&radius=0", "INVALID_RADIUS"),
        ("addresses/reverse-geocode?latitude=-35&longitude=149&radius=1001", "INVALID_RADIUS"),
        ("addresses/reverse-geocode?latitude=-35&longitude=149&limit=11", "INVALID_LIMIT"),
        ("addresses/reverse-geocode?latitude=-35&longitude=149&coordinateSystem=MARS", "INVALID_COORDINATE_SYSTEM"),
    ] {
        expect(&stack.client.get(&format!("/api/v1/{path}")).await, 400, code, path);
    }
    let reply = stack.client.get(&format!("/api/v1/addresses/search?q={long}")).await;
    assert_eq!(reply.status, 400, "a query of 501 characters");
    reply.assert_envelope();
    for (path, code) in [
        ("addresses/GAXXX000000000", "ADDRESS_NOT_FOUND"),
        ("addresses/%27%3B%20DROP%20TABLE%20address%3B--", "ADDRESS_NOT_FOUND"),
    ] {
        expect(&stack.client.get(&format!("/api/v1/{path}")).await, 404, code, path);
    }
    stack.stop().await;
}

#[tokio::test]
async fn wrong_bodies_get_their_code() {
    let stack = Stack::start().await;
    let long = json!({"address": "x".repeat(501)}).to_string();
    let near = |more: &str| format!(r#"{{"coordinates": {POINT}, {more}}}"#);
    let analyze = |operation: &str| format!(r#"{{"operations": [{operation}]}}"#);
    let parameters = format!(r#""parameters": {{"coordinates": {POINT}}}"#);
    let many = |n: usize| {
        let one = format!(r#"{{"id": "a", "type": "boundary", {parameters}}}"#);
        analyze(&vec![one; n].join(","))
    };
    let thousand_and_one = json!({"addresses": vec![json!({"id": "a", "address": "x"}); 1001]}).to_string();
    let cases: Vec<(&str, String, &str)> = vec![
        ("addresses/validate", "{}".into(), "MISSING_ADDRESS"),
        ("addresses/validate", r#"{"address": ""}"#.into(), "MISSING_ADDRESS"),
        ("addresses/validate", r#"{"address": "  "}"#.into(), "MISSING_ADDRESS"),
        ("addresses/validate", r#"{"address": null}"#.into(), "MISSING_ADDRESS"),
        ("addresses/validate", long.clone(), "ADDRESS_TOO_LONG"),
        ("addresses/validate", r#"{"address": "#.into(), "INVALID_JSON"),
        ("addresses/validate", String::new(), "INVALID_JSON"),
        ("addresses/validate", r#"{"address": "x"} trailing"#.into(), "INVALID_JSON"),
        ("addresses/geocode", "{}".into(), "MISSING_ADDRESS"),
        ("addresses/geocode", long, "ADDRESS_TOO_LONG"),
        ("addresses/geocode", r#"{"address": "x", "coordinateSystem": "MARS"}"#.into(), "INVALID_COORDINATE_SYSTEM"),
        ("addresses/batch/validate", thousand_and_one, "BATCH_TOO_LARGE"),
        ("spatial/proximity", "{}".into(), "MISSING_LOCATION"),
        ("spatial/proximity", r#"{"coordinates": {"latitude": -35}}"#.into(), "INVALID_COORDINATES"),
        ("spatial/proximity", r#"{"coordinates": "here"}"#.into(), "INVALID_COORDINATES"),
        (
            "spatial/proximity",
            r#"{"coordinates": {"latitude": 51.5, "longitude": 0.1}}"#.into(),
            "COORDINATES_OUT_OF_BOUNDS",
        ),
        ("spatial/proximity", r#"{"address": ""}"#.into(), "INVALID_ADDRESS"),
        ("spatial/proximity", r#"{"address": 5}"#.into(), "INVALID_ADDRESS"),
        ("spatial/proximity", r#"{"address": "1 Zzyzx Road, Nowhere VIC 3999"}"#.into(), "GEOCODING_FAILED"),
        ("spatial/proximity", near(r#""radius": 0"#), "INVALID_RADIUS"),
        ("spatial/proximity", near(r#""radius": 5001"#), "INVALID_RADIUS"),
        ("spatial/proximity", near(r#""limit": 51"#), "INVALID_LIMIT"),
        ("spatial/proximity", near(r#""propertyTypes": "house""#), "INVALID_PROPERTY_TYPES"),
        ("spatial/proximity", near(r#""includeDistance": "yes""#), "INVALID_INCLUDE_DISTANCE"),
        ("spatial/proximity", near(r#""includeBearing": 1"#), "INVALID_INCLUDE_BEARING"),
        ("spatial/boundaries", "{}".into(), "MISSING_COORDINATES"),
        ("spatial/boundaries", r#"{"coordinates": {"latitude": "x", "longitude": 149}}"#.into(), "INVALID_COORDINATES"),
        ("spatial/boundaries", near(r#""includeLGA": "yes""#), "INVALID_BOOLEAN_FLAG"),
        ("spatial/boundaries", near(r#""includeElectoral": 1"#), "INVALID_BOOLEAN_FLAG"),
        ("spatial/statistical-areas", "{}".into(), "MISSING_LOCATION"),
        ("spatial/statistical-areas", near(r#""includeHierarchy": "yes""#), "INVALID_INCLUDE_HIERARCHY"),
        ("spatial/batch/analyze", "{}".into(), "MISSING_OPERATIONS"),
        ("spatial/batch/analyze", r#"{"operations": []}"#.into(), "MISSING_OPERATIONS"),
        ("spatial/batch/analyze", many(101), "BATCH_TOO_LARGE"),
        ("spatial/batch/analyze", analyze(&format!(r#"{{"type": "boundary", {parameters}}}"#)), "INVALID_OPERATION_ID"),
        (
            "spatial/batch/analyze",
            analyze(&format!(r#"{{"id": "a", "type": "x", {parameters}}}"#)),
            "INVALID_OPERATION_TYPE",
        ),
        ("spatial/batch/analyze", analyze(r#"{"id": "a", "type": "boundary"}"#), "MISSING_PARAMETERS"),
        (
            "spatial/batch/analyze",
            format!(
                r#"{{"operations": [{{"id": "a", "type": "boundary", {parameters}}}], "options": {{"batchSize": 0}}}}"#
            ),
            "INVALID_BATCH_SIZE",
        ),
    ];
    for (path, body, code) in cases {
        let shown: String = body.chars().take(120).collect();
        let reply = stack.client.post_bytes(&format!("/api/v1/{path}"), body).await;
        expect(&reply, 400, code, &format!("{path} {shown}"));
    }
    for (path, body, status, code) in [
        (
            "spatial/boundaries",
            r#"{"coordinates": {"latitude": -40.0, "longitude": 155.0}}"#,
            404,
            "LOCATION_NOT_FOUND",
        ),
        (
            "spatial/statistical-areas",
            r#"{"coordinates": {"latitude": -40.0, "longitude": 155.0}}"#,
            404,
            "STATISTICAL_DATA_NOT_FOUND",
        ),
    ] {
        expect(&stack.client.post_bytes(&format!("/api/v1/{path}"), body).await, status, code, path);
    }
    stack.stop().await;
}

#[tokio::test]
async fn bodies_of_the_wrong_kind_or_size_are_refused() {
    let stack = Stack::start().await;
    let client = &stack.client;
    let path = "/api/v1/addresses/validate";
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let request = client.request("POST", path).header("content-type", kind).body(r#"{"address": "x"}"#);
        let reply = client.send(request).await;
        assert_eq!(reply.status, 415, "{kind}: {}", reply.text());
        reply.assert_envelope();
    }
    let coded = |coding| {
        let request = client.request("POST", path).header("content-type", "application/json");
        client.send(request.header("content-encoding", coding).body("x"))
    };
    let unknown = coded("br").await;
    expect(&unknown, 415, "UNSUPPORTED_MEDIA_TYPE", "a coding that is not known");
    assert_eq!(unknown.header("accept-encoding"), "gzip");
    expect(&coded("gzip").await, 400, "INVALID_REQUEST", "a body that is no gzip");
    // The gateway and the service say the same.
    for client in [&stack.client, &stack.direct] {
        for (kind, body, status, code, named) in [
            ("application/json; charset=utf-16", &b"{}"[..], 415, "UNSUPPORTED_MEDIA_TYPE", "charset"),
            ("application/json; a=b; charset=\"ISO-8859-1\"", b"{}", 415, "UNSUPPORTED_MEDIA_TYPE", "charset"),
            ("application/json", b"\xef\xbb\xbf{\"address\":\"x\"}", 400, "INVALID_JSON", "byte-order mark"),
            ("application/json", b"\xff\xfe{\0}\0", 400, "INVALID_JSON", "byte-order mark"),
            ("application/json", b"{\0\"\0a\0\"\0:\x001\0}\0", 400, "INVALID_JSON", "UTF-8"),
            ("application/json", b"{\"address\":\"caf\xe9\"}", 400, "INVALID_JSON", "UTF-8"),
        ] {
            let request = client.request("POST", path).header("content-type", kind).body(body.to_vec());
            let reply = client.send(request).await;
            assert_eq!((reply.status, reply.code().as_str()), (status, code), "{kind}: {}", reply.text());
            let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains(named), "{kind}: {message}");
        }
        let untyped = client.send(client.request("POST", path).body(r#"{"address": "x"}"#)).await;
        assert_eq!(untyped.status, 200, "JSON needs no type: {}", untyped.text());
    }
    for (path, bytes) in
        [(path, 64 << 10), ("/api/v1/addresses/batch/validate", 1 << 20), ("/api/v1/spatial/boundaries", 64 << 10)]
    {
        let body = format!(r#"{{"address": "{}"}}"#, "x".repeat(bytes));
        expect(&client.post_bytes(path, body.clone()).await, 413, "PAYLOAD_TOO_LARGE", path);
        // The same without saying how long it is.
        let streamed = client.raw_chunked(path, body.as_bytes()).await;
        expect(&streamed, 413, "PAYLOAD_TOO_LARGE", &format!("{path}, in chunks"));
    }
    stack.stop().await;
}

/// What people and programs put where an address belongs.
fn odd_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "'; DROP TABLE address; --",
        "' OR '1'='1",
        "1 OR 1=1",
        "\\'; SELECT pg_sleep(10); --",
        "$$; $1",
        "%s%n%d",
        "%",
        "_",
        "\\",
        "\"",
        "'",
        "(",
        ")",
        "*",
        "a*b:*c",
        "!main & street | road <-> ave",
        "main:*",
        "& | ! <->",
        "<script>alert(1)</script>",
        "\u{1F3E0} 5 main street",
        "\u{202e}txet desrever",
        "\u{0}",
        "5 main\u{0}street",
        "\r\n\r\nGET / HTTP/1.1",
        "\u{1}\u{2}\u{7f}",
        "e\u{301}\u{301}\u{301}\u{301}",
        "\u{feff}main",
        "ﬁrebrace street",
        "ＳＴＲＥＥＴ ５",
        "İstanbul",
        "ß",
        "5\u{a0}main\u{2003}street",
        "null",
        "undefined",
        "NaN",
        "[]",
        "{}",
        "-1",
        "0",
        "00000",
        "1e999",
        "99999999999999999999999999 main street",
        "1/2/3/4/5/6/7/8/9 main street",
        "1-2-3-4-5 main street",
        ",,,,,,,",
        "////",
        "----",
        "unit unit unit unit",
        "st st st st st",
        "lot",
        "level",
        "unit",
        "nsw",
        "2000",
        "a",
        "the",
        "street",
        "5 main street 2000 3000 4000 nsw vic qld",
        "\t\n\u{b}\u{c}",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    texts.push("main street ".repeat(41).trim().to_owned());
    texts.push("a ".repeat(249));
    texts.push("1/".repeat(250));
    texts.push("é".repeat(250));
    texts.push("\u{1F3E0}".repeat(125));
    texts.push("x".repeat(500));
    texts
}

#[tokio::test]
async fn odd_texts_are_answered_and_leave_the_database_unmoved() {
    let database = Database::copy().await;
    let stack = Stack::on(&database).await;
    for text in odd_texts() {
        let query: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let body = json!({"address": text});
        for (what, reply) in [
            ("search", stack.client.get(&format!("/api/v1/addresses/search?q={query}")).await),
            ("pid", stack.client.get(&format!("/api/v1/addresses/{query}")).await),
            ("validate", stack.client.post("/api/v1/addresses/validate", &body).await),
            ("geocode", stack.client.post("/api/v1/addresses/geocode", &body).await),
            ("proximity", stack.client.post("/api/v1/spatial/proximity", &body).await),
            (
                "batch",
                stack
                    .client
                    .post("/api/v1/addresses/batch/validate", &json!({"addresses": [{"id": text, "address": text}]}))
                    .await,
            ),
        ] {
            harmless(what, &text, &reply);
            if reply.status == 200 && what == "validate" {
                assert_eq!(reply.json()["isValid"], false, "{text:?} is no address: {}", reply.text());
            }
        }
    }
    assert_eq!(database.errors(), Vec::<String>::new(), "in PostgreSQL's log");
    stack.stop().await;
}

#[tokio::test]
async fn odd_values_are_answered() {
    let database = Database::copy().await;
    let stack = Stack::on(&database).await;
    let odd: Vec<String> = [
        "null",
        "true",
        "0",
        "-0.0",
        "1e400",
        "-1e-400",
        "123456789012345678901234567890",
        "[]",
        "{}",
        "[[[[]]]]",
        r#""""#,
        r#""x""#,
        "[null]",
        r#"{"a": {"b": {"c": null}}}"#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\u0000""#,
        "NaN",
        "Infinity",
        "'single'",
        "01",
        "1.",
        ".5",
        "+1",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain([
        format!("\"{}\"", "x".repeat(10_240)),
        format!("{}1{}", "[".repeat(5000), "]".repeat(5000)),
        "9".repeat(5000),
    ])
    .collect();
    let places: &[(&str, &[&str])] = &[
        ("addresses/validate", &["address", "strictMode", "includeComponents", "includeSuggestions", "unknown"]),
        ("addresses/geocode", &["address", "coordinateSystem", "includePrecision", "includeComponents"]),
        (
            "addresses/reverse-geocode",
            &["latitude", "longitude", "radius", "limit", "coordinateSystem", "includeDistance"],
        ),
        ("addresses/batch/validate", &["addresses", "options"]),
        (
            "spatial/proximity",
            &["coordinates", "address", "radius", "limit", "propertyTypes", "includeDistance", "includeBearing"],
        ),
        ("spatial/boundaries", &["coordinates", "includeLGA", "includeElectoral", "includePostal"]),
        ("spatial/statistical-areas", &["coordinates", "address", "includeHierarchy"]),
        ("spatial/batch/analyze", &["operations", "options"]),
    ];
    for (path, members) in places {
        let path = format!("/api/v1/{path}");
        for value in &odd {
            harmless(&path, value, &stack.client.post_bytes(&path, value.clone()).await);
            for member in *members {
                let good = [
                    ("address", r#""20 Frith Road, Acton ACT""#.to_owned()),
                    ("latitude", "-35.2".into()),
                    ("longitude", "149.1".into()),
                    ("coordinates", POINT.into()),
                ];
                let others =
                    good.iter().filter(|(name, _)| name != member).map(|(name, value)| format!(r#""{name}": {value}"#));
                let body =
                    format!("{{{}}}", others.chain([format!(r#""{member}": {value}"#)]).collect::<Vec<_>>().join(", "));
                harmless(&path, &body, &stack.client.post_bytes(&path, body.clone()).await);
            }
        }
        for bytes in [
            &b"\xff\xfe{\"address\": \"x\"}"[..],
            b"{\"address\": \"\xc3\x28\"}",
            b"\xef\xbb\xbf{}",
            b"\0",
            b"{\"address\": \"a\nb\"}",
        ] {
            harmless(&path, &String::from_utf8_lossy(bytes), &stack.client.post_bytes(&path, bytes.to_vec()).await);
        }
    }
    assert_eq!(database.errors(), Vec::<String>::new(), "in PostgreSQL's log");
    stack.stop().await;
}

#[tokio::test]
async fn odd_targets_are_answered() {
    let database = Database::copy().await;
    let stack = Stack::on(&database).await;
    for (target, status) in [
        (&b"/api/v1/addresses/search?q=a&q=b"[..], Some(400)),
        (b"/api/v1/addresses/search?q=main&limit=1&limit=2", Some(400)),
        (b"/api/v1/addresses/search?q=%ff%fe", Some(400)),
        (b"/api/v1/addresses/search?q=%C3%28", Some(400)),
        (b"/api/v1/addresses/search?q=%", None),
        (b"/api/v1/addresses/search?q=100%", Some(200)),
        (b"/api/v1/addresses/search?q=%zz", Some(200)),
        (b"/api/v1/addresses/search?q=Unit 5|7", Some(200)),
        (b"/api/v1/addresses/search?q={main}^`\"<b>", Some(200)),
        (b"/api/v1/addresses/search?q=6%20main%20street%0D%0Ahorsham%09vic", Some(200)),
        (b"/api/v1/addresses/search?q=main&state=%0AVIC%09", Some(200)),
        (b"/api/v1/addresses/search?q=%00", Some(400)),
        (b"/api/v1/addresses/search?q=main%1b", Some(400)),
        (b"/api/v1/addresses/search?q[]=a", None),
        (b"/api/v1/addresses/search?q=a;limit=2", None),
        (b"/api/v1/addresses/search?&&&&=&=&q=main", None),
        (b"/api/v1/addresses/search?q=main&unknown=1", None),
        (b"/api/v1/addresses/search??q=main", None),
        (b"/api/v1/addresses/%2e%2e%2f%2e%2e%2fetc", None),
        (b"/api/v1/addresses/../spatial/coverage", None),
        (b"//api/v1/addresses/search?q=main", None),
        (b"/api/v1/addresses/%00", None),
        (b"/api/v1/addresses/%ff", None),
        (b"/api/v1/spatial/statistical-areas/SA9/1", None),
        (b"/api/v1/spatial/statistical-areas/SA2/%27", None),
        (b"/api/v1/addresses/reverse-geocode?latitude=1e400&longitude=-0", None),
        // No HTTP at all.
        (b"/api/v1/addresses/search?q=main\xff", Some(400)),
        (b"*", Some(400)),
    ] {
        let reply = stack.client.raw_get(target).await;
        let shown = String::from_utf8_lossy(target);
        if target.is_ascii() && target != b"*" {
            harmless("GET", &shown, &reply);
        }
        if let Some(status) = status {
            assert_eq!(reply.status, status, "{shown}: {}", reply.text());
        }
    }
    assert_eq!(database.errors(), Vec::<String>::new(), "in PostgreSQL's log");
    stack.stop().await;
}

fn expect(reply: &Reply, status: u16, code: &str, what: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (status, code), "{what}: {}", reply.text());
    reply.assert_envelope();
}

/// A 4xx with the envelope or a good answer, in time.
fn harmless(what: &str, text: &str, reply: &Reply) {
    let shown: String = text.chars().take(150).collect();
    let said = format!("{what} {shown:?}: {} {}", reply.status, reply.text());
    match reply.status {
        200 => assert!(reply.json().is_object(), "{said}"),
        400..=499 => {
            let body: Value = reply.json();
            assert!(body["error"]["code"].is_string(), "{said}");
        }
        _ => panic!("{said}"),
    }
    assert!(reply.time < Duration::from_secs(3), "{what} {shown:?} took {:?}", reply.time);
}
