//! The breaker in front of the pool: while the server is away, statements are refused at once instead of waiting for their
//! deadlines one after the other, and one probe of our own finds out when it is back. It is the gateway's breaker
//! (`addrgate_filters::traffic::breaker`).

use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::traffic::breaker::{Breaker, Config, Permit, Refused, State};
use addrgate_filters::traffic::units::Span;
use tokio::time::Instant;

use super::{Database, Failure};
use crate::error::ApiError;

const PING: &str = include_str!("../sql/ping.sql");
/// A statement that was given less time than this and did not end in it says nothing about the server: a client that is in
/// a hurry must not shut the door for everyone.
const FAIR: Duration = Duration::from_millis(400);

pub(super) fn breaker() -> Arc<Breaker> {
    Breaker::new("database", &config())
}

/// A request asks several statements, so that a few requests are enough to see that the server is away.
fn config() -> Config {
    Config {
        window: 40,
        minimum: 10,
        open: Span::secs(1),
        open_max: Span::secs(5),
        probes: 1,
        half_open: Span::secs(2),
        probe_every: Span::millis(500),
        ..Config::default()
    }
}

/// Probes while the breaker is not closed, and logs its changes, for the life of the process.
pub(super) fn watch(database: &Database) {
    let mut changes = database.breaker.changes();
    let probed = database.clone();
    let probe = move || {
        let database = probed.clone();
        async move { database.attempts(Instant::now() + Duration::from_secs(1), PING, &[]).await.is_ok() }
    };
    tokio::spawn(database.breaker.clone().watch(probe));
    tokio::spawn(async move {
        use tokio::sync::broadcast::error::RecvError;
        loop {
            match changes.recv().await {
                Ok(change) if change.to == State::Open => {
                    tracing::warn!(why = ?change.why, "the database's breaker is open: no statements are sent, a trial follows");
                }
                Ok(change) if change.to == State::Closed => tracing::info!("the database is asked again"),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
}

/// What a client is told.
pub(super) fn refusal(refused: &Refused) -> ApiError {
    let seconds = u32::try_from(refused.retry_after.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    ApiError::unavailable("The database is not available", seconds)
}

/// Tells the breaker what became of a statement.
pub(super) fn tell(permit: Permit, begun: Instant, deadline: Instant, failure: Option<&Failure>) {
    match failure {
        None | Some(Failure::Refused(_)) => permit.success(begun.elapsed()),
        Some(Failure::Away(_) | Failure::Gone(_)) => permit.failure(),
        Some(Failure::TooSlow) if deadline.saturating_duration_since(begun) >= FAIR => permit.failure(),
        // Dropped, it counts as nothing.
        Some(Failure::TooSlow) => drop(permit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_are_ones_a_breaker_can_work_with() {
        assert_eq!(config().check(), Ok(()));
    }
}
