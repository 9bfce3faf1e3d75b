//! Settings of Redis.

use std::path::PathBuf;

use addrgate_filters::traffic::breaker;
use addrgate_filters::traffic::units::{Percent, Secret, Span};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

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
