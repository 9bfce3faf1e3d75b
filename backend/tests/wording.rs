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
