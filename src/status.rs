//! How the process is: for `GET /admin/v1/status`, for detailed health, and in numbers for `/metrics`.

use addrgate_filters::traffic::breaker::State;
use serde_json::{Map, Value, json};

use crate::shared::Shared;
use crate::store::Second;
use crate::telemetry::METRICS;

/// Everything at a glance.
pub(crate) fn status(shared: &Shared) -> Value {
    let plan = shared.plan();
    let mut status = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": shared.is_ready(),
        "uptime": shared.started.elapsed().as_secs_f64(),
        "inFlight": shared.in_flight(),
        "config": {"hash": plan.hash, "lastReload": **shared.last_reload.load(), "warnings": plan.warnings},
        "warming": {"progress": shared.warming.status(), "known": shared.popular.len()},
    });
    if let Some(status) = status.as_object_mut() {
        status.extend(parts(shared));
    }
    status
}

/// How the parts are that clients can feel.
fn parts(shared: &Shared) -> Map<String, Value> {
    let plan = shared.plan();
    let filters = &plan.filters;
    let size = shared.caching.store.size();
    let upstreams = plan.pools.iter().map(|pool| {
        let (healthy, all) = pool.health();
        let (requests, retries) = pool.retries.counts();
        let value = json!({
            "healthy": healthy,
            "addresses": all,
            "breaker": filters.breaker.upstreams().get(pool.name()).map(|breaker| breaker.snapshot()),
            "queue": filters.queue.upstreams().get(pool.name()).map(|queue| queue.snapshot()),
            "retries": {"requests": requests, "spent": retries},
        });
        (pool.name().to_owned(), value)
    });
    let parts = [
        ("upstreams", Value::Object(upstreams.collect())),
        ("degradation", json!(filters.degrade.snapshot())),
        (
            "cache",
            json!({
                "memory": {"entries": size.entries, "bytes": size.bytes, "filling": size.filling},
                "second": shared.caching.store.second().map(Second::status),
            }),
        ),
        ("invalidation", shared.invalidation.status()),
        ("limits", json!({"shared": plan.file.rate_limit.shared && shared.redis.is_some()})),
    ];
    parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The same for everyone: without the names of servers.
pub(crate) fn public(shared: &Shared) -> Map<String, Value> {
    let mut parts = parts(shared);
    let redis = parts.get_mut("cache").and_then(|cache| cache.pointer_mut("/second/redis"));
    if let Some(Value::Object(redis)) = redis {
        redis.shift_remove("servers");
    }
    parts
}

/// The cache as health shows it.
pub(crate) fn cache(shared: &Shared) -> Value {
    let size = shared.caching.store.size();
    let second = match &shared.redis {
        None => "none",
        Some(_) if shared.is_redis_well() => "up",
        Some(_) => "down",
    };
    json!({
        "status": if second == "down" { "degraded" } else { "healthy" },
        "state": "up",
        "details": {"memory": {"state": "up", "entries": size.entries, "bytes": size.bytes}, "redis": {"state": second}},
    })
}

/// Brings the gauges up to date.
pub(crate) fn gather(shared: &Shared) {
    METRICS.in_flight.set(i64::try_from(shared.in_flight()).unwrap_or(i64::MAX));
    METRICS.uptime.set(shared.started.elapsed().as_secs_f64());
    let size = shared.caching.store.size();
    let fetches = shared.caching.coalesce.count() as u64;
    let holds =
        [("entries", size.entries), ("bytes", size.bytes), ("filling", size.filling as u64), ("fetches", fetches)];
    for (what, value) in holds {
        METRICS.cache_holds.with_label_values(&[what]).set(value as f64);
    }
    for gauge in [&METRICS.upstream_healthy, &METRICS.breaker_state, &METRICS.queue] {
        gauge.reset();
    }
    let plan = shared.plan();
    for pool in &plan.pools {
        METRICS.upstream_healthy.with_label_values(&[pool.name()]).set(pool.health().0 as f64);
        if let Some(queue) = plan.filters.queue.upstreams().get(pool.name()) {
            let queue = queue.snapshot();
            let own = [("limit", queue.limit), ("running", queue.running)];
            for (what, value) in own.into_iter().chain(queue.waiting) {
                METRICS.queue.with_label_values(&[pool.name(), what]).set(value as f64);
            }
        }
    }
    let of_redis = shared.redis.as_ref().map(|redis| redis.breakers()).unwrap_or_default();
    METRICS.redis_connected.set(i64::from(shared.redis.as_ref().is_some_and(|redis| redis.is_connected())));
    for breaker in plan.filters.breaker.upstreams().states().chain(&of_redis) {
        let state = match breaker.state() {
            State::Closed | State::ForcedClosed => 0.0,
            State::HalfOpen => 1.0,
            State::Open | State::ForcedOpen => 2.0,
        };
        METRICS.breaker_state.with_label_values(&[breaker.name()]).set(state);
    }
    METRICS.level.set(plan.filters.degrade.level() as i64);
}
