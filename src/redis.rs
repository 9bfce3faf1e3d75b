//! Redis: one connection that several parts share, of a cluster one to each master, kept up by a task of its own, never
//! waited for longer than a deadline.
//!
//! ```yaml
//! redis:                     # left out: the gateway runs alone
//!   mode: standalone         # or sentinel, cluster
//!   urls: ["redis://127.0.0.1:6379"]   # rediss:// for TLS; of a cluster three or more, of Sentinel its own; empty texts are skipped
//!   master: mymaster         # the name that Sentinel knows
//!   username: addrgate       # ACL user of the servers
//!   password_file: /run/secrets/redis  # or password
//!   ca_file: /etc/addrgate/redis-ca.crt
//!   prefix: addrgate         # of all keys; two gateways with other routes need other prefixes
//!   timeout: 50ms            # of one cache operation
//!   connect_time: 1s
//!   breaker: { window: 20, minimum: 5, open: 1s }   # as of an upstream
//! ```
//!
//! The gateway starts and runs with Redis away: whoever asks gets an error at once, and goes on without. A connection that
//! broke is made anew, again and again, with a growing and jittered pause.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::traffic::breaker::Breaker;
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use redis::FromRedisValue;
use tokio::time::{Instant, timeout};

mod cluster;
mod command;
mod config;
mod connect;
mod node;
mod rights;

use cluster::Cluster;
pub(crate) use command::{Command, Failed};
pub(crate) use config::Config;
use config::Mode;
pub(crate) use connect::Link;
use connect::Seeds;
use node::Node;

/// See the module. One per process.
pub(crate) struct Redis {
    mode: Mode,
    /// As the configuration names them.
    places: Vec<String>,
    servers: Servers,
    prefix: String,
    timeout: Duration,
}

enum Servers {
    /// One at a time.
    One(Arc<Node>),
    /// The masters of a cluster, each with its keys.
    Cluster(Box<Cluster>),
}

impl Redis {
    /// Not connected yet; `None` where no server is given.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub(crate) fn new(config: &Config, folder: &Path) -> Result<Option<Arc<Self>>, String> {
        config.breaker.check().map_err(|e| format!("`breaker`: {e}"))?;
        if config.prefix.is_empty() || config.prefix.contains(['{', '}']) || config.prefix.len() > 64 {
            return Err("`prefix` must have 1 to 64 characters, none of them a brace".to_owned());
        }
        if config.timeout.0.is_zero() || config.connect_time.0.is_zero() {
            return Err("`timeout` and `connect_time` must be more than zero".to_owned());
        }
        if config.breaker.mode == addrgate_filters::Mode::Observe {
            return Err(
                "`breaker.mode` can't be `observe`: without its breaker each request would wait for a dead Redis"
                    .to_owned(),
            );
        }
        let Some(seeds) = Seeds::new(config, folder)? else { return Ok(None) };
        let places = seeds.places();
        let one = |connector| {
            let breaker = Breaker::new("redis", &config.breaker);
            Servers::One(Node::new(connector, breaker, &config.prefix, Arc::default()))
        };
        let servers = match config.mode {
            Mode::Standalone => one(seeds.only()?),
            Mode::Sentinel => one(seeds.sentinels(config, folder)?),
            Mode::Cluster => Servers::Cluster(Box::new(Cluster::new(seeds, config.breaker, &config.prefix))),
        };
        let (mode, prefix, timeout) = (config.mode, config.prefix.clone(), config.timeout.0);
        Ok(Some(Arc::new(Self { mode, places, servers, prefix, timeout })))
    }

    /// The same of a file that may say nothing of Redis.
    pub(crate) fn of(config: Option<&Config>, folder: &Path) -> anyhow::Result<Option<Arc<Self>>> {
        let redis = config.map(|config| Self::new(config, folder)).transpose();
        Ok(redis.map_err(|e| anyhow::anyhow!("redis: {e}"))?.flatten())
    }

    /// A key of ours.
    pub(crate) fn key(&self, rest: &str) -> String {
        format!("{}:{rest}", self.prefix)
    }

    /// Whether all servers can be reached by a user with all rights, for the command line; the error says what not.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        // With TLS redis asks rustls for the process's provider. Where one is there already it is this one.
        let _was_there = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime
            .block_on(async {
                match &self.servers {
                    Servers::One(node) => node.connector.check(&self.prefix).await,
                    Servers::Cluster(cluster) => cluster.check().await,
                }
            })
            .map_err(|error| anyhow::anyhow!("redis: {error}"))
    }

    /// Asks about `key`, and others of its slot, for the sake of a request: within the cache's deadline, and only while the
    /// breaker of the key's server is closed.
    pub(crate) async fn ask<'a, T: FromRedisValue>(
        &self,
        key: &str,
        command: impl Into<Command<'a>>,
    ) -> Result<T, Failed> {
        let node = self.node(key).filter(|node| node.is_connected()).ok_or(Failed::Away)?;
        let permit = node.breaker.admit().map_err(|_| Failed::Refused)?;
        let begun = Instant::now();
        let answer = self.ask_node(&node, command.into(), self.timeout).await;
        match &answer {
            Err(Failed::Late | Failed::Away) => permit.failure(),
            Err(Failed::Error(e)) if !is_answer(e) => permit.failure(),
            _ => permit.success(begun.elapsed()),
        }
        answer
    }

    /// Asks about `key` within a deadline of the caller's own, past the breaker.
    pub(crate) async fn ask_within<'a, T: FromRedisValue>(
        &self,
        key: &str,
        command: impl Into<Command<'a>>,
        time: Duration,
    ) -> Result<T, Failed> {
        let node = self.node(key).ok_or(Failed::Away)?;
        self.ask_node(&node, command.into(), time).await
    }

    async fn ask_node<T: FromRedisValue>(
        &self,
        node: &Node,
        command: Command<'_>,
        time: Duration,
    ) -> Result<T, Failed> {
        let answer = async {
            match &self.servers {
                Servers::One(_) => node.ask(command, false).await,
                Servers::Cluster(cluster) => cluster.ask(node, command).await,
            }
        };
        timeout(time, answer).await.map_err(|_elapsed| Failed::Late)?
    }

    /// The server that has a key; `None` where that is not known yet.
    fn node(&self, key: &str) -> Option<Arc<Node>> {
        match &self.servers {
            Servers::One(node) => Some(Arc::clone(node)),
            Servers::Cluster(cluster) => cluster.node(key),
        }
    }

    fn nodes(&self) -> Vec<Arc<Node>> {
        match &self.servers {
            Servers::One(node) => vec![Arc::clone(node)],
            Servers::Cluster(cluster) => cluster.nodes(),
        }
    }

    /// A connection of the caller's own to the server that has a key, for a command that blocks.
    pub(crate) async fn dedicated(&self, key: &str) -> Result<Link, Failed> {
        let node = self.node(key).filter(|node| node.is_connected()).ok_or(Failed::Away)?;
        node.connector.connect().await.map_err(Failed::Unreachable)
    }

    /// Whether something is connected: of a cluster, at least one master.
    pub(crate) fn is_connected(&self) -> bool {
        self.nodes().iter().any(|node| node.is_connected())
    }

    /// The breakers of all servers.
    pub(crate) fn breakers(&self) -> Vec<Arc<Breaker>> {
        self.nodes().iter().map(|node| Arc::clone(&node.breaker)).collect()
    }

    /// Whether requests are served from it: connected, and its breaker closed.
    pub(crate) fn is_well(&self) -> bool {
        self.nodes().iter().any(|node| node.is_connected() && !node.breaker.state().refuses())
    }

    /// For status: mode, servers without secrets, state.
    pub(crate) fn status(&self) -> serde_json::Value {
        let mut status = serde_json::json!({
            "mode": self.mode,
            "servers": self.places,
            "connected": self.is_connected(),
        });
        let nodes = self.nodes();
        match &self.servers {
            Servers::One(node) => {
                status["breaker"] = serde_json::json!(node.breaker.snapshot());
                status["trouble"] = serde_json::json!(node.trouble());
            }
            Servers::Cluster(cluster) => {
                status["trouble"] = serde_json::json!(cluster.trouble());
                let master = |node: &Arc<Node>| {
                    serde_json::json!({
                        "server": node.connector.places.join(" "),
                        "connected": node.is_connected(),
                        "breaker": node.breaker.snapshot(),
                        "trouble": node.trouble(),
                    })
                };
                status["masters"] = nodes.iter().map(master).collect();
            }
        }
        status
    }
}

/// Keeps the connections up for as long as the process runs, a stop included: requests in flight still use them.
pub(crate) struct Keeper(pub(crate) Arc<Redis>);

#[async_trait]
impl BackgroundService for Keeper {
    async fn start(&self, _: ShutdownWatch) {
        match &self.0.servers {
            Servers::One(node) => Arc::clone(node).keep().await,
            Servers::Cluster(cluster) => cluster.keep().await,
        }
    }
}

/// Whether Redis said so itself: it works, it only does not do what was asked.
fn is_answer(e: &redis::RedisError) -> bool {
    use redis::{ErrorKind, ServerErrorKind as S};
    match e.kind() {
        ErrorKind::Server(S::ClusterDown | S::MasterDown | S::BusyLoading | S::TryAgain) => false,
        ErrorKind::Server(_) | ErrorKind::UnexpectedReturnType | ErrorKind::Extension => true,
        _ => false,
    }
}
