//! Asks Redis for tokens of shared limits, on behalf of the filter `rate_limit`, which never waits for the network itself.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use addrgate_filters::rate_limit::{Accounts, Ask, SCRIPT};
use async_trait::async_trait;
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

/// How often the number of instances is told, by which a limit is divided while Redis is away.
const COUNT: Duration = Duration::from_secs(1);

/// The task.
pub(crate) struct Leases {
    pub(crate) redis: Arc<Redis>,
    /// Knows how many instances there are.
    pub(crate) invalidation: Arc<Invalidation>,
}

#[async_trait]
impl BackgroundService for Leases {
    async fn start(&self, mut shutdown: ShutdownWatch) {
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
                _ = shutdown.wait_for(|stopping| *stopping) => return,
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

/// An ask that gets no answer counts as failed, which its destructor says.
async fn lease(redis: &Redis, ask: Ask) {
    let mut script = LEASE.key(redis.key(&format!("l:{}", ask.key())));
    for argument in ask.arguments() {
        script.arg(argument);
    }
    let outcome = match redis.ask((&script).into()).await {
        Ok(answer) => {
            ask.leased(answer);
            "ok"
        }
        Err(failed) => failed.as_str(),
    };
    METRICS.leases.with_label_values(&[outcome]).inc();
}
