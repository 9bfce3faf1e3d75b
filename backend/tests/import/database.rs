//! A database of its own for each test, gone at the end.

use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::{Client, NoTls, Row};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A fresh database.
pub(crate) struct Database {
    server: String,
    name: String,
    url: String,
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the test server answers");
    tokio::spawn(connection);
    client
}

impl Database {
    /// An empty database, nothing migrated.
    pub(crate) fn empty() -> Self {
        let server = std::env::var("TEST_DATABASE_URL")
            .expect("TEST_DATABASE_URL must name a PostgreSQL server with PostGIS where databases may be created");
        let name = format!("import_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let (before, query) = server.split_once('?').unwrap_or((&server, ""));
        let (host, _) = before.rsplit_once('/').expect("TEST_DATABASE_URL ends in /database");
        let url = format!("{host}/{name}{}{query}", if query.is_empty() { "" } else { "?" });
        block_on(async { connect(&server).await.batch_execute(&format!("CREATE DATABASE {name}")).await }).unwrap();
        Self { server, name, url }
    }

    /// A database with the schema.
    pub(crate) fn new() -> Self {
        let database = Self::empty();
        database.run(&["migrate"]).success();
        database
    }

    /// Runs `address-service` on it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(env!("CARGO_BIN_EXE_address-service"));
        command.args(arguments).env("DATABASE_URL", &self.url).env_remove("ADDRESS_SERVICE_LOG");
        Finished(command.output().unwrap())
    }

    /// Imports one path.
    pub(crate) fn import(&self, path: &std::path::Path) -> Finished {
        self.run(&["import", path.to_str().unwrap()])
    }

    /// Runs a query.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Row> {
        block_on(async { connect(&self.url).await.query(sql, &[]).await }).unwrap()
    }

    /// The one number or text, as text, that a query gives.
    pub(crate) fn one(&self, sql: &str) -> String {
        let rows = self.rows(&format!("SELECT ({sql})::text"));
        rows[0].get::<_, Option<String>>(0).unwrap_or_default()
    }

    /// Runs a statement while `work` goes on over its connection.
    pub(crate) fn holding<T>(&self, sql: &str, work: impl FnOnce() -> T) -> T {
        block_on(async {
            let client = connect(&self.url).await;
            client.batch_execute(sql).await.unwrap();
            work()
        })
    }

    /// Everything that is served, in one text, to compare before and after.
    pub(crate) fn contents(&self) -> String {
        let tables = [
            "dataset",
            "code",
            "locality",
            "locality_alias",
            "locality_neighbour",
            "street",
            "street_alias",
            "address",
            "address_alias",
            "address_secondary",
            "mesh_block",
            "area",
            "area_piece",
            "address_area",
            "locality_name",
            "locality_postcode",
            "street_name",
            "street_word",
            "area_statistics",
        ];
        let digest = |table| self.one(&format!("SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} t"));
        tables.map(|table| format!("{table} {}", digest(table))).join("\n")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let server = self.server.clone();
        // A test of its own runtime may be ending on this thread.
        let dropped = std::thread::spawn(move || block_on(async { connect(&server).await.batch_execute(&drop).await }));
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("{} is left behind: {error}", self.name);
        }
    }
}

/// What a run of the binary gave.
pub(crate) struct Finished(Output);

impl Finished {
    /// Its standard output, after checking that it went well.
    #[track_caller]
    pub(crate) fn success(&self) -> String {
        assert!(self.0.status.success(), "{}", String::from_utf8_lossy(&self.0.stderr));
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    /// The reason it gave, after checking that it failed as a program does that can say why.
    #[track_caller]
    pub(crate) fn failure(&self) -> String {
        assert_eq!(self.0.status.code(), Some(1), "{}", String::from_utf8_lossy(&self.0.stdout));
        let log = String::from_utf8(self.0.stderr.clone()).unwrap();
        let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        last["error"].as_str().unwrap().to_owned()
    }

    /// The exit code.
    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }
}

/// A line of the closing table: its numbers.
#[track_caller]
pub(crate) fn numbers(output: &str, table: &str) -> Vec<u64> {
    let line = output
        .lines()
        .find(|line| line.split_whitespace().next() == Some(table))
        .unwrap_or_else(|| panic!("no {table} in\n{output}"));
    line.split_whitespace().skip(1).map(|number| number.parse().unwrap()).collect()
}
