//! What the tests of the running service stand on: the real program over a copy of the sample data.
//! Used by `#[path = "../support/lib.rs"] mod support;`, so that each test program takes of it what it needs.
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "../../../tests/support/database.rs"]
pub mod database;
#[path = "../../../tests/support/http.rs"]
pub mod http;
#[path = "../../../tests/support/process.rs"]
pub mod process;
#[path = "../../../tests/support/waiting.rs"]
pub mod waiting;

use std::path::PathBuf;
use std::process::Command;

pub use self::database::Database;
pub use self::http::{Client, Reply};
use self::process::Process;
pub use self::waiting::{PATIENCE, given, until};

/// The program.
pub fn program(name: &str) -> PathBuf {
    assert_eq!(name, "address-service");
    PathBuf::from(env!("CARGO_BIN_EXE_address-service"))
}

/// `address-service serve`, and a client to ask it.
pub struct Service {
    pub client: Client,
    pub process: Process,
}

impl Service {
    /// Starts it with these arguments and this environment, and waits until it is ready (`ready_path` answers 200).
    pub async fn start(arguments: &[&str], environment: &[(&str, &str)], ready_path: &str) -> Self {
        let mut command = Command::new(program("address-service"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--pool-size", "4"]).args(arguments);
        command.env_remove("DATABASE_URL").env_remove("ADDRGATE_ADMIN_TOKEN");
        command.envs(environment.iter().copied());
        let mut process = Process::start("address-service", command);
        let line = process.line("listening", |line| line["message"] == "listening").await;
        let client = Client::new(&format!("http://{}", line["address"].as_str().unwrap()), "");
        until("the service is ready", || async { client.reaches(ready_path).await }).await;
        Self { client, process }
    }

    /// Stops it, and panics if it did not end well or logged what nobody expected.
    pub async fn stop(mut self, expected: &[&str]) {
        let ended = self.process.stop().await;
        assert!(ended.success(), "address-service ended with {ended}");
        // It is asked whether it is ready before it is.
        self.process.assert_clean(&[expected, &["/health/ready"]].concat());
    }

    /// Over a database.
    pub async fn over(database: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let environment = [environment, &[("DATABASE_URL", database)]].concat();
        Self::start(arguments, &environment, "/api/v1/health/ready").await
    }
}

/// The one value that a query gives, as text.
pub async fn text(database: &Database, sql: &str) -> String {
    let (client, connection) = tokio_postgres::connect(&database.url(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let row = client.query_one(&format!("SELECT ({sql})::text"), &[]).await;
    row.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get::<_, Option<String>>(0).unwrap_or_default()
}
