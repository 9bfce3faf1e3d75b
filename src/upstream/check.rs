//! Health checks of one address.

use std::net::SocketAddr;
use std::time::Duration;

use pingora::lb::Backend;
use pingora::lb::health_check::{HealthCheck, HttpHealthCheck};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::{Health, Upstream};

/// How long a connection is watched that must not be closed at once.
const STAYS: Duration = Duration::from_millis(50);

/// Asks an address how it is.
pub(super) struct Check {
    /// The request that 200 is the response to; without it a connection is enough.
    request: Option<Box<HttpHealthCheck>>,
    /// For one check.
    longest: Duration,
}

impl Check {
    pub(super) fn new(config: &Upstream) -> Self {
        let Health { path, timeout, .. } = &config.health;
        let host = config.host.as_ref().or(config.addresses.first()).map(String::as_str).unwrap_or_default();
        let request = path.as_ref().and_then(|path| {
            let mut request = pingora::http::RequestHeader::build("GET", path.as_bytes(), None).ok()?;
            request.insert_header("Host", host).ok()?;
            request.insert_header("User-Agent", "addrgate-health").ok()?;
            let tls_name = config.tls_name.as_deref();
            let mut check = HttpHealthCheck::new(tls_name.unwrap_or(host), tls_name.is_some());
            check.req = request;
            check.peer_template.options.connection_timeout = Some(timeout.0);
            check.peer_template.options.total_connection_timeout = Some(timeout.0);
            check.peer_template.options.read_timeout = Some(timeout.0);
            Some(Box::new(check))
        });
        Self { request, longest: timeout.0 }
    }

    /// Whether it is well.
    pub(super) async fn passes(&self, addr: SocketAddr) -> bool {
        let check = async {
            match &self.request {
                Some(check) => match Backend::new(&addr.to_string()) {
                    Ok(backend) => check.check(&backend).await.is_ok(),
                    Err(_) => false,
                },
                None => takes_connections(addr).await,
            }
        };
        timeout(self.longest, check).await.unwrap_or(false)
    }
}

/// Whether it takes connections and does not close them at once, as a proxy does that has nothing behind it.
async fn takes_connections(addr: SocketAddr) -> bool {
    let Ok(stream) = TcpStream::connect(addr).await else { return false };
    match timeout(STAYS, stream.readable()).await {
        Ok(Ok(())) => match stream.try_read(&mut [0]) {
            Ok(read) => read > 0,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        },
        Ok(Err(_)) => false,
        Err(_elapsed) => true,
    }
}
