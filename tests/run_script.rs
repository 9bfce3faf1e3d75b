//! What `make run` does, in a folder and on ports of its own: everything comes up, the lines it prints work, Ctrl-C stops
//! everything, the second run makes and imports nothing again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use support::{Process, program, project};

/// A run in `folder`; everything it starts belongs to its process group.
struct Run {
    script: Process,
    ports: Vec<u16>,
    folder: std::path::PathBuf,
}

impl Run {
    async fn start(folder: &Path) -> Self {
        let ports = [support::free_port(), support::free_port(), support::free_port()];
        let mut run = Self { script: spawn(folder, ports), ports: ports.to_vec(), folder: folder.to_owned() };
        run.script.text("Ctrl-C stops everything").await;
        run
    }

    /// The same with two gateways and a Redis Cluster.
    async fn start_cluster(folder: &Path) -> Self {
        let ports = [support::free_port(), support::free_port(), support::free_port()];
        let [gateway, admin] = [support::free_port(), support::free_port()];
        // Six in a row, and beside them, 10,000 higher, those of the cluster's bus. `free_port` gives none of them.
        let redis = 7200 + (std::process::id() % 400) as u16 * 6;
        let mut command = script(folder, ports);
        command.arg("cluster").env("ADDRGATE_PORT_2", gateway.to_string());
        command.env("ADDRGATE_ADMIN_PORT_2", admin.to_string()).env("REDIS_PORT", redis.to_string());
        let script = Process::start("scripts/run.sh", command);
        let ports = ports.into_iter().chain([gateway, admin]).chain(redis..redis + 6).collect();
        let mut run = Self { script, ports, folder: folder.to_owned() };
        run.script.text("Ctrl-C stops everything").await;
        run
    }

    /// Runs the `curl` lines that it printed, as a person would, in the project's folder.
    fn suggestions(&self) -> Vec<Output> {
        let lines = self.script.lines();
        let lines = lines.iter().filter(|line| line.trim_start().starts_with("curl "));
        lines.map(|line| Command::new("bash").args(["-c", line]).current_dir(project(".")).output().unwrap()).collect()
    }

    fn all_is_gone(&self) {
        for port in &self.ports {
            assert!(std::net::TcpStream::connect(("127.0.0.1", *port)).is_err(), "port {port} is still served");
        }
        let pid = postgres("pid", &self.folder);
        assert!(!pid.status.success(), "PostgreSQL still runs: {}", String::from_utf8_lossy(&pid.stdout));
        let left: Vec<_> = std::fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".pid")), "{left:?}");
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.script.is_running() {
            self.script.signal("TERM");
            self.script.give_up_after(support::PATIENCE);
        }
        postgres("remove", &self.folder);
    }
}

fn spawn(folder: &Path, ports: [u16; 3]) -> Process {
    Process::start("scripts/run.sh", script(folder, ports))
}

fn script(folder: &Path, ports: [u16; 3]) -> Command {
    let mut command = Command::new("bash");
    command.arg(project("scripts/run.sh")).process_group(0);
    let [gateway, service, admin] = ports.map(|port| port.to_string());
    command.env("ADDRGATE_PORT", gateway).env("ADDRESS_SERVICE_PORT", service).env("ADDRGATE_ADMIN_PORT", admin);
    command.env("ADDRGATE_RUN_DIR", folder).env("ADDRGATE_PROGRAMS", program("addrgate").parent().unwrap());
    command.env("POSTGRES_OPTIONS", "-c fsync=off");
    program("address-service");
    command
}

fn postgres(action: &str, folder: &Path) -> Output {
    let script = project("scripts/postgres.sh");
    Command::new("bash").arg(script).arg(action).arg(folder.join("postgres")).output().unwrap()
}

#[tokio::test]
async fn one_command_brings_everything_up_and_ctrl_c_takes_it_down() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("with a space");
    let mut run = Run::start(&folder).await;
    let key = folder.join("api-key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600, "the key is for its owner");
    let first_key = std::fs::read_to_string(&key).unwrap();
    let outputs = run.suggestions();
    assert_eq!(outputs.len(), 3, "three lines to try");
    for output in outputs {
        let answer = String::from_utf8_lossy(&output.stdout);
        let body: serde_json::Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{output:?}"));
        let good = body["isValid"] == true
            || body["success"] == true
            || body["results"].as_array().is_some_and(|all| !all.is_empty());
        assert!(good, "a suggested line does not show a good answer: {body}");
    }
    run.script.signal("INT");
    assert!(run.script.end().await.success(), "{:?}", run.script.lines());
    run.all_is_gone();
    for log in ["addrgate.log", "address-service.log"] {
        assert!(!std::fs::read_to_string(folder.join(log)).unwrap().contains(first_key.trim()), "the key is in {log}");
    }

    let ports = [run.ports[0], run.ports[1], run.ports[2]];
    let mut second = Run { script: spawn(&folder, ports), ports: run.ports.clone(), folder: folder.clone() };
    second.script.text("Ctrl-C stops everything").await;
    let said = second.script.lines().join("\n");
    assert!(!said.contains("building") && !said.contains("importing"), "all was there already: {said}");
    assert_eq!(std::fs::read_to_string(&key).unwrap(), first_key, "the key stays");

    // A third one beside it says so and leaves it alone.
    let mut third = spawn(&folder, ports);
    assert!(!third.end().await.success());
    assert!(third.lines().join("\n").contains("running already"), "{:?}", third.lines());

    // When a part dies, the rest does not linger.
    let pid = std::fs::read_to_string(folder.join("service.pid")).unwrap();
    assert!(Command::new("kill").args(["-s", "KILL", pid.trim()]).status().unwrap().success());
    assert!(!second.script.end().await.success());
    assert!(second.script.lines().join("\n").contains("address-service stopped"), "{:?}", second.script.lines());
    second.all_is_gone();
}

#[tokio::test]
async fn a_port_in_use_is_said_before_anything_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut script = spawn(folder.path(), [port, support::free_port(), support::free_port()]);
    assert!(!script.end().await.success());
    let said = script.lines().join("\n");
    assert!(said.contains(&format!("port {port} is in use")) && said.contains("ADDRGATE_PORT"), "{said}");
    assert!(!folder.path().join("postgres").exists(), "nothing was made");
}

#[tokio::test]
async fn the_cluster_comes_up_shares_and_goes_down_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::start_cluster(folder.path()).await;
    let outputs = run.suggestions();
    assert_eq!(outputs.len(), 4, "three questions and a purge");
    let purge: serde_json::Value = serde_json::from_slice(&outputs[3].stdout).unwrap();
    assert_eq!(purge, serde_json::json!({"confirmed": true, "applied": 2, "instances": 2}));

    let key = std::fs::read_to_string(folder.path().join("api-key")).unwrap();
    let [one, two] = [run.ports[0], run.ports[3]];
    let ask = async |port: u16| {
        let client = support::Client::new(&format!("http://127.0.0.1:{port}"), key.trim());
        client.get("/api/v1/addresses/search?q=24+firebrace+st+horsham").await
    };
    assert_eq!(ask(one).await.header("x-cache"), "MISS");
    support::until("the other gateway has it from Redis", || async { ask(two).await.header("x-cache") == "HIT" }).await;

    run.script.signal("INT");
    assert!(run.script.end().await.success(), "{:?}", run.script.lines());
    run.all_is_gone();
    let left = std::fs::read_dir(folder.path().join("redis")).unwrap();
    assert!(!left.flatten().any(|entry| entry.path().extension().is_some_and(|end| end == "pid")), "Redis cleaned up");
}
