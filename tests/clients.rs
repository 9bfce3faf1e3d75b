//! Clients that people use, as they come: what each sends without being asked to is served.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::process::Stdio;
use std::time::Duration;

use support::gateway::plain;
use support::{Answer, Gateway, Origin, project};
use tokio::process::Command;

/// Answers with the request. A body of unknown length in HTTP/2 comes here as one chunk.
async fn echo() -> Origin {
    Origin::start(|asked| async move {
        let body = String::from_utf8_lossy(&asked.body);
        let body = body.strip_prefix("7\r\n").and_then(|rest| rest.strip_suffix("\r\n0\r\n\r\n")).unwrap_or(&body);
        Answer::json(format!("{} {} {body}", asked.method, asked.target))
    })
    .await
}

/// Runs a client of `tests/clients` against a gateway: what it printed must be the eight requests that each of them sends, by
/// method, path, status, what the cache did, and the body.
async fn serves(program: &str, arguments: &[&str], file: &str, options: &[&str]) {
    let (origin, caches) = (echo().await, tempfile::tempdir().unwrap());
    let gateway = Gateway::start(&plain(&origin.place)).await;
    let mut command = Command::new(program);
    command.args(arguments).arg(project("tests/clients").join(file));
    command.args([&format!("http://{}", gateway.place), "n"]).args(options);
    // Go compiles the client first.
    command.envs([("GO111MODULE", "off"), ("GOFLAGS", ""), ("CGO_ENABLED", "0")]).env("GOCACHE", caches.path());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ran = tokio::time::timeout(Duration::from_secs(240), command.output()).await.expect("the client ends in time");
    let ran = ran.unwrap_or_else(|error| {
        panic!("`{program}` can't be started ({error}): `bash scripts/packages.sh test` installs it")
    });
    let said = String::from_utf8_lossy(&ran.stdout);
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    let expected = [
        "GET /hot/n 200 MISS GET /hot/n",
        "GET /hot/n 200 HIT GET /hot/n",
        "GET /cold/n 200 MISS GET /cold/n",
        "POST /echo/n 200 BYPASS POST /echo/n {\"n\":1}",
        "POST /echo/n 200 BYPASS POST /echo/n {\"n\":1}",
        "POST /read/n 200 MISS POST /read/n {\"n\":1}",
        "POST /read/n 200 HIT POST /read/n {\"n\":1}",
        "HEAD /hot/n 200 HIT",
    ];
    assert_eq!(lines, expected, "{program} {options:?}: {}", String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{}", ran.status);
    for asked in origin.asked() {
        for name in ["upgrade", "http2-settings", "connection", "te", "expect"] {
            assert!(!asked.headers.contains_key(name), "{name} reached the upstream: {}", asked.head);
        }
        if asked.method == "GET" {
            assert!(asked.body.is_empty(), "{}", asked.head);
        }
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn the_jdks_client_that_offers_http_2_is_served() {
    serves("java", &["-Xshare:auto", "-XX:TieredStopAtLevel=1"], "Client.java", &[]).await;
}

#[tokio::test]
async fn go_is_served_with_empty_bodies_in_chunks() {
    serves("go", &["run"], "client.go", &[]).await;
}

#[tokio::test]
async fn node_is_served_by_fetch_and_by_requests() {
    serves("node", &[], "fetch.mjs", &[]).await;
    serves("node", &[], "requests.mjs", &[]).await;
}

#[tokio::test]
async fn python_is_served_on_one_connection_and_on_many() {
    serves("python3", &[], "client.py", &["http.client"]).await;
    serves("python3", &[], "client.py", &["urllib"]).await;
}

#[tokio::test]
async fn curl_is_served_whichever_protocol_it_offers() {
    for protocol in ["--http1.1", "--http2", "--http2-prior-knowledge"] {
        serves("bash", &[], "curl.sh", &[protocol]).await;
    }
}
