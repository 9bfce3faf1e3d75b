//! A database of its own for each test, gone at the end.

use std::process::{Command, Output};

use tokio_postgres::{Client, NoTls, Row};

use crate::support::{self, program};

/// A fresh database.
pub(crate) struct Database(support::Database);

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
        Self(block_on(support::Database::empty()))
    }

    /// A database with the schema.
    pub(crate) fn new() -> Self {
        let database = Self::empty();
        database.run(&["migrate"]).success();
        database
    }

    /// Runs `address-service` on it.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = Command::new(program("address-service"));
        command.args(arguments).env("DATABASE_URL", self.0.url()).env_remove("ADDRESS_SERVICE_LOG");
        Finished(command.output().unwrap())
    }

    /// Imports one path.
    pub(crate) fn import(&self, path: &std::path::Path) -> Finished {
        self.run(&["import", path.to_str().unwrap()])
    }

    /// Runs a query.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Row> {
        block_on(async { connect(&self.0.url()).await.query(sql, &[]).await }).unwrap()
    }

    /// The one number or text, as text, that a query gives.
    pub(crate) fn one(&self, sql: &str) -> String {
        let rows = self.rows(&format!("SELECT ({sql})::text"));
        rows[0].get::<_, Option<String>>(0).unwrap_or_default()
    }

    /// Runs a statement while `work` goes on over its connection.
    pub(crate) fn holding<T>(&self, sql: &str, work: impl FnOnce() -> T) -> T {
        block_on(async {
            let client = connect(&self.0.url()).await;
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

    /// The lines of its log.
    pub(crate) fn log(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
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
