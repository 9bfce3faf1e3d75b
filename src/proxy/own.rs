//! The gateway's own answers: whether it lives and is ready, how it is, and how those are that it asks.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use addrgate_filters::reply::{Cause, Code, Reply, render, timestamp};
use addrgate_filters::route::Answer;
use addrgate_filters::traffic::degrade::Level;
use addrgate_filters::verdict::Verdict;
use futures::future::{BoxFuture, FutureExt, Shared, join_all};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::admin::status;
use crate::config::Plan;
use crate::context::Context;
use crate::shared::Shared as SharedState;
use crate::telemetry::METRICS;
use crate::upstream::Pool;

/// The answer of a route that is the gateway's own.
pub(super) async fn reply(ctx: &Context, kind: Answer) -> Reply {
    let shared = &ctx.shared;
    let now = timestamp(chrono::Utc::now());
    match kind {
        Answer::Livez => livez(),
        Answer::Readyz => readyz(shared, ctx.peer(), &ctx.verdict),
        Answer::Health => health(ctx).await,
        Answer::Detailed => detailed(ctx).await,
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

/// Whether load balancers should send traffic, as `peer` asks.
pub(crate) fn readyz(shared: &SharedState, peer: Option<IpAddr>, verdict: &Verdict) -> Reply {
    shared.polls.note(peer);
    if shared.is_ready() {
        return Reply::json(200, &json!({"ready": true}));
    }
    let cause = Cause::new(Code::ServiceUnavailable, "draining", "This instance takes no more traffic.");
    render(&cause.retry_after(Duration::from_secs(1)), verdict, false, chrono::Utc::now())
}

/// Everything that is counted, for Prometheus.
pub(crate) fn metrics(shared: &SharedState) -> Reply {
    status::gather(shared);
    let fields = [("content-type", "text/plain; version=0.0.4"), ("cache-control", "no-store")];
    Reply {
        status: 200,
        fields: fields.map(|(name, value)| (name, value.to_owned())).into(),
        body: METRICS.text().into(),
        close: false,
    }
}

/// What one upstream said of itself.
#[derive(Debug)]
struct Said {
    upstream: String,
    /// 0 where it did not answer in time.
    status: u16,
    /// Null where it is no JSON.
    body: Value,
}

impl Said {
    /// How it is, in its own word where it has one.
    fn health(&self) -> Health {
        match (self.status, self.body["status"].as_str()) {
            (200, Some("degraded")) => Health::Degraded,
            (200, Some("unhealthy")) => Health::Unhealthy,
            (200, _) => Health::Healthy,
            _ => Health::Unhealthy,
        }
    }
}

/// What the upstreams say of themselves. Anyone may ask, past queue and breaker, so each question is put to them once a
/// second, by a task of its own: those who ask wait for that and for nobody else.
#[derive(Default)]
pub(crate) struct Services(Mutex<HashMap<(usize, String), Asked>>);

struct Asked {
    at: Instant,
    said: Shared<BoxFuture<'static, Arc<[Said]>>>,
}

impl Services {
    /// What they say on the path of this route.
    async fn ask(&self, pools: &[Arc<Pool>], route: usize, path: &str) -> Arc<[Said]> {
        const KEPT: Duration = Duration::from_secs(1);
        const TIME: Duration = Duration::from_millis(800);
        /// A route may have paths without end.
        const MOST: usize = 16;
        let said = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, asked| asked.at.elapsed() < KEPT);
            let key = (route, path.to_owned());
            if all.len() >= MOST && !all.contains_key(&key) {
                return Arc::default();
            }
            let asked = all.entry(key).or_insert_with(|| {
                let (pools, path) = (pools.to_vec(), path.to_owned());
                let calls = tokio::spawn(async move {
                    let calls = pools.iter().map(async |pool| {
                        let (status, body) = pool.get(&path, TIME).await.unwrap_or_default();
                        let body = serde_json::from_slice(&body).unwrap_or_default();
                        Said { upstream: pool.name().to_owned(), status, body }
                    });
                    join_all(calls).await.into()
                });
                // A task that broke off has said nothing.
                let said = calls.map(Result::unwrap_or_default).boxed().shared();
                Asked { at: Instant::now(), said }
            });
            asked.said.clone()
        };
        said.await
    }
}

/// How well something does its work; the worst of its parts is the whole's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Health {
    Healthy,
    Degraded,
    Unhealthy,
}

impl Health {
    fn word(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::Unhealthy => "unhealthy",
        }
    }

    /// Whoever watches acts on the status.
    fn status(self) -> u16 {
        if self == Health::Unhealthy { 503 } else { 200 }
    }
}

/// How the gateway's own parts are: it serves without Redis and at a lower level, but not as well.
fn own_health(shared: &SharedState, plan: &Plan) -> Health {
    match shared.is_redis_well() && plan.filters.degrade.level() == Level::Normal {
        true => Health::Healthy,
        false => Health::Degraded,
    }
}

/// The path in its one spelling.
fn path(ctx: &Context) -> &str {
    ctx.verdict.target.split('?').next().unwrap_or_default()
}

/// The contract's health: what the service says, and this gateway's cache.
async fn health(ctx: &Context) -> Reply {
    let Some(route) = &ctx.verdict.route else { return Reply::json(503, &json!({"status": "unhealthy"})) };
    let pools: Vec<Arc<Pool>> = ctx.plan.pool(route).into_iter().map(Arc::clone).collect();
    let asked = Instant::now();
    let said = ctx.shared.services.ask(&pools, route.index, path(ctx)).await;
    let service = said.iter().find(|said| said.body["status"].is_string());
    let mut body = match service {
        Some(Said { body: Value::Object(body), .. }) => body.clone(),
        _ => Map::from_iter([
            ("status".to_owned(), Value::Null),
            ("timestamp".to_owned(), timestamp(chrono::Utc::now()).into()),
            ("version".to_owned(), env!("CARGO_PKG_VERSION").into()),
            ("responseTime".to_owned(), (asked.elapsed().as_millis() as u64).into()),
            ("checks".to_owned(), json!({"service": {"status": "unhealthy", "state": "down"}})),
        ]),
    };
    let state = service.map_or(Health::Unhealthy, Said::health).max(own_health(&ctx.shared, &ctx.plan));
    body.insert("status".to_owned(), state.word().into());
    let checks = body.entry("checks").or_insert_with(|| json!({}));
    if let Value::Object(checks) = checks {
        checks.insert("cache".to_owned(), status::cache(&ctx.shared));
    }
    Reply::json(state.status(), &body.into())
}

/// Health in detail, the services' own included. The public page names no servers.
async fn detailed(ctx: &Context) -> Reply {
    let route = ctx.verdict.route.as_ref().map_or(0, |route| route.index);
    let services = ctx.shared.services.ask(&ctx.plan.pools, route, path(ctx)).await;
    let best = services.iter().map(Said::health).min().unwrap_or(Health::Unhealthy);
    let worst = services.iter().map(Said::health).max().unwrap_or(Health::Unhealthy);
    let state = match best {
        // Nobody is left to answer what is not kept.
        Health::Unhealthy => Health::Unhealthy,
        _ => worst.min(Health::Degraded).max(own_health(&ctx.shared, &ctx.plan)),
    };
    let mut body = status::public(&ctx.shared);
    let own = [
        ("status", state.word().into()),
        ("timestamp", timestamp(chrono::Utc::now()).into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("services", services.iter().map(|said| (said.upstream.clone(), said.body.clone())).collect()),
    ];
    body.extend(own.map(|(name, value)| (name.to_owned(), value)));
    Reply::json(state.status(), &body.into())
}
