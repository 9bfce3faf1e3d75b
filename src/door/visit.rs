//! One client connection: waiting for heads and bodies within their time, sending, closing.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use addrgate_filters::reply::{Cause, Code};
use addrgate_filters::request_body::too_slow;
use bytes::{Buf, BytesMut};
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::body::Body;
use super::chunks::Chunks;
use super::conn::{Conn, Turn};
use super::head::{Scan, Scanner, is_preface};
use super::line::{Escaped, foreign};
use super::spare::{self, ROOMY};
use crate::config::Limits;
use crate::date::DateSlot;
use crate::shared::AT_WORK;

/// What came next on a connection.
pub(super) enum Arrived {
    /// A head of so many bytes, at the beginning of the buffer.
    Head(usize),
    /// HTTP/2 with prior knowledge.
    Http2,
    /// The client left, nothing came in time, or the process stops: close.
    Nothing,
    /// Something that is refused.
    Wrong(Cause),
}

/// See the module.
pub(super) struct Visit {
    conn: Option<Box<Conn>>,
    /// The answer; lent by [`spare`] until it is sent.
    out: Vec<u8>,
    requests: u32,
    /// Since when the next head is waited for.
    since: Instant,
    stopping: Stopping,
}

impl Visit {
    /// A new connection.
    pub(super) fn new(stream: Stream, shutdown: ShutdownWatch) -> Self {
        let stopping = Stopping::new(shutdown);
        let conn = Some(Box::new(Conn::new(stream)));
        Self { conn, out: Vec::new(), requests: 0, since: Instant::now(), stopping }
    }

    /// How many requests have come.
    pub(super) fn count(&self) -> u32 {
        self.requests
    }

    /// What was read and not used, and where the answer is put.
    pub(super) fn parts(&mut self) -> (&[u8], &mut Vec<u8>) {
        if self.out.capacity() == 0 {
            self.out = spare::take();
        }
        (self.conn.as_ref().map_or(&[], |conn| &conn.buf), &mut self.out)
    }

    /// Where the origin's `Date` is put.
    pub(super) fn date(&self) -> Arc<DateSlot> {
        self.conn.as_ref().map(|conn| Arc::clone(&conn.date)).unwrap_or_default()
    }

    /// Waits for the next head: as long as connections may idle, but from its first byte on no longer than a head may take.
    pub(super) async fn head(&mut self, limits: &Limits) -> Arrived {
        let Self { conn: Some(conn), requests, since, stopping, .. } = self else { return Arrived::Nothing };
        if conn.buf.is_empty() && conn.buf.capacity() > ROOMY {
            conn.buf = BytesMut::with_capacity(4096);
        }
        let agreed = matches!(conn.inner.selected_alpn_proto(), Some(ALPN::H2));
        let mut scanner = Scanner::default();
        // From when on the head's own time counts: from the start of a new connection, else from the head's first byte.
        let mut begun = *requests == 0;
        let mut leaving = false;
        conn.alarm.set(*since + if begun { limits.head_time.0 } else { limits.keepalive.0 });
        let arrived = poll_fn(|cx| {
            loop {
                // Blank lines before the request line are what some clients send after a body (RFC 9112 section 2.2).
                while scanner.is_new() && conn.buf.starts_with(b"\r\n") {
                    conn.buf.advance(2);
                }
                if agreed && !is_preface(&conn.buf) {
                    return Poll::Ready(Arrived::Wrong(foreign()));
                }
                let is_blank = conn.buf.is_empty() || scanner.is_new() && conn.buf[..] == *b"\r";
                let scan = if is_blank { Scan::Partial } else { scanner.scan(&conn.buf, limits) };
                match scan {
                    Scan::Complete(length) => return Poll::Ready(Arrived::Head(length)),
                    Scan::Http2 => return Poll::Ready(Arrived::Http2),
                    Scan::Wrong(cause) => return Poll::Ready(Arrived::Wrong(cause)),
                    Scan::Partial => {}
                }
                match conn.poll_fill(cx) {
                    Poll::Ready(Ok(1..)) => continue,
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Arrived::Nothing),
                    Poll::Pending => {}
                }
                if is_blank {
                    if !leaving && stopping.poll(cx).is_ready() {
                        // The next request of a client at work is answered, and ends the connection.
                        leaving = true;
                        conn.alarm.set(*since + AT_WORK);
                        // From its first byte on it has a head's time.
                        begun = false;
                    }
                } else if !std::mem::replace(&mut begun, true) {
                    conn.alarm.set(Instant::now() + limits.head_time.0);
                }
                ready!(conn.alarm.poll(cx));
                return Poll::Ready(if is_blank { Arrived::Nothing } else { Arrived::Wrong(slow()) });
            }
        })
        .await;
        *requests += 1;
        arrived
    }

    /// Puts an escaped request line in place of that of a head of `head` bytes; the new length of the head.
    pub(super) fn escape(&mut self, head: usize, escaped: &Escaped) -> usize {
        let Some(conn) = &mut self.conn else { return head };
        let rest = conn.buf.split_off(escaped.length);
        conn.buf.clear();
        conn.buf.extend_from_slice(&escaped.line);
        conn.buf.extend_from_slice(&rest);
        head - escaped.length + escaped.line.len()
    }

    /// Says that the body may come, where none of it has come after a head of `head` bytes (RFC 9110 section 10.1.1). False
    /// where the client is gone.
    pub(super) async fn ask(&mut self, head: usize, time: Duration) -> bool {
        let (wire, out) = self.parts();
        if wire.len() > head {
            return true;
        }
        out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        self.send(Instant::now(), time).await
    }

    /// Reads the body that follows a head of `head` bytes to its end; gives its length, `None` where the client left before.
    /// What came in chunks is bare then. `reserve` is asked for memory as the bytes come in: what is only announced takes
    /// none. The body has at most `most` bytes.
    pub(super) async fn body(
        &mut self,
        head: usize,
        (body, most): (Body, u64),
        time: Duration,
        mut reserve: impl FnMut(usize) -> Result<(), Cause> + Send,
    ) -> Result<Option<usize>, Cause> {
        const STEP: usize = 16 << 10;
        let Some(conn) = &mut self.conn else { return Ok(None) };
        let mut chunks = Chunks::new();
        let mut reserved = 0;
        let read = async {
            loop {
                let end = match body {
                    Body::Bytes(length) => (conn.buf.len() >= head + length).then_some(length),
                    Body::Chunks => chunks.read(&mut conn.buf[head..], most)?,
                };
                while reserved < conn.buf.len() - head {
                    reserve(STEP)?;
                    reserved += STEP;
                }
                if let (Some(length), Body::Chunks) = (end, body) {
                    // What follows comes right after the bare body.
                    let follows = head + chunks.length();
                    conn.buf.copy_within(follows.., head + length);
                    conn.buf.truncate(conn.buf.len() + length - chunks.length());
                }
                if end.is_some() || !matches!(poll_fn(|cx| conn.poll_fill(cx)).await, Ok(1..)) {
                    return Ok(end);
                }
            }
        };
        timeout(time, read).await.map_err(|_| too_slow())?
    }

    /// Sends what was put into the buffer, from `now` on no longer than `time`.
    pub(super) async fn send(&mut self, now: Instant, time: Duration) -> bool {
        let Self { conn: Some(conn), out, since, .. } = self else { return false };
        let (mut sent, mut waited) = (0, false);
        let done = poll_fn(|cx| {
            match conn.poll_send(cx, out, &mut sent) {
                Poll::Ready(sent) => return Poll::Ready(sent.is_ok()),
                Poll::Pending if !std::mem::replace(&mut waited, true) => conn.alarm.set(now + time),
                Poll::Pending => {}
            }
            conn.alarm.poll(cx).map(|()| false)
        })
        .await;
        *since = if waited { Instant::now() } else { now };
        spare::give_back(std::mem::take(out));
        done
    }

    /// Forgets a request that was answered.
    pub(super) fn used(&mut self, length: usize) {
        if let Some(conn) = &mut self.conn {
            conn.buf.advance(length.min(conn.buf.len()));
        }
    }

    /// Reads on for a moment after a refusal, so that the client gets the answer rather than a reset connection.
    pub(super) async fn linger(&mut self) {
        const MOST: usize = 1 << 20;
        let Some(conn) = &mut self.conn else { return };
        // The answer is complete, and so is what we say.
        let _gone = timeout(Duration::from_secs(1), conn.inner.shutdown()).await;
        let rest = async {
            let mut read = 0;
            while read < MOST {
                conn.buf.clear();
                match poll_fn(|cx| conn.poll_fill(cx)).await {
                    Ok(n @ 1..) => read += n,
                    _ => return,
                }
            }
        };
        let _enough = timeout(Duration::from_secs(1), rest).await;
    }

    /// Says goodbye.
    pub(super) async fn close(&mut self) {
        if let Some(mut conn) = self.conn.take() {
            let _gone = timeout(Duration::from_secs(1), conn.inner.shutdown()).await;
        }
    }

    /// The connection for one request of Pingora's, which reads `front` in place of the first `used` bytes of the wire, and
    /// then `bytes` more; `usize::MAX`: for good. No answer may be stuck for longer than `write_time`.
    pub(super) fn lend(&mut self, front: Vec<u8>, used: usize, bytes: usize, write_time: Duration) -> Option<Stream> {
        let mut conn = self.conn.take()?;
        // It may wait for long.
        spare::give_back(std::mem::take(&mut self.out));
        conn.buf.advance(used.min(conn.buf.len()));
        conn.lend(front, bytes, write_time);
        Some(conn)
    }

    /// Lends the connection for good, to an HTTP/2 session.
    pub(super) fn lend_all(&mut self, write_time: Duration) -> Option<(Stream, Arc<Turn>)> {
        let mut conn = self.conn.take()?;
        let turn = conn.lend_all(write_time);
        Some((conn, turn))
    }

    /// What Pingora gives back after a request; `None` where it is not the connection that was lent.
    pub(super) fn take_back(&mut self, stream: Stream) -> Option<()> {
        let mut conn = stream.into_any().downcast::<Conn>().ok()?;
        if !conn.is_returned_whole() {
            return None;
        }
        conn.back();
        self.conn = Some(conn);
        Some(())
    }
}

fn slow() -> Cause {
    Cause::new(Code::RequestTimeout, "head_time", "The request head came too slowly.").closing()
}

/// The end of the process, as a connection waits for it: registered once, because registering anew with each request would
/// cost a hot hit.
struct Stopping {
    shutdown: ShutdownWatch,
    told: Pin<Box<dyn Future<Output = ()> + Send>>,
    registered: bool,
    over: bool,
}

impl Stopping {
    fn new(shutdown: ShutdownWatch) -> Self {
        let mut watch = shutdown.clone();
        let told = Box::pin(async move {
            let _gone = watch.wait_for(|stopping| *stopping).await;
        });
        Self { shutdown, told, registered: false, over: false }
    }

    /// To be called by one task alone, which is woken.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.over {
            return Poll::Ready(());
        }
        if std::mem::replace(&mut self.registered, true) && matches!(self.shutdown.has_changed(), Ok(false)) {
            return Poll::Pending;
        }
        ready!(self.told.as_mut().poll(cx));
        self.over = true;
        Poll::Ready(())
    }
}
