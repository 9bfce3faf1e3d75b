//! What the upstreams say of their own health.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, Shared, join_all};
use serde_json::Value;
use tokio::time::Instant;

use crate::upstream::Pool;

/// What one upstream said of itself.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) upstream: String,
    /// 0 where it did not answer in time.
    pub(crate) status: u16,
    /// Null where it is no JSON.
    pub(crate) body: Value,
}

impl Said {
    /// How it is, in its own word where it has one.
    pub(crate) fn health(&self) -> Health {
        match (self.status, self.body["status"].as_str()) {
            (200, Some("degraded")) => Health::Degraded,
            (200, Some("unhealthy")) => Health::Unhealthy,
            (200, _) => Health::Healthy,
            _ => Health::Unhealthy,
        }
    }
}

/// What the upstreams say of themselves. Anyone may ask, past queue and breaker, so each question is put to them once a
/// second, by a task of its own: those who ask wait for that and for nobody else.
#[derive(Default)]
pub(crate) struct Services(Mutex<HashMap<(usize, String), Asked>>);

struct Asked {
    at: Instant,
    said: Shared<BoxFuture<'static, Arc<[Said]>>>,
}

impl Services {
    /// What they say on the path of this route.
    pub(crate) async fn ask(&self, pools: &[Arc<Pool>], route: usize, path: &str) -> Arc<[Said]> {
        const KEPT: Duration = Duration::from_secs(1);
        const TIME: Duration = Duration::from_millis(800);
        /// A route may have paths without end.
        const MOST: usize = 16;
        let said = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, asked| asked.at.elapsed() < KEPT);
            let key = (route, path.to_owned());
            if all.len() >= MOST && !all.contains_key(&key) {
                return Arc::default();
            }
            let asked = all.entry(key).or_insert_with(|| {
                let (pools, path) = (pools.to_vec(), path.to_owned());
                let calls = tokio::spawn(async move {
                    let calls = pools.iter().map(async |pool| {
                        let (status, body) = pool.get(&path, TIME).await.unwrap_or_default();
                        let body = serde_json::from_slice(&body).unwrap_or_default();
                        Said { upstream: pool.name().to_owned(), status, body }
                    });
                    join_all(calls).await.into()
                });
                // A task that broke off has said nothing.
                let said = calls.map(Result::unwrap_or_default).boxed().shared();
                Asked { at: Instant::now(), said }
            });
            asked.said.clone()
        };
        said.await
    }
}

/// How well something does its work; the worst of its parts is the whole's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Health {
    Healthy,
    Degraded,
    Unhealthy,
}

impl Health {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::Unhealthy => "unhealthy",
        }
    }

    /// Whoever watches acts on the status.
    pub(crate) fn status(self) -> u16 {
        if self == Health::Unhealthy { 503 } else { 200 }
    }
}
