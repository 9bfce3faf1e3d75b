//! No answer outlives what it was made from: whatever is asked and whatever changes, an answer that would now be another one
//! carries a tag that was purged.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::gateway::{Gateway, Mood, TOKEN};
use crate::support::{Database, Service, database::administer, text, until};

/// An answer, without what is volatile in it, and its tags.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    status: u16,
    body: Value,
    tags: BTreeSet<String>,
}

struct Question {
    method: &'static str,
    path: String,
    body: Value,
}

fn get(path: impl Into<String>) -> Question {
    Question { method: "GET", path: path.into(), body: Value::Null }
}

fn post(path: &str, body: Value) -> Question {
    Question { method: "POST", path: path.into(), body }
}

/// Somewhere near Horsham without addresses.
const NOWHERE: (f64, f64) = (-36.9, 142.4);

fn questions(pid: &str, area: &str, latitude: f64, longitude: f64) -> Vec<Question> {
    let mut all = Vec::new();
    for text in [
        "24 firebrace st horsham",
        "firebrace st horsham",
        "firebrace st",
        "24 fire",
        "fire",
        "horsham",
        "hamilton",
        "3400",
        "9998 firebrace street",
        "9998 firebrase st horsham vic 3400",
        "24 firebrace street horshm",
        "firebrace street north horsham",
        "quokka",
        "9998 quokka",
        "24 quokka street horsham",
        "station street",
        "quokkaville",
        "24 station street",
        "24 firebrace street 3400",
        "po box 1",
    ] {
        let text = text.replace(' ', "+");
        all.push(get(format!("/api/v1/addresses/search?q={text}&limit=50&includeCoordinates=true")));
        all.push(get(format!("/api/v1/addresses/search?q={text}&postcode=3400&limit=3")));
    }
    for address in [
        "24 Firebrace Street, Horsham VIC 3400",
        "9998 Firebrace Street, Horsham VIC 3400",
        "24 Quokka Street, Horsham VIC 3400",
        "9998 Quokka Street, Horsham",
        "24 Firebrase Street, Horsham",
        "Firebrace Street, Horsham",
        "24 Firebrace Street, Quokkaville VIC",
        "24 Firebrace Street, Acton",
    ] {
        all.push(post("/api/v1/addresses/validate", json!({"address": address})));
        all.push(post("/api/v1/addresses/geocode", json!({"address": address})));
        all.push(post("/api/v1/spatial/proximity", json!({"address": address, "limit": 2})));
        all.push(post("/api/v1/spatial/statistical-areas", json!({"address": address})));
    }
    all.push(get(format!("/api/v1/addresses/{pid}")));
    for path in [
        "localities?q=horsh",
        "localities?q=340",
        "localities?q=quokka",
        "streets?q=f&locality=horsham",
        "streets?q=quokka&locality=horsham",
    ] {
        all.push(get(format!("/api/v1/addresses/{path}")));
    }
    let parts = json!({"streetNumber": 24, "street": "Firebrace Street", "suburb": "Horsham", "postcode": 3400});
    all.push(post("/api/v1/addresses/validate", json!({"components": parts})));
    for (latitude, longitude) in [(latitude, longitude), NOWHERE, (latitude + 0.01, longitude)] {
        let at = json!({"latitude": latitude, "longitude": longitude});
        for radius in [5, 100, 1_000] {
            let place = format!("latitude={latitude}&longitude={longitude}&radius={radius}");
            all.push(get(format!("/api/v1/addresses/reverse-geocode?{place}&limit=1")));
            all.push(get(format!("/api/v1/addresses/reverse-geocode?{place}&limit=10")));
        }
        for radius in [50, 5_000] {
            for types in [json!([]), json!(["house"]), json!(["business"]), json!(["lot"])] {
                let body = json!({"coordinates": at, "radius": radius, "propertyTypes": types, "limit": 5});
                all.push(post("/api/v1/spatial/proximity", body));
            }
        }
        all.push(post("/api/v1/spatial/boundaries", json!({"coordinates": at, "includeElectoral": true})));
        all.push(post("/api/v1/spatial/statistical-areas", json!({"coordinates": at})));
        let operation = |kind: &str, id| json!({"id": id, "type": kind, "parameters": {"coordinates": at}});
        let operations = json!([operation("proximity", 1), operation("boundary", 2), operation("statistical", 3)]);
        all.push(post("/api/v1/spatial/batch/analyze", json!({"operations": operations})));
    }
    all.push(get(format!("/api/v1/spatial/statistical-areas/SA2/{area}")));
    all.push(get("/api/v1/spatial/coverage"));
    all
}

fn without_volatile(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for name in ["executionTime", "searchTime", "processingTime", "timestamp", "requestId"] {
                fields.remove(name);
            }
            fields.values_mut().for_each(without_volatile);
        }
        Value::Array(items) => items.iter_mut().for_each(without_volatile),
        _ => {}
    }
}

async fn ask(service: &Service, questions: &[Question]) -> Vec<Answer> {
    let mut answers = Vec::new();
    for question in questions {
        let reply = match question.method {
            "GET" => service.client.get(&question.path).await,
            _ => service.client.post(&question.path, &question.body).await,
        };
        let mut body = reply.json();
        without_volatile(&mut body);
        let tags =
            reply.headers.get("cache-tag").map(|tags| tags.to_str().unwrap().split(',').map(str::to_owned).collect());
        let tags: BTreeSet<String> = tags.unwrap_or_default();
        assert_eq!(tags.is_empty(), reply.status != 200, "{} {}", question.path, question.body);
        assert!(tags.len() <= 24, "{tags:?}");
        answers.push(Answer { status: reply.status, body, tags });
    }
    answers
}

/// What may happen to the data, and whether it alters any of the questions' answers.
const CHANGES: &[(&str, &str)] = &[
    ("an address moves", "UPDATE address SET point = ST_SetSRID(ST_MakePoint(ST_X(point::geometry) + 0.0004, ST_Y(point::geometry)), 7844)::geography
                          WHERE pid = '{pid}'"),
    ("an address far from all others", "INSERT INTO address SELECT 'GATEST1', source, building_name, lot_number, flat_type, flat_number, level_type, level_number,
        '9998', NULL, street_pid, locality_pid, postcode, private_street, location_description, legal_parcel_id, confidence, false, NULL, mesh_block,
        geocode_type, reliability, ST_SetSRID(ST_MakePoint(142.4001, -36.9), 7844)::geography FROM address WHERE pid = '{pid}'"),
    ("a lot", "UPDATE address SET lot_number = '9998', number_first = NULL WHERE pid = 'GATEST1'"),
    ("a shop", "UPDATE address SET flat_type = 'SHOP', flat_number = '1', number_first = '24', lot_number = NULL WHERE pid = 'GATEST1'"),
    ("an address is another's unit", "INSERT INTO address_secondary VALUES ('{pid}', 'GATEST1', 'test')"),
    ("and an alias", "INSERT INTO address_alias VALUES ('{pid}', 'GATEST1', 'SYN', 'test')"),
    ("the unit goes", "DELETE FROM address WHERE pid = 'GATEST1'"),
    ("another postcode", "UPDATE address SET postcode = '3401' WHERE pid = '{pid}'"),
    ("another number", "UPDATE address SET number_first = '9998' WHERE pid = '{pid}'"),
    ("a number becomes a range", "UPDATE address SET number_first = '22', number_last = '24' WHERE pid = '{pid}'"),
    ("a new street and what is on it", "INSERT INTO street SELECT 'VICTEST', source, locality_pid, 'QUOKKA', 'STREET', NULL, class, point FROM street WHERE pid = '{street}';
        INSERT INTO street_name VALUES ('QUOKKA', 'VICTEST', '{locality}', 'STREET', NULL, false, 1);
        INSERT INTO street_word VALUES ('QUOKKA', 1);
        INSERT INTO address SELECT 'GATEST2', source, NULL, NULL, NULL, NULL, NULL, NULL, '24', NULL, 'VICTEST', locality_pid, '3400', NULL, NULL, NULL,
        confidence, false, NULL, mesh_block, geocode_type, reliability, point FROM address WHERE pid = '{pid}'"),
    ("a street is renamed", "UPDATE street SET name = 'WOMBAT' WHERE pid = '{street}'; UPDATE street_name SET name = 'WOMBAT' WHERE street_pid = '{street}'"),
    ("and gets its name back", "UPDATE street SET name = 'FIREBRACE' WHERE pid = '{street}'; UPDATE street_name SET name = 'FIREBRACE' WHERE street_pid = '{street}'"),
    ("an area is renamed", "UPDATE area SET name = 'Quokkaland' WHERE level = 'LGA' AND name LIKE 'Horsham%'"),
    ("an area loses its outline", "DELETE FROM area_piece WHERE level = 'LGA' AND code = (SELECT code FROM area WHERE level = 'LGA' AND name = 'Quokkaland')"),
    ("a mesh block is commercial", "UPDATE mesh_block SET category = 'Quokka' WHERE code = (SELECT mesh_block FROM address WHERE pid = '{pid}')"),
    ("another electorate", "INSERT INTO address_area VALUES ('{pid}', 'test', NULL, NULL, 'Quokka', 'Quokka')
        ON CONFLICT (address_pid) DO UPDATE SET state_electorate = 'Quokka', commonwealth_electorate = 'Quokka'"),
    ("and none", "DELETE FROM address_area WHERE address_pid = '{pid}'"),
    ("another main postcode", "UPDATE locality_postcode SET postcode = '3999' WHERE locality_pid = '{locality}'"),
    ("a release gets its name", "UPDATE dataset SET release = 'Quokka 2027'"),
    ("a locality is renamed", "UPDATE locality SET name = 'QUOKKAVILLE' WHERE pid = '{locality}'; UPDATE locality_name SET name = 'QUOKKAVILLE' WHERE locality_pid = '{locality}'"),
];

#[tokio::test]
async fn an_answer_that_would_be_another_one_is_purged() {
    let (database, gateway) = (Database::copy().await, Gateway::start(Mood::Confirming).await);
    // The sample has no mesh blocks there.
    database
        .execute(
            "UPDATE address SET mesh_block = (SELECT m.code FROM mesh_block m JOIN area_statistics a ON a.level = 'SA2' AND a.code = left(m.sa1, 9)
               ORDER BY m.code LIMIT 1)
             WHERE street_pid = (SELECT s.pid FROM street s JOIN locality l ON l.pid = s.locality_pid WHERE s.name = 'FIREBRACE' AND l.name = 'HORSHAM');
             DELETE FROM purge_outbox",
        )
        .await;
    let pid =
        "SELECT a.pid FROM address a JOIN street s ON s.pid = a.street_pid JOIN locality l ON l.pid = a.locality_pid
               WHERE a.number_first = '24' AND a.flat_number IS NULL AND s.name = 'FIREBRACE' AND l.name = 'HORSHAM'
               ORDER BY a.pid LIMIT 1";
    let of = |column: &str| format!("SELECT {column} FROM address WHERE pid = ({pid})");
    let street = text(&database, &of("street_pid")).await;
    let locality = text(&database, &of("locality_pid")).await;
    let latitude = text(&database, &of("ST_Y(point::geometry)")).await.parse().unwrap();
    let longitude = text(&database, &of("ST_X(point::geometry)")).await.parse().unwrap();
    let area =
        text(&database, &of("(SELECT left(m.sa1, 9) FROM mesh_block m WHERE m.code = address.mesh_block)")).await;
    let pid = text(&database, pid).await;
    let arguments = ["--purge-url", &gateway.url()];
    let service = Service::over(&database.url(), &arguments, &[("ADDRGATE_ADMIN_TOKEN", TOKEN)]).await;

    let questions = questions(&pid, &area, latitude, longitude);
    let far = get("/api/v1/addresses/search?q=20+frith+road+acton");
    let far = ask(&service, &[far]).await.remove(0);
    let mut before = ask(&service, &questions).await;
    for (what, sql) in CHANGES {
        let sql = sql.replace("{pid}", &pid).replace("{street}", &street).replace("{locality}", &locality);
        let after =
            check(&service, &database, &gateway, &questions, &before, what, || async { database.execute(&sql).await })
                .await;
        if what.contains("address") || what.contains("number") {
            assert!(gateway.tags().is_disjoint(&far.tags), "{what} purges what is far away");
        }
        before = after;
    }
    let shop =
        "UPDATE address SET flat_type = 'SHOP' WHERE mesh_block = (SELECT mesh_block FROM address WHERE pid = '{pid}')"
            .replace("{pid}", &pid);
    let before = check(&service, &database, &gateway, &questions, &before, "a street of shops", || async {
        database.execute(&shop).await;
    })
    .await;
    check(&service, &database, &gateway, &questions, &before, "counting anew", || async {
        administer(&database.url(), &["refresh"]);
    })
    .await;
}

async fn drained(database: &Database) {
    until("the outbox is empty", || async { text(database, "SELECT count(*) FROM purge_outbox").await == "0" }).await;
}

/// Makes a change, and gives the answers after it.
async fn check<F: Future<Output = ()>>(
    service: &Service,
    database: &Database,
    gateway: &Gateway,
    questions: &[Question],
    before: &[Answer],
    what: &str,
    change: impl FnOnce() -> F,
) -> Vec<Answer> {
    gateway.forget();
    change().await;
    drained(database).await;
    let (purged, everything) = (gateway.tags(), gateway.confirmed().iter().any(|call| call["all"] == true));
    let after = ask(service, questions).await;
    let mut altered = 0;
    for ((question, before), after) in questions.iter().zip(before).zip(&after) {
        if before.status != 200 || (before.status, &before.body) == (after.status, &after.body) {
            continue;
        }
        altered += 1;
        assert!(
            everything || !before.tags.is_disjoint(&purged),
            "{what}: {} {} {} is out of date.\nbefore: {}\nafter: {}\ntags: {:?}\npurged: {purged:?}",
            question.method,
            question.path,
            question.body,
            before.body,
            after.body,
            before.tags
        );
    }
    assert!(altered > 0, "{what}: alters no answer, so it tests nothing");
    after
}
