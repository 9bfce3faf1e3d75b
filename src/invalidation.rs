//! Purges that reach every instance: a log with a logical clock.
//!
//! ```yaml
//! invalidation:
//!   poll: 50ms               # how often the log is read where it can't be waited on by a blocking read
//!   distrust: 30s            # while the log can't be read, how long an answer in memory stays fresh at most
//!   names: 100000            # purged tags and keys that are remembered
//!   length: 10000            # entries that the log keeps, about
//! ```
//!
//! A purge is applied at once where it arrives, and written to a Redis stream that all instances read ([`log`]). Without
//! Redis it concerns this instance alone. Where the log can't be written the purge is said to be unconfirmed, and written
//! as soon as it can be.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::redis::Redis;
use crate::telemetry::METRICS;

mod config;
mod log;
mod outbox;
mod reader;
mod table;

pub(crate) use config::Config;
pub(crate) use reader::Reader;
pub(crate) use table::{Clock, Name, Purge, Target, Validity};

use log::Log;
use outbox::Outbox;
use table::Table;

/// How long a purge waits to hear from the other instances.
const HEARD: Duration = Duration::from_millis(500);

/// What came of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// Every instance will know of it: it is in the log, or there is only this one.
    pub(crate) confirmed: bool,
    /// Instances that have applied it by now, this one included.
    pub(crate) applied: usize,
    /// Instances that there are.
    pub(crate) instances: usize,
}

/// See the module. One per process.
pub(crate) struct Invalidation {
    config: Config,
    table: Table,
    log: Option<Log>,
    outbox: Mutex<Outbox>,
    /// Whether the log was read once.
    known: AtomicBool,
    /// Since when the log can't be read; `None` while it can.
    lost: ArcSwap<Option<SystemTime>>,
    instances: AtomicUsize,
    /// Told when the log should be read, or written to.
    news: Notify,
    /// Whether somebody tells.
    hears: AtomicBool,
    /// Changes when everything was purged.
    cleared: watch::Sender<()>,
}

impl Invalidation {
    /// Alone, or with the log in Redis.
    pub(crate) fn new(config: &Config, redis: Option<Arc<Redis>>) -> Arc<Self> {
        // Until the log was read for the first time nothing is known.
        let lost = redis.is_some().then(SystemTime::now);
        Arc::new(Self {
            config: config.clone(),
            table: Table::new(config.names),
            outbox: Mutex::default(),
            known: AtomicBool::new(redis.is_none()),
            log: redis.map(|redis| Log::new(redis, config.length)),
            lost: ArcSwap::from_pointee(lost),
            instances: AtomicUsize::new(1),
            news: Notify::new(),
            hears: AtomicBool::new(false),
            cleared: watch::Sender::new(()),
        })
    }

    /// The clock of a fetch that begins now.
    pub(crate) fn now(&self) -> Clock {
        self.table.now()
    }

    /// The number of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.table.version()
    }

    /// Whether an answer still holds.
    pub(crate) fn judge(&self, names: &[Name], clock: Clock) -> Validity {
        self.table.judge(names, clock)
    }

    /// Until when an answer that was stored at some time may count as fresh; `None`: as long as it says.
    pub(crate) fn trusted_until(&self, stored: SystemTime) -> Option<SystemTime> {
        let lost = **self.lost.load();
        lost.map(|lost| stored.max(lost) + self.config.distrust.0)
    }

    /// Whether what was purged before this instance began is known. Until then only its own fetches are to be trusted.
    pub(crate) fn is_known(&self) -> bool {
        self.known.load(Ordering::Acquire)
    }

    /// How many instances there are, as far as is known.
    pub(crate) fn instances(&self) -> usize {
        self.instances.load(Ordering::Relaxed)
    }

    /// Tells of every purge of everything.
    pub(crate) fn cleared(&self) -> watch::Receiver<()> {
        self.cleared.subscribe()
    }

    fn apply(&self, purge: &Purge, id: Option<Clock>) {
        self.table.apply(purge, id);
        if purge.target == Target::All {
            self.cleared.send_replace(());
        }
    }

    /// Purges here at once, elsewhere behind the caller's back.
    pub(crate) fn purge_soon(&self, purge: Purge) {
        self.apply(&purge, None);
        METRICS.purges.with_label_values(&["request"]).inc();
        if self.log.is_some() {
            self.outbox().put_off(purge);
            self.news.notify_one();
        }
    }

    /// Purges here at once, elsewhere through the log, and waits a moment to hear from all.
    pub(crate) async fn purge(&self, purge: Purge) -> Receipt {
        self.apply(&purge, None);
        METRICS.purges.with_label_values(&["admin"]).inc();
        let Some(log) = &self.log else { return Receipt { confirmed: true, applied: 1, instances: 1 } };
        let id = match log.append(&purge).await {
            Ok(id) => id,
            Err(error) => {
                tracing::warn!(%error, "a purge could not be written to the log; it is tried again until it can be");
                self.outbox().put_off(purge);
                return Receipt { confirmed: false, applied: 1, instances: self.instances() };
            }
        };
        self.outbox().remember(purge);
        let until = Instant::now() + HEARD;
        loop {
            // Where they can't be asked, that it is in the log is all that can be said.
            let (heard, others) = log.heard(id).await.unwrap_or((0, self.instances() - 1));
            let receipt = Receipt { confirmed: true, applied: heard + 1, instances: others + 1 };
            if heard >= others || Instant::now() > until {
                return receipt;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a log of purges that can't be read.
    pub(crate) fn is_lost(&self) -> bool {
        self.log.is_some() && self.lost.load().is_some()
    }

    /// For status.
    pub(crate) fn status(&self) -> serde_json::Value {
        let lost = **self.lost.load();
        let now = self.now();
        serde_json::json!({
            "log": match (&self.log, lost) {
                (None, _) => "none",
                (Some(_), None) => "read",
                (Some(_), Some(_)) => "lost",
            },
            "clock": format!("{}-{}", now.ms, now.seq),
            "names": self.table.len(),
            "pending": self.outbox().len(),
            "instances": self.instances(),
        })
    }
}
