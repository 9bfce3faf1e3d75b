//! A connection on which a request that stays unanswered is sent a second time, to another address where there is one; whichever
//! answers first counts ("The Tail at Scale", Dean and Barroso 2013: hedged requests).
//!
//! It does so below HTTP, with the bytes as they were sent, so everything above sees one connection with one answer. The
//! second request needs a free place at the upstream and the budget of second tries; where it has none, there is none. Such a
//! connection serves one request, and TLS would make two of them differ, so upstreams with TLS have none.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use addrgate_filters::traffic::Class;
use addrgate_filters::traffic::queue::{Queue, Slot};
use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr as Place;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

use super::{Call, Fault, Pool};
use crate::telemetry::METRICS;

/// A request with more bytes is not sent twice.
const LARGEST: usize = 128 << 10;

/// How a request may be hedged.
#[derive(Debug, Clone)]
pub(crate) struct Hedge {
    pub(crate) pool: Arc<Pool>,
    /// Where the second request needs a place.
    pub(crate) queue: Option<Arc<Queue>>,
    pub(crate) class: Class,
    /// From when on.
    pub(crate) delay: Duration,
}

impl Hedge {
    /// Has `peer` connect this way.
    pub(crate) fn apply(self, peer: &mut HttpPeer) {
        super::connect_apart(peer);
        peer.options.custom_l4 = Some(Arc::new(self));
    }
}

#[async_trait]
impl L4Connect for Hedge {
    async fn connect(&self, place: &Place) -> pingora::Result<Stream> {
        let failed = |e: io::Error| Error::because(ErrorType::ConnectError, format!("can't connect to {place}"), e);
        let Some(address) = place.as_inet().copied() else {
            return Err(failed(io::ErrorKind::AddrNotAvailable.into()));
        };
        let first = connect(address, self.pool.config.connect_time.0).await.map_err(failed)?;
        let socket = Hedged { hedge: self.clone(), first, address, sent: Vec::new(), second: Second::Later(None) };
        Ok(Stream::from(VirtualSocketStream::new(Box::new(socket))))
    }
}

async fn connect(address: SocketAddr, time: Duration) -> io::Result<TcpStream> {
    let stream = timeout(time, TcpStream::connect(address)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The connection.
struct Hedged {
    hedge: Hedge,
    first: TcpStream,
    address: SocketAddr,
    /// The request so far.
    sent: Vec<u8>,
    second: Second,
}

type Sending = Pin<Box<dyn Future<Output = io::Result<(TcpStream, Call)>> + Send + Sync>>;

enum Second {
    /// Not yet; from the first byte of the request on the time runs.
    Later(Option<Pin<Box<Sleep>>>),
    Sending(Sending, Option<Slot>),
    Sent {
        stream: TcpStream,
        call: Call,
        _place: Option<Slot>,
    },
    /// Not any more.
    Never,
}

impl std::fmt::Debug for Hedged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hedged").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Hedged {
    fn count(&self, outcome: &str) {
        METRICS.hedges.with_label_values(&[self.hedge.pool.name(), outcome]).inc();
    }

    /// The second request, where it may be sent.
    fn second(&self) -> Second {
        let Hedge { pool, queue, class, .. } = &self.hedge;
        let slot = queue.as_ref().map(|queue| queue.spare(*class));
        if slot.as_ref().is_some_and(Option::is_none) || !pool.retries.spend() {
            self.count("denied");
            return Second::Never;
        }
        let call = pool.choose(&[self.address], true).or_else(|| pool.choose(&[], true));
        let (time, request) = (pool.config.connect_time.0, self.sent.clone());
        let sending = async move {
            let call = call.ok_or(io::ErrorKind::AddrNotAvailable)?;
            let connected = connect(call.addr(), time).await;
            let mut stream = connected.inspect_err(|_| call.failed(Fault::Unreachable))?;
            stream.write_all(&request).await?;
            Ok((stream, call))
        };
        Second::Sending(Box::pin(sending), slot.flatten())
    }

    /// The answer of the second request, as far as there is one; the second is the first from then on.
    fn poll_second(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match &mut self.second {
                Second::Later(None) | Second::Never => return Poll::Pending,
                Second::Later(Some(time)) => {
                    ready!(time.as_mut().poll(cx));
                    self.second = self.second();
                }
                Second::Sending(sending, slot) => match ready!(sending.as_mut().poll(cx)) {
                    Ok((stream, call)) => self.second = Second::Sent { stream, call, _place: slot.take() },
                    Err(_) => self.give_up("failed"),
                },
                Second::Sent { stream, .. } => {
                    let before = out.filled().len();
                    match ready!(Pin::new(&mut *stream).poll_read(cx, out)) {
                        Ok(()) if out.filled().len() > before => {
                            if let Second::Sent { stream, call, .. } =
                                std::mem::replace(&mut self.second, Second::Never)
                            {
                                call.responded();
                                self.first = stream;
                            }
                            self.count("won");
                            return Poll::Ready(Ok(()));
                        }
                        Ok(()) | Err(_) => self.give_up("failed"),
                    }
                }
            }
        }
    }

    fn give_up(&mut self, outcome: &str) {
        self.second = Second::Never;
        self.count(outcome);
    }
}

impl AsyncRead for Hedged {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let first = Pin::new(&mut self.first).poll_read(cx, out);
        match first {
            Poll::Pending => self.poll_second(cx, out),
            Poll::Ready(Ok(())) if out.filled().len() > before => {
                if matches!(self.second, Second::Sending(..) | Second::Sent { .. }) {
                    self.count("lost");
                }
                self.second = Second::Never;
                Poll::Ready(Ok(()))
            }
            // It is gone without an answer. The second may still have one.
            Poll::Ready(gone) => match &self.second {
                Second::Sending(..) | Second::Sent { .. } => match self.poll_second(cx, out) {
                    Poll::Pending if matches!(self.second, Second::Never) => Poll::Ready(gone),
                    polled => polled,
                },
                Second::Later(_) | Second::Never => Poll::Ready(gone),
            },
        }
    }
}

impl AsyncWrite for Hedged {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.first).poll_write(cx, bytes))?;
        let Self { second, sent, hedge, .. } = &mut *self;
        match second {
            Second::Later(time) if sent.len() + written <= LARGEST => {
                time.get_or_insert_with(|| Box::pin(sleep(hedge.delay)));
                sent.extend_from_slice(&bytes[..written]);
            }
            // What was sent a second time would be cut short.
            _ => self.second = Second::Never,
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.first).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.first).poll_shutdown(cx)
    }
}

impl VirtualSocket for Hedged {
    /// Both are set up as they have to be.
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}
