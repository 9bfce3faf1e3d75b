//! Data that is older than the operator wants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use support::stack::Wishes;
use support::{Database, Stack};

const SEARCH: &str = "/api/v1/addresses/search?q=5+firebrace+street+horsham";

#[tokio::test]
async fn outdated_data_is_told_of_and_refused_only_where_that_is_wanted() {
    let database = Database::copy().await;
    database.execute("UPDATE dataset SET release_date = NULL, imported_at = now() - interval '10 days'").await;
    for (service, health, word, search) in [
        (vec!["--outdated-after", "1"], 200, "degraded", 200),
        (vec!["--outdated-after", "1", "--refuse-outdated"], 503, "unhealthy", 503),
        (vec!["--outdated-after", "36500", "--refuse-outdated"], 200, "healthy", 200),
    ] {
        let wishes = Wishes { service: service.clone(), database_url: Some(database.url()), ..Wishes::default() };
        let mut stack = Stack::with(wishes).await;
        let reply = stack.client.get("/api/v1/health").await;
        assert_eq!((reply.status, reply.json()["status"].as_str().unwrap()), (health, word), "{service:?}");
        let detailed = stack.direct.get("/api/v1/health/detailed").await;
        assert_eq!((detailed.status, detailed.json()["status"].as_str().unwrap()), (health, word), "{service:?}");
        let state = if word == "healthy" { "current" } else { "outdated" };
        assert_eq!(reply.json()["checks"]["gnafDataset"]["state"], state);
        let reply = stack.client.get(SEARCH).await;
        assert_eq!(reply.status, search, "{service:?}: {}", reply.text());
        if search == 503 {
            assert_eq!(reply.code(), "DATASET_OUTDATED");
            assert!(!reply.header("retry-after").is_empty());
            reply.assert_envelope();
        }
        stack.expect_log("failed");
        stack.stop().await;
    }
}
