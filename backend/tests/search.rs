//! Search and look-up by identifier, where the contract's tests don't look.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "support/lib.rs"]
mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use support::{Database, Service, database::shared_url};

async fn search(service: &Service, parameters: &[(&str, &str)]) -> Value {
    let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let reply = service.client.get(&format!("/api/v1/addresses/search?{query}")).await;
    assert_eq!(reply.status, 200, "{query}: {}", reply.text());
    reply.json()
}

fn addresses(body: &Value) -> Vec<String> {
    body["results"].as_array().unwrap().iter().map(|one| one["address"].as_str().unwrap().to_owned()).collect()
}

/// Not every unit of a tower is looked at, and then the total must not claim to be one.
#[tokio::test]
async fn a_tower_with_hundreds_of_units_has_a_capped_total() {
    let url = shared_url();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let busiest = "SELECT concat_ws(' ', a.number_first, s.name, s.type) || ', ' || concat_ws(' ', l.name, l.state, min(a.postcode)), count(*)
       FROM address a JOIN street s ON s.pid = a.street_pid JOIN locality l ON l.pid = a.locality_pid
       WHERE NOT a.is_alias AND a.flat_number IS NOT NULL AND a.number_last IS NULL
       GROUP BY a.number_first, s.pid, l.pid ORDER BY count(*) DESC, 1";
    let towers = client.query(busiest, &[]).await.unwrap();
    let (tower, units): (String, i64) = (towers[0].get(0), towers[0].get(1));
    assert!(units > 200, "{tower} has {units} units");
    let small = towers.iter().find(|row| (50..150).contains(&row.get::<_, i64>(1))).unwrap();
    let service = Service::over(&url, &[], &[]).await;
    for (address, capped) in [(tower.as_str(), true), (small.get(0), false)] {
        let body = search(&service, &[("q", address)]).await;
        assert_eq!(body["totalIsCapped"] == true, capped, "{address}: {}", body["total"]);
    }
    service.stop(&[]).await;
}

/// The sample has some addresses twice, from two sources: each is listed once, and counted once, on whichever page.
#[tokio::test]
async fn a_listing_shows_and_counts_each_address_once() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    for postcode in ["", "3300"] {
        let mut listed: Vec<Value> = Vec::new();
        let total = loop {
            let offset = listed.len().to_string();
            let asked = [("q", "byron street, hamilton"), ("limit", "7"), ("offset", &offset), ("postcode", postcode)];
            let body = search(&service, &asked).await;
            let page = body["results"].as_array().unwrap();
            if page.is_empty() {
                break body["total"].clone();
            }
            listed.extend(page.clone());
        };
        let twice = listed.iter().find(|one| one["address"] == "29 BYRON STREET, HAMILTON VIC 3300").unwrap();
        assert!(!twice["gnafPid"].as_str().unwrap().starts_with("GX"), "its published identifier: {twice}");
        let distinct: BTreeSet<&str> = listed.iter().map(|one| one["address"].as_str().unwrap()).collect();
        assert_eq!((listed.len(), total), (distinct.len(), json!(distinct.len())), "{listed:?}");
    }
    service.stop(&[]).await;
}

#[tokio::test]
async fn state_and_postcode_hold_for_addresses_without_a_street_too() {
    let database = Database::copy().await;
    database
        .execute(
            "INSERT INTO address (pid, source, lot_number, locality_pid, postcode, point)
             SELECT 'GATEST1', a.source, '9977', a.locality_pid, '3400', a.point
             FROM address a JOIN locality l ON l.pid = a.locality_pid WHERE l.name = 'HORSHAM' ORDER BY a.pid LIMIT 1",
        )
        .await;
    let service = Service::over(&database.url(), &[], &[]).await;
    for (filter, found) in [
        (("state", "VIC"), true),
        (("state", "TAS"), false),
        (("postcode", "3400"), true),
        (("postcode", "7000"), false),
    ] {
        let body = search(&service, &[("q", "lot 9977, horsham vic"), filter]).await;
        let all = addresses(&body);
        assert_eq!(all.iter().any(|address| address == "LOT 9977, HORSHAM VIC 3400"), found, "{filter:?}: {all:?}");
    }
    service.stop(&[]).await;
}

/// What has too many streets or localities to look at them all says that there are more.
#[tokio::test]
async fn a_total_that_leaves_streets_out_is_capped() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    for (text, capped) in [("horsham", true), ("5 mar", false), ("firebrace street, horsham", false)] {
        let body = search(&service, &[("q", text)]).await;
        assert_eq!(body["totalIsCapped"] == true, capped, "{text}: {}", body["total"]);
    }
    service.stop(&[]).await;
}

#[tokio::test]
async fn a_tower_with_more_units_than_are_listed_says_so() {
    let database = Database::copy().await;
    database
        .execute(
            "INSERT INTO address_secondary
             SELECT 'GAVIC423911067', pid, 'test' FROM address WHERE pid <> 'GAVIC423911067' ORDER BY pid LIMIT 600
             ON CONFLICT DO NOTHING;
             DELETE FROM address_secondary WHERE ctid NOT IN
               (SELECT ctid FROM address_secondary WHERE primary_pid = 'GAVIC423911067' ORDER BY secondary_pid LIMIT 501)",
        )
        .await;
    let service = Service::over(&database.url(), &[], &[]).await;
    let ask = async || service.client.get("/api/v1/addresses/GAVIC423911067").await.json();
    let many = ask().await;
    let listed = |body: &Value| body["secondaries"].as_array().unwrap().len();
    assert_eq!((listed(&many), &many["secondariesTruncated"]), (500, &json!(true)));
    let last = "SELECT max(secondary_pid) FROM address_secondary";
    database.execute(&format!("DELETE FROM address_secondary WHERE secondary_pid = ({last})")).await;
    let all = ask().await;
    assert_eq!((listed(&all), all.get("secondariesTruncated")), (500, None));
    service.stop(&[]).await;
}

#[tokio::test]
async fn a_line_break_ends_a_part_of_an_address_as_a_comma_does() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    let validate = async |address: &str| {
        service.client.post("/api/v1/addresses/validate", &json!({"address": address})).await.json()
    };
    let comma = validate("24 Firebrace St, Horsham, behind the pub").await;
    assert_eq!(validate("24 Firebrace St\nHorsham\r\nbehind the pub").await, comma);
    assert_ne!(validate("24 Firebrace St, Horsham behind the pub").await, comma, "this tests nothing");
    service.stop(&[]).await;
}
