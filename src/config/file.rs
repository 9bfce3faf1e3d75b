//! The configuration as an operator writes it. Every field has a default that is safe alone, unless it says otherwise.
//! What `print` shows and `schema` describes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use addrgate_filters::traffic::units::{Rate, Secret, Size, Span};
use addrgate_filters::traffic::{breaker, budget, degrade, queue};
use addrgate_filters::{address, client, cors, edge, priority, rate_limit, route};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::store::Algorithm;
use crate::{caching, invalidation, redis, warm};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "addrgate configuration", extend("x-reload" = "hot, but for `server`, `admin.listen`, `cache`, `invalidation`, `redis`, `limits.bodies`, `rate_limit.accounts`, `warm.keys` and `log.level`"))]
pub(crate) struct File {
    /// The version of this format: 1.
    pub(crate) version: u32,
    /// The process: where it listens, how it stops. Needs a restart.
    pub(crate) server: Server,
    /// Metrics, status and control on a listener of their own.
    #[serde(default)]
    pub(crate) admin: Admin,
    /// Bounds of what a client may send.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// From where clients ask: trusted proxies, and who may ask at all.
    #[serde(default)]
    pub(crate) address: address::Config,
    /// Scripts on other origins.
    #[serde(default)]
    pub(crate) cors: cors::Config,
    /// The cache that all routes share. Needs a restart.
    #[serde(default)]
    pub(crate) cache: caching::Config,
    /// Purges that reach every instance. Needs a restart.
    #[serde(default)]
    pub(crate) invalidation: invalidation::Config,
    /// Redis, shared by the instances. Needs a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redis: Option<redis::Config>,
    /// What is asked again by ourselves.
    #[serde(default)]
    pub(crate) warm: warm::Config,
    /// The services behind, by name.
    pub(crate) upstreams: BTreeMap<String, Upstream>,
    /// Who may use the routes with a key, by name.
    #[serde(default)]
    pub(crate) clients: BTreeMap<String, client::Config>,
    /// What several clients have in common, by name.
    #[serde(default)]
    pub(crate) plans: BTreeMap<String, client::Plan>,
    /// How clients show who they are.
    #[serde(default)]
    pub(crate) identity: client::Identity,
    /// How much a client may ask.
    #[serde(default)]
    pub(crate) rate_limit: rate_limit::Config,
    /// Who goes first where the upstream has not enough places.
    #[serde(default)]
    pub(crate) priority: priority::Config,
    /// Places at each upstream, and who waits for one.
    #[serde(default)]
    pub(crate) queue: queue::Config,
    /// When each upstream is not asked for a while.
    #[serde(default)]
    pub(crate) breaker: breaker::Config,
    /// What is done less under pressure.
    #[serde(default)]
    pub(crate) degrade: degrade::Config,
    /// How many second tries there may be: retries and hedges.
    #[serde(default)]
    pub(crate) retries: budget::Config,
    /// The routes; the first match wins. Left out: everything goes to the one upstream, uncached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) routes: Option<Vec<route::Config>>,
    /// Compression of answers.
    #[serde(default)]
    pub(crate) compression: Compression,
    /// Log lines.
    #[serde(default)]
    pub(crate) log: Log,
}

/// The process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// Addresses to listen on, `host:port`.
    pub(crate) listen: Vec<String>,
    /// Those of them on which every connection begins with the PROXY protocol (version 1 or 2), which only
    /// `address.trusted_proxies` may speak. It comes before TLS. At most 4 KiB, of which the addresses are read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) proxy_protocol: Vec<String>,
    /// TLS on all of them; left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
    /// Threads that serve requests; 0: one per processor.
    #[serde(default)]
    pub(crate) threads: usize,
    /// How a stop goes on.
    #[serde(default)]
    pub(crate) shutdown: Shutdown,
    /// Where a new process takes the listening sockets over from this one (SIGQUIT); left out: not offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upgrade_socket: Option<PathBuf>,
}

impl Server {
    /// Whether a process that began with `old` does what this says: files of a certificate are read again at a reload.
    pub(crate) fn is_served_by(&self, old: &Self) -> bool {
        let mut same = self.clone();
        if let (Some(new), Some(old)) = (&mut same.tls, &old.tls) {
            (new.certificate_file, new.key_file) = (old.certificate_file.clone(), old.key_file.clone());
        }
        same == *old
    }
}

/// A certificate and its key, PEM. Read at start and at each reload, and when one of the files changes; relative to the
/// configuration's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// Certificate chain.
    pub(crate) certificate_file: PathBuf,
    /// Private key.
    pub(crate) key_file: PathBuf,
    /// Whether HTTP/2 is offered.
    #[serde(default = "yes")]
    pub(crate) http2: bool,
}

fn yes() -> bool {
    true
}

/// SIGTERM: not ready, `delay`, no new connections, in-flight requests for at most `drain`, exit 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Shutdown {
    /// How long requests are still taken after `/readyz` says no, so that load balancers can notice. `auto`: three times the
    /// interval at which `/readyz` is asked, at most 15s; nothing where nobody asks.
    pub(crate) delay: Delay,
    /// The longest time for requests in flight.
    pub(crate) drain: Span,
}

/// A time, or one that is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delay {
    /// By the polls of load balancers.
    Auto,
    /// Always the same.
    Fixed(Span),
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "auto" => Ok(Self::Auto),
            text => text.parse().map(Self::Fixed).map_err(|e| D::Error::custom(format!("{e}, or `auto`"))),
        }
    }
}

impl Serialize for Delay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Fixed(time) => time.serialize(serializer),
        }
    }
}

impl JsonSchema for Delay {
    fn schema_name() -> Cow<'static, str> {
        "Delay".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^auto$|^\d+ ?(ms|s|m|h|d)$|^\$\{", "description": "`auto` or a duration" })
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { delay: Delay::Auto, drain: Span::secs(30) }
    }
}

/// The admin listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Admin {
    /// Where it listens. Needs a restart.
    pub(crate) listen: String,
    /// What `/admin/v1` asks for as `Authorization: Bearer`. Without a token those calls are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Secret>,
    /// The same out of a file, read at start and at each reload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: "127.0.0.1:9901".to_owned(), token: None, token_file: None }
    }
}

/// Bounds of what a client may send and how slowly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Header lines; more are answered 431.
    pub(crate) fields: usize,
    /// Bytes of all header lines; more are answered 431.
    pub(crate) head: Size,
    /// Bytes of the request target; more are answered 414.
    pub(crate) uri: Size,
    /// Host names that are served, in lower case and without port; another is answered 421. Empty: any.
    pub(crate) hosts: Vec<String>,
    /// The whole time for a request head, however slowly it comes; with TLS before that as long for the handshake.
    pub(crate) head_time: Span,
    /// The whole time for a request body.
    pub(crate) body_time: Span,
    /// Memory for request bodies that are being received, of all connections together; more are answered 503. Needs a
    /// restart.
    pub(crate) bodies: Size,
    /// How long an idle connection is kept; a client can't raise it.
    pub(crate) keepalive: Span,
    /// Requests on one connection before it is closed.
    pub(crate) requests_per_connection: u32,
    /// How long one write to a client may be stuck.
    pub(crate) write_time: Span,
    /// Connections in all; more are closed at once. Half of the process's open files bound them, too (`ulimit -n`, which is
    /// raised by itself as far as the system lets it).
    pub(crate) connections: usize,
    /// Connections of one network address (IPv6: of one /64), trusted proxies excepted.
    pub(crate) connections_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let edge = edge::Config::default();
        Self {
            fields: edge.fields,
            head: edge.head,
            uri: edge.uri,
            hosts: edge.hosts,
            head_time: Span::secs(10),
            body_time: Span::secs(30),
            bodies: Size(256 << 20),
            keepalive: Span::secs(60),
            requests_per_connection: 100_000,
            write_time: Span::secs(30),
            connections: 20_000,
            connections_per_address: 2_000,
        }
    }
}

/// A service behind, on one address or several equal ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// `host:port` each; names are resolved again with every health check. An empty text is skipped; where all are empty
    /// (`${FALLBACK:-}`) the upstream is left out, and every `fallback` that names it.
    pub(crate) addresses: Vec<String>,
    /// TLS towards it, with this name in the certificate; left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_name: Option<String>,
    /// What it sees as `Host`; left out: its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// Whether `Location` and `Content-Location` that name its own address are sent without it, so that clients resolve them
    /// against the address that they used.
    #[serde(default = "yes")]
    pub(crate) map_location: bool,
    /// The longest time for a new connection.
    #[serde(default = "connect_time")]
    pub(crate) connect_time: Span,
    /// How long an idle connection is kept. Shorter than the service's own, so that it is never closed under a request.
    #[serde(default = "idle_time")]
    pub(crate) idle_time: Span,
    /// How long an address takes to get its whole share of the requests again after it returns; 0s: none.
    #[serde(default = "slow_start")]
    pub(crate) slow_start: Span,
    /// Health checks.
    #[serde(default)]
    pub(crate) health: Health,
    /// Its own, in place of the general `queue`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) queue: Option<queue::Config>,
    /// Its own, in place of the general `breaker`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) breaker: Option<breaker::Config>,
    /// How often it may stand in for another one as a fallback, such as `60/1m` where calls are paid for; left out: always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stand_in: Option<Rate>,
}

fn connect_time() -> Span {
    Span::millis(500)
}

fn idle_time() -> Span {
    Span::secs(30)
}

fn slow_start() -> Span {
    Span::secs(10)
}

/// Active health checks of an upstream's addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Health {
    /// Asked by GET, 200 is well. Left out: a connection that is not closed at once is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    /// The same for the breaker while it is open: something that needs all of the service, its database too. Left out:
    /// `path`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probe: Option<String>,
    /// Time between two checks.
    pub(crate) interval: Span,
    /// The longest time for one.
    pub(crate) timeout: Span,
    /// So many failures in a row and an address is left out. So do two failed connections of requests, or five requests in
    /// a row without a response, until a check passes. Where all are left out, all are used: a wrong check must not be an
    /// outage.
    pub(crate) fall: u32,
    /// So many successes in a row and it is back.
    pub(crate) rise: u32,
}

impl Default for Health {
    fn default() -> Self {
        Self { path: None, probe: None, interval: Span::secs(2), timeout: Span::secs(1), fall: 3, rise: 2 }
    }
}

/// Compression of answers to clients that accept it, after the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Compression {
    /// Whether answers are compressed at all.
    pub(crate) enabled: bool,
    /// Smaller answers are sent as they are.
    pub(crate) from: Size,
    /// In order of preference, where a client leaves the choice: `br`, `zstd`, `gzip`.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Effort, 1 to 9.
    pub(crate) level: u8,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            enabled: true,
            from: Size(1024),
            algorithms: vec![Algorithm::Zstd, Algorithm::Br, Algorithm::Gzip],
            level: 4,
        }
    }
}

/// Log lines, JSON on standard error; the access log on standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    /// What is logged: `error`, `warn`, `info`, `debug`, or a filter such as `info,pingora_core=warn`. Needs a restart.
    pub(crate) level: String,
    /// Whether each request gets a line.
    pub(crate) access: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info,pingora_core=warn,pingora_core::connectors=off,pingora_proxy=error,pingora_proxy::proxy_cache=off,redis=error".to_owned(),
            access: true,
        }
    }
}
