//! Sends requests of the gateway's own through its proxy, over a connection that exists in memory only.

use std::any::Any;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{self, Poll};

use futures::future::BoxFuture;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fetch::Relay;
use crate::store::Store;

/// Refreshes at a time; one beyond that is left to the next request for the entry.
const REFRESHES: usize = 64;

/// Serves one request to its end.
type Serve = dyn Fn(ServerSession) -> BoxFuture<'static, ()> + Send + Sync;

/// The way into the proxy. One per process.
pub(crate) struct Dispatch {
    serve: OnceLock<Box<Serve>>,
    refreshes: Arc<Semaphore>,
}

impl Dispatch {
    /// Sends nothing until it is given the proxy.
    pub(crate) fn new() -> Self {
        Self { serve: OnceLock::new(), refreshes: Arc::new(Semaphore::new(REFRESHES)) }
    }

    /// Gives it the proxy, once.
    pub(crate) fn connect(&self, serve: Box<Serve>) {
        // A second one would be the same.
        let _first_stays = self.serve.set(serve);
    }

    /// A permit for a refresh; `None` where too many are under way.
    pub(crate) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.refreshes).try_acquire_owned().ok()
    }

    /// Sends a request, and reads the response to its end: its status, if there was one. `carried` is what the proxy finds
    /// as the connection's user context.
    pub(crate) async fn send(
        &self,
        wire: Vec<u8>,
        carried: Box<dyn Any + Send + Sync>,
        store: &Store,
        relay: &Relay,
    ) -> Option<u16> {
        let serve = self.serve.get()?;
        let (mut client, server) = tokio::io::duplex(wire.len().max(16 << 10));
        client.write_all(&wire).await.ok()?;
        let stream = Stream::from(VirtualSocketStream::new(Box::new(Wire(server))));
        let mut session = ServerSession::new_http1(Box::new(stream));
        session.set_connection_user_context(Some(carried));
        let ((), status) = tokio::join!(serve(session), status(client, store, relay));
        status
    }
}

/// Reads the response to its end, no faster than those who read its body where it is not stored; its status is all that is
/// wanted here.
async fn status(mut client: DuplexStream, store: &Store, relay: &Relay) -> Option<u16> {
    let mut piece = vec![0; 16 << 10];
    let mut first = Vec::new();
    loop {
        match client.read(&mut piece).await {
            Ok(n @ 1..) => {
                if first.len() < 16 {
                    first.extend_from_slice(&piece[..n.min(16)]);
                }
            }
            _ => return std::str::from_utf8(first.get(9..12)?).ok()?.parse().ok(),
        }
        if let Some(fill) = relay.get()
            && store.is_too_large(fill.length())
        {
            // Nobody reads it any more: the fetch hears of it by the end of the connection.
            fill.pass_on(store.most_passed_on()).await.ok()?;
        }
    }
}

/// One end of a connection in memory.
#[derive(Debug)]
struct Wire(DuplexStream);

impl VirtualSocket for Wire {
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
