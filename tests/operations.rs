//! The calls that docs/operations.md shows, made as it shows them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::process::Command;

use serde_json::Value;
use support::gateway::plain;
use support::origin::pause;
use support::stack::ADMIN_TOKEN;
use support::{Answer, Gateway, Origin, Process, program, project, until};

#[tokio::test]
async fn the_admin_calls_of_the_page_work() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let config = plain(&origin.place).replace("  origin: {", "  address-service: {");
    let mut gateway = Gateway::start(&config).await;
    let page = std::fs::read_to_string(project("docs/operations.md")).unwrap();
    let admin = gateway.control.base.clone();
    let function = page.lines().find(|line| line.starts_with("admin() {")).expect("the page defines `admin`");
    let function = function.replace("http://127.0.0.1:9901", &admin);
    let calls: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `admin ")?.split('`').next())
        // It ends the process, so it comes last.
        .filter(|call| !call.contains("drain"))
        .chain(["/admin/v1/drain -X POST"])
        .collect();
    assert!(calls.len() >= 10, "{calls:?}");
    for call in calls {
        let script = format!("{function}\nadmin {call} --fail-with-body");
        let run =
            move || Command::new("bash").args(["-euc", &script]).env("ADDRGATE_ADMIN_TOKEN", ADMIN_TOKEN).output();
        let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "admin {call}: {} {text}", output.status);
        match call {
            "/metrics" => assert!(text.contains("addrgate_uptime_seconds"), "{text}"),
            _ => assert!(serde_json::from_str::<Value>(&text).is_ok_and(|body| body.is_object()), "{call}: {text}"),
        }
    }
    assert!(gateway.process.end().await.success(), "a drain is an orderly stop");
}

#[tokio::test]
async fn without_a_socket_nothing_is_handed_over() {
    let origin = Origin::start(|_| async { Answer::json("{}") }).await;
    let mut gateway = Gateway::start(&plain(&origin.place)).await;
    gateway.process.signal("QUIT");
    until("it says so", async || gateway.process.lines().iter().any(|line| line.contains("server.upgrade_socket")))
        .await;
    assert!(gateway.process.is_running());
    assert_eq!(gateway.client.get("/readyz").await.status, 200);
    gateway.stop(&["server.upgrade_socket"]).await;
}

#[tokio::test]
async fn an_upgrade_loses_no_request() {
    let (origin, folder) = (Origin::start(|_| async { Answer::json("{}") }).await, tempfile::tempdir().unwrap());
    let socket = format!("threads: 2, upgrade_socket: {:?}", folder.path().join("upgrade"));
    let mut old = Gateway::start(&plain(&origin.place).replace("threads: 2", &socket)).await;
    let mut command = Command::new(program("addrgate"));
    command.args(["run", "--upgrade", "--config"]).arg(old.folder.path().join("config.yaml"));
    let mut new = Process::start("addrgate", command);
    old.process.signal("QUIT");
    let ask = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let ready = ask.strip_prefix(b"GET /a").map(|rest| [b"GET /readyz", rest].concat()).unwrap();
    let begun = tokio::time::Instant::now();
    while old.process.is_running() {
        assert!(begun.elapsed().as_secs() < 60, "the old process stays");
        assert_eq!(old.client.raw(ask).await.status, 200);
        // Whoever is asked, a balancer sees no gap.
        assert_eq!(old.client.raw(&ready).await.status, 200);
        pause(10).await;
    }
    assert!(old.process.end().await.success());
    for _ in 0..10 {
        assert_eq!(old.client.raw(ask).await.status, 200, "the new process serves");
    }
    assert!(new.stop().await.success());
    // Whichever is first tries again.
    new.assert_clean(&["transfer_fd"]);
    old.process.assert_clean(&["transfer_fd"]);
}

#[tokio::test]
async fn a_signal_that_comes_at_the_start_is_handled_as_any_later() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.yaml");
    let config = plain("127.0.0.1:1").replace("{listen}", "127.0.0.1:0").replace("{admin}", "127.0.0.2:0");
    std::fs::write(&file, config.replace("{token}", "a-token-of-enough-length")).unwrap();
    for signals in [&["TERM"][..], &["HUP", "TERM"], &["INT"], &["TERM"], &["HUP", "TERM"]] {
        let mut command = Command::new(program("addrgate"));
        command.args(["run", "--config"]).arg(&file);
        let mut process = Process::start("addrgate", command);
        // At once, before all that it starts with is at work.
        while !process.lines().iter().any(|line| line.contains("addrgate starts")) {
            assert!(process.is_running());
            tokio::task::yield_now().await;
        }
        for signal in signals {
            process.signal(signal);
        }
        let ended = process.end().await;
        assert!(ended.success(), "{signals:?}: {ended}");
        process.assert_clean(&[]);
    }
}
