//! Asks Redis for tokens of shared limits, on behalf of the filter `rate_limit`, which never waits for the network itself.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use addrgate_filters::rate_limit::Accounts;
use addrgate_filters::traffic::leases::{Ask, SCRIPT};
use async_trait::async_trait;
use futures::StreamExt;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use redis::Script;
use tokio::sync::Semaphore;

use crate::invalidation::Invalidation;
use crate::redis::Redis;
use crate::telemetry::METRICS;

static LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(SCRIPT));

/// Asks under way.
const AT_ONCE: usize = 256;

/// The longest time for giving tokens back at the end of the process.
const LAST: Duration = Duration::from_secs(1);

/// How often the number of instances is told, by which a limit is divided while Redis is away.
const COUNT: Duration = Duration::from_secs(1);

/// The task, for as long as the process runs, a stop included: requests in flight are still counted.
pub(crate) struct Leases {
    pub(crate) redis: Arc<Redis>,
    /// Knows how many instances there are.
    pub(crate) invalidation: Arc<Invalidation>,
}

#[async_trait]
impl BackgroundService for Leases {
    async fn start(&self, _: ShutdownWatch) {
        let accounts = Accounts::of_process();
        let leases = accounts.leases();
        let Some(mut asks) = leases.asks() else { return };
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut count = tokio::time::interval(COUNT);
        loop {
            let ask = tokio::select! {
                ask = asks.next() => ask,
                _ = count.tick() => {
                    leases.set_instances(u64::try_from(self.invalidation.instances()).unwrap_or(1));
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let redis = Arc::clone(&self.redis);
            tokio::spawn(async move {
                lease(&redis, ask).await;
                drop(place);
            });
        }
    }
}

/// Gives all tokens at hand back, once no request needs them, and does not wait for it long: what can't be given back comes
/// back in time.
pub(crate) async fn give_back(redis: &Redis) {
    let asks = futures::stream::iter(Accounts::of_process().surrender());
    let _late = tokio::time::timeout(LAST, asks.for_each_concurrent(AT_ONCE, |ask| lease(redis, ask))).await;
}

/// An ask that gets no answer counts as failed, which its destructor says.
async fn lease(redis: &Redis, ask: Ask) {
    let key = redis.key(&format!("l:{}", ask.key()));
    let mut script = LEASE.key(&key);
    for argument in ask.arguments() {
        script.arg(argument);
    }
    let outcome = match redis.ask(&key, &script).await {
        Ok(answer) => {
            ask.leased(answer);
            "ok"
        }
        Err(failed) => failed.as_str(),
    };
    METRICS.leases.with_label_values(&[outcome]).inc();
}
