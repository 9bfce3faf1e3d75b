//! Asks an upstream for something of our own: a probe, its health, a copy, or only whether it is there. One connection each
//! time, past queue and breaker.

use std::collections::BTreeMap;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use tokio::time::timeout;

use super::{Call, Fault, Pool};
use crate::config::Upstream;

static CONNECTOR: LazyLock<Connector> = LazyLock::new(|| Connector::new(None));

/// Longer than any probe may take.
const LONGEST: Duration = Duration::from_secs(60);

/// The largest body that is read.
pub(crate) const LARGEST: usize = 256 << 10;

impl Pool {
    /// Whether the upstream does its work: 200 for the probe's path, or where none is given that it takes connections.
    /// The caller bounds the time.
    pub(crate) async fn works(&self) -> bool {
        let health = &self.config.health;
        match health.probe.as_ref().or(health.path.as_ref()) {
            Some(path) => self.get(path, LONGEST).await.is_some_and(|(status, _)| status == 200),
            None => self.connects().await,
        }
    }

    /// Status and body of the answer to GET; `None` where none comes in time.
    pub(crate) async fn get(&self, path: &str, time: Duration) -> Option<(u16, Bytes)> {
        let mut request = RequestHeader::build("GET", path.as_bytes(), None).ok()?;
        request.insert_header("user-agent", "addrgate-health").ok()?;
        self.copy(request, Bytes::new(), time).await
    }

    /// The same for any request whose body is at hand.
    pub(crate) async fn copy(&self, request: RequestHeader, body: Bytes, time: Duration) -> Option<(u16, Bytes)> {
        timeout(time, self.exchange(request, body, time)).await.ok()?
    }

    async fn connects(&self) -> bool {
        self.session(self.config.connect_time.0).await.is_some()
    }

    /// A connection to the first address that can be reached.
    async fn session(&self, time: Duration) -> Option<(HttpSession, Call)> {
        let mut failed = Vec::new();
        loop {
            let call = self.choose(&failed, true)?;
            failed.push(call.addr());
            let peer = self.peer(call.addr(), time, self.count_besides(&failed) > 0);
            match CONNECTOR.get_http_session(&*peer).await {
                Ok((session, _)) => return Some((session, call)),
                Err(_) => call.failed(Fault::Unreachable),
            }
        }
    }

    async fn exchange(&self, mut request: RequestHeader, body: Bytes, time: Duration) -> Option<(u16, Bytes)> {
        let (mut session, call) = self.session(time).await?;
        if !request.headers.contains_key(header::HOST) {
            request.insert_header(header::HOST, self.host()).ok()?;
        }
        request.insert_header("connection", "close").ok()?;
        session.write_request_header(Box::new(request)).await.ok()?;
        if !body.is_empty() {
            session.write_request_body(body, true).await.ok()?;
        }
        session.finish_request_body().await.ok()?;
        session.read_response_header().await.ok()?;
        call.responded();
        let status = session.response_header()?.status.as_u16();
        let mut body = BytesMut::new();
        while let Some(piece) = session.read_response_body().await.ok()? {
            body.extend_from_slice(&piece);
            if body.len() > LARGEST {
                return None;
            }
        }
        Some((status, body.freeze()))
    }
}

/// A name may have an address of each family, of which one is served.
fn reach(address: &str, time: Duration) -> std::io::Result<()> {
    let mut failed = std::io::Error::other("the name has no address");
    for addr in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&addr, time) {
            Ok(_connected) => return Ok(()),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Connects to every address of every upstream once; of a name to one of its addresses.
///
/// # Errors
/// Names each that can't be reached.
pub(crate) fn connect(upstreams: &BTreeMap<String, Upstream>) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (name, upstream) in upstreams {
        for address in &upstream.addresses {
            let connected = reach(address, upstream.connect_time.0);
            if let Err(e) = connected {
                failed.push(format!("upstream `{name}`: {address}: {e}"));
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(anyhow::anyhow!(failed.join("\n"))) }
}
