//! Redis: one connection that several parts share, kept up by a task of its own, never waited for longer than a deadline.
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

use addrgate_filters::breaker::{self, Breaker};
use addrgate_filters::units::{Percent, Secret, Span};
use arc_swap::ArcSwapOption;
use redis::{Cmd, FromRedisValue, ScriptInvocation};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};

mod connect;
mod keeper;

use connect::{Connector, Link};
pub(crate) use keeper::Keeper;

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
            Self::Away => "away",
            Self::Refused => "breaker",
            Self::Late => "timeout",
            Self::Error(_) => "error",
        }
    }
}

/// See the module. One per process.
pub(crate) struct Redis {
    connector: Connector,
    link: ArcSwapOption<Link>,
    /// Guards what requests wait for; the invalidation log asks past it.
    pub(crate) breaker: Arc<Breaker>,
    prefix: String,
    timeout: Duration,
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
        let Some(connector) = Connector::new(config, folder)? else { return Ok(None) };
        Ok(Some(Arc::new(Self {
            connector,
            link: ArcSwapOption::empty(),
            breaker: Breaker::new("redis", &config.breaker),
            prefix: config.prefix.clone(),
            timeout: config.timeout.0,
        })))
    }

    /// A key of ours.
    pub(crate) fn key(&self, rest: &str) -> String {
        format!("{}:{rest}", self.prefix)
    }

    /// Asks for the sake of a request: within the cache's deadline, and only while the breaker is closed.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: Command<'_>) -> Result<T, Failed> {
        if self.link.load().is_none() {
            return Err(Failed::Away);
        }
        let permit = self.breaker.admit().map_err(|_| Failed::Refused)?;
        let begun = Instant::now();
        let answer = self.ask_within(command, self.timeout).await;
        match &answer {
            Err(Failed::Late | Failed::Away) => permit.failure(),
            Err(Failed::Error(e)) if !is_answer(e) => permit.failure(),
            _ => permit.success(begun.elapsed()),
        }
        answer
    }

    /// Asks within a deadline of the caller's own, past the breaker.
    pub(crate) async fn ask_within<T: FromRedisValue>(
        &self,
        command: Command<'_>,
        time: Duration,
    ) -> Result<T, Failed> {
        let link = self.link.load_full().ok_or(Failed::Away)?;
        let answer = timeout(time, link.ask(command)).await.map_err(|_elapsed| Failed::Late)?;
        answer.map_err(|e| {
            if connect::is_lost(&e) {
                link.lost.notify_one();
            }
            Failed::Error(e)
        })
    }

    /// Whether something is connected.
    pub(crate) fn is_connected(&self) -> bool {
        self.link.load().is_some()
    }

    /// Whether requests are served from it: connected, and its breaker closed.
    pub(crate) fn is_well(&self) -> bool {
        self.is_connected() && !self.breaker.state().refuses()
    }

    /// For status: mode, servers without secrets, state.
    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::json!({
            "mode": self.connector.mode,
            "servers": self.connector.places(),
            "connected": self.is_connected(),
            "breaker": self.breaker.snapshot(),
        })
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
