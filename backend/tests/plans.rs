//! No statement of the service reads a large table from end to end: with sequential scans forbidden, PostgreSQL still plans
//! one, or walks an index without a condition, where and only where no index fits the predicate. Generic plans, because the
//! service prepares its statements.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio_postgres::{Client, NoTls};

/// They grow with the country; what is left out (codes, states, releases) stays small.
const LARGE: &[&str] = &[
    "address",
    "address_alias",
    "address_area",
    "address_secondary",
    "area",
    "area_piece",
    "area_statistics",
    "locality",
    "locality_alias",
    "locality_name",
    "locality_neighbour",
    "locality_postcode",
    "mesh_block",
    "street",
    "street_alias",
    "street_name",
    "street_word",
];

fn statements() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sql");
    let of = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "sql")).collect()
    };
    // The statements of the import are meant to read whole tables, and so is the sum per state over all localities, of which
    // the country has 16,000; its answer is kept for minutes.
    let mut found = [of(&folder), of(&folder.join("lookup"))].concat();
    found.retain(|path| !path.ends_with("coverage.sql"));
    found.sort();
    found
}

async fn plan(client: &Client, statement: &str) -> Value {
    client.batch_execute(&format!("PREPARE asked AS {statement}")).await.unwrap();
    let row = client
        .query_one("SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'asked'", &[])
        .await
        .unwrap();
    let count: i32 = row.get(0);
    let arguments = match count {
        0 => String::new(),
        _ => format!("({})", vec!["NULL"; count as usize].join(", ")),
    };
    let row = client.query_one(&format!("EXPLAIN (FORMAT JSON) EXECUTE asked{arguments}"), &[]).await.unwrap();
    client.batch_execute("DEALLOCATE asked").await.unwrap();
    row.get(0)
}

/// The large tables that a plan reads whole.
fn read_whole(plan: &Value) -> Vec<&'static str> {
    let mut found = Vec::new();
    match plan {
        Value::Array(parts) => parts.iter().for_each(|part| found.extend(read_whole(part))),
        Value::Object(node) => {
            let kind = node.get("Node Type").and_then(Value::as_str).unwrap_or_default();
            let bounded = ["Index Cond", "Order By"].iter().any(|key| node.contains_key(*key));
            let table = node.get("Relation Name").and_then(Value::as_str).unwrap_or_default();
            // A bitmap's index has no table beside it; its heap scan has.
            let bounded = bounded || (kind == "Bitmap Heap Scan" && node.contains_key("Recheck Cond"));
            if kind == "Seq Scan" || (kind == "Bitmap Heap Scan" && !bounded) || (kind.contains("Index") && !bounded) {
                found.extend(LARGE.iter().find(|large| **large == table).copied());
            }
            node.values().for_each(|value| found.extend(read_whole(value)));
        }
        _ => {}
    }
    found
}

/// A copy of the sample, with rows where it has none: of an empty table any plan is as good as another.
async fn database(server: &str, name: &str) -> Client {
    let template = std::env::var("TEST_TEMPLATE").expect("TEST_TEMPLATE is set by `make test`");
    let admin = connect(&format!("{server}/postgres")).await;
    admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await.unwrap();
    let client = connect(&format!("{server}/{name}")).await;
    client
        .batch_execute(
            "CREATE TEMP TABLE pair AS
               SELECT pid AS a, lead(pid) OVER (ORDER BY pid) AS b FROM address ORDER BY pid LIMIT 20000;
             INSERT INTO address_alias SELECT a, b, 'SYN', 'test' FROM pair WHERE b IS NOT NULL ON CONFLICT DO NOTHING;
             INSERT INTO address_secondary SELECT a, b, 'test' FROM pair WHERE b IS NOT NULL ON CONFLICT DO NOTHING;
             INSERT INTO locality_neighbour
               SELECT a.pid, b.pid, 'test' FROM locality a, locality b WHERE a.pid <> b.pid ON CONFLICT DO NOTHING;
             UPDATE address SET street_pid = NULL WHERE pid IN (SELECT pid FROM address ORDER BY pid DESC LIMIT 4000);
             ANALYZE;
             SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;
             -- Of small tables these would read all, index or not.
             SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off",
        )
        .await
        .unwrap();
    client
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn every_statement_can_use_an_index() {
    let place = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL is set by `make test`");
    let (server, _) = place.rsplit_once('/').unwrap();
    let name = format!("plans_test_{}", std::process::id());
    let client = database(server, &name).await;
    // The test can fail.
    assert_eq!(read_whole(&plan(&client, "SELECT 1 FROM address WHERE building_name = $1").await), ["address"]);
    let all = statements();
    assert!(all.len() > 20, "{all:?}");
    let mut wrong = Vec::new();
    for path in all {
        let statement = std::fs::read_to_string(&path).unwrap();
        let plan = plan(&client, &statement).await;
        for table in read_whole(&plan) {
            wrong.push(format!("{} reads all of {table}:\n{plan:#}", path.file_name().unwrap().display()));
        }
    }
    drop(client);
    connect(&format!("{server}/postgres"))
        .await
        .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
        .await
        .unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
