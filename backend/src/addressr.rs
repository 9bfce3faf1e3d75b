//! `address-service serve --source addressr`: the same contract from an addressr instance, for a gateway to fall back on. It
//! serves search, validate, batch validate, geocode and by identifier; the rest is refused at once.

mod answers;
mod client;
mod find;
mod shape;

use std::sync::Arc;

use anyhow::{Context, bail};
use axum::extract::State;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub(crate) use self::client::AddressrArgs;
use self::client::Client;
use crate::error::ApiError;
use crate::health;
use crate::reply::Reply;
use crate::routes::{Class, Endpoint, GET, POST, endpoint};

/// The source, as answers name it.
pub(crate) const SOURCE: &str = "addressr";

/// What the handlers are given.
#[derive(Clone)]
pub(crate) struct App {
    client: Client,
    requests: Arc<Semaphore>,
    started: Instant,
}

impl App {
    /// With `requests` permits for requests being answered.
    ///
    /// # Errors
    /// When there is no URL of HTTP.
    pub(crate) fn new(args: &AddressrArgs, requests: &Arc<Semaphore>) -> anyhow::Result<Self> {
        let Some(url) = &args.addressr_url else { bail!("--source addressr needs --addressr-url URL") };
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !url.username().is_empty() {
            bail!("--addressr-url must begin with http:// or https:// and name a host, without a user");
        }
        let client = Client::new(url.clone(), args).context("the HTTP client can't be made")?;
        Ok(Self { client, requests: requests.clone(), started: Instant::now() })
    }
}

/// Every path of the service.
pub(crate) fn table() -> Vec<Endpoint<App>> {
    let mut table = vec![
        endpoint(GET, "/api/v1/addresses/search", Class::Search, answers::search),
        endpoint(GET.or(POST), "/api/v1/addresses/validate", Class::Single, answers::validate),
        endpoint(POST, "/api/v1/addresses/batch/validate", Class::Batch, answers::batch),
        endpoint(POST, "/api/v1/addresses/batch-validate", Class::Batch, answers::batch),
        endpoint(GET.or(POST), "/api/v1/addresses/geocode", Class::Single, answers::geocode),
        endpoint(GET.or(POST), "/api/v1/geocode", Class::Single, answers::geocode),
        endpoint(GET, "/api/v1/addresses/{gnafPid}", Class::Single, answers::by_pid),
        endpoint(GET, "/api/v1/health", Class::Health, detailed),
        endpoint(GET, "/api/v1/health/detailed", Class::Health, detailed),
        endpoint(GET, "/api/v1/health/ready", Class::Health, ready),
        endpoint(GET, "/api/v1/health/live", Class::Health, live),
        endpoint(GET, "/api/v1/addresses/health", Class::Health, group),
        endpoint(GET, "/api/v1/spatial/health", Class::Health, group),
    ];
    for path in [
        "/api/v1/addresses/localities",
        "/api/v1/addresses/streets",
        "/api/v1/addresses/reverse-geocode",
        "/api/v1/reverse-geocode",
        "/api/v1/spatial/proximity",
        "/api/v1/spatial/boundaries",
        "/api/v1/spatial/statistical-areas",
        "/api/v1/spatial/statistics",
        "/api/v1/spatial/statistical-areas/{level}/{code}",
        "/api/v1/spatial/batch/analyze",
        "/api/v1/spatial/coverage",
    ] {
        table.push(endpoint(GET.or(POST), path, Class::Single, answers::refuse));
    }
    table
}

/// Every call costs, so health asks nothing: it tells how the last call went.
async fn detailed(State(app): State<App>) -> Result<Reply, ApiError> {
    let up = app.client.answers();
    health::told(&json!({
        "status": if up { "healthy" } else { "degraded" },
        "timestamp": health::now(),
        "version": env!("CARGO_PKG_VERSION"),
        "checks": {
            "addressr": {
                "status": if up { "healthy" } else { "degraded" },
                "state": if up { "up" } else { "down" },
                "details": {"budget": app.client.left(), "freeCalls": app.client.free()},
            },
            "system": health::system(app.started),
        },
        "requests": {"free": app.requests.available_permits()},
    }))
}

async fn ready() -> Result<Reply, ApiError> {
    health::told(&json!({"ready": true, "timestamp": health::now(), "checks": {}}))
}

async fn live(State(app): State<App>) -> Result<Reply, ApiError> {
    health::alive(app.started)
}

async fn group(State(app): State<App>) -> Result<Reply, ApiError> {
    let up = app.client.answers();
    let services: Value = json!({"addressr": {"healthy": up}});
    let status = if up { "healthy" } else { "degraded" };
    health::told(&json!({"status": status, "timestamp": health::now(), "services": services}))
}
