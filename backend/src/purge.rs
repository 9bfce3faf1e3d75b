//! Data changes purge by themselves. Triggers write into `purge_outbox` which cache tags a change touches
//! (`migrations/V5__outbox.sql`); this task hands them to the purge API of a gateway, and deletes them once the gateway has
//! confirmed that all of its instances will hear of it. Nothing is lost while either is down. Of several address services
//! each takes rows that no other is working on.

mod gateway;
mod outbox;

use std::collections::BTreeSet;
use std::time::Duration;

use addrgate_filters::http::response::timestamp;
use chrono::{DateTime, Utc};
use rand::Rng;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

pub(crate) use self::gateway::{Gateways, PurgeArgs};
use self::outbox::Outbox;
use crate::db::Server;

/// How often to look although nothing was announced: another drainer may have given up on what it had taken.
const POLL: Duration = Duration::from_secs(5);
/// Pauses after failures grow from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// Tags of one call, as the purge API allows.
const PER_CALL: usize = 1_000;

/// How draining goes, for health.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    confirmed: Option<DateTime<Utc>>,
    failure: Option<&'static str>,
}

impl State {
    /// `{state, lastConfirmed, reason?}`.
    pub(crate) fn to_json(&self) -> Value {
        let confirmed = self.confirmed.map(timestamp);
        match self.failure {
            None => json!({"state": "up", "lastConfirmed": confirmed}),
            Some(reason) => json!({"state": "failing", "lastConfirmed": confirmed, "reason": reason}),
        }
    }
}

/// Why a batch was not purged. It is kept and tried again.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the database: {0}")]
    Database(#[from] tokio_postgres::Error),
    #[error("the database does not respond")]
    Silent,
    #[error("no gateway confirmed: {0}")]
    Gateway(String),
}

impl Failure {
    /// What anyone may know.
    fn reason(&self) -> &'static str {
        match self {
            Self::Database(_) | Self::Silent => "the database does not give the changes",
            Self::Gateway(_) => "no gateway has confirmed the purge",
        }
    }
}

/// What one batch asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Batch {
    ids: Vec<i64>,
    tags: BTreeSet<String>,
    /// Why everything is to be purged, if it is.
    everything: Option<String>,
}

/// Drains for the life of the process.
pub(crate) fn keep(server: Server, gateways: Gateways) -> watch::Receiver<State> {
    let (sender, receiver) = watch::channel(State::default());
    tokio::spawn(async move {
        let mut failures = 0;
        loop {
            let Err(failure) = drain(&server, &gateways, &sender, &mut failures).await;
            let pause = pause(failures);
            failures = failures.saturating_add(1);
            tracing::warn!(%failure, pause = ?pause, "changes of data are not purged from caches; trying again");
            sender.send_modify(|state| state.failure = Some(failure.reason()));
            sleep(pause).await;
        }
    });
    receiver
}

/// One session, until something fails.
async fn drain(
    server: &Server,
    gateways: &Gateways,
    state: &watch::Sender<State>,
    failures: &mut u32,
) -> Result<std::convert::Infallible, Failure> {
    let mut outbox = Outbox::open(server).await?;
    loop {
        let (taken, batch) = outbox.take().await?;
        let found = !batch.ids.is_empty();
        if found {
            hand_over(gateways, &batch).await?;
        }
        taken.delete(&batch.ids).await?;
        if found {
            tracing::debug!(changes = batch.ids.len(), tags = batch.tags.len(), "purged");
        }
        if std::mem::take(failures) > 0 {
            tracing::info!("changes of data are purged from caches again");
        }
        state.send_modify(|state| {
            state.failure = None;
            if found {
                state.confirmed = Some(Utc::now());
            }
        });
        if !found {
            outbox.wait(POLL).await;
        }
    }
}

/// A changed row must not be served as it was even once: hard. After a release everything is fetched anew, and a cold
/// cache at full load would hurt everyone more than one more old answer per question: soft.
async fn hand_over(gateways: &Gateways, batch: &Batch) -> Result<(), Failure> {
    let tags: Vec<&String> = batch.tags.iter().collect();
    for tags in tags.chunks(PER_CALL) {
        gateways.purge(&json!({"tags": tags, "soft": false})).await.map_err(Failure::Gateway)?;
    }
    if let Some(reason) = &batch.everything {
        tracing::info!(reason, "purging everything");
        gateways.purge(&json!({"all": true, "soft": true})).await.map_err(Failure::Gateway)?;
    }
    Ok(())
}

/// Twice as long each time, less up to half of it by chance, so that drainers that failed together don't come together.
fn pause(failures: u32) -> Duration {
    let (first, last) = PAUSES;
    let whole = first.saturating_mul(1 << failures.min(16)).min(last);
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        for failures in [0, 1, 5, 40, u32::MAX] {
            let whole = Duration::from_millis(250 * 2_u64.pow(failures.min(7))).min(Duration::from_secs(30));
            let pause = pause(failures);
            assert!(pause <= whole && pause >= whole / 2, "{failures}: {pause:?}");
        }
    }
}
