//! What keeps breakers and degradation going without requests: probes, the beat of the signals, and a line for each change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::Mutex;
use tokio::sync::broadcast::Receiver;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::shared::Shared;
use crate::telemetry::{METRICS, breaker_changes, each_change};
use crate::upstream::Pool;

/// How often the signals are fed.
const BEAT: Duration = Duration::from_secs(1);

/// The tasks; a new plan brings its own.
pub(crate) struct Pressure(pub(crate) Arc<Shared>);

#[async_trait]
impl BackgroundService for Pressure {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut changes = self.0.plan_changes();
        // What the cache gave back it gets back, whichever plan it was that wanted it.
        let squeeze = Arc::new(Mutex::new(Squeeze::default()));
        loop {
            // Dropped with the plan they were made for.
            let mut running = JoinSet::new();
            let plan = self.0.plan_kept();
            for pool in &plan.pools {
                if let Some(breaker) = plan.filters.breaker.upstreams().get(pool.name()) {
                    running.spawn(Arc::clone(breaker).watch(probe(pool)));
                    running.spawn(breaker_changes(Arc::clone(breaker)));
                }
            }
            running.spawn(tell_levels(Arc::clone(&self.0), plan.filters.degrade.changes()));
            drop(plan);
            let (shared, squeeze) = (Arc::clone(&self.0), Arc::clone(&squeeze));
            running.spawn(async move {
                let mut beat = tokio::time::interval(BEAT);
                loop {
                    beat.tick().await;
                    let used = memory().unwrap_or(0.0);
                    shared.plan().filters.tick(used);
                    widen(&shared);
                    squeeze.lock().await.step(&shared, used).await;
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

/// Makes the cache smaller while the level of degradation wants memory back, and as large as before once the level is left.
struct Squeeze {
    /// The share of its memory that the cache may use.
    share: f64,
    /// When it was made smaller last.
    since: Instant,
}

impl Default for Squeeze {
    fn default() -> Self {
        Self { share: 1.0, since: Instant::now() }
    }
}

impl Squeeze {
    /// So long the memory that was freed has to get back to the system, before more is freed.
    const PAUSE: Duration = Duration::from_secs(5);

    async fn step(&mut self, shared: &Shared, used: f64) {
        let (wants, holds) = {
            let degrade = &shared.plan().filters.degrade;
            (degrade.wants_memory(used), degrade.effects().shrink_cache)
        };
        let share = match (wants, holds) {
            (true, _) if self.share == 1.0 || self.since.elapsed() >= Self::PAUSE => self.share / 2.0,
            (_, true) => self.share,
            (_, false) => 1.0,
        };
        if share == self.share {
            return;
        }
        (self.share, self.since) = (share, Instant::now());
        let store = shared.caching.store;
        // A large cache takes a moment.
        let left = tokio::task::spawn_blocking(move || store.shrink(share)).await;
        tracing::warn!(share, used, bytes = left.unwrap_or_default(), "the cache may use another share of its memory");
    }
}

/// Stale windows are as wide as the level says. With each beat too, because a change can be missed and a new plan can mean
/// something else by the same level.
fn widen(shared: &Shared) {
    shared.caching.store.stretch(shared.plan().filters.degrade.effects().stale);
}

async fn tell_levels(shared: Arc<Shared>, changes: Receiver<addrgate_filters::traffic::degrade::Change>) {
    each_change(changes, |change| {
        widen(&shared);
        let by = if change.by_operator { "operator" } else { "signals" };
        tracing::warn!(from = change.from.as_str(), to = change.to.as_str(), by, "level of degradation");
    })
    .await;
}

/// The share of its limit of memory that this process uses: its cgroup's limit where there is one, else the machine's.
/// `None` where the system does not tell.
fn memory() -> Option<f64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let kib = |text: &str, name: &str| -> Option<f64> {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    let resident = kib(&read("/proc/self/status")?, "VmRSS:")?;
    let machine = kib(&read("/proc/meminfo")?, "MemTotal:")?;
    let own = read("/proc/self/cgroup").and_then(|groups| group_limit(&groups, Path::new("/sys/fs/cgroup")));
    let limit = own.map_or(machine, |bytes| (bytes / 1024.0).min(machine));
    (limit > 0.0).then(|| resident / limit)
}

/// The least limit of the cgroup (version 2) that `groups` names and of those around it, in bytes. A container sees its own
/// as the root.
fn group_limit(groups: &str, root: &Path) -> Option<f64> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = |group: &Path| std::fs::read_to_string(root.join(group).join("memory.max")).ok()?.trim().parse().ok();
    Path::new(own).ancestors().filter_map(limit).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_around_the_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let limit = |group: &str| group_limit(&format!("1:name=x:/y\n0::/{group}\n"), root.path());
        let inner = root.path().join("system.slice/addrgate.service");
        std::fs::create_dir_all(&inner).unwrap();
        assert_eq!(limit("system.slice/addrgate.service"), None);
        std::fs::write(inner.join("memory.max"), "max\n").unwrap();
        std::fs::write(root.path().join("system.slice/memory.max"), "2000\n").unwrap();
        assert_eq!(limit("system.slice/addrgate.service"), Some(2000.0));
        std::fs::write(inner.join("memory.max"), "1000\n").unwrap();
        assert_eq!(limit("system.slice/addrgate.service"), Some(1000.0));
        std::fs::write(root.path().join("memory.max"), "500\n").unwrap();
        assert_eq!(limit(""), Some(500.0), "in a namespace of its own");
        assert_eq!(group_limit("", root.path()), None);
    }
}
