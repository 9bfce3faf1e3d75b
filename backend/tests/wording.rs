//! Addresses as people write them, with what is expected of each: `cases/addresses.psv`, asked of the real service.
//!
//! EXPECT says: `valid` is validated as LABEL and geocoded; `found` is LABEL or has it as the first suggestion; `building` is not
//! valid, and LABEL is suggested; `refuse` is neither valid nor geocoded. `\n` in a text is a line break.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "support/lib.rs"]
mod support;

use futures::StreamExt;
use futures::stream;
use serde_json::{Value, json};

use support::{Service, database::shared_url};

const CASES: &str = include_str!("cases/addresses.psv");

struct Case {
    kind: String,
    text: String,
    expected: String,
    label: String,
}

fn cases() -> Vec<Case> {
    let rows = CASES.lines().skip(1).map(|line| line.split('|').collect::<Vec<_>>());
    rows.map(|row| {
        let [kind, text, expected, label] = row[..] else { panic!("not four columns: {row:?}") };
        let text = text.replace("\\n", "\n");
        Case { kind: kind.into(), text, expected: expected.into(), label: label.into() }
    })
    .collect()
}

async fn ask(service: &Service, path: &str, text: &str) -> Value {
    let reply = service.client.post(&format!("/api/v1/addresses/{path}"), &json!({"address": text})).await;
    assert_eq!(reply.status, 200, "{text:?}: {}", reply.text());
    reply.json()
}

/// What is wrong with the answers to a text, if anything is.
async fn fault(service: &Service, case: &Case) -> Option<String> {
    let (validated, geocoded) = (ask(service, "validate", &case.text).await, ask(service, "geocode", &case.text).await);
    let suggested: Vec<&Value> =
        validated["suggestions"].as_array().unwrap().iter().map(|one| &one["address"]).collect();
    let valid = validated["isValid"] == true;
    let is_label = validated["standardizedAddress"] == case.label.as_str();
    let good = match case.expected.as_str() {
        "valid" => valid && is_label && geocoded["formattedAddress"] == case.label.as_str(),
        "found" => is_label || suggested.first().is_some_and(|first| **first == case.label.as_str()),
        "building" => {
            !valid && suggested.iter().any(|one| **one == case.label.as_str()) && geocoded["success"] == false
        }
        "refuse" => !valid && geocoded["success"] == false,
        other => panic!("{other} is no expectation"),
    };
    let empty = !valid && suggested.is_empty();
    (!good || empty)
        .then(|| format!("{} ({}): {:?} of {}: {validated}", case.kind, case.expected, case.text, case.label))
}

#[tokio::test]
async fn every_way_of_writing_an_address_is_understood() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    let cases = cases();
    assert!(cases.len() > 250, "{}", cases.len());
    let faults = stream::iter(&cases).map(|case| fault(&service, case)).buffered(4).collect::<Vec<_>>().await;
    let faults: Vec<String> = faults.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
    service.stop(&[]).await;
}

/// A name that commas set apart is a building's or a company's, unless the data knows it as another place.
#[tokio::test]
async fn what_names_another_street_or_town_is_no_building() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    for (text, valid) in [
        ("100 Greenoaks Drive, Central Plaza, Coolum Beach QLD 4573", true),
        ("100 Greenoaks Drive, Scottlynd Street Bakery, Coolum Beach QLD 4573", true),
        ("100 Greenoaks Drive, Scottlynd Street, Coolum Beach QLD 4573", false),
        ("100 Greenoaks Dr, Scottlynd St, Coolum Beach, Queensland", false),
        ("Scottlynd Street, 100 Greenoaks Drive, Coolum Beach QLD 4573", false),
        ("100 Greenoaks Drive, Scottlynd Street, 4573", false),
        ("100 Greenoaks Drive, Horsham, Coolum Beach QLD 4573", false),
        ("19-21 Atkinson Road, Bli Bli QLD 4560", true),
        ("Across from 19-21 Atkinson Road, Bli Bli QLD 4560", false),
        ("Opposite 19 to 21 Atkinson Road, Bli Bli QLD 4560", false),
        ("158Mt Baimbridge Road, Hamilton VIC 3300", true),
    ] {
        let body = ask(&service, "validate", text).await;
        assert_eq!(body["isValid"], valid, "{text}: {body}");
    }
    service.stop(&[]).await;
}

/// Where nothing is good enough, there is something to choose from: the nearest numbers, the street elsewhere, the town.
#[tokio::test]
async fn nobody_leaves_empty_handed() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    for (text, suggested) in [
        ("9991 Firebrace Street, Horsham VIC 3400", "FIREBRACE STREET, HORSHAM"),
        ("Lot 9991 Firebrace Street, Horsham VIC 3400", "FIREBRACE STREET, HORSHAM"),
        ("12 Xyzzyplugh Street, Horsham VIC 3400", "HORSHAM VIC"),
        ("9991 Firebrace Street, Xyzzyplugh", "FIREBRACE STREET"),
        ("PO Box 12, Horsham VIC 3400", "HORSHAM VIC"),
        ("RMB 37, Hamilton", "HAMILTON VIC"),
        ("Horsham", "HORSHAM VIC"),
    ] {
        let body = ask(&service, "validate", text).await;
        let first = body["suggestions"][0]["address"].as_str().unwrap_or_default();
        assert_eq!((&body["isValid"], first.contains(suggested)), (&json!(false), true), "{text}: {body}");
    }
    let nothing = ask(&service, "validate", "xyzzyplugh").await;
    assert_eq!((&nothing["confidence"], &nothing["suggestions"]), (&json!(0), &json!([])), "{nothing}");
    service.stop(&[]).await;
}

/// A client may take the street's or the town's position where there is no such address; nobody gets one unasked.
#[tokio::test]
async fn a_street_or_a_town_is_located_for_who_asks() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    let street = "FIREBRACE STREET, HORSHAM VIC 3400";
    let town = "HORSHAM VIC 3400";
    for (text, accepted, expected) in [
        ("Firebrace Street, Horsham VIC 3400", "PROPERTY", None),
        ("Firebrace Street, Horsham VIC 3400", "STREET", Some(("STREET", street))),
        ("9991 Firebrace St, Horsham", "street", Some(("STREET", street))),
        ("Unit 99, 9991 Firebrace Street, Horsham VIC 3400", "LOCALITY", Some(("STREET", street))),
        ("9991 Firebrcae Street, Horsham VIC 3400", "STREET", Some(("STREET", street))),
        ("12 Xyzzyplugh Street, Horsham VIC 3400", "STREET", None),
        ("12 Xyzzyplugh Street, Horsham VIC 3400", "LOCALITY", Some(("LOCALITY", town))),
        ("Horsham VIC 3400", "LOCALITY", Some(("LOCALITY", town))),
        // Another state, another country, a second town; a box; a name that many places have.
        ("Firebrace Street, Horsham NSW 3400", "LOCALITY", None),
        ("9991 Firebrace Street, Horsham VIC 3400, New Zealand", "LOCALITY", None),
        ("9991 Firebrace Street, Horsham VIC 3400, Hamilton", "LOCALITY", None),
        ("PO Box 12, Horsham VIC 3400", "LOCALITY", None),
        ("RMB 12 Firebrace Street, Horsham VIC 3400", "LOCALITY", None),
        ("High Street", "LOCALITY", None),
        ("xyzzyplugh", "LOCALITY", None),
    ] {
        let question = json!({"address": text, "acceptPrecision": accepted});
        let body = service.client.post("/api/v1/addresses/geocode", &question).await.json();
        let (precision, label) = (body["coordinates"]["precision"].as_str(), body["formattedAddress"].as_str());
        assert_eq!(precision.zip(label), expected, "{text}, {accepted}: {body}");
        assert_eq!(body["success"], expected.is_some(), "{text}, {accepted}: {body}");
    }
    let parts = "street=Firebrace+Street&suburb=Horsham&state=VIC&acceptPrecision=STREET&coordinateSystem=GDA94";
    let body = service.client.get(&format!("/api/v1/addresses/geocode?{parts}")).await.json();
    assert_eq!(
        (&body["formattedAddress"], &body["coordinates"]["coordinateSystem"]),
        (&json!(street), &json!("GDA94"))
    );
    let other = json!({"address": "Firebrace Street, Horsham", "components": {"suburb": "Hamilton"}, "acceptPrecision": "STREET"});
    assert_eq!(service.client.post("/api/v1/addresses/geocode", &other).await.json()["success"], false);
    let wrong = json!({"address": "Firebrace Street, Horsham", "acceptPrecision": "HOUSE"});
    let reply = service.client.post("/api/v1/addresses/geocode", &wrong).await;
    assert_eq!((reply.status, &reply.json()["error"]["code"]), (400, &json!("INVALID_PRECISION")), "{}", reply.text());
    service.stop(&[]).await;
}

/// The items of a batch may be in parts, as single addresses may.
#[tokio::test]
async fn a_batch_takes_parts() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    let parts = json!({"streetNumber": "100", "street": "Greenoaks Drive", "suburb": "Coolum Beach", "state": "QLD"});
    let other = json!({"streetNumber": "100", "street": "Greenoaks Drive", "suburb": "Coolum Beach", "state": "NSW"});
    let items = json!([
        {"id": 1, "components": parts},
        {"id": 2, "address": "100 Greenoaks Drive, Coolum Beach", "components": parts},
        {"id": 3, "address": "100 Greenoaks Drive, Coolum Beach", "components": other},
        {"id": 4, "components": parts},
        {"id": 5, "components": {"street": ["Greenoaks Drive"]}},
    ]);
    let reply = service.client.post("/api/v1/addresses/batch/validate", &json!({"addresses": items})).await;
    let body = reply.json();
    let valid: Vec<bool> =
        body["results"].as_array().unwrap().iter().map(|one| one["validation"]["isValid"] == true).collect();
    assert_eq!(valid, [true, true, false, true, false], "{body}");
    assert_eq!(body["results"][0]["components"], parts, "{body}");
    service.stop(&[]).await;
}

/// No text takes long, however its words may be read.
#[tokio::test]
async fn the_worst_texts_are_bounded() {
    let service = Service::over(&shared_url(), &[], &[]).await;
    let fill = |words: &str| {
        words.split(' ').cycle().take(200).collect::<Vec<_>>().join(" ").chars().take(500).collect::<String>()
    };
    for text in [
        fill("saint mount st mt point fort port great little north"),
        fill("st"),
        fill("smith st jones rd high st main st church st station st park st mill rd"),
        fill("3400 3300 2290 4560"),
        fill("unit 1 level 2 lot 3 4/5-6"),
        fill("po box near the"),
        fill("horsham vic"),
        "/".repeat(500),
    ] {
        for path in ["validate", "geocode"] {
            let body = ask(&service, path, &text).await;
            assert_ne!(body["isValid"], true, "{text}");
        }
    }
    service.stop(&[]).await;
}
