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

/// A square of two hundredths of a degree around the place, as an area of one level.
async fn outline(database: &Database, level: &str, code: &str, name: &str, state: &str, edition: &str) {
    let (south, west) = (PLACE.0 - 0.01, PLACE.1 - 0.01);
    database
        .execute(&format!(
            "INSERT INTO area (level, code, source, name, state, edition, vertices)
             VALUES ('{level}', '{code}', 'test', '{name}', '{state}', '{edition}', 5);
             INSERT INTO area_piece (level, code, geom)
             VALUES ('{level}', '{code}', ST_MakeEnvelope({west}, {south}, {west} + 0.02, {south} + 0.02, 7844))"
        ))
        .await;
}

/// What the mesh block says is exact, whatever coarser outlines say; of two editions the newer is meant.
#[tokio::test]
async fn a_mesh_block_outline_decides_the_statistical_areas() {
    let database = Database::copy().await;
    outline(&database, "SA2", "700011000", "Old", "NT", "ASGS 2016").await;
    outline(&database, "SA2", "700011001", "New", "NT", "ASGS 2021").await;
    let service = Service::over(&database.url(), &[], &[]).await;
    let body = json!({"coordinates": {"latitude": PLACE.0, "longitude": PLACE.1}});
    let ask = async || {
        let reply = service.client.post("/api/v1/spatial/statistical-areas", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["data"].clone()
    };
    let coarse = ask().await;
    assert_eq!(
        (&coarse["metadata"]["accuracy"], &coarse["classification"]["sa2"]["name"]),
        (&json!("SA2_OUTLINE"), &json!("New"))
    );
    outline(&database, "MB", "70000010000", "70000010000", "NT", "ASGS 2021").await;
    database
        .execute(
            "INSERT INTO mesh_block VALUES ('70000010000', 'test', 'Parkland', '70002100101');
             INSERT INTO area (level, code, source, name, state, edition) VALUES ('SA2', '700021001', 'test', 'Exact', 'NT', 'ASGS 2021')",
        )
        .await;
    let exact = ask().await;
    assert_eq!(
        (&exact["metadata"]["accuracy"], &exact["classification"]["sa2"]["name"]),
        (&json!("MESH_BLOCK_OUTLINE"), &json!("Exact"))
    );
    assert_eq!(exact["hierarchy"]["meshBlock"], json!({"code": "70000010000", "category": "Parkland"}));
    assert_eq!(exact["metadata"]["address"], Value::Null);
    service.stop(&[]).await;
}

/// Simplified outlines of states and councils disagree along a border.
#[tokio::test]
async fn the_state_is_that_of_the_council_that_is_named() {
    let database = Database::copy().await;
    outline(&database, "LGA", "39999", "Unincorp. Other", "QLD", "LGA 2024").await;
    let service = Service::over(&database.url(), &[], &[]).await;
    let path = format!("/api/v1/spatial/boundaries?latitude={}&longitude={}", PLACE.0, PLACE.1);
    for more in ["", "&includeLGA=false"] {
        let reply = service.client.get(&format!("{path}{more}")).await;
        let boundaries = reply.json()["data"]["boundaries"].clone();
        assert_eq!(boundaries["state"], json!({"code": "QLD", "name": "Queensland"}), "{boundaries}");
        if more.is_empty() {
            assert_eq!(boundaries["localGovernmentArea"]["category"], "Unincorporated Area");
        }
    }
    let around = around(&service, json!({})).await;
    assert_eq!((&around["summary"]["total"], around["summary"].get("averageDistance")), (&json!(0), None), "{around}");
    service.stop(&[]).await;
}
