//! Health: of this process, of the database behind it, of the data in it. Nothing here counts rows.

use std::time::Duration;

use addrgate_filters::http::response::timestamp;
use axum::extract::State;
use chrono::Utc;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::app::App;
use crate::dataset::{Facts, Known};
use crate::error::ApiError;
use crate::place::round;
use crate::reply::Reply;

/// A database that needs longer than this to say `1` is down as far as health is concerned.
const PING: Duration = Duration::from_millis(500);

/// What a ping found.
struct Ping {
    up: bool,
    milliseconds: u64,
}

/// GET /api/v1/health: everything at a glance; 503 when no answer can be given.
pub(crate) async fn health(State(app): State<App>) -> Result<Reply, ApiError> {
    let begun = Instant::now();
    let ping = ping(&app).await;
    let known = app.facts.known();
    let dataset = dataset(&known, &app.facts);
    let status = status(&ping, &dataset);
    let body = json!({
        "status": status,
        "timestamp": now(),
        "version": env!("CARGO_PKG_VERSION"),
        "responseTime": begun.elapsed().as_millis() as u64,
        "checks": {
            "database": database(&app, &ping),
            "cache": {"status": "healthy", "state": "up", "details": "this service keeps no cache; the gateway does"},
            "gnafDataset": dataset,
            "system": system(app.started),
        },
    });
    Reply::uncached(code(status), &body)
}

/// GET /api/v1/health/detailed: health, the pool, every source, the breaker, changes that are still to be purged from caches.
pub(crate) async fn detailed(State(app): State<App>) -> Result<Reply, ApiError> {
    let ping = ping(&app).await;
    let known = app.facts.known();
    let dataset = dataset(&known, &app.facts);
    let status = status(&ping, &dataset);
    let sources: Vec<Value> = known
        .sources
        .iter()
        .flat_map(|sources| sources.iter())
        .map(|source| {
            json!({"source": source.source, "release": source.release, "importedAt": source.imported_at,
                   "addresses": source.addresses})
        })
        .collect();
    let body = json!({
        "status": status,
        "timestamp": now(),
        "version": env!("CARGO_PKG_VERSION"),
        "checks": {"database": database(&app, &ping), "gnafDataset": dataset, "system": system(app.started)},
        "sources": sources,
        "purges": purges(&app).await,
        "breakers": [app.database.breaker()],
        "requests": {"free": app.requests.available_permits()},
    });
    Reply::uncached(code(status), &body)
}

/// GET /api/v1/health/ready: 503 until the database has answered once, so that a new instance gets traffic only when it
/// can serve it. Later losses of the database show in `checks` and in the answers themselves: taking every instance
/// out of rotation because what they share is down would help nobody.
pub(crate) async fn ready(State(app): State<App>) -> Result<Reply, ApiError> {
    let known = app.facts.known();
    let ready = known.sources.is_some();
    let body = json!({
        "ready": ready,
        "timestamp": now(),
        "checks": {"database": {"state": if known.up { "up" } else { "down" }}},
    });
    Reply::uncached(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &body)
}

/// GET /api/v1/health/live: the process turns.
pub(crate) async fn live(State(app): State<App>) -> Result<Reply, ApiError> {
    alive(app.started)
}

/// The process turns since then.
///
/// # Errors
/// `INTERNAL_ERROR` when it can't be written as JSON.
pub(crate) fn alive(started: Instant) -> Result<Reply, ApiError> {
    told(&json!({"alive": true, "timestamp": now(), "uptime": started.elapsed().as_secs()}))
}

/// An answer that is good.
///
/// # Errors
/// `INTERNAL_ERROR` when it can't be written as JSON.
pub(crate) fn told(body: &Value) -> Result<Reply, ApiError> {
    Reply::uncached(StatusCode::OK, body)
}

/// GET /api/v1/addresses/health and /api/v1/spatial/health: the database behind the group.
pub(crate) async fn group(State(app): State<App>) -> Result<Reply, ApiError> {
    let ping = ping(&app).await;
    let status = if ping.up { "healthy" } else { "unhealthy" };
    let body = json!({
        "status": status,
        "timestamp": now(),
        "services": {"database": {"healthy": ping.up, "latency": ping.milliseconds}},
    });
    Reply::uncached(code(status), &body)
}

/// How changes of data get out of the caches, how many wait for it, and for how many seconds the oldest.
async fn purges(app: &App) -> Value {
    let mut purges = match &app.purges {
        Some(state) => state.borrow().to_json(),
        None => json!({"state": "off"}),
    };
    let waiting = app.database.query_opt(Instant::now() + PING, include_str!("sql/outbox_waiting.sql"), &[]).await;
    if let (Ok(Some(row)), Some(fields)) = (waiting, purges.as_object_mut()) {
        fields.insert("waiting".into(), row.get::<_, i64>("waiting").into());
        fields.insert("oldestSeconds".into(), round(row.get("oldest"), 1).into());
    }
    purges
}

async fn ping(app: &App) -> Ping {
    let begun = Instant::now();
    let up = app.database.query(begun + PING, include_str!("sql/ping.sql"), &[]).await.is_ok();
    Ping { up, milliseconds: begun.elapsed().as_millis() as u64 }
}

/// That of the data, as long as there is a database to ask for it.
fn status<'d>(ping: &Ping, dataset: &'d Value) -> &'d str {
    dataset["status"].as_str().filter(|_| ping.up).unwrap_or("unhealthy")
}

fn database(app: &App, ping: &Ping) -> Value {
    let pool = app.database.state();
    json!({
        "status": if ping.up { "healthy" } else { "unhealthy" },
        "state": if ping.up { "up" } else { "down" },
        "responseTime": ping.milliseconds,
        "details": {"connections": pool.connections, "idle": pool.idle},
    })
}

fn dataset(known: &Known, facts: &Facts) -> Value {
    let sources = known.sources.as_deref().map(Vec::as_slice).unwrap_or_default();
    let records: i64 = sources.iter().map(|source| source.addresses).sum();
    let (status, state) = match records {
        0 => ("unhealthy", "missing"),
        _ if facts.are_refused() => ("unhealthy", "outdated"),
        _ if facts.are_outdated() => ("degraded", "outdated"),
        _ => ("healthy", "current"),
    };
    json!({
        "status": status,
        "state": state,
        "lastUpdate": sources.iter().map(|source| source.imported_at).max(),
        "recordCount": records,
        "details": sources.iter().filter(|source| source.addresses > 0).map(|source| {
            json!({"source": source.source, "release": source.release, "records": source.addresses})
        }).collect::<Vec<_>>(),
    })
}

/// The process.
pub(crate) fn system(started: Instant) -> Value {
    json!({"status": "healthy", "uptime": started.elapsed().as_secs(), "memoryBytes": resident_bytes()})
}

/// Resident memory from Linux's procfs; `None` elsewhere.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn code(status: &str) -> StatusCode {
    if status == "unhealthy" { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

/// The time, to the millisecond.
pub(crate) fn now() -> String {
    timestamp(Utc::now())
}
