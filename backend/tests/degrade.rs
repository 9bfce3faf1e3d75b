//! `X-Degrade: no-fuzzy` really saves the database the tolerant stage, wherever an address is looked up, and the answer says
//! that it is less.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "support/lib.rs"]
mod support;

use serde_json::{Value, json};

use support::{Database, Reply, Service, given};

/// The statements of that stage, by the comment they begin with.
fn tolerant() -> Vec<String> {
    ["streets_alike", "streets_elsewhere", "streets_near", "localities_alike", "words_alike", "addresses_off_street"]
        .iter()
        .map(|name| {
            let file = format!("{}/src/sql/lookup/{name}.sql", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(file).unwrap().lines().next().unwrap().to_owned()
        })
        .collect()
}

/// How many of these the server has executed for this database, by its log.
fn executed(database: &Database) -> usize {
    let log = std::fs::read(given("TEST_POSTGRES_LOG")).unwrap();
    let (log, mine, tolerant) = (String::from_utf8_lossy(&log), format!(",{},", database.name()), tolerant());
    let lines = log.lines().filter(|line| line.contains(&mine) && line.contains("execute"));
    lines.filter(|line| tolerant.iter().any(|statement| line.contains(statement))).count()
}

async fn ask(service: &Service, question: &(&str, &str, Value), hint: bool) -> Reply {
    let (method, path, body) = question;
    let mut request = service.client.request(method, path);
    if hint {
        request = request.header("x-degrade", "no-fuzzy");
    }
    if *method == "POST" {
        request = request.json(body);
    }
    service.client.send(request).await
}

#[tokio::test]
async fn the_tolerant_stage_is_skipped_everywhere_and_the_answer_says_so() {
    let database = Database::copy().await;
    database.execute(&format!("ALTER DATABASE {} SET log_statement = 'all'", database.name())).await;
    let service = Service::over(&database.url(), &[], &[]).await;
    let misspelt = json!({"address": "24 Firebrase Street, Horsham VIC 3400"});
    let batch = json!({"addresses": [{"id": 1, "address": misspelt["address"]}]});
    let operations = json!({"operations": [
        {"id": 1, "type": "proximity", "parameters": misspelt}, {"id": 2, "type": "statistical", "parameters": misspelt}
    ]});
    for question in [
        ("GET", "/api/v1/addresses/search?q=24+firebrase+street+horsham", Value::Null),
        ("POST", "/api/v1/addresses/validate", misspelt.clone()),
        ("POST", "/api/v1/addresses/geocode", misspelt.clone()),
        ("POST", "/api/v1/addresses/batch/validate", batch),
        ("POST", "/api/v1/spatial/proximity", misspelt.clone()),
        ("POST", "/api/v1/spatial/statistical-areas", misspelt.clone()),
        ("POST", "/api/v1/spatial/batch/analyze", operations),
    ] {
        let path = question.1;
        let before = executed(&database);
        let less = ask(&service, &question, true).await;
        assert_eq!(executed(&database), before, "{path} asks the tolerant statements");
        let full = ask(&service, &question, false).await;
        assert!(executed(&database) > before, "{path} does not ask them without the hint: this tests nothing");
        assert_eq!(full.status, 200, "{path}: {}", full.text());
        assert!(!full.headers.contains_key("x-degraded"), "{path}");
        assert_ne!(less.json(), full.json(), "{path}");
        if path.contains("/spatial/") {
            // Not "no such address", which would be wrong.
            assert_eq!((less.status, less.code().as_str()), (503, "SERVICE_UNAVAILABLE"), "{path}: {}", less.text());
        } else {
            assert_eq!((less.status, less.header("x-degraded")), (200, "no-fuzzy"), "{path}: {}", less.text());
            let kept = less.header("cache-control");
            assert!(kept == "no-store" || kept.contains("max-age=60,"), "{path} is kept: {kept}");
        }
    }
    // What is written right is answered as always.
    let right = json!({"address": "24 Firebrace Street, Horsham VIC 3400"});
    for question in [
        ("POST", "/api/v1/addresses/validate", right.clone()),
        ("POST", "/api/v1/addresses/geocode", right.clone()),
        ("POST", "/api/v1/spatial/proximity", right),
        ("GET", "/api/v1/addresses/search?q=firebrace+street+horsham", Value::Null),
    ] {
        let path = question.1;
        let before = executed(&database);
        let (less, full) = (ask(&service, &question, true).await, ask(&service, &question, false).await);
        assert_eq!((less.status, less.header("etag")), (200, full.header("etag")), "{path}");
        assert!(!less.headers.contains_key("x-degraded"), "{path}");
        assert_eq!(executed(&database), before, "{path}");
    }
    service.stop(&["503"]).await;
}
