//! The gateway's own answers: whether it lives and is ready, how it is, and how those are that it asks.

use std::time::Duration;

use addrgate_filters::degrade::Level;
use addrgate_filters::reply::{Cause, Code, Reply, render, timestamp};
use addrgate_filters::route::Answer;
use addrgate_filters::verdict::Verdict;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::admin::status;
use crate::config::Plan;
use crate::context::Context;
use crate::shared::Shared;
use crate::telemetry::METRICS;

/// The answer of a route that is the gateway's own.
pub(super) async fn reply(ctx: &Context, path: &str, kind: Answer) -> Reply {
    let shared = &ctx.shared;
    let now = timestamp(chrono::Utc::now());
    match kind {
        Answer::Livez => livez(),
        Answer::Readyz => readyz(shared, &ctx.verdict),
        Answer::Detailed => detailed(ctx, path).await,
        Answer::Alive => {
            let uptime = shared.started.elapsed().as_secs_f64();
            Reply::json(200, &json!({"alive": true, "timestamp": now, "uptime": uptime}))
        }
        Answer::Recent => {
            let mut body = shared.recent.report(&METRICS.totals(), shared.started.elapsed());
            body["timestamp"] = now.into();
            Reply::json(200, &body)
        }
        Answer::Metrics => metrics(shared),
    }
}

/// That the process runs.
pub(crate) fn livez() -> Reply {
    Reply::json(200, &json!({"alive": true}))
}

/// Whether load balancers should send traffic.
pub(crate) fn readyz(shared: &Shared, verdict: &Verdict) -> Reply {
    if shared.is_ready() {
        return Reply::json(200, &json!({"ready": true}));
    }
    let cause = Cause::new(Code::ServiceUnavailable, "draining", "This instance takes no more traffic.");
    render(&cause.retry_after(Duration::from_secs(1)), verdict, false, chrono::Utc::now())
}

/// Everything that is counted, for Prometheus.
pub(crate) fn metrics(shared: &Shared) -> Reply {
    status::gather(shared);
    let fields = [("content-type", "text/plain; version=0.0.4"), ("cache-control", "no-store")];
    Reply {
        status: 200,
        fields: fields.map(|(name, value)| (name, value.to_owned())).into(),
        body: METRICS.text().into(),
        close: false,
    }
}

/// What the upstreams said of themselves. Anyone may ask, past queue and breaker, so they are asked by one at a time and
/// once a second at most.
#[derive(Default)]
pub(crate) struct Services(Mutex<Option<Said>>);

struct Said {
    path: String,
    at: Instant,
    /// Name, status (0: none) and body of each.
    answers: Vec<(String, u16, Value)>,
}

impl Services {
    async fn say(&self, plan: &Plan, path: &str) -> Vec<(String, u16, Value)> {
        const KEPT: Duration = Duration::from_secs(1);
        const TIME: Duration = Duration::from_millis(800);
        let mut said = self.0.lock().await;
        if let Some(said) = said.as_ref().filter(|said| said.path == path && said.at.elapsed() < KEPT) {
            return said.answers.clone();
        }
        let asked = plan.pools.iter().map(async |pool| {
            let (status, body) = pool.get(path, TIME).await.unwrap_or_default();
            (pool.name().to_owned(), status, serde_json::from_slice(&body).unwrap_or_default())
        });
        let answers = futures::future::join_all(asked).await;
        *said = Some(Said { path: path.to_owned(), at: Instant::now(), answers: answers.clone() });
        answers
    }
}

/// Health in detail, the services' own included.
async fn detailed(ctx: &Context, path: &str) -> Reply {
    let services = ctx.shared.services.say(&ctx.plan, path).await;
    let well = services.iter().filter(|(_, status, _)| *status == 200).count();
    let troubled = well < services.len() || ctx.plan.filters.degrade.level() != Level::Normal;
    let state = match (well, troubled) {
        (0, _) => "unhealthy",
        (_, true) => "degraded",
        (_, false) => "healthy",
    };
    let mut body = status::parts(&ctx.shared);
    let own = [
        ("status", state.into()),
        ("timestamp", timestamp(chrono::Utc::now()).into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("services", services.into_iter().map(|(name, _, body)| (name, body)).collect()),
    ];
    body.extend(own.map(|(name, value)| (name.to_owned(), value)));
    Reply::json(if well == 0 { 503 } else { 200 }, &body.into())
}
