//! What comes before a connection's first request: its place among all, where it comes from, TLS. In this order, so that
//! each bound holds before what it bounds is spent.

use std::net::IpAddr;
use std::time::Duration;

use addrgate_filters::address::unit;
use addrgate_filters::http::proxy_protocol;
use bytes::BytesMut;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream as Tcp;
use pingora::protocols::{GetSocketDigest, SocketDigest, Stream};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::Door;
use crate::connections::Place;

/// A connection that may stay.
pub(super) struct Admitted {
    /// With TLS the decrypted one.
    pub(super) stream: Stream,
    /// The client, as far as a balancer's PROXY protocol says.
    pub(super) peer: Option<IpAddr>,
    /// To be held until its end.
    pub(super) place: Place,
}

impl Door {
    /// Whether a connection may stay. One that may not is closed without a response; why is said in a word.
    pub(super) async fn admit(&self, mut stream: Stream) -> Result<Admitted, &'static str> {
        let plan = self.shared.plan_kept();
        let limits = &plan.file.limits;
        let mut place = self.shared.connections.enter(limits.connections.min(self.room)).ok_or("connections")?;
        let digest = stream.get_socket_digest();
        let inet = |address: Option<&SocketAddr>| address.and_then(SocketAddr::as_inet).copied();
        let mut peer = digest.as_ref().and_then(|digest| Some(inet(digest.peer_addr())?.ip()));
        let port = digest.as_ref().and_then(|digest| Some(inet(digest.local_addr())?.port()));
        let trusted = |address: IpAddr| plan.filters.address.0.trusted_proxies.contain(address);
        if port.is_some_and(|port| self.proxied.contains(&port)) {
            if !peer.is_some_and(trusted) {
                return Err("proxy_peer");
            }
            let mut tcp = tcp(stream)?;
            peer = preamble(&mut tcp).await?.or(peer);
            stream = tcp;
        }
        if let Some(client) = peer.filter(|client| !trusted(*client))
            && !place.of(unit(client), limits.connections_per_address)
        {
            return Err("connections_per_address");
        }
        if let Some(tls) = &self.tls {
            // Boxed: every connection would be as large as a handshake.
            stream = Box::pin(tls.accept(*tcp(stream)?, limits.head_time.0)).await?;
        }
        Ok(Admitted { stream, peer, place })
    }
}

/// The connection as the listener accepted it.
fn tcp(stream: Stream) -> Result<Box<Tcp>, &'static str> {
    stream.into_any().downcast().map_err(|_| "no_tcp")
}

/// Reads the PROXY protocol's head; from where the connection comes, if it says so. Later that is the connection's address for
/// Pingora, too. What is wrong with it is said in a word.
async fn preamble(stream: &mut Tcp) -> Result<Option<IpAddr>, &'static str> {
    const LONGEST: Duration = Duration::from_secs(1);
    let mut bytes = BytesMut::with_capacity(512);
    let read = async {
        loop {
            if let Some(preamble) = proxy_protocol::read(&bytes).map_err(proxy_protocol::Wrong::reason)? {
                return Ok(preamble);
            }
            if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                return Err("proxy_closed");
            }
        }
    };
    let preamble = timeout(LONGEST, read).await.unwrap_or(Err("proxy_time"))?;
    // What came with it is the first request's, or the handshake's.
    stream.rewind(&bytes[preamble.length..]);
    let Some((source, _)) = preamble.addresses else { return Ok(None) };
    // Both addresses are known, so the descriptor is never looked at.
    let digest = SocketDigest::from_raw_fd(-1);
    let local = stream.get_socket_digest().and_then(|digest| digest.local_addr().cloned());
    let _was_empty = (digest.peer_addr.set(Some(source.into())), digest.local_addr.set(local));
    stream.set_socket_digest(digest);
    Ok(Some(source.ip()))
}
