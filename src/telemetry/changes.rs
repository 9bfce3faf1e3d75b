//! Changes of state, as they are logged and counted.

use std::sync::Arc;

use addrgate_filters::traffic::breaker::{Breaker, State};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::METRICS;

/// A line and a count for each change of a breaker.
pub(crate) async fn breaker_changes(breaker: Arc<Breaker>) {
    let changes = breaker.changes();
    each_change(changes, |change| {
        METRICS.breaker_changes.with_label_values(&[&**breaker.name(), change.to.as_str()]).inc();
        let (from, to, why) = (change.from.as_str(), change.to.as_str(), change.why.as_str());
        match change.to {
            State::Open => tracing::warn!(breaker = &**breaker.name(), from, to, why, "a breaker opened"),
            _ => tracing::info!(breaker = &**breaker.name(), from, to, why, "a breaker changed"),
        }
    })
    .await;
}

/// Calls for each change. Those that came while nobody listened are lost; the state itself is in the metrics.
pub(crate) async fn each_change<T: Clone>(mut changes: Receiver<T>, tell: impl Fn(T)) {
    loop {
        match changes.recv().await {
            Ok(change) => tell(change),
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
