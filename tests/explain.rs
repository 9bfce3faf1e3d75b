//! `addrgate explain`: what would happen to a request, for people and for programs, with the project's own configuration.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::process::{Command, Output};

use serde_json::{Value, json};
use support::{program, project};

/// The digest of the key `secret`.
const DIGEST: &str = "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

fn explain(arguments: &[&str]) -> Output {
    let mut command = Command::new(program("addrgate"));
    command.arg("explain").args(arguments).env("ADDRGATE_CONFIG", project("config.yaml"));
    command.env("ADDRGATE_KEY_SHA256", DIGEST).env("ADDRGATE_ADMIN_TOKEN", "0123456789".repeat(4));
    command.output().unwrap()
}

fn text(arguments: &[&str]) -> String {
    let output = explain(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn object(arguments: &[&str]) -> Value {
    serde_json::from_str(&text(&[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn a_search_is_told_line_by_line() {
    let told = text(&["GET", "/api/v1/addresses/search?offset=0&q=24++Firebrace+ST&limit=10"]);
    let line = |name: &str| {
        let found = told.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name}: {told}")).trim().to_owned()
    };
    assert!(line("route").starts_with("search (GET, HEAD /api/v1/addresses/search), number "));
    assert_eq!(line("key needed"), "yes, X-API-Key");
    assert_eq!(line("upstream"), "address-service, within 2500ms");
    assert_eq!(
        line("forwarded"),
        "/api/v1/addresses/search?q=24%20firebrace%20st",
        "defaults, case and spaces are gone"
    );
    assert_eq!(line("cacheable"), "yes, where the response allows it");
    assert_eq!(line("lifetime"), "the response's own, at most 7d; where it names none: 200: 5m");
    assert_eq!(line("stale"), "30s while revalidating, 1d on errors");
    assert_eq!(line("reasons"), "the route caches GET");
    assert!(told.contains("1000/15m for each client"), "{told}");
    let other = text(&["GET", "http://example.org/api/v1/addresses/search?q=24+firebrace+st"]);
    assert!(other.contains(&line("key ").split_whitespace().next_back().unwrap()[..8]), "the same key: {other}");
}

#[test]
fn equal_questions_have_equal_keys_also_in_bodies() {
    let key = |body: &str| object(&["POST", "/api/v1/addresses/validate", "--body", body])["key"].clone();
    let one = key(r#"{"address": "1 High ST", "strictMode": false}"#);
    assert_eq!(one.as_str().unwrap().len(), 64);
    assert_eq!(one, key(r#"{"address":"1  high st"}"#));
    assert_ne!(one, key(r#"{"address":"2 high st"}"#));
    let told = object(&["POST", "/api/v1/addresses/validate", "-d", r#"{"address":"1  high st"}"#]);
    assert_eq!(told["key_body"], r#"{"address":"1 high st"}"#);
    assert_eq!(told["lifetimes"]["default"], json!({"200": "1h"}));
    assert_eq!(object(&["POST", "/api/v1/addresses/validate"])["key"], "depends on the body; give it with --body");
}

#[test]
fn what_is_not_cached_or_refused_is_said_with_the_reason() {
    let batch = object(&["POST", "/api/v1/addresses/batch/validate", "-d", "{}"]);
    assert_eq!((&batch["cacheable"], &batch["reasons"]), (&json!(false), &json!(["the route has no `cache`"])));
    for (arguments, refused) in [
        (&["GET", "/nothing"][..], "404 ENDPOINT_NOT_FOUND by route, reason no_route"),
        (&["PUT", "/api/v1/addresses/search"], "405 METHOD_NOT_ALLOWED by route, reason method"),
        (&["GET", "/api/v1/addresses/search", "-H", "X-API-Key: wrong"], "401 INVALID_API_KEY by client"),
        (&["POST", "/api/v1/addresses/validate", "-d", "{\"a\":1,\"a\":2}"], "400 INVALID_JSON by cache_key"),
        (&["POST", "/api/v1/addresses/validate", "-d", "x", "-H", "Content-Type: text/plain"], "415 "),
    ] {
        let told = object(arguments);
        assert!(told["refused"].as_str().unwrap_or_default().starts_with(refused), "{arguments:?}: {told}");
    }
}

#[test]
fn fields_of_the_request_count() {
    let search = ["GET", "/api/v1/addresses/search?q=x"];
    let reasons = |field: &str| object(&[&search[..], &["-H", field]].concat())["reasons"].to_string();
    for directive in ["no-cache", "no-store", "only-if-cached"] {
        assert!(reasons(&format!("Cache-Control: {directive}")).contains("not honoured"), "{directive}");
    }
    // Where the route says so, they are.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let config = std::fs::read_to_string(project("config.yaml")).unwrap();
    let honoured = "lifetimes: { request_directives: true, default: { 200: 5m } }";
    std::fs::write(&file, config.replace("lifetimes: { default: { 200: 5m } }", honoured)).unwrap();
    let honoured = |field: &str| text(&[&["--config", file.to_str().unwrap()], &search[..], &["-H", field]].concat());
    assert!(honoured("Cache-Control: no-cache").contains("validated"));
    assert!(honoured("cache-control:no-store").contains("no-store"));
    assert!(honoured("Cache-Control: only-if-cached").contains("504"));
    assert!(reasons("Range: bytes=0-9").contains("the part is cut out of it"));
    assert!(!reasons("Accept: */*").contains("the request"));
    let known = object(&[&search[..], &["-H", "X-API-Key: secret", "-H", "Priority: u=7"]].concat());
    assert_eq!((&known["client"], &known["refused"]), (&json!("default"), &Value::Null), "{known}");
    assert_eq!(known["class"], "background", "as the client wishes");
}

#[test]
fn wrong_usage_is_said_as_such() {
    for arguments in [&["GET"][..], &["GET", "/", "-H", "no colon"], &["GET", "/", "-H", "a b: c"]] {
        let output = explain(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {output:?}");
    }
}
