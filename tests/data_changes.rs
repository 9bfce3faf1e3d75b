//! Rows change in the database, and no gateway goes on serving what they were: outbox, drain, purge and log together, with two
//! gateways, a real Redis and a real PostGIS.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::origin::pause;
use support::redis::Redis;
use support::stack::{ADMIN_TOKEN, start_gateway};
use support::{Client, Database, Process, database, free_port, program, until};
use tokio::time::Instant;

const SEARCH: &str = "/api/v1/addresses/search?q=24+firebrace+st+horsham";

/// From the commit to the last stale hit: the drain is told at once, the log is read every 50 ms.
const REACHES: Duration = Duration::from_secs(2);

fn service(database: &Database, listen: &str, admin: &str) -> Process {
    let mut command = Command::new(program("address-service"));
    command.args(["serve", "--listen", listen, "--pool-size", "4", "--purge-url", admin]);
    command.env("DATABASE_URL", database.url()).env("ADDRGATE_ADMIN_TOKEN", ADMIN_TOKEN);
    Process::start("address-service", command)
}

/// How the address service says that purging goes.
async fn purges(listen: &str) -> Value {
    let health = reqwest::get(format!("http://{listen}/api/v1/health/detailed")).await.unwrap();
    health.json::<Value>().await.unwrap()["purges"].clone()
}

/// What an answer says, without what differs from one to the next.
async fn search(client: &Client, path: &str) -> Value {
    let reply = client.get(path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()["results"].clone()
}

/// Both have an answer in their memory. What one instance has fetched before it read its own purge in the log is stale to the
/// other, which then asks anew.
async fn kept(clients: [&Client; 2], path: &str) {
    for client in clients {
        client.get(path).await;
        let is_hit = async || {
            let reply = client.get(path).await;
            let cache = reply.header("x-cache");
            assert!(matches!(cache, "HIT" | "STALE"), "{path}: {cache}");
            cache == "HIT"
        };
        until("an answer is kept", is_hit).await;
    }
}

/// Soon, and from then on, both answer as `is_new` wants.
async fn changes(clients: [&Client; 2], what: &str, path: &str, is_new: impl Fn(&Value, u16) -> bool) {
    let begun = Instant::now();
    for client in clients {
        let new = async || {
            let reply = client.get(path).await;
            is_new(&reply.json(), reply.status)
        };
        until(what, new).await;
        assert!(begun.elapsed() < REACHES, "{what}: {:?}", begun.elapsed());
    }
    for _ in 0..20 {
        for client in clients {
            let reply = client.get(path).await;
            assert!(is_new(&reply.json(), reply.status), "{what}: the old answer came back: {}", reply.text());
        }
        pause(20).await;
    }
}

#[tokio::test]
async fn a_changed_row_is_served_as_it_is_by_every_gateway() {
    let (database, redis) = (Database::copy().await, Redis::start().await);
    let listen = format!("127.0.0.1:{}", free_port());
    let more = || vec![("REDIS_URL", redis.url())];
    let (mut first, one, admin) = start_gateway(&listen, more()).await;
    let (mut second, two, _) = start_gateway(&listen, more()).await;
    let mut service = service(&database, &listen, &admin);
    for client in [&one, &two] {
        until("the gateways reach the service", || client.reaches("/api/v1/health/ready")).await;
    }
    // The import of the sample data is purged first.
    until("everything is purged", async || !purges(&listen).await["lastConfirmed"].is_null()).await;
    let both = [&one, &two];
    let found = search(&one, SEARCH).await;
    let pid = found[0]["gnafPid"].as_str().or(found[0]["id"].as_str()).unwrap().to_owned();
    let own = format!("/api/v1/addresses/{pid}");
    let other = "/api/v1/addresses/search?q=9998+firebrace+st+horsham";
    let far = "/api/v1/addresses/search?q=20+frith+road+acton";
    for path in [SEARCH, &own, other, far] {
        kept(both, path).await;
    }

    database.execute(&format!("UPDATE address SET postcode = '3999' WHERE pid = '{pid}'")).await;
    changes(both, "an update", &own, |body, _| body.to_string().contains("3999")).await;
    changes(both, "an update, searched for", SEARCH, |body, _| body["results"][0].to_string().contains("3999")).await;
    assert_eq!(two.get(far).await.header("x-cache"), "HIT", "what is far away stays");

    let insert = format!(
        "INSERT INTO address SELECT 'GATEST1', source, building_name, lot_number, flat_type, flat_number, level_type,
           level_number, '9998', NULL, street_pid, locality_pid, postcode, private_street, location_description,
           legal_parcel_id, confidence, false, NULL, mesh_block, geocode_type, reliability, point
         FROM address WHERE pid = '{pid}'"
    );
    database.execute(&insert).await;
    changes(both, "an insert", other, |body, _| body["results"][0].to_string().contains("9998")).await;
    kept(both, "/api/v1/addresses/GATEST1").await;

    database.execute("DELETE FROM address WHERE pid = 'GATEST1'").await;
    changes(both, "a delete", "/api/v1/addresses/GATEST1", |_, status| status == 404).await;
    changes(both, "a delete, searched for", other, |body, _| !body["results"].to_string().contains("GATEST1")).await;

    // A release makes everything stale: each question may be answered as before once more, while it is asked anew.
    database::administer(&database.url(), &["import", "data"]);
    until("a new release", async || {
        for client in both {
            if client.get(&own).await.text().contains("3999") {
                return false;
            }
        }
        true
    })
    .await;
    changes(both, "an import", &own, |body, status| status == 200 && !body.to_string().contains("3999")).await;
    assert_eq!(search(&two, SEARCH).await, found, "as it was at first");

    assert_eq!(purges(&listen).await["state"], "up");
    for process in [&mut first, &mut second, &mut service] {
        assert!(process.stop().await.success());
        // Asked before the database had answered.
        process.assert_clean(&["/api/v1/health/ready"]);
    }
}
