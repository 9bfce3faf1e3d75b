//! Databases for tests: copies of the sample data, gone afterwards.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::NoTls;

use super::{given, program};

/// A database of one test's own, dropped with the value.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// A copy of the sample data, to be changed at will.
    pub async fn copy() -> Self {
        Self::create(&format!("TEMPLATE {}", given("TEST_TEMPLATE"))).await
    }

    /// Nothing in it, not even the schema.
    pub async fn empty() -> Self {
        Self::create("").await
    }

    async fn create(clause: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = given("TEST_DATABASE_URL");
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        execute(&server, &format!("CREATE DATABASE {name} {clause}")).await;
        Self { server, name }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn url(&self) -> String {
        beside(&self.server, &self.name)
    }

    /// Runs statements in it.
    pub async fn execute(&self, statements: &str) {
        execute(&self.url(), statements).await;
    }

    /// The server's log lines about this database at ERROR or worse.
    pub fn errors(&self) -> Vec<String> {
        let path = given("TEST_POSTGRES_LOG");
        let log = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mine = format!(",{},", self.name);
        let bad = ["ERROR:", "FATAL:", "PANIC:"];
        log.lines()
            .filter(|line| line.contains(&mine) && bad.iter().any(|bad| line.contains(bad)))
            .map(str::to_owned)
            .collect()
    }
}

/// A copy of the sample data that all tests share, for those that change nothing.
pub fn shared_url() -> String {
    beside(&given("TEST_DATABASE_URL"), &given("TEST_SAMPLE"))
}

fn beside(server: &str, name: &str) -> String {
    let (place, _) = server.rsplit_once('/').expect("a URL with a database name");
    format!("{place}/{name}")
}

async fn execute(url: &str, statements: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the test database answers");
    let connection = tokio::spawn(connection);
    client.batch_execute(statements).await.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    drop(client);
    let _ = connection.await;
}

/// Runs a command of the address service on the database at `url` to its end.
pub fn administer(url: &str, arguments: &[&str]) {
    let output = Command::new(program("address-service"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("DATABASE_URL", url)
        .output()
        .unwrap();
    assert!(output.status.success(), "address-service {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, statement) = (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // A runtime of its own, because the test's may be going down with a panic.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(execute(&server, &statement));
        });
        if dropped.join().is_err() {
            eprintln!("{} could not be dropped; it goes with the test's PostgreSQL", self.name);
        }
    }
}
