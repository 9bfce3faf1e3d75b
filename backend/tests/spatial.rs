//! What is around a place, where the contract's tests don't look.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "support/lib.rs"]
mod support;

use serde_json::{Value, json};

use support::{Database, Service};

/// In the desert, where the sample has nothing.
const PLACE: (f64, f64) = (-25.3, 131.0);

/// Adds addresses of a kind, `north` and `east` of the place in degrees.
async fn add(database: &Database, pids: &str, column: &str, north: f64, east: f64) {
    let (latitude, longitude) = (PLACE.0 + north, PLACE.1 + east);
    database
        .execute(&format!(
            "INSERT INTO address (pid, source, {column}, locality_pid, point)
             SELECT pids.pid, l.source, '7', l.pid, ST_SetSRID(ST_MakePoint({longitude}, {latitude}), 7844)::geography
             FROM ({pids}) AS pids (pid), (SELECT * FROM locality ORDER BY pid LIMIT 1) l"
        ))
        .await;
}

async fn around(service: &Service, more: Value) -> Value {
    let mut body = json!({"coordinates": {"latitude": PLACE.0, "longitude": PLACE.1}, "radius": 5000});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = service.client.post("/api/v1/spatial/proximity", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["data"].clone()
}

fn pids(data: &Value) -> Vec<&str> {
    data["results"].as_array().unwrap().iter().map(|one| one["gnafPid"].as_str().unwrap()).collect()
}

/// On a sphere the eastern one is nearer.
#[tokio::test]
async fn what_is_nearest_on_the_earth_comes_first() {
    let database = Database::copy().await;
    add(&database, "VALUES ('GANORTH')", "lot_number", 0.027025, 0.0).await;
    add(&database, "VALUES ('GAEAST')", "lot_number", 0.0, 0.029842).await;
    database.execute("UPDATE address SET lot_number = '8' WHERE pid = 'GAEAST'").await;
    let service = Service::over(&database.url(), &[], &[]).await;
    for kinds in [json!([]), json!(["lot"])] {
        let data = around(&service, json!({"propertyTypes": kinds})).await;
        assert_eq!(pids(&data), ["GANORTH", "GAEAST"], "{data}");
        let metres: Vec<f64> =
            data["results"].as_array().unwrap().iter().map(|one| one["distance"]["meters"].as_f64().unwrap()).collect();
        assert!(metres[1] - metres[0] > 5.0, "{metres:?}");
    }
    service.stop(&[]).await;
}

#[tokio::test]
async fn a_rare_kind_behind_ten_thousand_others_is_not_said_to_be_missing() {
    let database = Database::copy().await;
    // Their labels differ.
    add(&database, "SELECT 'GAHOUSE' || n FROM generate_series(1, 10000) n", "number_first", 0.001, 0.0).await;
    database.execute("UPDATE address SET number_first = substr(pid, 8) WHERE pid LIKE 'GAHOUSE%'").await;
    add(&database, "VALUES ('GALOT')", "lot_number", 0.02, 0.0).await;
    let service = Service::over(&database.url(), &[], &[]).await;
    let houses = around(&service, json!({"propertyTypes": ["house"]})).await;
    assert_eq!((pids(&houses).len(), houses["summary"].get("truncated")), (10, None), "{houses}");
    let lots = around(&service, json!({"propertyTypes": ["lot"]})).await;
    assert_eq!((pids(&lots).len(), &lots["summary"]["truncated"]), (0, &json!(true)), "{lots}");
    let near = around(&service, json!({"propertyTypes": ["lot"], "radius": 50})).await;
    assert_eq!((pids(&near).len(), near["summary"].get("truncated")), (0, None), "{near}");
    database.execute("DELETE FROM address WHERE pid = 'GAHOUSE1'").await;
    let lots = around(&service, json!({"propertyTypes": ["lot"]})).await;
    assert_eq!((pids(&lots), lots["summary"].get("truncated")), (vec!["GALOT"], None), "{lots}");
    service.stop(&[]).await;
}
