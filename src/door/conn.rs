//! A connection between the door and Pingora: the door reads heads from it, Pingora's session gets exactly one request.
//!
//! What follows a request on the wire stays here until the door looks at it, so pipelined requests are answered in order and
//! a session never holds bytes that are not its own. While Pingora works, it still notices that the client leaves.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::date::DateSlot;

/// How much of what follows a request is read while the request is being answered.
const AHEAD: usize = 16 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) inner: Stream,
    /// Read from the client and not yet used; begins with a request head.
    pub(super) buf: BytesMut,
    /// Bytes of the current request that Pingora has still to get.
    lent: usize,
    /// Where the origin's `Date` waits for the head that Pingora writes.
    pub(super) date: Arc<DateSlot>,
    /// What is written in place of a head that Pingora wrote.
    redated: BytesMut,
    /// Where it comes from, where the PROXY protocol said so.
    source: Option<Arc<SocketDigest>>,
}

impl Conn {
    /// A new connection.
    pub(super) fn new(inner: Stream) -> Self {
        let (buf, redated) = (BytesMut::with_capacity(4096), BytesMut::new());
        Self { inner, buf, lent: 0, date: Arc::default(), redated, source: None }
    }

    /// From now on the connection comes from `source`, for Pingora too.
    pub(super) fn comes_from(&mut self, source: SocketAddr) {
        // Both addresses are known, so the descriptor is never looked at.
        let digest = SocketDigest::from_raw_fd(-1);
        let local = self.inner.get_socket_digest().and_then(|digest| digest.local_addr().cloned());
        let _was_empty = (digest.peer_addr.set(Some(source.into())), digest.local_addr.set(local));
        self.source = Some(Arc::new(digest));
    }

    /// Lets Pingora read so many bytes, from the first of the buffer on. `usize::MAX`: all there will ever be.
    pub(super) fn lend(&mut self, bytes: usize) {
        self.lent = bytes;
    }

    /// Reads more into the buffer.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        tokio_util::io::poll_read_buf(Pin::new(&mut self.inner), cx, &mut self.buf)
    }

    /// Nothing is left to be read: pending until the client leaves, which is what an empty read means.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.buf.len() < AHEAD {
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        // The answer that is being made wakes the task; then the door goes on with what is here.
        Poll::Pending
    }
}

impl AsyncRead for Conn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.lent == 0 {
            return self.poll_left(cx);
        }
        if self.buf.is_empty() && ready!(self.poll_fill(cx))? == 0 {
            return Poll::Ready(Ok(()));
        }
        let n = self.buf.len().min(out.remaining()).min(self.lent);
        out.put_slice(&self.buf[..n]);
        self.buf.advance(n);
        if self.lent != usize::MAX {
            self.lent -= n;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Conn {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.redated.is_empty()
            && let Some(redated) = this.date.apply(bytes)
        {
            this.redated = redated;
        }
        if this.redated.is_empty() {
            return Pin::new(&mut this.inner).poll_write(cx, bytes);
        }
        // As long as the original, so the caller's count of what is left holds.
        let n = this.redated.len().min(bytes.len());
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &this.redated[..n]))?;
        this.redated.advance(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.redated.is_empty() && self.date.is_empty() {
            return Pin::new(&mut self.inner).poll_write_vectored(cx, parts);
        }
        let first = parts.iter().find(|part| !part.is_empty()).map_or(&[][..], |part| part);
        self.poll_write(cx, first)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[async_trait]
impl Shutdown for Conn {
    async fn shutdown(&mut self) {
        // The other end may have closed already.
        let _gone = AsyncWriteExt::shutdown(&mut self.inner).await;
    }
}

impl UniqueID for Conn {
    fn id(&self) -> UniqueIDType {
        self.inner.id()
    }
}

impl Ssl for Conn {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.inner.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.inner.selected_alpn_proto()
    }
}

impl GetTimingDigest for Conn {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.inner.get_timing_digest()
    }
}

impl GetProxyDigest for Conn {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }
}

impl GetSocketDigest for Conn {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.source.clone().or_else(|| self.inner.get_socket_digest())
    }
}

impl Peek for Conn {}
