//! Keeps the connection up: connects at the start, again when it broke, and never gives up.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use redis::cmd;
use tokio::time::{Instant, sleep};

use super::{Link, Redis};
use crate::telemetry::METRICS;

/// The pause after the first failure or loss; doubled with each further one up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// How often a connection that is not asked is tried.
const IDLE: Duration = Duration::from_secs(5);

/// The longest time for such a try. Twice in a row later, and the connection is given up: a server that vanished says no
/// more that it did.
const ALIVE: Duration = Duration::from_secs(1);

/// The task.
pub(crate) struct Keeper(pub(crate) Arc<Redis>);

#[async_trait]
impl BackgroundService for Keeper {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let redis = &self.0;
        let watch = Arc::clone(&redis.breaker).watch(|| async { ping(redis).await });
        tokio::select! {
            () = self.keep() => {}
            () = watch => {}
            _ = shutdown.wait_for(|stopping| *stopping) => {}
        }
    }
}

impl Keeper {
    async fn keep(&self) {
        let redis = &self.0;
        let mut pause = PAUSE;
        // Said once per loss, not once per try.
        let mut told = false;
        loop {
            match redis.connector.connect().await {
                Ok(link) => {
                    let (link, begun) = (Arc::new(link), Instant::now());
                    redis.link.store(Some(Arc::clone(&link)));
                    METRICS.redis_connected.set(1);
                    tracing::info!(servers = ?redis.connector.places(), "Redis is connected");
                    told = false;
                    self.lost(&link).await;
                    redis.link.store(None);
                    METRICS.redis_connected.set(0);
                    tracing::warn!("the connection to Redis is lost; going on without until it is back");
                    // A server that can be reached and is the wrong one, a demoted master, is lost at once again and again.
                    if begun.elapsed() > LONGEST {
                        pause = PAUSE;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(error, "Redis can't be reached; going on without, and trying again");
                    }
                }
            }
            sleep(pause.mul_f64(0.75 + rand::random::<f64>() / 2.0)).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    /// Ends when the connection is of no more use.
    async fn lost(&self, link: &Link) {
        let mut late = 0;
        while late < 2 {
            tokio::select! {
                () = link.lost.notified() => return,
                () = sleep(IDLE) => late = if ping(&self.0).await { 0 } else { late + 1 },
            }
        }
    }
}

/// Asks for a key that is not there: what the cache asks for, too, and in a cluster a random master.
async fn ping(redis: &Redis) -> bool {
    let key = redis.key(&format!("probe:{:x}", rand::random::<u32>()));
    redis.ask_within::<Option<Vec<u8>>>(cmd("GET").arg(key).into(), ALIVE).await.is_ok()
}
