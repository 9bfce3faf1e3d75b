//! A gateway with a configuration of the test's own.

use std::process::Command;

use super::stack::ADMIN_TOKEN;
use super::{Client, Process, Reply, free_port, program, until};

/// A running gateway.
pub struct Gateway {
    pub client: Client,
    /// Asks the admin listener; add the token with [`Gateway::admin`].
    pub control: Client,
    /// `host:port` of the public listener.
    pub place: String,
    pub process: Process,
    /// Where its config.yaml is.
    pub folder: tempfile::TempDir,
}

impl Gateway {
    /// With `config`, in which `{listen}` and `{admin}` stand for free addresses.
    pub async fn start(config: &str) -> Self {
        Self::with(config, &[]).await
    }

    /// The same with more environment. `LISTEN`, `ADMIN` and `ADMIN_TOKEN` stand for themselves in it.
    pub async fn with(config: &str, environment: &[(&str, &str)]) -> Self {
        Self::launch(config, environment, true).await
    }

    /// With a public listener that plain clients can't use.
    pub async fn behind_a_balancer(config: &str) -> Self {
        Self::launch(config, &[], false).await
    }

    async fn launch(config: &str, environment: &[(&str, &str)], plain: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        let started = on_free_ports(plain, |public, admin| {
            let text = config.replace("{listen}", public).replace("{admin}", admin).replace("{token}", ADMIN_TOKEN);
            std::fs::write(&file, text).unwrap();
            let mut command = Command::new(program("addrgate"));
            command.args(["run", "--config"]).arg(&file);
            command.env("LISTEN", public).env("ADMIN", admin).env("ADMIN_TOKEN", ADMIN_TOKEN);
            command.envs(environment.iter().copied());
            command
        });
        let (process, place, admin) = started.await;
        let client = Client::new(&format!("http://{place}"), "key");
        Self { client, control: Client::new(&format!("http://{admin}"), ""), place, process, folder }
    }

    /// A request with these fields.
    pub async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Reply {
        let request = self.client.request(method, path);
        self.client.send(fields.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// Waits until it has read the invalidation log: before that it takes nothing from Redis.
    pub async fn log_is_read(&self) {
        until("the log is read", || async {
            self.admin("GET", "/admin/v1/status", None).await.json()["invalidation"]["log"] == "read"
        })
        .await;
    }

    /// A call of the admin API with the token.
    pub async fn admin(&self, method: &str, path: &str, body: Option<serde_json::Value>) -> Reply {
        let request = self.control.request(method, path).header("authorization", format!("Bearer {ADMIN_TOKEN}"));
        self.control
            .send(match body {
                Some(body) => request.json(&body),
                None => request,
            })
            .await
    }

    /// The value of a metric's line that begins with `name`, 0 where there is none.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.admin("GET", "/metrics", None).await.text();
        text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// Stops it, and panics if it did not end well or logged what nobody expected.
    pub async fn stop(mut self, expected: &[&str]) {
        let ended = self.process.stop().await;
        assert!(ended.success(), "addrgate ended with {ended}");
        self.process.assert_clean(expected);
    }
}

/// Starts `command`, a gateway on free ports, public and admin; on others when somebody else was faster. Gives their
/// `host:port`, too, once it is ready on the admin listener, and where it is `plain` on the public one.
pub async fn on_free_ports(plain: bool, command: impl Fn(&str, &str) -> Command) -> (Process, String, String) {
    for attempt in 0.. {
        let [public, admin] = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
        let mut process = Process::start("addrgate", command(&public, &admin));
        let [client, control] = [&public, &admin].map(|place| Client::new(&format!("http://{place}"), ""));
        until("the gateway is ready or over", || async {
            control.reaches("/readyz").await && (!plain || client.reaches("/readyz").await)
                || process.lines().iter().any(|line| line.contains("can't listen"))
        })
        .await;
        if process.is_running() || attempt == 3 {
            return (process, public, admin);
        }
    }
    unreachable!("the loop returns")
}

/// Everything is cached as the origin says, for anyone; of what clients say the origin sees the language.
pub fn plain(origin: &str) -> String {
    format!(
        "version: 1
server: {{ listen: [\"{{listen}}\"], threads: 2 }}
admin: {{ listen: \"{{admin}}\", token: \"{{token}}\" }}
compression: {{ enabled: false }}
upstreams:
  origin: {{ addresses: [\"{origin}\"], health: {{ interval: 60s }} }}
routes:
  - name: read
    paths: [/read/**]
    methods: [POST, QUERY]
    auth: none
    answers: any
    body: {{ max: 64KiB }}
    cache: {{ methods: [POST, QUERY], key: {{ body: json }}, lifetimes: {{ jitter: 0, request_directives: true }} }}
  - name: everything
    paths: [/**]
    methods: [GET, POST, PUT, DELETE]
    auth: none
    answers: any
    body: {{ max: 1MiB, type: any }}
    forward: [accept-language]
    cache: {{ methods: [GET], lifetimes: {{ jitter: 0, request_directives: true }} }}
"
    )
}
