//! The states of docs/failures.md that no other test brings about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use support::gateway::plain;
use support::origin::pause;
use support::redis::Redis;
use support::{Answer, Client, Gateway, Origin, free_port, program, until};

/// One route, nothing kept.
fn uncached(origin: &str, more: &str) -> String {
    format!(
        "version: 1
server: {{ listen: [\"{{listen}}\"], threads: 2 }}
admin: {{ listen: \"{{admin}}\", token: \"{{token}}\" }}
upstreams: {{ origin: {{ addresses: [\"{origin}\"], connect_time: 200ms, health: {{ interval: 60s }} }} }}
{more}
routes: [{{ name: all, paths: [/**], auth: none, timeout: 300ms }}]
"
    )
}

fn reason(reply: &support::Reply) -> String {
    reply.assert_envelope();
    assert_eq!(reply.code(), "SERVICE_UNAVAILABLE");
    assert!(!reply.header("retry-after").is_empty(), "it says when to come back");
    reply.json()["error"]["details"]["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_slow_upstream_costs_the_routes_time_and_then_nothing() {
    let origin = Origin::start(|_| async {
        pause(5000).await;
        Answer::json("{}")
    })
    .await;
    let breaker = "breaker: { window: 5, minimum: 5, probe_every: 60s, open: 30s, open_max: 30s }";
    let gateway = Gateway::start(&uncached(&origin.place, breaker)).await;
    for _ in 0..5 {
        let reply = gateway.client.get("/a").await;
        assert_eq!((reply.status, reason(&reply).as_str()), (504, "upstream_timeout"));
        assert!(reply.time >= Duration::from_millis(290) && reply.time < Duration::from_secs(2), "{:?}", reply.time);
    }
    let reply = gateway.client.get("/a").await;
    assert_eq!((reply.status, reason(&reply).as_str()), (503, "breaker_open"));
    assert!(reply.time < Duration::from_millis(290), "{:?}", reply.time);
    let text = gateway.admin("GET", "/metrics", None).await.text();
    assert!(text.contains("addrgate_refused_total{by=\"breaker\",reason=\"breaker_open\"} 1"), "{text}");
    gateway.stop(&["a breaker opened", "level of degradation"]).await;
}

#[tokio::test]
async fn nothing_of_a_broken_upstream_reaches_a_client() {
    let origin = Origin::start(|asked| async move {
        match asked.target.as_str() {
            "/noise" => Answer::Raw(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec()),
            "/page" => Answer::ok("<b>stack trace</b>").with("content-type", "text/html").status(500),
            "/gone" => Answer::HangUp,
            "/half" => Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Le".to_vec()),
            other => panic!("{other}"),
        }
    })
    .await;
    let gateway = Gateway::start(&uncached(&origin.place, "breaker: { mode: observe }")).await;
    for (path, status, expected) in [
        ("/noise", 502, "upstream_invalid"),
        ("/page", 502, "upstream_content"),
        ("/gone", 502, "upstream_closed"),
        ("/half", 502, "upstream_closed"),
    ] {
        let reply = gateway.client.get(path).await;
        assert_eq!((reply.status, reason(&reply).as_str()), (status, expected), "{path}");
    }
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn an_instance_that_is_cut_off_trusts_what_it_keeps_for_a_bounded_time() {
    let origin = Origin::start(|asked| async move {
        Answer::json(format!("{{\"number\": {}}}", asked.number)).with("cache-control", "max-age=3600")
    })
    .await;
    let mut redis = Redis::start().await;
    let settings = format!("redis: {{ urls: [\"{}\"] }}\ninvalidation: {{ distrust: 1s }}\n", redis.url());
    let config = plain(&origin.place) + &settings;
    let gateways = [Gateway::start(&config).await, Gateway::start(&config).await];
    for gateway in &gateways {
        until("the log is followed", || async {
            gateway.admin("GET", "/admin/v1/status", None).await.json()["invalidation"]["instances"] == 2
        })
        .await;
        assert_eq!(gateway.client.get("/a").await.status, 200);
    }
    redis.kill();
    // Neither can hear of the other's purges: an hour of freshness becomes a second, and then answers are refreshed.
    let asked = origin.count("/a");
    until("what is kept is refreshed", || async {
        for gateway in &gateways {
            assert_eq!(gateway.client.get("/a").await.status, 200, "nobody is refused for that");
        }
        origin.count("/a") >= asked + 2
    })
    .await;
    for gateway in gateways {
        gateway.stop(&["Redis", "a breaker opened", "invalidation log", "level of degradation"]).await;
    }
}

#[tokio::test]
async fn a_named_upstream_is_known_from_the_first_request_on_also_after_a_reload() {
    let origin = Origin::start(|_| async { Answer::json("{}").with("cache-control", "no-store") }).await;
    let named = origin.place.replace("127.0.0.1", "localhost");
    let gateway = Gateway::start(&plain(&named)).await;
    assert_eq!(gateway.client.get("/a").await.status, 200);
    let file = gateway.folder.path().join("config.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text + "limits: { fields: 90 }\n").unwrap();
    assert_eq!(gateway.admin("POST", "/admin/v1/reload", None).await.status, 200);
    assert_eq!(gateway.client.get("/a").await.status, 200);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn who_polls_whether_traffic_is_taken_is_never_over_a_limit() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let gateway = Gateway::start(&(plain(&origin.place) + "rate_limit: { address: [20/1m] }\n")).await;
    for _ in 0..30 {
        assert!(gateway.client.reaches("/readyz").await && gateway.client.reaches("/livez").await);
    }
    assert_eq!(gateway.client.get("/a").await.status, 200, "nor does it count");
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn probes_are_answered_whatever_clients_may_do() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let config = plain(&origin.place)
        .replace("routes:\n", "routes:\n  - { name: up, paths: [/up], auth: none, answer: readyz }\n")
        + "limits: { hosts: [api.example] }\naddress: { allow: [10.0.0.0/8] }\n";
    // The harness itself asks by address.
    let gateway = Gateway::start(&config).await;
    let http2 = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    for path in ["/livez", "/readyz", "/readyz/", "/up"] {
        for method in ["GET", "HEAD", "OPTIONS"] {
            let reply = gateway.ask(method, path, &[]).await;
            assert_eq!(reply.status, 200, "{method} {path}");
            assert_eq!(reply.body.is_empty(), method == "HEAD");
            let method: reqwest::Method = method.parse().unwrap();
            let reply = http2.request(method.clone(), format!("http://{}{path}", gateway.place)).send().await.unwrap();
            assert_eq!(reply.status(), 200, "{method} {path} over HTTP/2");
        }
        let old = format!("OPTIONS {path} HTTP/1.0\r\n\r\n");
        assert_eq!(gateway.client.raw(old.as_bytes()).await.status, 200, "as balancers ask by default");
        assert_eq!(gateway.ask("POST", path, &[("host", "api.example")]).await.status, 403, "POST {path}");
        let two = format!("GET {path} HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n");
        assert_eq!(gateway.client.raw(two.as_bytes()).await.status, 400, "framing counts as ever");
    }
    for method in ["GET", "HEAD", "OPTIONS"] {
        let probe = gateway.control.send(gateway.control.request(method, "/readyz")).await;
        assert_eq!(probe.status, 200, "{method} of the admin listener");
    }
    assert_eq!(gateway.client.get("/a").await.status, 421, "clients are refused as before");
    assert_eq!(gateway.ask("GET", "/a", &[("host", "api.example")]).await.status, 403);
    assert_eq!(gateway.ask("GET", "/livezz", &[("host", "api.example")]).await.status, 403);
    gateway.stop(&[]).await;
}

#[tokio::test]
async fn a_wrong_file_changes_nothing_and_says_what_is_wrong() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let mut gateway = Gateway::start(&plain(&origin.place)).await;
    let file = gateway.folder.path().join("config.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, good.clone() + "limit: {}\n").unwrap();
    let reply = gateway.admin("POST", "/admin/v1/reload", None).await;
    assert_eq!((reply.status, &reply.json()["error"]["details"]["reason"]), (400, &json!("config")));
    assert!(reply.text().contains("did you mean `limits`"), "{}", reply.text());
    std::fs::remove_file(&file).unwrap();
    gateway.process.signal("HUP");
    until("the reload is refused", async || {
        let status = gateway.admin("GET", "/admin/v1/status", None).await.json();
        status["config"]["lastReload"]
            .as_str()
            .is_some_and(|said| said.starts_with("refused") && !said.contains("limit"))
    })
    .await;
    assert_eq!(gateway.client.get("/a").await.status, 200, "without a file, too");
    std::fs::write(&file, good).unwrap();
    assert_eq!(gateway.admin("POST", "/admin/v1/reload", None).await.status, 200);
    assert!(gateway.process.is_running());
    gateway.stop(&["config", "reload"]).await;
}

#[tokio::test]
async fn a_wrong_file_is_no_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    std::fs::write(&file, "version: 1\nserver: { listen: [\"127.0.0.1:0\"] }\nupstreams: {}\nlimit: {}\n").unwrap();
    let output = Command::new(program("addrgate")).args(["run", "--config"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("config.yaml:4:1") && said.contains("limits"), "{said}");
    assert!(said.contains("config.yaml:3:") && said.contains("at least one upstream"), "all of it: {said}");
}

#[tokio::test]
async fn a_full_disk_under_the_log_stops_nothing() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let [public, admin] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let text = plain(&origin.place).replace("{listen}", &public).replace("{admin}", &admin);
    std::fs::write(&file, text.replace("{token}", support::stack::ADMIN_TOKEN)).unwrap();
    // Every write fails as on a full disk.
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let mut command = Command::new(program("addrgate"));
    command.args(["run", "--config"]).arg(&file).stdin(Stdio::null()).stdout(full()).stderr(full());
    let mut child = command.spawn().unwrap();
    let client = Client::new(&format!("http://{public}"), "key");
    until("it answers", || async { client.reaches("/readyz").await }).await;
    for n in 0..200 {
        assert_eq!(client.get(&format!("/{n}")).await.status, 200);
    }
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(running);
}
