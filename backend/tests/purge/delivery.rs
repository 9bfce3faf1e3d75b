//! From the outbox to the gateway, whatever is away meanwhile.

use std::time::Duration;

use serde_json::{Value, json};

use crate::gateway::{Gateway, Mood, TOKEN};
use crate::support::{Database, Service, text, until};

/// A copy of the sample whose outbox is empty.
async fn database() -> Database {
    let database = Database::copy().await;
    database.execute("DELETE FROM purge_outbox").await;
    database
}

async fn serve(database: &Database, gateways: &[&str], token: &str) -> Service {
    let urls = gateways.join(",");
    Service::over(&database.url(), &["--purge-url", &urls], &[("ADDRGATE_ADMIN_TOKEN", token)]).await
}

/// A change of one of the first addresses, by its place among them.
async fn change(database: &Database, at: usize) -> String {
    let pid = text(database, &format!("SELECT pid FROM address ORDER BY pid OFFSET {at} LIMIT 1")).await;
    database.execute(&format!("UPDATE address SET legal_parcel_id = 'CHANGED' WHERE pid = '{pid}'")).await;
    format!("pid:{pid}")
}

async fn purged(gateway: &Gateway, tag: &str) {
    until(&format!("{tag} is purged"), || async { gateway.tags().contains(tag) }).await;
}

async fn purges(service: &Service) -> Value {
    service.client.get("/api/v1/health/detailed").await.json()["purges"].clone()
}

async fn empty(database: &Database) {
    until("the outbox is empty", || async { text(database, "SELECT count(*) FROM purge_outbox").await == "0" }).await;
}

#[tokio::test]
async fn a_change_is_purged_at_once_and_hard() {
    let (database, gateway) = (database().await, Gateway::start(Mood::Confirming).await);
    let service = serve(&database, &[&gateway.url()], TOKEN).await;
    until("it listens", || async {
        text(&database, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'address-service purge' AND datname = current_database()").await == "1"
    })
    .await;
    // The first look finds nothing; from then on it is woken.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = tokio::time::Instant::now();
    let tag = change(&database, 0).await;
    purged(&gateway, &tag).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "woken, not found by polling: {:?}", begun.elapsed());
    let call = gateway.confirmed().pop().unwrap();
    assert_eq!(call["soft"], false);
    assert!(call["tags"].as_array().unwrap().contains(&json!("wide")));
    empty(&database).await;
    let health = purges(&service).await;
    assert_eq!((&health["state"], &health["waiting"]), (&json!("up"), &json!(0)), "{health}");
    assert!(health["lastConfirmed"].is_string());
    service.stop(&[]).await;
}

#[tokio::test]
async fn a_release_is_purged_softly_with_everything() {
    let (database, gateway) = (database().await, Gateway::start(Mood::Confirming).await);
    let _service = serve(&database, &[&gateway.url()], TOKEN).await;
    database.execute("SELECT purge_everything('a test')").await;
    until("everything is purged", || async { !gateway.confirmed().is_empty() }).await;
    assert_eq!(gateway.confirmed(), [json!({"all": true, "soft": true})]);
    empty(&database).await;
}

/// Rows may be written by hand.
#[tokio::test]
async fn nothing_among_the_tags_does_not_end_the_draining() {
    let (database, gateway) = (database().await, Gateway::start(Mood::Confirming).await);
    let service = serve(&database, &[&gateway.url()], TOKEN).await;
    let rows = "(ARRAY[NULL, 'pid:BY-HAND', NULL], 'by hand'), (ARRAY[NULL]::text[], 'nothing'), ('{}', 'nothing')";
    database.execute(&format!("INSERT INTO purge_outbox (tags, reason) VALUES {rows}; NOTIFY purge_outbox")).await;
    purged(&gateway, "pid:BY-HAND").await;
    empty(&database).await;
    assert!(gateway.confirmed().iter().all(|call| call["all"] != true), "{:?}", gateway.confirmed());
    assert_eq!(purges(&service).await["state"], "up");
    service.stop(&[]).await;
}

#[tokio::test]
async fn nothing_is_lost_while_the_gateway_is_away_or_can_not_confirm() {
    let (database, gateway) = (database().await, Gateway::start(Mood::Unconfirmed).await);
    let address = gateway.address;
    let service = serve(&database, &[&gateway.url()], TOKEN).await;
    let first = change(&database, 0).await;
    until("it was asked twice", || async { gateway.calls() >= 2 }).await;
    assert_ne!(text(&database, "SELECT count(*) FROM purge_outbox").await, "0");
    gateway.set(Mood::Failing);
    let asked = gateway.calls();
    until("it was asked again", || async { gateway.calls() > asked }).await;
    gateway.set(Mood::Talking);
    let asked = gateway.calls();
    until("it was asked again", || async { gateway.calls() > asked }).await;
    let health = purges(&service).await;
    assert_eq!((&health["state"], &health["waiting"]), (&json!("failing"), &json!(1)), "{health}");
    assert!(health["oldestSeconds"].as_f64().unwrap() > 0.0);
    assert!(!health.to_string().contains("127.0.0.1"), "health is public: {health}");
    drop(gateway);
    let second = change(&database, 1).await;
    let gateway = Gateway::at(address, Mood::Confirming).await;
    purged(&gateway, &first).await;
    purged(&gateway, &second).await;
    empty(&database).await;
    until("health says so", || async { purges(&service).await["state"] == "up" }).await;
    service.stop(&["not purged from caches"]).await;
}

#[tokio::test]
async fn nothing_is_lost_while_the_service_is_away() {
    let (database, gateway) = (database().await, Gateway::start(Mood::Confirming).await);
    let tag = change(&database, 0).await;
    let mut service = serve(&database, &[&gateway.url()], TOKEN).await;
    purged(&gateway, &tag).await;
    empty(&database).await;
    // Killed between the gateway's answer and the deletion it would do it again; killed before, the change is still there.
    gateway.set(Mood::Failing);
    let tag = change(&database, 1).await;
    let asked = gateway.calls();
    until("it was asked", || async { gateway.calls() > asked }).await;
    service.process.signal("KILL");
    service.process.end().await;
    gateway.set(Mood::Confirming);
    let _service = serve(&database, &[&gateway.url()], TOKEN).await;
    purged(&gateway, &tag).await;
    empty(&database).await;
}

#[tokio::test]
async fn a_wrong_token_is_said_and_loses_nothing() {
    let (database, gateway) = (database().await, Gateway::start(Mood::Confirming).await);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "an-old-token\n").unwrap();
    let arguments = ["--purge-url", &gateway.url(), "--purge-token-file", file.to_str().unwrap()];
    let mut service = Service::over(&database.url(), &arguments, &[]).await;
    let tag = change(&database, 0).await;
    service.process.text("responded 401: is the admin token right?").await;
    until("it was asked again", || async { gateway.refused() >= 2 }).await;
    assert_eq!(text(&database, "SELECT count(*) FROM purge_outbox").await, "1");
    assert!(service.process.lines().iter().all(|line| !line.contains("an-old-token")), "the token is in the log");
    // A new token needs no restart.
    std::fs::write(&file, TOKEN).unwrap();
    purged(&gateway, &tag).await;
    empty(&database).await;
}

#[tokio::test]
async fn when_one_gateway_is_away_the_next_is_asked() {
    let (database, gateway) = (database().await, Gateway::start(Mood::Confirming).await);
    let unsure = Gateway::start(Mood::Unconfirmed).await;
    let service = serve(&database, &["http://127.0.0.1:1", &unsure.url(), &gateway.url()], TOKEN).await;
    let first = change(&database, 0).await;
    purged(&gateway, &first).await;
    let second = change(&database, 1).await;
    purged(&gateway, &second).await;
    assert_eq!(unsure.calls(), 1, "the one that answered is asked first from then on");
    empty(&database).await;
    service.stop(&[]).await;
}

#[tokio::test]
async fn two_services_share_the_work_and_each_change_is_purged_once() {
    let (database, gateway) = (database().await, Gateway::start(Mood::Confirming).await);
    database
        .execute(
            "DO $$ DECLARE it record; BEGIN
               FOR it IN SELECT pid FROM address ORDER BY pid LIMIT 3000 LOOP
                 UPDATE address SET legal_parcel_id = 'CHANGED' WHERE pid = it.pid;
               END LOOP; END $$",
        )
        .await;
    let services = [serve(&database, &[&gateway.url()], TOKEN).await, serve(&database, &[&gateway.url()], TOKEN).await];
    empty(&database).await;
    let wanted = text(
        &database,
        "SELECT string_agg('pid:' || pid, ' ' ORDER BY pid) FROM address WHERE legal_parcel_id = 'CHANGED'",
    )
    .await;
    let mut purged: Vec<String> = gateway
        .confirmed()
        .iter()
        .flat_map(|call| call["tags"].as_array().unwrap().clone())
        .map(|tag| tag.as_str().unwrap().to_owned())
        .filter(|tag| tag.starts_with("pid:"))
        .collect();
    purged.sort();
    assert_eq!(purged.join(" "), wanted, "each once");
    drop(services);
}

#[tokio::test]
async fn a_url_without_a_token_is_refused_at_the_start() {
    for (arguments, reason) in [
        (vec!["--purge-url", "http://127.0.0.1:1"], "--purge-url needs a token"),
        (
            vec!["--purge-url", "http://127.0.0.1:1", "--purge-token-file", "/no/such/file"],
            "can't be read from /no/such/file",
        ),
        (vec!["--purge-url", "ftp://127.0.0.1:1"], "must begin with http://"),
    ] {
        let output = std::process::Command::new(crate::support::program("address-service"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .env("DATABASE_URL", "postgresql://a:b@127.0.0.1:1/c")
            .env_remove("ADDRGATE_ADMIN_TOKEN")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let log = String::from_utf8(output.stdout).unwrap();
        assert!(log.contains(reason), "{log}");
    }
}
