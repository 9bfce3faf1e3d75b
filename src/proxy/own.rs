//! The gateway's own answers: whether it lives and is ready, how it is, and how those are that it asks.

use std::sync::Arc;

use addrgate_filters::reply::{Reply, timestamp};
use addrgate_filters::route::Answer;
use addrgate_filters::traffic::degrade::Level;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::context::Context;
use crate::health::{livez, metrics, readyz};
use crate::plan::Plan;
use crate::services::{Health, Said};
use crate::shared::Shared;
use crate::status;
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

/// How the gateway's own parts are: it serves without Redis and at a lower level, but not as well.
fn own_health(shared: &Shared, plan: &Plan) -> Health {
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
