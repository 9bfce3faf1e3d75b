//! Connecting: standalone, through Sentinel, or to a cluster; and what a broken connection looks like.

use std::path::Path;
use std::time::Duration;

use addrgate_filters::units::Secret;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, RedisResult, ServerErrorKind, TlsCertificates, TlsMode,
};
use tokio::sync::{Mutex, Notify};

use super::{Command, Config, Mode};

/// Longer than any deadline of ours: those are kept outside of the client, which then only has to give up at last.
const ANSWER: Duration = Duration::from_secs(5);

/// The longest time for Sentinel to name the master. The client asks three sentinels at once, takes what they say in their
/// order, and gives each a second.
const NAMING: Duration = Duration::from_secs(2);

/// A connection.
pub(super) struct Link {
    to: To,
    /// Told by whoever finds it lost. A part of the link: what is said of an old one is not about the next.
    pub(super) lost: Notify,
}

enum To {
    /// One server.
    One(MultiplexedConnection),
    /// All masters.
    Cluster(ClusterConnection),
}

impl Link {
    /// Asks on it. Connections are cheap to clone, and answers find their askers.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: Command<'_>) -> RedisResult<T> {
        match &self.to {
            To::One(link) => command.ask(link.clone()).await,
            To::Cluster(link) => command.ask(link.clone()).await,
        }
    }
}

impl Command<'_> {
    async fn ask<T: FromRedisValue>(self, mut link: impl ConnectionLike) -> RedisResult<T> {
        match self {
            Self::Plain(command) => command.query_async(&mut link).await,
            Self::Script(script) => script.invoke_async(&mut link).await,
        }
    }
}

/// Whether a connection is of no use after such an error.
pub(super) fn is_lost(e: &RedisError) -> bool {
    // A master that was demoted stays connected, but is the wrong one.
    let demoted = matches!(e.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly));
    demoted || e.is_connection_dropped() || e.is_unrecoverable_error()
}

/// Makes connections.
pub(super) struct Connector {
    pub(super) mode: Mode,
    servers: Vec<ConnectionInfo>,
    how: How,
    connect_time: Duration,
}

enum How {
    One(Client),
    // The client remembers which sentinel answered.
    Sentinel(Mutex<redis::sentinel::SentinelClient>),
    Cluster(ClusterClient),
}

impl Connector {
    /// `None` where no server is given.
    pub(super) fn new(config: &Config, folder: &Path) -> Result<Option<Self>, String> {
        let given: Vec<&Secret> = config.urls.iter().filter(|url| !url.reveal().trim().is_empty()).collect();
        let Some(_) = given.first() else { return Ok(None) };
        let password = password(config, folder)?;
        let servers = given
            .iter()
            .enumerate()
            .map(|(i, url)| {
                server(url, config, password.as_ref()).map_err(|e| format!("`urls`, number {}: {e}", i + 1))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let certificates = config.ca_file.as_ref().map(|file| {
            let file = folder.join(file);
            let pem = std::fs::read(&file).map_err(|e| format!("`ca_file`: {} can't be read: {e}", file.display()))?;
            Ok::<_, String>(TlsCertificates { client_tls: None, root_cert: Some(pem) })
        });
        let certificates = certificates.transpose()?;
        let how = match config.mode {
            Mode::Standalone => one(&servers, certificates),
            Mode::Sentinel => {
                let master =
                    config.master.as_deref().ok_or("`mode: sentinel` needs `master`, the name Sentinel knows")?;
                sentinel(&servers, master, config, password.as_ref(), certificates)
            }
            Mode::Cluster => cluster(&servers, config, password.as_ref(), certificates),
        };
        let how = how.map_err(|e| e.to_string())?;
        Ok(Some(Self { mode: config.mode, servers, how, connect_time: config.connect_time.0 }))
    }

    /// A new connection, in at most the connect time, once its server is known.
    pub(super) async fn connect(&self) -> Result<Link, String> {
        let naming = if self.mode == Mode::Sentinel { NAMING } else { Duration::ZERO };
        let time = self.connect_time + naming;
        match tokio::time::timeout(time, self.reach()).await {
            Ok(Ok(to)) => Ok(Link { to, lost: Notify::new() }),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_elapsed) => Err(format!("not connected within {time:?}")),
        }
    }

    async fn reach(&self) -> RedisResult<To> {
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_time))
            .set_response_timeout(Some(ANSWER));
        match &self.how {
            How::One(client) => Ok(To::One(client.get_multiplexed_async_connection_with_config(&settings).await?)),
            How::Sentinel(client) => {
                let mut client = client.lock().await;
                Ok(To::One(client.get_async_connection_with_config(&settings).await?))
            }
            How::Cluster(client) => Ok(To::Cluster(client.get_async_connection().await?)),
        }
    }

    /// The servers, for people.
    pub(super) fn places(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.addr().to_string()).collect()
    }
}

fn one(servers: &[ConnectionInfo], certificates: Option<TlsCertificates>) -> RedisResult<How> {
    let [server] = servers else {
        return Err((ErrorKind::InvalidClientConfig, "`mode: standalone` needs one url").into());
    };
    Ok(How::One(match certificates {
        Some(certificates) => Client::build_with_tls(server.clone(), certificates)?,
        None => Client::open(server.clone())?,
    }))
}

fn sentinel(
    servers: &[ConnectionInfo],
    master: &str,
    config: &Config,
    password: Option<&Secret>,
    certificates: Option<TlsCertificates>,
) -> RedisResult<How> {
    let addresses: Vec<ConnectionAddr> = servers.iter().map(|server| server.addr().clone()).collect();
    let tls = addresses.iter().any(|address| matches!(address, ConnectionAddr::TcpTls { .. }));
    let mut builder = SentinelClientBuilder::new(addresses, master, SentinelServerType::Master)?;
    if let Some(username) = &config.username {
        builder = builder.set_client_to_redis_username(username);
    }
    if let Some(password) = password {
        builder = builder.set_client_to_redis_password(password.reveal());
    }
    // What the urls say is for the sentinels themselves, which share it.
    let own = |found: fn(&RedisConnectionInfo) -> Option<&str>| {
        servers.iter().find_map(|server| found(server.redis_settings()))
    };
    if let Some(username) = own(RedisConnectionInfo::username) {
        builder = builder.set_client_to_sentinel_username(username);
    }
    if let Some(password) = own(RedisConnectionInfo::password) {
        builder = builder.set_client_to_sentinel_password(password);
    }
    if tls {
        builder =
            builder.set_client_to_redis_tls_mode(TlsMode::Secure).set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates {
        builder = builder
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    Ok(How::Sentinel(Mutex::new(builder.build()?)))
}

fn cluster(
    servers: &[ConnectionInfo],
    config: &Config,
    password: Option<&Secret>,
    certificates: Option<TlsCertificates>,
) -> RedisResult<How> {
    // A redirection is followed at once; waiting for a cluster that is down is left to the callers, who have deadlines. The
    // client waits for all servers that are given, and then for all nodes that they name: one that hangs must leave time
    // for the rest.
    let mut builder = ClusterClient::builder(servers.iter().cloned())
        .connection_timeout(config.connect_time.0 / 3)
        .response_timeout(ANSWER)
        .retries(3)
        .min_retry_wait(1)
        .max_retry_wait(20);
    if let Some(username) = &config.username {
        builder = builder.username(username);
    }
    if let Some(password) = password {
        builder = builder.password(password.reveal());
    }
    if let Some(certificates) = certificates {
        builder = builder.certs(certificates);
    }
    Ok(How::Cluster(builder.build()?))
}

fn server(url: &Secret, config: &Config, password: Option<&Secret>) -> Result<ConnectionInfo, String> {
    // The client's message would show the url.
    let info = url.reveal().into_connection_info().map_err(|_| "is not redis://host:port or rediss://host:port")?;
    let mut settings = info.redis_settings().clone();
    if config.mode == Mode::Sentinel {
        return Ok(info.set_redis_settings(settings));
    }
    if let Some(username) = &config.username {
        settings = settings.set_username(username);
    }
    if let Some(password) = password {
        settings = settings.set_password(password.reveal());
    }
    Ok(info.set_redis_settings(settings))
}

fn password(config: &Config, folder: &Path) -> Result<Option<Secret>, String> {
    match (&config.password, &config.password_file) {
        (Some(_), Some(_)) => Err("`password` and `password_file` can't both be given".to_owned()),
        (Some(password), None) => Ok(Some(password.clone()).filter(|password| !password.reveal().is_empty())),
        (None, Some(file)) => {
            let file = folder.join(file);
            let text = std::fs::read_to_string(&file)
                .map_err(|e| format!("`password_file`: {} can't be read: {e}", file.display()))?;
            text.trim().parse().map(Some)
        }
        (None, None) => Ok(None),
    }
}
