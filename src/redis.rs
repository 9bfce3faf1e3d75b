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

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::traffic::breaker::{self, Breaker};
use addrgate_filters::traffic::units::{Percent, Secret, Span};
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use redis::{Cmd, FromRedisValue, ScriptInvocation};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};

mod cluster;
mod connect;
mod node;
mod rights;

use cluster::Cluster;
pub(crate) use connect::Link;
use connect::Seeds;
use node::Node;

/// How the servers are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// One server.
    #[default]
    Standalone,
    /// One master, which Sentinel names.
    Sentinel,
    /// Redis Cluster.
    Cluster,
}

/// As written. Needs a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// How the servers are found.
    pub(crate) mode: Mode,
    /// `redis://host:port` or `rediss://host:port` each. An empty text is skipped, so that `${REDIS_URL:-}` may stay unset;
    /// with none left the gateway runs alone. With `mode: sentinel`, a user and a password in a url are for the sentinels.
    pub(crate) urls: Vec<Secret>,
    /// The name under which Sentinel knows the master.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) master: Option<String>,
    /// ACL user of the servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username: Option<String>,
    /// Its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<Secret>,
    /// The same out of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    /// Certificates that are trusted, PEM; left out: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    /// First part of every key.
    pub(crate) prefix: String,
    /// The longest time for one cache operation.
    pub(crate) timeout: Span,
    /// The longest time for a new connection.
    pub(crate) connect_time: Span,
    /// When it is not asked for a while.
    #[serde(deserialize_with = "breaker_from")]
    pub(crate) breaker: breaker::Config,
}

/// Quicker to open and to try again than an upstream's: to go on without Redis costs little.
fn own_breaker() -> breaker::Config {
    breaker::Config {
        window: 20,
        minimum: 5,
        slow_rate: Percent::of(100),
        open: Span::secs(1),
        open_max: Span::secs(5),
        probe_every: Span::millis(500),
        ..breaker::Config::default()
    }
}

/// What is left out is as in [`own_breaker`].
fn breaker_from<'de, D: Deserializer<'de>>(from: D) -> Result<breaker::Config, D::Error> {
    let written = Map::deserialize(from)?;
    let mut all = serde_json::to_value(own_breaker()).map_err(D::Error::custom)?;
    if let Value::Object(all) = &mut all {
        all.extend(written);
    }
    serde_json::from_value(all).map_err(D::Error::custom)
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            urls: Vec::new(),
            master: None,
            username: None,
            password: None,
            password_file: None,
            ca_file: None,
            prefix: "addrgate".to_owned(),
            timeout: Span::millis(50),
            connect_time: Span::secs(1),
            breaker: own_breaker(),
        }
    }
}

impl Config {
    /// Whether a server is given.
    pub(crate) fn is_used(&self) -> bool {
        self.urls.iter().any(|url| !url.reveal().trim().is_empty())
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// Nothing is connected.
    #[error("Redis is not connected")]
    Away,
    /// A connection could not be made.
    #[error("Redis can't be reached: {0}")]
    Unreachable(String),
    /// Its breaker is open.
    #[error("Redis fails too often and is not asked now")]
    Refused,
    /// Not in time.
    #[error("Redis did not answer in time")]
    Late,
    /// Redis answered with an error, or the connection broke.
    #[error("{0}")]
    Error(#[from] redis::RedisError),
}

impl Failed {
    /// In a word, for metrics.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Away | Self::Unreachable(_) => "away",
            Self::Refused => "breaker",
            Self::Late => "timeout",
            Self::Error(_) => "error",
        }
    }
}

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

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) enum Command<'a> {
    /// One command on one key.
    Plain(&'a Cmd),
    /// A script whose keys lie in one slot.
    Script(&'a ScriptInvocation<'a>),
}

impl<'a> From<&'a Cmd> for Command<'a> {
    fn from(command: &'a Cmd) -> Self {
        Self::Plain(command)
    }
}

impl<'a> From<&'a mut Cmd> for Command<'a> {
    fn from(command: &'a mut Cmd) -> Self {
        Self::Plain(command)
    }
}

impl<'a> From<&'a ScriptInvocation<'a>> for Command<'a> {
    fn from(script: &'a ScriptInvocation<'a>) -> Self {
        Self::Script(script)
    }
}
