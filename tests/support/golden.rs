//! Answers kept in `tests/golden/NAME.json`, with what changes from run to run masked.
//! `GOLDEN=write make test` writes them anew; then read the difference before committing it.

use serde_json::{Map, Value, json};

use super::project;

/// Members whose values change with each request, or with the machine.
const VOLATILE: &[&str] = &[
    "timestamp", "requestId", "responseTime", "executionTime", "processingTime", "searchTime", "latency", "uptime",
    "importedAt", "lastUpdate", "memoryBytes", "version", "connections", "idle", "free",
];

/// Compares with the kept answer.
pub fn assert_golden(name: &str, answer: &Value) {
    let answer = masked("", answer);
    let path = project(&format!("tests/golden/{name}.json"));
    let text = format!("{answer:#}\n");
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; GOLDEN=write makes it", path.display()));
    if kept != text {
        let differ: Vec<String> = difference("", &serde_json::from_str(&kept).unwrap(), &answer);
        panic!("{name} differs from tests/golden/{name}.json (GOLDEN=write accepts it):\n{}", differ.join("\n"));
    }
}

fn masked(key: &str, value: &Value) -> Value {
    if VOLATILE.contains(&key) && !value.is_null() {
        return json!(match value {
            Value::String(_) => "<text>",
            Value::Number(_) => "<number>",
            _ => "<changing>",
        });
    }
    match value {
        Value::Object(members) => {
            Value::Object(members.iter().map(|(key, value)| (key.clone(), masked(key, value))).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(|item| masked(key, item)).collect(),
        // A PostGIS or PROJ of another version moves the last digits. Six decimals of a degree are 0.1 m.
        Value::Number(number) if number.is_f64() => {
            let places = if ["latitude", "longitude"].contains(&key) { 1e6 } else { 1e1 };
            json!((number.as_f64().unwrap_or_default() * places).round() / places)
        }
        other => other.clone(),
    }
}

/// Where two values differ, one line each.
fn difference(place: &str, kept: &Value, now: &Value) -> Vec<String> {
    match (kept, now) {
        (Value::Object(kept), Value::Object(now)) => {
            let mut keys: Vec<&String> = kept.keys().chain(now.keys().filter(|key| !kept.contains_key(*key))).collect();
            let order = |members: &Map<String, Value>| members.keys().cloned().collect::<Vec<_>>();
            let mut lines = Vec::new();
            if keys.len() == kept.len() && kept.len() == now.len() && order(kept) != order(now) {
                lines.push(format!("{place}: the members come in another order: {:?}", order(now)));
            }
            for key in keys.drain(..) {
                let place = format!("{place}.{key}");
                match (kept.get(key), now.get(key)) {
                    (Some(kept), Some(now)) => lines.extend(difference(&place, kept, now)),
                    (Some(kept), None) => lines.push(format!("{place}: gone, was {kept}")),
                    (None, now) => lines.push(format!("{place}: new, {}", now.unwrap_or(&Value::Null))),
                }
            }
            lines
        }
        (Value::Array(kept), Value::Array(now)) if kept.len() == now.len() => {
            let pairs = kept.iter().zip(now).enumerate();
            pairs.flat_map(|(at, (kept, now))| difference(&format!("{place}[{at}]"), kept, now)).collect()
        }
        (kept, now) if kept == now => Vec::new(),
        (kept, now) => vec![format!("{place}: {kept} -> {now}")],
    }
}
