//! Takes a changed configuration in without a restart: on SIGHUP, on the admin call, and when the file changes.
//!
//! The folder is watched, not the file, because editors and Kubernetes swap files by renaming. A file that is not valid
//! changes nothing and says so. Settings that need a restart are named, the others are taken.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::{SignalKind, signal};

use super::{ConfigError, load};
use crate::shared::Shared;
use crate::telemetry::METRICS;

/// Writes within this time count as one change.
const DEBOUNCE: Duration = Duration::from_millis(500);

/// Watches and reloads.
pub(crate) struct Reload {
    pub(crate) shared: Arc<Shared>,
    pub(crate) path: PathBuf,
}

/// The process's environment.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Reads the file again and swaps; what was is kept where the file is not valid.
///
/// # Errors
/// The reasons, with their places. They are also in the log, the metrics and the admin status.
pub(crate) fn reload(shared: &Shared, path: &Path) -> Result<Vec<&'static str>, ConfigError> {
    match load(path, &environment) {
        Ok(plan) => {
            let old = shared.plan_kept();
            let restart = plan.restart_needed(&old);
            for warning in &plan.warnings {
                tracing::warn!("{warning}");
            }
            tracing::info!(hash = %plan.hash, before = %old.hash, restart_needed = ?restart, "configuration reloaded");
            METRICS.reloads.with_label_values(&["success"]).inc();
            let said = match restart.as_slice() {
                [] => format!("taken, hash {}", plan.hash),
                names => format!("taken, hash {}; needs a restart: {}", plan.hash, names.join(", ")),
            };
            shared.swap(plan);
            shared.last_reload.store(Arc::new(said));
            Ok(restart)
        }
        Err(e) => {
            tracing::error!(error = %e, "the configuration is not valid; the old one stays");
            METRICS.reloads.with_label_values(&["failure"]).inc();
            METRICS.config("", false);
            shared.last_reload.store(Arc::new(format!("refused: {e}")));
            Err(e)
        }
    }
}

#[async_trait]
impl BackgroundService for Reload {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let changed = Arc::new(tokio::sync::Notify::new());
        // The watcher works as long as it is kept.
        let watcher = watch(&self.path, Arc::clone(&changed));
        if let Err(e) = &watcher {
            tracing::warn!(error = %e, "the configuration file can't be watched; SIGHUP still reloads");
        }
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(e) => return tracing::error!(error = %e, "SIGHUP can't be caught; no reload"),
        };
        let mut seen = contents(&self.path);
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                () = self.shared.reload.notified() => {}
                () = changed.notified() => {
                    tokio::time::sleep(DEBOUNCE).await;
                    // Other files of the folder change too, and one write is many events.
                    let now = contents(&self.path);
                    if now == seen {
                        continue;
                    }
                }
                _ = shutdown.changed() => return,
            }
            seen = contents(&self.path);
            let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
            let done = tokio::task::spawn_blocking(move || reload(&shared, &path).map_err(drop)).await;
            if let Err(e) = done {
                tracing::error!(error = %e, "the reload broke off; the old configuration stays");
            }
        }
    }
}

fn contents(path: &Path) -> Option<Vec<u8>> {
    std::fs::read(path).ok()
}

fn watch(path: &Path, changed: Arc<tokio::sync::Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changed.notify_one();
        }
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
