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

/// A text that is a town or a postcode lists its addresses, in turns with those on the streets of that name.
#[rstest::rstest]
#[case::name(&[("q", "hamilton")], "HAMILTON", "VIC", true)]
#[case::name_and_state(&[("q", "Hamilton, Victoria")], "HAMILTON", "VIC", true)]
#[case::whole_tail(&[("q", "charlestown nsw 2290")], "CHARLESTOWN", "NSW", true)]
#[case::tail_beside(&[("q", "horsham"), ("postcode", "3400"), ("state", "Victoria")], "HORSHAM", "VIC", false)]
#[case::no_street_of_that_name(&[("q", "BELMONT NORTH")], "BELMONT NORTH", "NSW", false)]
#[case::postcode(&[("q", "3400")], "HORSHAM", "VIC", false)]
#[case::postcode_first(&[("q", "2601 acton")], "ACTON", "ACT", false)]
#[tokio::test]
async fn a_town_is_listed(
    #[case] asked: &[(&str, &str)],
    #[case] suburb: &str,
    #[case] state: &str,
    #[case] streets: bool,
) {
    let service = Service::over(&shared_url(), &[], &[]).await;
    let body = search(&service, &[asked, &[("limit", "20")]].concat()).await;
    let results = body["results"].as_array().unwrap();
    assert_eq!(results.len(), 20, "{body}");
    let of_town = |one: &&Value| one["components"]["suburb"] == suburb && one["components"]["state"] == state;
    let on_street = |one: &&Value| one["components"]["streetName"].as_str().unwrap().starts_with(suburb);
    assert!(of_town(&&results[0]), "{}", results[0]);
    assert!(results.iter().filter(of_town).count() >= 10, "{body}");
    assert!(results.iter().all(|one| of_town(&one) || on_street(&one)), "{body}");
    assert_eq!(results.iter().any(|one| on_street(&one)), streets, "{body}");
    service.stop(&[]).await;
}

/// Whatever the size of the pages, they are one list, each address once, as long as it says.
#[tokio::test]
async fn the_pages_of_a_town_are_one_list() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    for (q, pages) in [("acton", ["7", "50"]), ("st kilda", ["3", "16"]), ("richmond vic", ["5", "50"])] {
        let mut lists = Vec::new();
        for limit in pages {
            let mut listed: Vec<String> = Vec::new();
            loop {
                let offset = listed.len().to_string();
                let body = search(&service, &[("q", q), ("limit", limit), ("offset", &offset)]).await;
                let page = addresses(&body);
                if page.is_empty() {
                    assert_eq!(body["total"], listed.len(), "{q} by {limit}");
                    break;
                }
                listed.extend(page);
            }
            let distinct: BTreeSet<&String> = listed.iter().collect();
            assert_eq!(distinct.len(), listed.len(), "{q}: {listed:?}");
            lists.push(listed);
        }
        assert_eq!(lists[0], lists[1], "{q}");
    }
    service.stop(&[]).await;
}

#[tokio::test]
async fn completion_goes_from_the_town_to_the_street() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    let get = async |path: &str| {
        let reply = service.client.get(&format!("/api/v1/addresses/{path}")).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        reply
    };
    for q in ["hors", "Horsham+Vic", "horsham+3400", "340", "HORSHAM+victoria+34", "h%27orsham"] {
        let reply = get(&format!("localities?q={q}&limit=3")).await;
        let first = &reply.json()["results"][0];
        assert_eq!(
            (&first["name"], &first["state"], &first["postcode"]),
            (&json!("HORSHAM"), &json!("VIC"), &json!("3400")),
            "{q}: {}",
            reply.text()
        );
        assert!(
            first["addresses"].as_i64().unwrap() > 8000 && first["point"]["latitude"].as_f64().unwrap() < -36.0,
            "{first}"
        );
        let tag = format!("locality:{}", first["pid"].as_str().unwrap());
        assert!(reply.headers["cache-tag"].to_str().unwrap().contains(&tag), "{:?}", reply.headers);
        let streets = get(&format!("streets?q=fireb&locality={}", first["pid"].as_str().unwrap())).await.json();
        let street = &streets["results"][0];
        assert_eq!(
            (&street["name"], &street["locality"], &street["postcode"]),
            (&json!("FIREBRACE STREET"), &json!("HORSHAM"), &json!("3400"))
        );
        assert!(street["addresses"].as_i64().unwrap() > 10, "{street}");
    }
    for path in [
        "streets?q=Firebrace+St&locality=horsham",
        "streets?q=firebrace+street&locality=Horsham&state=vic&postcode=3400",
    ] {
        assert_eq!(get(path).await.json()["results"][0]["name"], "FIREBRACE STREET", "{path}");
    }
    let all = get("streets?locality=acton&limit=50").await.json();
    assert_eq!(all["total"], all["results"].as_array().unwrap().len());
    for nothing in [
        "localities?q=zzyzx",
        "localities?q=horsham&state=NSW",
        "streets?locality=zzyzx",
        "streets?q=zz&locality=horsham",
        "localities?q=horsham+9",
    ] {
        assert_eq!(get(nothing).await.json()["results"], json!([]), "{nothing}");
    }
    for (path, code) in [
        ("localities", "MISSING_QUERY"),
        ("localities?q=x&limit=51", "INVALID_LIMIT"),
        ("localities?q=x&state=Bavaria", "INVALID_STATE"),
        ("streets?q=x", "MISSING_LOCALITY"),
        ("streets?locality=x&postcode=1", "INVALID_POSTCODE"),
    ] {
        let reply = service.client.get(&format!("/api/v1/addresses/{path}")).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!(code)), "{path}");
    }
    service.stop(&[]).await;
}

/// An address in parts, as a text, in a body and in a query string: one answer.
#[tokio::test]
async fn parts_and_query_strings_say_the_same_as_a_text() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    let parts = json!({"streetNumber": 24, "street": "Firebrace St", "suburb": "Horsham", "state": "Victoria", "postcode": "3400"});
    let query = "streetNumber=24&street=Firebrace+St&suburb=Horsham&state=Victoria&postcode=3400";
    let text = "24 Firebrace Street, Horsham VIC 3400";
    let encoded = text.replace(' ', "+");
    for (path, verdict) in [("addresses/validate", "isValid"), ("addresses/geocode", "success")] {
        let path = format!("/api/v1/{path}");
        let wanted = service.client.post(&path, &json!({"address": text})).await.json();
        assert_eq!(wanted[verdict], true, "{wanted}");
        for body in [json!({"components": parts}), json!({"address": text, "components": parts})] {
            assert_eq!(service.client.post(&path, &body).await.json()["gnafPid"], wanted["gnafPid"], "{body}");
        }
        for query in [query, &format!("address={encoded}"), &format!("address={encoded}&{query}")] {
            let found = service.client.get(&format!("{path}?{query}")).await;
            assert_eq!(found.json()["gnafPid"], wanted["gnafPid"], "{query}: {}", found.text());
        }
        for (part, other) in [
            ("streetNumber", json!("26")),
            ("street", json!("High Street")),
            ("suburb", json!("Dimboola")),
            ("state", json!("NSW")),
            ("postcode", json!("3401")),
            ("unit", json!("3")),
        ] {
            let mut differing = parts.clone();
            differing[part] = other;
            let both = service.client.post(&path, &json!({"address": text, "components": differing})).await.json();
            assert_eq!(both[verdict], false, "{part}: {both}");
            let alone = service.client.post(&path, &json!({"components": differing})).await.json();
            assert_ne!((&alone[verdict], &alone["gnafPid"]), (&json!(true), &wanted["gnafPid"]), "{part}: {alone}");
        }
        let nothing = service.client.get(&path).await;
        assert_eq!((nothing.status, &nothing.json()["error"]["code"]), (400, &json!("MISSING_ADDRESS")));
    }
    service.stop(&[]).await;
}

#[tokio::test]
async fn spatial_calls_take_a_query_string_too() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    let (latitude, longitude) = (-36.7115, 142.1995);
    let at = json!({"latitude": latitude, "longitude": longitude});
    for (path, body, query) in [
        (
            "proximity",
            json!({"coordinates": at, "radius": 300, "propertyTypes": ["house", "business"], "includeBearing": true}),
            "radius=300&propertyTypes=house,business&includeBearing=true",
        ),
        ("boundaries", json!({"coordinates": at, "includeElectoral": true}), "includeElectoral=true"),
        ("statistical-areas", json!({"coordinates": at, "includeHierarchy": false}), "includeHierarchy=false"),
        ("statistics", json!({"coordinates": at, "coordinateSystem": "GDA94"}), "coordinateSystem=GDA94"),
    ] {
        let path = format!("/api/v1/spatial/{path}");
        let posted = service.client.post(&path, &body).await;
        let got = service.client.get(&format!("{path}?latitude={latitude}&longitude={longitude}&{query}")).await;
        assert_eq!((posted.status, got.status), (200, 200), "{path}: {} {}", posted.text(), got.text());
        let without_time = |mut body: Value| {
            body["data"]["summary"]["searchTime"] = Value::Null;
            body
        };
        assert_eq!(without_time(got.json()), without_time(posted.json()), "{path}");
        let reply = service.client.get(&format!("{path}?latitude={latitude}")).await;
        assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!("INVALID_COORDINATES")), "{path}");
    }
    let named =
        service.client.get("/api/v1/spatial/proximity?address=24+Firebrace+St+Horsham&propertyTypes=castle").await;
    assert_eq!((named.status, &named.json()["error"]["code"]), (400, &json!("INVALID_PROPERTY_TYPES")));
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
    let comma = validate("24 Firebrace St, Acme Hardware, Horsham VIC").await;
    assert_eq!(validate("24 Firebrace St\nAcme Hardware\r\nHorsham VIC").await, comma);
    assert_ne!(validate("24 Firebrace St Acme Hardware Horsham VIC").await, comma, "this tests nothing");
    service.stop(&[]).await;
}
