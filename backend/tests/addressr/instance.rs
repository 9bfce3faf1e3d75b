//! Answers as an addressr instance does: real addresses of the sample in its JSON, eight per page with `Link`, and a week of
//! freshness on everything, errors too.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    Failing,
    /// 404, whatever is asked for.
    Missing,
    Garbage,
    /// More than anyone would read.
    Endless,
    Slow,
}

#[derive(Clone)]
struct Shared {
    mood: Arc<Mutex<Mood>>,
    calls: Arc<AtomicUsize>,
}

/// The stub; it stops listening when it is dropped.
pub(crate) struct Instance {
    address: std::net::SocketAddr,
    shared: Shared,
    task: JoinHandle<()>,
}

impl Instance {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Shared { mood: Arc::new(Mutex::new(Mood::Good)), calls: Arc::default() };
        let router = axum::Router::new()
            .route("/addresses", get(search))
            .route("/addresses/{pid}", get(by_pid))
            .with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Requests so far.
    pub(crate) fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::Relaxed)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Number, unit and whether it has a position; identifiers are made of number and unit.
fn addresses() -> Vec<(u32, u32, bool)> {
    let street = (1..=60).filter(|number| *number != 9).map(|number| (number, 0, number != 30));
    street.chain([(26, 1, true), (26, 2, true)]).collect()
}

fn pid(number: u32, unit: u32) -> String {
    let digits = if unit == 0 { format!("{number}") } else { format!("{number}{unit}") };
    format!("GAVIC{digits:0>9}")
}

fn sla(number: u32, unit: u32) -> String {
    let unit = if unit == 0 { String::new() } else { format!("UNIT {unit}, ") };
    format!("{unit}{number} FIREBRACE ST, HORSHAM VIC 3400")
}

/// What goes wrong, if anything.
async fn trouble(shared: &Shared) -> Option<Response> {
    shared.calls.fetch_add(1, Ordering::Relaxed);
    let mood = *shared.mood.lock().unwrap();
    let week = [("cache-control", "public, max-age=604800"), ("content-type", "application/json")];
    match mood {
        Mood::Good => None,
        Mood::Failing => Some((StatusCode::INTERNAL_SERVER_ERROR, week, "{\"error\": \"boom\"}").into_response()),
        Mood::Missing => Some((StatusCode::NOT_FOUND, week, "{\"error\": \"not found\"}").into_response()),
        Mood::Garbage => Some((StatusCode::OK, week, "<html>It works!</html>").into_response()),
        Mood::Endless => {
            let chunks = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("[".repeat(65_536)));
            Some((StatusCode::OK, week, Body::from_stream(chunks)).into_response())
        }
        Mood::Slow => {
            tokio::time::sleep(Duration::from_secs(20)).await;
            None
        }
    }
}

async fn search(State(shared): State<Shared>, Query(query): Query<HashMap<String, String>>) -> Response {
    if let Some(trouble) = trouble(&shared).await {
        return trouble;
    }
    let asked = query.get("q").cloned().unwrap_or_default();
    let words: Vec<String> = asked
        .to_uppercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|w| !w.is_empty())
        .map(str::to_owned)
        .collect();
    let page: usize = query.get("page").map_or(1, |page| page.parse().unwrap());
    // Crude, as a text index is: words in common, or their first letters.
    let score = |sla: &str| {
        let have: Vec<&str> = sla.split([' ', ',']).collect();
        let hit = |word: &String| {
            let near = |have: &&str| *have == word || (word.len() >= 5 && have.len() >= 5 && have[..5] == word[..5]);
            have.iter().any(near)
        };
        words.iter().filter(|word| hit(word)).count()
    };
    let mut found: Vec<(usize, u32, u32)> =
        addresses().into_iter().map(|(number, unit, _)| (score(&sla(number, unit)), number, unit)).collect();
    found.retain(|(score, ..)| *score > 0);
    found.sort_by_key(|(score, number, unit)| (std::cmp::Reverse(*score), *number, *unit));
    let total = found.len();
    let lines: Vec<Value> = found
        .into_iter()
        .skip((page - 1) * 8)
        .take(8)
        .map(|(score, number, unit)| {
            json!({"score": score, "sla": sla(number, unit), "pid": pid(number, unit), "highlight": {"sla": "<em>"},
                   "links": {"self": {"href": format!("/addresses/{}", pid(number, unit))}}})
        })
        .collect();
    let encoded = form_urlencoded::Serializer::new(String::new()).append_pair("q", &asked).finish();
    let mut link = format!("</addresses?{encoded}&page={page}>; rel=self, </addresses?{encoded}>; rel=first");
    if page * 8 < total {
        link = format!("{link}, </addresses?{encoded}&page={}>; rel=next", page + 1);
    }
    ([("cache-control", "public, max-age=604800"), ("link", &link)], json!(lines).to_string()).into_response()
}

async fn by_pid(State(shared): State<Shared>, Path(wanted): Path<String>) -> Response {
    if let Some(trouble) = trouble(&shared).await {
        return trouble;
    }
    let found = addresses().into_iter().find(|(number, unit, _)| pid(*number, *unit) == wanted);
    let Some((number, unit, positioned)) = found else {
        let week = [("cache-control", "public, max-age=604800")];
        return (StatusCode::NOT_FOUND, week, "{\"error\": \"not found\"}").into_response();
    };
    let mut address = json!({
        "pid": wanted,
        "sla": sla(number, unit),
        "mla": [format!("{number} FIREBRACE ST"), "HORSHAM VIC 3400"],
        "structured": {
            "number": {"number": number},
            "street": {"name": "FIREBRACE", "type": {"code": "STREET", "name": "ST"}},
            "locality": {"name": "HORSHAM", "class": {"code": "G", "name": "GAZETTED LOCALITY"}},
            "state": {"name": "VICTORIA", "abbreviation": "VIC"},
            "postcode": "3400",
            "confidence": 2
        }
    });
    if unit > 0 {
        address["structured"]["flat"] = json!({"type": {"code": "UNIT", "name": "UNIT"}, "number": unit});
    }
    if positioned {
        address["geocoding"] = json!({"geocodes": [{
            "default": true, "latitude": -36.7113, "longitude": 142.1998,
            "type": {"code": "FCS", "name": "FRONTAGE CENTRE SETBACK"},
            "reliability": {"code": "2", "name": "WITHIN ADDRESS SITE BOUNDARY OR ACCESS POINT"}
        }]});
    }
    ([("cache-control", "public, max-age=604800")], address.to_string()).into_response()
}
