//! One server: its connection, kept up by a task of its own, and its breaker.

use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::traffic::breaker::Breaker;
use arc_swap::{ArcSwap, ArcSwapOption};
use redis::{FromRedisValue, cmd};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::command::{Command, Failed};
use super::connect::{self, Connector, Link};
use super::rights;
use crate::telemetry::breaker_changes;

/// The pause after the first failure or loss; doubled with each further one up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// How often a connection that is not asked is tried.
const IDLE: Duration = Duration::from_secs(5);

/// The longest time for such a try. Twice in a row later, and the connection is given up: a server that vanished says no
/// more that it did.
const ALIVE: Duration = Duration::from_secs(1);

/// One Redis server: its connection, its breaker, and what is wrong with it.
pub(super) struct Node {
    pub(super) connector: Connector,
    link: ArcSwapOption<Link>,
    /// Guards what requests wait for; the invalidation log asks past it.
    pub(super) breaker: Arc<Breaker>,
    /// First part of the keys by which it is tried.
    prefix: String,
    /// Told when a connection is made or lost.
    changed: Arc<Notify>,
    /// Why it can't be reached, and what the user may not do, in Redis' own words.
    unreachable: ArcSwap<Option<String>>,
    lacking: ArcSwap<Option<String>>,
}

impl Node {
    /// Not connected before [`Node::keep`] runs.
    pub(super) fn new(connector: Connector, breaker: Arc<Breaker>, prefix: &str, changed: Arc<Notify>) -> Arc<Self> {
        let (link, unreachable, lacking) = (ArcSwapOption::empty(), ArcSwap::default(), ArcSwap::default());
        Arc::new(Self { connector, link, breaker, prefix: prefix.to_owned(), changed, unreachable, lacking })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.link.load().is_some()
    }

    /// Why it can't be reached, or what the user may not do, in Redis' own words.
    pub(super) fn trouble(&self) -> Option<String> {
        let unreachable = self.unreachable.load().as_ref().clone();
        unreachable.or_else(|| self.lacking.load().as_ref().clone())
    }

    /// Asks it; with `asking` also for a key of a slot that is moving to it.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: Command<'_>, asking: bool) -> Result<T, Failed> {
        let link = self.link.load_full().ok_or(Failed::Away)?;
        let answer = if asking { link.ask_moving(command).await } else { link.ask(command).await };
        answer.map_err(|e| {
            if connect::is_lost(&e) {
                link.lost.notify_one();
            }
            Failed::Error(e)
        })
    }

    /// Keeps the connection up, probes while the breaker is open, and tells of its changes, for as long as it is polled:
    /// connects at the start, again when the connection broke, and never gives up.
    pub(super) async fn keep(self: Arc<Self>) {
        let watch = Arc::clone(&self.breaker).watch(|| self.answers());
        tokio::join!(self.stay_connected(), watch, breaker_changes(Arc::clone(&self.breaker)));
    }

    async fn stay_connected(&self) {
        let mut pause = PAUSE;
        // Said once per loss, not once per try.
        let mut told = false;
        loop {
            match self.connector.connect().await {
                Ok(link) => {
                    let (link, begun) = (Arc::new(link), Instant::now());
                    self.link.store(Some(Arc::clone(&link)));
                    self.changed.notify_one();
                    tracing::info!(servers = ?self.connector.places, "Redis is connected");
                    told = false;
                    self.unreachable.store(Arc::default());
                    self.look_at_rights(&link).await;
                    self.lost(&link).await;
                    self.link.store(None);
                    self.changed.notify_one();
                    tracing::warn!(
                        servers = ?self.connector.places,
                        "the connection to Redis is lost; going on without its keys until it is back"
                    );
                    // A server that can be reached and is the wrong one, a demoted master, is lost at once again and again.
                    if begun.elapsed() > LONGEST {
                        pause = PAUSE;
                    }
                }
                Err(error) => {
                    self.unreachable.store(Arc::new(Some(error.clone())));
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(
                            servers = ?self.connector.places,
                            error,
                            "Redis can't be reached; going on without, and trying again"
                        );
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
                () = sleep(IDLE) => late = if self.answers().await { 0 } else { late + 1 },
            }
            self.look_at_rights(link).await;
        }
    }

    /// Finds out what the user may not do, and says so where that has changed.
    async fn look_at_rights(&self, link: &Link) {
        // A server that does not answer is noticed elsewhere.
        let Ok(lacking) = rights::lacking(link, &self.prefix).await else { return };
        let before = self.lacking.swap(Arc::new(lacking.clone()));
        if *before == lacking {
            return;
        }
        match lacking {
            Some(lacking) => tracing::warn!(
                servers = ?self.connector.places,
                lacking,
                "the Redis user lacks rights; see docs/operations.md for those it needs"
            ),
            None => tracing::info!(servers = ?self.connector.places, "the Redis user has all the rights it needs"),
        }
    }

    /// Asks for a key that is not there: what the cache asks for, too. A server of a cluster answers as well by saying
    /// that another has the key.
    async fn answers(&self) -> bool {
        let mut command = cmd("GET");
        command.arg(format!("{}:probe:{:x}", self.prefix, rand::random::<u32>()));
        match timeout(ALIVE, self.ask::<Option<Vec<u8>>>((&command).into(), false)).await {
            Ok(Ok(_)) => true,
            Ok(Err(Failed::Error(e))) => e.redirect_node().is_some(),
            _ => false,
        }
    }
}
