//! Black box: `address-service serve --source addressr` over a stub that answers as an addressr instance does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "../support/lib.rs"]
mod support;

mod instance;

use std::time::Duration;

use serde_json::{Value, json};

use crate::instance::{Instance, Mood};
use crate::support::{Reply, Service};

const VALIDATE: &str = "/api/v1/addresses/validate";

async fn serve(instance: &Instance, more: &[&str]) -> Service {
    let url = instance.url();
    let arguments = [&["--source", "addressr", "--addressr-url", &url], more].concat();
    Service::start(&arguments, &[], "/api/v1/health/live").await
}

#[track_caller]
fn refused(reply: &Reply, reason: &str) {
    let body = reply.json();
    assert_eq!((reply.status, body["error"]["code"].as_str()), (503, Some("SERVICE_UNAVAILABLE")), "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains(reason), "{body}");
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("x-source"), "addressr");
    assert!(reply.header("retry-after").parse::<u32>().unwrap() >= 1);
}

#[tokio::test]
async fn a_search_has_the_contracts_shape_and_our_own_confidence() {
    let instance = Instance::start().await;
    let service = serve(&instance, &[]).await;
    let reply = service.client.get("/api/v1/addresses/search?q=24+firebrace+st+horsham").await;
    let body = reply.json();
    assert_eq!(reply.status, 200, "{body}");
    let first = &body["results"][0];
    assert_eq!(first["gnafPid"], "GAVIC000000024");
    assert_eq!(first["address"], "24 FIREBRACE STREET, HORSHAM VIC 3400");
    assert_eq!(first["formattedAddress"], first["address"]);
    assert!(first["confidence"].as_u64().unwrap() >= 90, "{first}");
    assert_eq!(first["components"]["streetType"], "STREET");
    assert!(first.get("coordinates").is_none() && first["components"].get("coordinates").is_none(), "{first}");
    assert_eq!((&body["limit"], &body["offset"]), (&json!(10), &json!(0)));
    assert_eq!(reply.header("x-source"), "addressr");
    assert!(reply.header("cache-control").starts_with("public, max-age=300,"), "{:?}", reply.headers);
    assert!(reply.header("cache-tag").starts_with("source:addressr,pid:GAVIC000000024,"), "{:?}", reply.headers);
    // Typed so far, misspelt, with a state beside it.
    for (query, pid) in [
        ("24+fireb", "GAVIC000000024"),
        ("24+firebrase+street+horsham", "GAVIC000000024"),
        ("unit+2+26+firebrace+st&state=VIC&postcode=3400", "GAVIC000000262"),
        ("2%2F26+firebrace+street", "GAVIC000000262"),
        ("26+firebrace+street+horsham", "GAVIC000000026"),
    ] {
        let body = service.client.get(&format!("/api/v1/addresses/search?q={query}")).await.json();
        assert_eq!(body["results"][0]["gnafPid"], pid, "{query}: {body}");
    }
    let nothing = service.client.get("/api/v1/addresses/search?q=24+firebrace+st+horsham&state=TAS").await.json();
    assert_eq!((&nothing["results"], &nothing["total"]), (&json!([]), &json!(0)));
    service.stop(&[]).await;
}

#[tokio::test]
async fn pages_are_followed_as_far_as_they_are_wanted() {
    let instance = Instance::start().await;
    let service = serve(&instance, &[]).await;
    let list = async |limit: usize, offset: usize| {
        let path = format!("/api/v1/addresses/search?q=firebrace+street+horsham&limit={limit}&offset={offset}");
        service.client.get(&path).await.json()
    };
    let before = instance.calls();
    let first = list(8, 0).await;
    assert_eq!((first["results"].as_array().unwrap().len(), instance.calls() - before), (8, 1));
    assert_eq!(first["totalIsCapped"], true);
    let before = instance.calls();
    let more = list(20, 0).await;
    assert_eq!((more["results"].as_array().unwrap().len(), instance.calls() - before), (20, 3));
    assert_eq!(list(8, 8).await["results"].as_array().unwrap()[..], more["results"].as_array().unwrap()[8..16]);
    // No more than three pages, whatever is asked for.
    let before = instance.calls();
    let all = list(50, 0).await;
    assert_eq!((all["results"].as_array().unwrap().len(), instance.calls() - before), (24, 3));
    assert_eq!(all["totalIsCapped"], true);
    service.stop(&[]).await;
}

#[tokio::test]
async fn a_validation_looks_at_the_whole_address() {
    let instance = Instance::start().await;
    let service = serve(&instance, &[]).await;
    let before = instance.calls();
    let reply = service.client.post(VALIDATE, &json!({"address": "24 Firebrace Street, Horsham VIC 3400"})).await;
    let body = reply.json();
    assert_eq!(instance.calls() - before, 2, "the search and the best of it");
    assert_eq!(
        (&body["isValid"], &body["confidence"], &body["source"]),
        (&json!(true), &json!(100), &json!("addressr"))
    );
    assert_eq!(body["gnafPid"], "GAVIC000000024");
    assert_eq!(body["standardizedAddress"], "24 FIREBRACE STREET, HORSHAM VIC 3400");
    assert_eq!(
        body["components"]["coordinates"],
        json!({"latitude": -36.7113, "longitude": 142.1998, "precision": "PROPERTY"})
    );
    assert_eq!((&body["suggestions"], &body["issues"]), (&json!([]), &json!([])));
    for (address, valid) in [
        ("unit 2, 26 firebrace st, horsham", true),
        ("2/26 firebrace st horsham vic", true),
        ("24 Firebrase St Horsham VIC 3400", true),
        ("9 Firebrace Street, Horsham VIC 3400", false),
        ("firebrace", false),
        ("24 Firebrace Street, Acton ACT 2601", false),
        ("PO Box 12, Horsham", false),
        ("nothing like it", false),
    ] {
        let before = instance.calls();
        let body = service.client.post(VALIDATE, &json!({"address": address})).await.json();
        assert_eq!((&body["isValid"], &body["source"]), (&json!(valid), &json!("addressr")), "{address}: {body}");
        assert!(instance.calls() - before <= 2, "{address}");
    }
    let strict = json!({"address": "24 firebrase st horsham", "strictMode": true});
    assert_eq!(service.client.post(VALIDATE, &strict).await.json()["isValid"], false);
    let fuzzy = service.client.request("POST", VALIDATE).header("x-degrade", "no-fuzzy");
    let reply = service.client.send(fuzzy.json(&json!({"address": "24 Firebrase St Horsham VIC 3400"}))).await;
    assert_eq!((&reply.json()["isValid"], reply.header("x-degraded")), (&json!(false), "no-fuzzy"));
    service.stop(&[]).await;
}

#[tokio::test]
async fn geocode_by_identifier_and_batch() {
    let instance = Instance::start().await;
    let service = serve(&instance, &[]).await;
    let geocode = async |body: Value| service.client.post("/api/v1/addresses/geocode", &body).await;
    let before = instance.calls();
    let body = geocode(json!({"address": "24 Firebrace Street, Horsham"})).await.json();
    assert_eq!(body["success"], true, "{body}");
    assert_eq!(instance.calls() - before, 2, "the search and the best of it");
    assert_eq!(
        body["coordinates"],
        json!({"latitude": -36.7113, "longitude": 142.1998, "coordinateSystem": "WGS84", "precision": "PROPERTY", "reliability": 2})
    );
    assert_eq!(geocode(json!({"address": "999 Nowhere Street, Horsham"})).await.json()["success"], false);
    refused(&geocode(json!({"address": "30 Firebrace Street, Horsham"})).await, "no position");
    let gda94 = json!({"address": "24 Firebrace Street, Horsham", "coordinateSystem": "GDA94"});
    refused(&geocode(gda94).await, "GDA94");

    let reply = service.client.get("/api/v1/addresses/gavic000000262").await;
    let body = reply.json();
    assert_eq!(body["address"], "UNIT 2, 26 FIREBRACE STREET, HORSHAM VIC 3400", "{body}");
    assert_eq!((&body["gnafConfidence"], body.get("aliases")), (&json!(2), None));
    assert_eq!(reply.header("cache-tag"), "source:addressr,pid:GAVIC000000262,postcode:3400");
    let reply = service.client.get("/api/v1/addresses/GAVIC999").await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (404, &json!("ADDRESS_NOT_FOUND")));
    assert_eq!(reply.header("cache-control"), "no-store", "its week of freshness is not passed on");

    let addresses = json!([
        {"id": 1, "address": "24 Firebrace Street, Horsham VIC 3400"},
        {"id": 2, "address": "9 Firebrace Street, Horsham VIC 3400"},
        {"id": 3, "address": "24 Firebrace Street, Horsham VIC 3400"},
        {"id": 4},
    ]);
    let body = service.client.post("/api/v1/addresses/batch/validate", &json!({"addresses": addresses})).await.json();
    let valid: Vec<&Value> = body["results"].as_array().unwrap().iter().map(|r| &r["validation"]["isValid"]).collect();
    assert_eq!(valid, [true, false, true, false], "{body}");
    assert!(body["results"].as_array().unwrap().iter().all(|r| r["validation"]["source"] == "addressr"));
    service.stop(&["503"]).await;
}

#[tokio::test]
async fn what_it_can_not_do_is_refused_at_once() {
    let instance = Instance::start().await;
    let service = serve(&instance, &[]).await;
    for path in [
        "/api/v1/addresses/reverse-geocode?latitude=-36.7&longitude=142.2",
        "/api/v1/spatial/coverage",
        "/api/v1/spatial/statistical-areas/SA2/215011390",
    ] {
        refused(&service.client.get(path).await, "Only addresses are available");
    }
    for path in ["proximity", "boundaries", "statistical-areas", "batch/analyze"] {
        let reply = service.client.post(&format!("/api/v1/spatial/{path}"), &json!({})).await;
        refused(&reply, "Only addresses are available");
        assert!(reply.time < Duration::from_millis(500));
    }
    assert_eq!(instance.calls(), 0);
    let missing = service.client.get("/api/v1/addresses/search").await;
    assert_eq!((missing.status, &missing.json()["error"]["code"]), (400, &json!("MISSING_QUERY")));
    assert_eq!(service.client.get("/api/v1/nothing").await.status, 404);
    assert_eq!(service.client.get("/api/v1/health").await.json()["checks"]["addressr"]["state"], "up");
    service.stop(&["503"]).await;
}

#[tokio::test]
async fn whatever_it_answers_an_error_is_a_503_in_time_and_never_kept() {
    let instance = Instance::start().await;
    let service = serve(&instance, &[]).await;
    for mood in [Mood::Failing, Mood::Garbage, Mood::Endless, Mood::Slow] {
        instance.set(mood);
        for reply in [
            service.client.get("/api/v1/addresses/search?q=24+firebrace").await,
            service.client.post(VALIDATE, &json!({"address": "24 Firebrace Street, Horsham"})).await,
            service.client.get("/api/v1/addresses/GAVIC000000024").await,
        ] {
            refused(&reply, "does not respond");
            assert!(reply.time < Duration::from_secs(5), "{mood:?} took {:?}", reply.time);
        }
    }
    // The deadline is the request's own.
    let hurried =
        service.client.request("GET", "/api/v1/addresses/search?q=24+firebrace").header("x-request-timeout", "400");
    let reply = service.client.send(hurried).await;
    refused(&reply, "does not respond");
    assert!(reply.time < Duration::from_secs(2), "{:?}", reply.time);
    let health = service.client.get("/api/v1/health").await;
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("degraded")));
    instance.set(Mood::Good);
    assert_eq!(service.client.get("/api/v1/addresses/search?q=24+firebrace").await.status, 200);
    assert_eq!(service.client.get("/api/v1/health").await.json()["status"], "healthy");
    drop(instance);
    refused(&service.client.get("/api/v1/addresses/search?q=24+firebrace").await, "does not respond");
    service.stop(&["503", "addressr did not respond"]).await;
}

/// Something else answers at its place: nothing like "no such address" is known, and must not be told.
#[tokio::test]
async fn a_search_that_is_not_there_is_no_empty_answer() {
    let instance = Instance::start().await;
    let service = serve(&instance, &[]).await;
    instance.set(Mood::Missing);
    let address = json!({"address": "24 Firebrace Street, Horsham"});
    refused(&service.client.get("/api/v1/addresses/search?q=24+firebrace").await, "does not respond");
    refused(&service.client.post(VALIDATE, &address).await, "does not respond");
    refused(&service.client.post("/api/v1/addresses/geocode", &address).await, "does not respond");
    assert_eq!(service.client.get("/api/v1/health").await.json()["checks"]["addressr"]["state"], "down");
    service.stop(&["503", "addressr did not respond"]).await;
}

#[tokio::test]
async fn the_budget_is_kept_and_calls_at_a_time_are_bounded() {
    let instance = Instance::start().await;
    let service = serve(&instance, &["--addressr-budget", "6/1h", "--addressr-calls", "1"]).await;
    let batch = json!({"addresses": (1..=4).map(|n| json!({"id": n, "address": format!("{n} Firebrace Street, Horsham")})).collect::<Vec<_>>()});
    let reply = service.client.post("/api/v1/addresses/batch/validate", &batch).await;
    refused(&reply, "too small for the batch");
    assert_eq!((instance.calls(), &reply.json()["error"]["details"]), (0, &json!({"calls": 8, "budget": 6})));
    let search = "/api/v1/addresses/search?q=24+firebrace+st+horsham&limit=1";
    // One call at a time: what can't begin soon is refused.
    instance.set(Mood::Slow);
    let (slow, waiting) = tokio::join!(service.client.get(search), async {
        support::until("the slow call is under way", || async { instance.calls() == 1 }).await;
        service.client.get(search).await
    });
    refused(&slow, "does not respond");
    refused(&waiting, "under way");
    assert!(waiting.time < slow.time, "refused before there was a place: {:?}", waiting.time);
    instance.set(Mood::Good);
    let spent = instance.calls();
    for _ in spent..6 {
        assert_eq!(service.client.get(search).await.status, 200);
    }
    let reply = service.client.get(search).await;
    refused(&reply, "budget of calls");
    assert!(reply.header("retry-after").parse::<u32>().unwrap() > 60, "one comes back every ten minutes");
    assert_eq!(instance.calls(), 6);
    assert_eq!(service.client.get("/api/v1/health").await.json()["checks"]["addressr"]["details"]["budget"], 0);
    service.stop(&["503", "addressr did not respond"]).await;
}

#[tokio::test]
async fn its_settings_are_checked_at_the_start() {
    for (arguments, code) in [
        (vec!["--source", "addressr"], 1),
        (vec!["--source", "addressr", "--addressr-url", "ftp://x/"], 1),
        (vec!["--source", "addressr", "--addressr-url", "http://user:secret@x/"], 1),
        (vec!["--source", "addressr", "--addressr-url", "http://127.0.0.1:1", "--addressr-budget", "1000"], 64),
        (vec!["--source", "elsewhere"], 64),
    ] {
        let output = std::process::Command::new(support::program("address-service"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(&arguments)
            .env_remove("DATABASE_URL")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(!String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).contains("secret"));
    }
}
