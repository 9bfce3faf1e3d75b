//! Connecting: to one server, or to the master that Sentinel names; and what a broken connection looks like.

use std::path::Path;
use std::time::Duration;

use addrgate_filters::traffic::units::Secret;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo,
    Pipeline, RedisConnectionInfo, RedisError, RedisFuture, RedisResult, ServerErrorKind, TlsCertificates, TlsMode,
    Value, cmd,
};
use tokio::sync::{Mutex, Notify};

use super::command::Command;
use super::config::{Config, Mode};

/// Longer than any deadline of ours: those are kept outside of the client, which then only has to give up at last.
const ANSWER: Duration = Duration::from_secs(5);

/// The longest time for Sentinel to name the master. The client asks three sentinels at once, takes what they say in their
/// order, and gives each a second.
const NAMING: Duration = Duration::from_secs(2);

/// A connection.
pub(crate) struct Link {
    connection: MultiplexedConnection,
    /// Told by whoever finds it lost. A part of the link: what is said of an old one is not about the next.
    pub(super) lost: Notify,
}

impl Link {
    /// Asks on it. Connections are cheap to clone, and answers find their askers.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: Command<'_>) -> RedisResult<T> {
        command.ask(self.connection.clone()).await
    }

    /// The same for a key of a slot that is moving to this server.
    pub(super) async fn ask_moving<T: FromRedisValue>(&self, command: Command<'_>) -> RedisResult<T> {
        command.ask(Asking(self.connection.clone())).await
    }
}

/// Sends `ASKING` before each command.
struct Asking(MultiplexedConnection);

impl ConnectionLike for Asking {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut both = Pipeline::with_capacity(2);
            both.add_command(cmd("ASKING")).add_command(command.clone());
            let answers = self.0.req_packed_commands(&both, 1, 1).await?;
            answers.into_iter().next().map_or(Ok(Value::Nil), Value::extract_error)
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        // No pipeline of ours asks for a key.
        self.0.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
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

/// The servers that the configuration names.
pub(super) struct Seeds {
    servers: Vec<ConnectionInfo>,
    certificates: Option<TlsCertificates>,
    connect_time: Duration,
}

impl Seeds {
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
        Ok(Some(Self { servers, certificates: certificates.transpose()?, connect_time: config.connect_time.0 }))
    }

    /// The only server.
    pub(super) fn only(&self) -> Result<Connector, String> {
        match &self.servers[..] {
            [server] => self.connector(server.clone()),
            _ => Err("`mode: standalone` needs one url".to_owned()),
        }
    }

    /// The master that the servers, which are sentinels, name.
    pub(super) fn sentinels(&self, config: &Config, folder: &Path) -> Result<Connector, String> {
        let master = config.master.as_deref().ok_or("`mode: sentinel` needs `master`, the name Sentinel knows")?;
        let password = password(config, folder)?;
        let client = sentinel(&self.servers, master, config, password.as_ref(), self.certificates.clone());
        let how = How::Sentinel(Box::new(Mutex::new(client.map_err(|e| e.to_string())?)));
        Ok(Connector { places: self.places(), how, connect_time: self.connect_time })
    }

    /// Each of them, asked as a server.
    pub(super) fn all(&self) -> impl Iterator<Item = Result<Connector, String>> {
        self.servers.iter().map(|server| self.connector(server.clone()))
    }

    /// A server that one of them has named: reached and authenticated as they are.
    pub(super) fn to(&self, host: &str, port: u16) -> Result<Connector, String> {
        let known = self.servers.first().ok_or("no server is given")?.clone();
        let host = host.to_owned();
        let address = match known.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        self.connector(known.set_addr(address))
    }

    fn connector(&self, server: ConnectionInfo) -> Result<Connector, String> {
        let places = vec![server.addr().to_string()];
        let client = match &self.certificates {
            Some(certificates) => Client::build_with_tls(server, certificates.clone()),
            None => Client::open(server),
        };
        let how = How::One(Box::new(client.map_err(|e| e.to_string())?));
        Ok(Connector { places, how, connect_time: self.connect_time })
    }

    /// The servers, for people.
    pub(super) fn places(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.addr().to_string()).collect()
    }
}

/// Makes connections to one server.
pub(super) struct Connector {
    /// What is connected to, for people.
    pub(super) places: Vec<String>,
    how: How,
    connect_time: Duration,
}

enum How {
    One(Box<Client>),
    // The client remembers which sentinel answered.
    Sentinel(Box<Mutex<redis::sentinel::SentinelClient>>),
}

impl Connector {
    /// A new connection, in at most the connect time, once its server is known.
    pub(super) async fn connect(&self) -> Result<Link, String> {
        let naming = if matches!(self.how, How::Sentinel(_)) { NAMING } else { Duration::ZERO };
        let time = self.connect_time + naming;
        match tokio::time::timeout(time, self.reach()).await {
            Ok(Ok(connection)) => Ok(Link { connection, lost: Notify::new() }),
            Ok(Err(e)) => Err(e.to_string()),
            Err(_elapsed) => Err(format!("not connected within {time:?}")),
        }
    }

    async fn reach(&self) -> RedisResult<MultiplexedConnection> {
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_time))
            .set_response_timeout(Some(ANSWER));
        match &self.how {
            How::One(client) => client.get_multiplexed_async_connection_with_config(&settings).await,
            How::Sentinel(client) => client.lock().await.get_async_connection_with_config(&settings).await,
        }
    }

    /// Whether it can be reached by a user with all rights; the error says what not.
    pub(super) async fn check(&self, prefix: &str) -> Result<(), String> {
        let named = |error: String| format!("{}: {error}", self.places.join(" "));
        let link = self.connect().await.map_err(named)?;
        match super::rights::lacking(&link, prefix).await.map_err(named)? {
            Some(lacking) => Err(named(format!("the user lacks rights: {lacking}"))),
            None => Ok(()),
        }
    }

    /// The server's host; empty where Sentinel names it.
    pub(super) fn host(&self) -> &str {
        match &self.how {
            How::One(client) => match client.get_connection_info().addr() {
                ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
                _ => "",
            },
            How::Sentinel(_) => "",
        }
    }
}

fn sentinel(
    servers: &[ConnectionInfo],
    master: &str,
    config: &Config,
    password: Option<&Secret>,
    certificates: Option<TlsCertificates>,
) -> RedisResult<redis::sentinel::SentinelClient> {
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
    builder.build()
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
