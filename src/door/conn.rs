//! A connection between the door and Pingora: the door reads heads from it, Pingora's session gets exactly one request.
//!
//! What follows a request on the wire stays here until the door looks at it, so pipelined requests are answered in order and
//! a session never holds bytes that are not its own. While Pingora works, it still notices that the client leaves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Instant;

use super::alarm::Alarm;
use crate::date::DateSlot;

/// How much of what follows a request is read while the request is being answered.
const AHEAD: usize = 16 << 10;

/// How much of an answer waits for more of it.
const HELD: usize = 16 << 10;

/// What every response begins with, to HTTP/1.0 too.
const BEGINNING: &[u8] = b"HTTP/1.";

/// How long after each byte of it the next one finds out whether the client is still there: a round trip on the same network,
/// in the same country, around the world.
const PROBES: [Duration; 6] = [
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(20),
];

/// See the module.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) inner: Stream,
    /// Without TLS nothing below holds anything back (`server::run`).
    is_plain: bool,
    /// Read from the client and not yet used; begins with a request head.
    pub(super) buf: BytesMut,
    /// The head of the current request in the form that Pingora gets, and how much of it Pingora has.
    front: Vec<u8>,
    front_read: usize,
    /// Bytes of the current request that Pingora has still to get after that.
    lent: usize,
    /// Where the origin's `Date` waits for the head that Pingora writes.
    pub(super) date: Arc<DateSlot>,
    /// What Pingora has written and not yet flushed: head and body go out in one piece.
    held: BytesMut,
    /// Whether flushes wait, as over HTTP/2.
    turn: Option<Arc<Turn>>,
    /// Whether the response is under way.
    answering: bool,
    /// Bytes of [`BEGINNING`] that were sent before that, and when the next one is.
    probes: usize,
    next_probe: Alarm,
    /// How long an answer may be stuck, and whether it is.
    write_time: Duration,
    stuck: bool,
    pub(super) alarm: Alarm,
}

/// One turn of the task of an HTTP/2 connection, which alone writes to it: as long as it lasts, flushes wait.
#[derive(Debug, Default)]
pub(super) struct Turn {
    lasts: AtomicBool,
    owes: AtomicBool,
}

impl Turn {
    /// From now on flushes wait.
    pub(super) fn begin(&self) {
        self.lasts.store(true, Ordering::Relaxed);
    }

    /// From now on they don't; whether one has waited, and has to be asked for again.
    pub(super) fn end(&self) -> bool {
        self.lasts.store(false, Ordering::Relaxed);
        self.owes.swap(false, Ordering::Relaxed)
    }
}

impl Conn {
    /// A new connection.
    pub(super) fn new(inner: Stream) -> Self {
        Self {
            is_plain: inner.get_ssl_digest().is_none(),
            inner,
            buf: BytesMut::with_capacity(4096),
            front: Vec::new(),
            front_read: 0,
            lent: 0,
            date: Arc::default(),
            held: BytesMut::new(),
            turn: None,
            answering: false,
            probes: 0,
            next_probe: Alarm::default(),
            write_time: Duration::ZERO,
            stuck: false,
            alarm: Alarm::default(),
        }
    }

    /// Lets Pingora read `front`, and then so many bytes from the first of the buffer on. `usize::MAX`: all there will ever
    /// be.
    pub(super) fn lend(&mut self, front: Vec<u8>, bytes: usize, write_time: Duration) {
        (self.front, self.front_read, self.lent, self.write_time) = (front, 0, bytes, write_time);
        (self.answering, self.probes) = (false, 0);
    }

    /// Lets an HTTP/2 session have all there will ever be. It flushes after each frame, which would cost each a record of TLS and
    /// a packet: what is written in one turn goes out together, at its end.
    pub(super) fn lend_all(&mut self, write_time: Duration) -> Arc<Turn> {
        self.lend(Vec::new(), usize::MAX, write_time);
        Arc::clone(self.turn.insert(Arc::default()))
    }

    /// The loan is over.
    pub(super) fn back(&mut self) {
        (self.front, self.front_read, self.lent) = (Vec::new(), 0, 0);
    }

    /// Whether Pingora has taken exactly the request: what it has left would be read as another one.
    pub(super) fn is_returned_whole(&self) -> bool {
        self.lent == 0 && self.front_read == self.front.len()
    }

    /// Reads more into the buffer.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        tokio_util::io::poll_read_buf(Pin::new(&mut self.inner), cx, &mut self.buf)
    }

    /// Sends what is left of `bytes`, after what Pingora may have left.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8], sent: &mut usize) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        while *sent < bytes.len() {
            match ready!(Pin::new(&mut self.inner).poll_write(cx, &bytes[*sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => *sent += n,
            }
        }
        match self.is_plain {
            true => Poll::Ready(Ok(())),
            false => Pin::new(&mut self.inner).poll_flush(cx),
        }
    }

    /// Sends what is held. Pingora's own bound on the time of a write does not see it, so it has one of its own.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            match Pin::new(&mut self.inner).poll_write(cx, &self.held) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => self.held.advance(written?),
                Poll::Pending => {
                    if !std::mem::replace(&mut self.stuck, true) {
                        self.alarm.set(Instant::now() + self.write_time);
                    }
                    ready!(self.alarm.poll(cx));
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        self.stuck = false;
        if self.held.capacity() > 2 * HELD {
            self.held = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Nothing is left to be read: pending until an error tells that the client has left.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.buf.len() < AHEAD {
            match ready!(self.poll_fill(cx)) {
                Ok(1..) => {}
                // TLS may end without a word of its own; the request was whole.
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Poll::Ready(Err(error)),
                Ok(0) | Err(_) => return self.poll_gone(cx).map(Err),
            }
        }
        // The answer that is being made wakes the task; then the door goes on with what is here.
        Poll::Pending
    }

    /// The client sends nothing more. Either it is gone, or it has closed its sending side and still reads: then its response is
    /// made all the same (RFC 9112 section 9.6). Only what is sent to it tells: a system whose program has closed the connection
    /// refuses it. So the response is begun, byte by byte, with what all of them begin with.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while !self.answering && self.probes < PROBES.len() {
            if self.probes > 0 {
                ready!(self.next_probe.poll(cx));
            }
            let byte = &BEGINNING[self.probes..=self.probes];
            match ready!(Pin::new(&mut self.inner).poll_write(cx, byte)) {
                Ok(1) => {}
                Ok(_) => return Poll::Ready(io::ErrorKind::WriteZero.into()),
                Err(error) => return Poll::Ready(error),
            }
            self.next_probe.set(Instant::now() + PROBES[self.probes]);
            self.probes += 1;
            if !self.is_plain
                && let Poll::Ready(Err(error)) = Pin::new(&mut self.inner).poll_flush(cx)
            {
                return Poll::Ready(error);
            }
        }
        Poll::Pending
    }
}

impl AsyncRead for Conn {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.front_read < self.front.len() {
            let n = out.remaining().min(self.front.len() - self.front_read);
            out.put_slice(&self.front[self.front_read..self.front_read + n]);
            self.front_read += n;
            return Poll::Ready(Ok(()));
        }
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
        let most = if this.turn.is_some() { 2 * HELD } else { HELD };
        if this.held.len() + bytes.len() > most {
            ready!(this.poll_held(cx))?;
        }
        if bytes.len() > HELD && this.date.is_empty() && this.answering {
            return Pin::new(&mut this.inner).poll_write(cx, bytes);
        }
        let begin = this.held.len();
        this.answering = true;
        // The beginning may have been sent before, to see whether the client is still there.
        this.held.extend_from_slice(&bytes[std::mem::take(&mut this.probes).min(bytes.len())..]);
        this.date.apply(&mut this.held[begin..]);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(turn) = &self.turn
            && turn.lasts.load(Ordering::Relaxed)
            && !self.stuck
        {
            turn.owes.store(true, Ordering::Relaxed);
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for Conn {
    async fn shutdown(&mut self) {
        // The other end may have closed already.
        let _gone = AsyncWriteExt::shutdown(self).await;
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
        self.inner.get_socket_digest()
    }
}

impl Peek for Conn {}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A connection that is lent, and its client, who lets so many bytes lie.
    fn pair(room: usize) -> (Conn, DuplexStream) {
        let (ours, client) = duplex(room);
        let mut conn = Conn::new(Box::new(ours));
        conn.lend(Vec::new(), usize::MAX, PATIENCE);
        (conn, client)
    }

    #[tokio::test]
    async fn head_and_body_go_out_in_one_piece_with_the_right_date() {
        let (mut conn, mut client) = pair(1 << 20);
        conn.date.set(b"Mon, 07 Nov 1994 00:00:00 GMT");
        conn.write_all(HEAD).await.unwrap();
        conn.write_all(b"body").await.unwrap();
        let mut piece = vec![0; 4096];
        let none = tokio::time::timeout(Duration::from_millis(10), client.read(&mut piece)).await;
        assert!(none.is_err(), "nothing goes out before it is flushed");
        conn.flush().await.unwrap();
        let read = client.read(&mut piece).await.unwrap();
        let text = String::from_utf8_lossy(&piece[..read]);
        assert_eq!(text, "HTTP/1.1 200 OK\r\nDate: Mon, 07 Nov 1994 00:00:00 GMT\r\n\r\nbody");
    }

    #[tokio::test]
    async fn over_http2_what_is_written_in_one_turn_goes_out_at_its_end() {
        let (mut conn, mut client) = pair(1 << 20);
        let turn = conn.lend_all(PATIENCE);
        turn.begin();
        for piece in [HEAD, b"body"] {
            conn.write_all(piece).await.unwrap();
            conn.flush().await.unwrap();
        }
        let mut piece = vec![0; 4096];
        let read = tokio::time::timeout(Duration::from_millis(10), client.read(&mut piece)).await;
        assert!(read.is_err(), "the turn is not over");
        assert!(turn.end() && !turn.end(), "it is owed once");
        conn.flush().await.unwrap();
        let read = client.read(&mut piece).await.unwrap();
        assert_eq!(piece[..read], [HEAD, b"body"].concat());
    }

    #[tokio::test]
    async fn what_is_large_goes_out_by_itself_and_in_order() {
        let (mut conn, mut client) = pair(1 << 20);
        let body: Vec<u8> = (0..100_000_u32).map(|i| i as u8).collect();
        conn.write_all(HEAD).await.unwrap();
        conn.write_all(&body[..50_000]).await.unwrap();
        for piece in body[50_000..].chunks(3_000) {
            conn.write_all(piece).await.unwrap();
            assert!(conn.held.len() <= HELD);
        }
        AsyncWriteExt::shutdown(&mut conn).await.unwrap();
        drop(conn);
        let mut all = Vec::new();
        client.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [HEAD, &body].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_no_more_gets_its_response_and_who_is_gone_is_heard() {
        let (mut conn, client) = pair(1 << 20);
        conn.lend(Vec::new(), 0, PATIENCE);
        let (mut reads, mut sends) = tokio::io::split(client);
        sends.shutdown().await.unwrap();
        let mut none = [0];
        let idle = tokio::time::timeout(Duration::from_secs(1), conn.read(&mut none)).await;
        assert!(idle.is_err(), "its response may take as long as any");
        conn.write_all(HEAD).await.unwrap();
        conn.write_all(b"body").await.unwrap();
        conn.flush().await.unwrap();
        drop(conn);
        let mut all = Vec::new();
        reads.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [HEAD, b"body"].concat());

        let (mut conn, client) = pair(1 << 20);
        conn.lend(Vec::new(), 0, PATIENCE);
        drop(client);
        assert_eq!(conn.read(&mut none).await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_given_up() {
        let (mut conn, _client) = pair(10);
        let begun = Instant::now();
        conn.write_all(HEAD).await.unwrap();
        assert_eq!(conn.flush().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
    }
}
