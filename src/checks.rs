//! Runs active health checks.

use std::sync::Arc;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::task::JoinSet;

use crate::shared::Shared;

/// Runs the checks of all upstreams of the current plan; a new plan brings its own.
pub(crate) struct Checks(pub(crate) Arc<Shared>);

#[async_trait]
impl BackgroundService for Checks {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut changes = self.0.plan_changes();
        loop {
            let mut running = JoinSet::new();
            for pool in &self.0.plan().pools {
                let pool = Arc::clone(pool);
                running.spawn(async move { pool.keep_checking().await });
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                _ = shutdown.changed() => return,
            }
        }
    }
}
