//! How far warming is.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use tokio::sync::Mutex;

/// How far warming is. One per process.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Held by the run that is under way.
    pub(crate) running: Mutex<()>,
    /// Held by the run for the most asked that waits for its turn.
    pub(crate) next: Mutex<()>,
    pub(crate) total: AtomicUsize,
    pub(crate) done: AtomicUsize,
    pub(crate) failed: AtomicUsize,
}

impl Progress {
    /// For status.
    pub(crate) fn status(&self) -> Value {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        serde_json::json!({
            "running": self.running.try_lock().is_err(),
            "total": count(&self.total),
            "done": count(&self.done),
            "failed": count(&self.failed),
        })
    }
}
