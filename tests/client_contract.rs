//! The shape of each endpoint's answer through the gateway, as existing clients know it: whole answers against
//! `tests/golden/`, on the sample data.

#[path = "support/lib.rs"]
mod support;

use serde_json::{Value, json};
use support::golden::assert_golden;
use support::{Reply, Stack};

fn good(name: &str, reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{name}: {}", reply.text());
    assert_eq!(reply.header("content-type"), "application/json; charset=utf-8", "{name}");
    reply.json()
}

#[tokio::test]
async fn gets_have_the_contracts_shape() {
    let stack = Stack::start().await;
    for (name, path) in [
        ("search", "/api/v1/addresses/search?q=5+firebrace+street+horsham&limit=3"),
        (
            "search-with-coordinates",
            "/api/v1/addresses/search?q=20+frith+road+acton+act&limit=1&includeCoordinates=true",
        ),
        ("search-bare", "/api/v1/addresses/search?q=20+frith+road+acton&limit=1&includeComponents=false"),
        ("search-prefix", "/api/v1/addresses/search?q=20+fri&limit=2&state=ACT"),
        ("search-postcode", "/api/v1/addresses/search?q=clunies+ross&postcode=2601&limit=2"),
        ("search-page-two", "/api/v1/addresses/search?q=firebrace+street+horsham&limit=2&offset=2"),
        ("search-nothing", "/api/v1/addresses/search?q=zzyzx+road+nowhere"),
        ("reverse", "/api/v1/addresses/reverse-geocode?latitude=-35.26895538&longitude=149.10951156"),
        ("reverse-three", "/api/v1/addresses/reverse-geocode?latitude=-36.7121&longitude=142.19995&limit=3&radius=50"),
        (
            "reverse-gda94",
            "/api/v1/addresses/reverse-geocode?latitude=-35.26895538&longitude=149.10951156&coordinateSystem=GDA94",
        ),
        ("reverse-nothing", "/api/v1/addresses/reverse-geocode?latitude=-25.3&longitude=131.0"),
        ("address", "/api/v1/addresses/GAACT714878821"),
        ("address-primary", "/api/v1/addresses/GAVIC423911067"),
        ("address-secondary", "/api/v1/addresses/GAVIC423910455"),
        ("statistical-area", "/api/v1/spatial/statistical-areas/SA2/801051123"),
        ("coverage", "/api/v1/spatial/coverage"),
        ("health", "/api/v1/health"),
        ("health-ready", "/api/v1/health/ready"),
        ("health-live", "/api/v1/health/live"),
        ("health-metrics", "/api/v1/health/metrics"),
        ("health-addresses", "/api/v1/addresses/health"),
        ("health-spatial", "/api/v1/spatial/health"),
    ] {
        let reply = stack.client.get(path).await;
        let mut body = good(name, &reply);
        if name == "health-metrics" {
            for part in ["requests", "cache", "responseTimeMs", "windowSeconds"] {
                assert!(!body[part].is_null(), "{part}: {body}");
                body[part] = json!("<changing>");
            }
        }
        if name == "health" {
            // How much memory and how many connections there are is nobody's contract.
            body["checks"]["system"] = json!("<changing>");
            body["checks"]["cache"] = json!("<changing>");
        }
        assert_golden(name, &body);
    }
    stack.stop().await;
}

#[tokio::test]
async fn posts_have_the_contracts_shape() {
    let stack = Stack::start().await;
    let acton = json!({"latitude": -35.26895538, "longitude": 149.10951156});
    let horsham = json!({"latitude": -36.7121, "longitude": 142.19995});
    for (name, path, body) in [
        ("validate", "addresses/validate", json!({"address": "5 Firebrace Street, Horsham VIC 3400"})),
        ("validate-unit", "addresses/validate", json!({"address": "2/254 baillie st horsham 3400"})),
        ("validate-typo", "addresses/validate", json!({"address": "5 firebrce street, horsham vic 3400"})),
        (
            "validate-strict",
            "addresses/validate",
            json!({"address": "5 firebrce street, horsham vic 3400", "strictMode": true}),
        ),
        ("validate-vague", "addresses/validate", json!({"address": "firebrace"})),
        ("validate-nothing", "addresses/validate", json!({"address": "1 Zzyzx Road, Nowhere VIC 3999"})),
        (
            "validate-bare",
            "addresses/validate",
            json!({"address": "20 Frith Road Acton ACT 2601", "includeComponents": false, "includeSuggestions": false}),
        ),
        (
            "batch-validate",
            "addresses/batch/validate",
            json!({"addresses": [
                {"id": "a", "address": "20 Frith Road, Acton ACT 2601"},
                {"id": "b", "address": "somewhere over the rainbow"},
                {"id": "c", "address": ""},
            ]}),
        ),
        ("geocode", "addresses/geocode", json!({"address": "20 Frith Road, Acton ACT 2601"})),
        (
            "geocode-gda94",
            "addresses/geocode",
            json!({"address": "20 Frith Road, Acton ACT 2601", "coordinateSystem": "GDA94"}),
        ),
        (
            "geocode-gda2020",
            "addresses/geocode",
            json!({"address": "20 Frith Road, Acton ACT 2601", "coordinateSystem": "GDA2020"}),
        ),
        ("geocode-nothing", "addresses/geocode", json!({"address": "1 Zzyzx Road, Nowhere VIC 3999"})),
        (
            "proximity",
            "spatial/proximity",
            json!({"coordinates": acton, "radius": 300, "limit": 3, "includeBearing": true}),
        ),
        (
            "proximity-address",
            "spatial/proximity",
            json!({"address": "20 Frith Road, Acton ACT 2601", "radius": 200, "limit": 2}),
        ),
        ("proximity-nothing", "spatial/proximity", json!({"coordinates": {"latitude": -25.3, "longitude": 131.0}})),
        ("boundaries", "spatial/boundaries", json!({"coordinates": horsham})),
        ("boundaries-electoral", "spatial/boundaries", json!({"coordinates": horsham, "includeElectoral": true})),
        (
            "boundaries-locality",
            "spatial/boundaries",
            json!({"coordinates": acton, "includeLGA": false, "includePostal": false}),
        ),
        ("statistics", "spatial/statistical-areas", json!({"coordinates": acton})),
        ("statistics-address", "spatial/statistical-areas", json!({"address": "20 Frith Road, Acton ACT 2601"})),
        ("statistics-flat", "spatial/statistical-areas", json!({"coordinates": acton, "includeHierarchy": false})),
        (
            "analyze",
            "spatial/batch/analyze",
            json!({"operations": [
                {"id": "near", "type": "proximity", "parameters": {"coordinates": acton, "radius": 200, "limit": 1}},
                {"id": "in", "type": "boundary", "parameters": {"coordinates": acton}},
                {"id": "area", "type": "statistical", "parameters": {"coordinates": acton}},
                {"id": "sea", "type": "boundary", "parameters": {"coordinates": {"latitude": -40.0, "longitude": 155.0}}},
            ]}),
        ),
    ] {
        let reply = stack.client.post(&format!("/api/v1/{path}"), &body).await;
        assert_golden(name, &good(name, &reply));
    }
    stack.stop().await;
}

#[tokio::test]
async fn other_spellings_of_a_path_give_the_same_answer() {
    let stack = Stack::start().await;
    let point = json!({"latitude": -35.26895538, "longitude": 149.10951156});
    let address = json!({"address": "20 Frith Road, Acton ACT 2601"});
    let batch = json!({"addresses": [{"id": "a", "address": "20 Frith Road, Acton ACT 2601"}]});
    for (one, other, body) in [
        ("addresses/geocode", "geocode", address.clone()),
        ("addresses/geocode", "addresses/geocode/", address.clone()),
        ("addresses/reverse-geocode", "reverse-geocode", point.clone()),
        ("addresses/batch/validate", "addresses/batch-validate", batch),
        ("spatial/statistical-areas", "spatial/statistics", json!({"coordinates": point})),
    ] {
        let mut answers = Vec::new();
        for path in [one, other] {
            let reply = stack.client.post(&format!("/api/v1/{path}"), &body).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
            let mut answer = reply.json();
            answer.as_object_mut().unwrap().remove("meta");
            if answer["summary"].is_object() {
                answer["summary"]["processingTime"] = json!(0);
            }
            answers.push(answer);
        }
        assert_eq!(answers[0], answers[1], "{one} and {other}");
    }
    let get = stack.client.get("/api/v1/addresses/reverse-geocode?latitude=-35.26895538&longitude=149.10951156").await;
    let post = stack.client.post("/api/v1/addresses/reverse-geocode", &point).await;
    assert_eq!(get.json(), post.json(), "GET and POST of reverse-geocode");
    stack.stop().await;
}

/// A browser, or a cache in front, asks by GET: the same answer, and stored under one key however it is written.
#[tokio::test]
async fn what_is_asked_by_post_can_be_asked_by_get() {
    let stack = Stack::start().await;
    let at = json!({"latitude": -35.26895538, "longitude": 149.10951156});
    let parts =
        json!({"streetNumber": "20", "street": "Frith Road", "suburb": "Acton", "state": "ACT", "postcode": "2601"});
    let query = "latitude=-35.26895538&longitude=149.10951156";
    for (path, body, one, other) in [
        (
            "addresses/validate",
            json!({"address": "20 Frith Road, Acton ACT 2601"}),
            "address=20+Frith+Road,+Acton+ACT+2601".to_owned(),
            "strictMode=false&address=20%20frith%20ROAD,%20acton%20act%202601".to_owned(),
        ),
        (
            "addresses/geocode",
            json!({"components": parts}),
            "streetNumber=20&street=Frith+Road&suburb=Acton&state=ACT&postcode=2601".to_owned(),
            "postcode=2601&state=act&suburb=ACTON&street=frith++road&streetNumber=20&coordinateSystem=WGS84".to_owned(),
        ),
        (
            "spatial/proximity",
            json!({"coordinates": at, "radius": 200, "propertyTypes": ["house"]}),
            format!("{query}&radius=200&propertyTypes=house"),
            format!("propertyTypes=House&radius=200&limit=10&{query}"),
        ),
        ("spatial/boundaries", json!({"coordinates": at}), query.to_owned(), format!("includeLGA=true&{query}&x=1")),
        (
            "spatial/statistical-areas",
            json!({"coordinates": at}),
            query.to_owned(),
            format!("{query}&includeHierarchy=true"),
        ),
    ] {
        let path = format!("/api/v1/{path}");
        let stable = |reply: &Reply| {
            let mut answer = good(&path, reply);
            answer.as_object_mut().unwrap().remove("meta");
            answer["data"]["summary"]["searchTime"] = json!(0);
            answer
        };
        let posted = stack.client.post(&path, &body).await;
        let got = stack.client.get(&format!("{path}?{one}")).await;
        assert_eq!(stable(&got), stable(&posted), "{path}");
        assert_eq!(got.header("x-cache"), "MISS", "{path}");
        let again = stack.client.get(&format!("{path}?{other}")).await;
        assert_eq!((again.header("x-cache"), stable(&again)), ("HIT", stable(&got)), "{path}?{other}");
        let head = stack.client.send(stack.client.request("HEAD", &format!("{path}?{one}"))).await;
        assert_eq!((head.status, head.header("x-cache")), (200, "HIT"), "{path}");
    }
    for (one, other) in [
        ("localities?q=act", "localities?limit=10&q=ACT"),
        ("streets?q=frith+rd&locality=acton", "streets?locality=acton&q=Frith++Rd&other=1"),
    ] {
        let got = good(one, &stack.client.get(&format!("/api/v1/addresses/{one}")).await);
        assert!(!got["results"].as_array().unwrap().is_empty(), "{got}");
        let again = stack.client.get(&format!("/api/v1/addresses/{other}")).await;
        assert_eq!((again.header("x-cache"), good(other, &again)), ("HIT", got), "{other}");
    }
    stack.stop().await;
}

#[tokio::test]
async fn meta_is_made_for_each_answer_and_never_kept() {
    let stack = Stack::start().await;
    let body = json!({"coordinates": {"latitude": -35.26895538, "longitude": 149.10951156}});
    let mut seen = Vec::new();
    for _ in 0..3 {
        let reply = stack.client.post("/api/v1/spatial/boundaries", &body).await;
        let answer = good("boundaries", &reply);
        assert_eq!(answer["success"], true);
        assert_eq!(answer["meta"]["requestId"], reply.header("x-request-id"));
        let time = answer["meta"]["responseTime"].as_f64().expect("a number of milliseconds");
        assert!((0.0..30_000.0).contains(&time), "{time}");
        assert!(answer["meta"]["timestamp"].as_str().unwrap().ends_with('Z'));
        seen.push((reply.header("x-request-id").to_owned(), answer["data"].clone()));
    }
    assert!(seen[0].0 != seen[1].0 && seen[1].0 != seen[2].0, "an id per request: {seen:?}");
    assert!(seen[0].1 == seen[1].1 && seen[1].1 == seen[2].1, "the same data each time");
    stack.stop().await;
}

#[tokio::test]
async fn a_batch_of_a_thousand_is_answered_in_order_at_a_hundred_per_second() {
    let stack = Stack::start().await;
    let addresses: Vec<Value> = (0..1000)
        .map(|n| json!({"id": format!("id-{n}"), "address": format!("{} Firebrace Street, Horsham VIC 3400", n % 200)}))
        .collect();
    let reply = stack.client.post("/api/v1/addresses/batch/validate", &json!({"addresses": addresses})).await;
    let answer = good("batch", &reply);
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 1000);
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result["id"], format!("id-{n}"));
    }
    let summary = &answer["summary"];
    assert_eq!(summary["total"], 1000);
    assert_eq!(summary["valid"].as_u64().unwrap() + summary["invalid"].as_u64().unwrap(), 1000);
    assert!(reply.time.as_secs_f64() < 10.0, "a thousand took {:?}", reply.time);
    stack.stop().await;
}
