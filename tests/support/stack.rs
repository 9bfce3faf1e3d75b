//! Gateway, address service and database, put together as in production.

use std::process::Command;

use super::gateway::on_free_ports;
use super::{Client, Database, Process, database, program, project, until};

/// The key of the tests. Its digest goes to the gateway, which knows no other.
const KEY: &str = "test-key-of-the-black-box-tests-not-a-secret";
const DIGEST: &str = "sha256:60b52f873112a6cef2801c50048db5e9575c603d47054a013023fa09779cce9d";

/// What the gateway's admin listener asks for.
pub const ADMIN_TOKEN: &str = "test-admin-token-of-the-black-box-tests";

/// What a test wants otherwise.
#[derive(Default)]
pub struct Wishes {
    /// A database of its own; without it the shared one, which must not be changed.
    pub database_url: Option<String>,
    /// More environment for the gateway.
    pub gateway: Vec<(&'static str, String)>,
    /// More arguments for the address service.
    pub service: Vec<&'static str>,
}

/// Everything running, and a client to ask it.
pub struct Stack {
    pub client: Client,
    /// Asks the address service without the gateway.
    pub direct: Client,
    pub gateway: Process,
    pub service: Process,
    /// Base URL of the gateway's admin listener.
    pub admin: String,
    /// Texts in log lines that this test provokes.
    expected: Vec<&'static str>,
}

impl Stack {
    /// On the shared sample data, which must not be changed.
    pub async fn start() -> Self {
        Self::with(Wishes::default()).await
    }

    /// On a copy of the sample data.
    pub async fn on(database: &Database) -> Self {
        Self::with(Wishes { database_url: Some(database.url()), ..Wishes::default() }).await
    }

    /// As wished.
    pub async fn with(wishes: Wishes) -> Self {
        let mut command = Command::new(program("address-service"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--pool-size", "4"]).args(&wishes.service);
        command.env("DATABASE_URL", wishes.database_url.unwrap_or_else(database::shared_url));
        let mut service = Process::start("address-service", command);
        let place = listening(&mut service).await;
        let direct = Client::new(&format!("http://{place}"), KEY);

        let (gateway, client, admin) = start_gateway(&place, wishes.gateway).await;
        until("the gateway reaches the service", || async { client.reaches("/api/v1/health/ready").await }).await;
        // Asked before the database had answered.
        Self { client, direct, gateway, service, admin, expected: vec!["/api/v1/health/ready"] }
    }

    /// Lines of log with this text are no surprise.
    pub fn expect_log(&mut self, text: &'static str) {
        self.expected.push(text);
    }

    /// Stops everything, and panics if a program did not end well or logged what nobody expected.
    pub async fn stop(mut self) {
        let ended = self.gateway.stop().await;
        assert!(ended.success(), "addrgate ended with {ended}");
        let ended = self.service.stop().await;
        assert!(ended.success(), "address-service ended with {ended}");
        self.gateway.assert_clean(&self.expected);
        self.service.assert_clean(&self.expected);
    }
}

/// A gateway with the shipped configuration; a client of it and the admin listener's base URL.
pub async fn start_gateway(upstream: &str, more: Vec<(&'static str, String)>) -> (Process, Client, String) {
    let started = on_free_ports(false, |public, admin| {
        let mut command = Command::new(program("addrgate"));
        command.args(["run", "--config"]).arg(project("config.yaml"));
        command.env("ADDRGATE_LISTEN", public).env("ADDRGATE_ADMIN", admin).env("ADDRGATE_ADMIN_TOKEN", ADMIN_TOKEN);
        command.env("ADDRGATE_UPSTREAM", upstream).env("ADDRGATE_KEY_SHA256", DIGEST);
        // Tests ask faster than clients may.
        command.env("ADDRGATE_LIMIT", "1000000/15m").env("ADDRGATE_BURST", "1000000/1m");
        command.envs(more.iter().map(|(name, value)| (name, value)));
        command
    });
    let (process, public, admin) = started.await;
    (process, Client::new(&format!("http://{public}"), KEY), format!("http://{admin}"))
}

/// Where the address service, just started, listens.
async fn listening(process: &mut Process) -> String {
    let line = process.line("listening", |line| line["message"] == "listening").await;
    line["address"].as_str().unwrap_or_else(|| panic!("no address in {line}")).to_owned()
}
