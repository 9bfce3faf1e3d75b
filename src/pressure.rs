//! What keeps breakers and degradation going without requests: probes, the beat of the signals, and a line for each change.

use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::breaker::{Breaker, State};
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::task::JoinSet;

use crate::shared::Shared;
use crate::telemetry::METRICS;
use crate::upstream::Pool;

/// How often the signals are fed.
const BEAT: Duration = Duration::from_secs(1);

/// The tasks; a new plan brings its own.
pub(crate) struct Pressure(pub(crate) Arc<Shared>);

#[async_trait]
impl BackgroundService for Pressure {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut changes = self.0.plan_changes();
        loop {
            // Dropped with the plan they were made for.
            let mut running = JoinSet::new();
            let plan = self.0.plan_kept();
            for pool in &plan.pools {
                if let Some(breaker) = plan.filters.breaker.upstreams().get(pool.name()) {
                    running.spawn(Arc::clone(breaker).watch(probe(pool)));
                    running.spawn(tell(Arc::clone(breaker)));
                }
            }
            if let Some(redis) = &self.0.redis {
                running.spawn(tell(Arc::clone(&redis.breaker)));
            }
            running.spawn(tell_levels(Arc::clone(&self.0), plan.filters.degrade.changes()));
            drop(plan);
            let shared = Arc::clone(&self.0);
            running.spawn(async move {
                let mut beat = tokio::time::interval(BEAT);
                loop {
                    beat.tick().await;
                    shared.plan().filters.tick(memory().unwrap_or(0.0));
                    widen(&shared);
                    shared.recent.tick(|| METRICS.totals());
                }
            });
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                _ = shutdown.changed() => return,
            }
        }
    }
}

/// Bounded by the breaker's own time for a probe.
fn probe(pool: &Arc<Pool>) -> impl Fn() -> futures::future::BoxFuture<'static, bool> + use<> {
    let pool = Arc::clone(pool);
    move || {
        let pool = Arc::clone(&pool);
        Box::pin(async move { pool.works().await })
    }
}

/// A line and a count for each change of a breaker.
async fn tell(breaker: Arc<Breaker>) {
    let changes = breaker.changes();
    each(changes, |change| {
        METRICS.breaker_changes.with_label_values(&[&**breaker.name(), change.to.as_str()]).inc();
        let (from, to, why) = (change.from.as_str(), change.to.as_str(), change.why.as_str());
        match change.to {
            State::Open => tracing::warn!(breaker = &**breaker.name(), from, to, why, "a breaker opened"),
            _ => tracing::info!(breaker = &**breaker.name(), from, to, why, "a breaker changed"),
        }
    })
    .await;
}

/// Stale windows are as wide as the level says. With each beat too, because a change can be missed and a new plan can mean
/// something else by the same level.
fn widen(shared: &Shared) {
    shared.caching.store.stretch(shared.plan().filters.degrade.effects().stale);
}

async fn tell_levels(shared: Arc<Shared>, changes: Receiver<addrgate_filters::degrade::Change>) {
    each(changes, |change| {
        widen(&shared);
        let by = if change.by_operator { "operator" } else { "signals" };
        tracing::warn!(from = change.from.as_str(), to = change.to.as_str(), by, "level of degradation");
    })
    .await;
}

/// Those that came while nobody listened are lost; the state itself is in the metrics.
async fn each<T: Clone>(mut changes: Receiver<T>, tell: impl Fn(T)) {
    loop {
        match changes.recv().await {
            Ok(change) => tell(change),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// The share of its limit of memory that this process uses: the cgroup's limit where there is one, else the machine's.
/// `None` where the system does not tell.
fn memory() -> Option<f64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let kib = |text: &str, name: &str| -> Option<f64> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    let resident = kib(&read("/proc/self/status")?, "VmRSS:")?;
    let machine = kib(&read("/proc/meminfo")?, "MemTotal:")?;
    let own = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse::<f64>().ok());
    let limit = own.map_or(machine, |bytes| (bytes / 1024.0).min(machine));
    (limit > 0.0).then(|| resident / limit)
}
