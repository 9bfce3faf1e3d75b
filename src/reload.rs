//! Takes a changed configuration in without a restart: on SIGHUP, on the admin call, and when one of its files changes,
//! those with clients, keys, tokens and the certificate too.
//!
//! Folders are watched, not files, because editors and Kubernetes swap files by renaming. A file that is not valid changes
//! nothing and says so. Settings that need a restart are named, the others are taken.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use addrgate_filters::client::TokenConfig;
use async_trait::async_trait;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::Signal;
use tokio::sync::Mutex;

use crate::config::{ConfigError, environment};
use crate::plan::{Running, load};
use crate::shared::Shared;
use crate::telemetry::METRICS;

/// Writes within this time count as one change.
const DEBOUNCE: Duration = Duration::from_millis(500);

/// Watches and reloads.
pub(crate) struct Reload {
    pub(crate) shared: Arc<Shared>,
    pub(crate) path: PathBuf,
    /// SIGHUP, caught since before anything was served.
    pub(crate) hangup: Mutex<Signal>,
}

/// Reads the file again and swaps; what was is kept where the file is not valid.
///
/// # Errors
/// The reasons, with their places. They are also in the log, the metrics and the admin status.
pub(crate) fn reload(shared: &Shared, path: &Path) -> Result<Vec<&'static str>, ConfigError> {
    let _one_at_a_time = shared.reloading.lock().unwrap_or_else(PoisonError::into_inner);
    let old = shared.plan_kept();
    let running = Running { plan: &old, has_redis: shared.redis.is_some() };
    match load(path, &environment, Some(running)) {
        Ok(plan) => {
            let restart = plan.restart_needed(&shared.at_start);
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
        let mut files = self.files();
        // The watcher works as long as it is kept.
        let mut watcher = watch(&files, &changed);
        let mut hangup = self.hangup.lock().await;
        let mut seen = contents(&files);
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                () = changed.notified() => {
                    tokio::time::sleep(DEBOUNCE).await;
                    // Other files of the folder change too, and one write is many events.
                    if contents(&files) == seen {
                        continue;
                    }
                }
                _ = shutdown.changed() => return,
            }
            // Read before the reload reads them: a change in between is another reload.
            seen = contents(&files);
            let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
            let done = tokio::task::spawn_blocking(move || reload(&shared, &path).map_err(drop)).await;
            if let Err(e) = done {
                tracing::error!(error = %e, "the reload broke off; the old configuration stays");
            }
            let named = self.files();
            if named != files {
                files = named;
                seen = contents(&files);
                drop(watcher);
                watcher = watch(&files, &changed);
            }
        }
    }
}

impl Reload {
    /// The configuration and the files it names whose content it takes in.
    fn files(&self) -> Vec<PathBuf> {
        let plan = self.shared.plan();
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let identity = &plan.file.identity;
        let tls = plan.file.server.tls.as_ref();
        let named = [
            tls.map(|tls| tls.certificate_file.as_path()),
            tls.map(|tls| tls.key_file.as_path()),
            plan.file.admin.token_file.as_deref(),
            identity.clients_file.as_deref(),
            identity.jwt.as_ref().and_then(TokenConfig::file),
        ];
        std::iter::once(self.path.clone()).chain(named.into_iter().flatten().map(|file| folder.join(file))).collect()
    }
}

fn contents(files: &[PathBuf]) -> Vec<Option<Vec<u8>>> {
    files.iter().map(|file| std::fs::read(file).ok()).collect()
}

/// Watches the folders of the files; what can't be watched is said, and SIGHUP still works.
fn watch(files: &[PathBuf], changed: &Arc<tokio::sync::Notify>) -> Option<RecommendedWatcher> {
    try_watch(files, Arc::clone(changed))
        .inspect_err(|e| tracing::warn!(error = %e, "the configuration's files can't be watched; SIGHUP still reloads"))
        .ok()
}

fn try_watch(files: &[PathBuf], changed: Arc<tokio::sync::Notify>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changed.notify_one();
        }
    })?;
    let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    for folder in folders {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}
