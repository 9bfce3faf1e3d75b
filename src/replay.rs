//! Requests of the gateway's own: to refresh a stale answer behind a reply, and to warm the cache.
//!
//! They take the same path as any client's, over a connection that exists in memory only: the filters judge them, Pingora
//! fetches, the store keeps. What they don't need is a key, and they count against nobody's limit.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use addrgate_filters::client::Client;
use addrgate_filters::http::head::{Head, Headers};
use addrgate_filters::reply::wants_problem;
use addrgate_filters::verdict::Verdict;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::proxy::HttpProxy;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::coalesce::Lead;
use crate::door::Carried;
use crate::proxy::Gateway;
use crate::shared::Shared;

/// Requests of our own at a time; a refresh beyond that is left to the next request for the entry.
const AT_ONCE: usize = 64;

/// Longer than any route's upstream may take and than any queue.
const LIMIT: Duration = Duration::from_secs(60);

/// What to ask: all of a request that its answer depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) method: String,
    /// Path and query in canonical form.
    pub(crate) target: String,
    /// Where the route's key has the host in it.
    pub(crate) host: String,
    /// The fields that the answer's `Vary` names, and what is in the key besides.
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    /// The canonical body of a body-keyed request.
    pub(crate) body: Bytes,
    /// Who asked, where the route's key has the client in it.
    pub(crate) client: Option<Arc<Client>>,
    /// Whom to ask, where that is not the route's own upstream.
    pub(crate) upstream: Option<Arc<str>>,
}

impl Recipe {
    /// From a request that the filters have judged.
    pub(crate) fn of(head: &Head<'_>, verdict: &Verdict, vary: &[HeaderName]) -> Self {
        let mut fields = Vec::new();
        for name in vary {
            head.headers.each(name.as_str(), |value| {
                fields.extend(HeaderValue::from_bytes(value).ok().map(|value| (name.clone(), value)));
            });
        }
        if wants_problem(head.headers) && !vary.contains(&header::ACCEPT) {
            fields.push((header::ACCEPT, HeaderValue::from_static("application/problem+json")));
        }
        Self {
            // HEAD is answered from what GET stored.
            method: if head.is_head() { "GET" } else { head.method }.to_owned(),
            target: verdict.target.clone(),
            host: head.host().and_then(|host| std::str::from_utf8(host).ok()).unwrap_or_default().to_owned(),
            fields,
            body: verdict.body.clone().unwrap_or_default(),
            client: verdict.client.clone(),
            upstream: verdict.upstream.clone(),
        }
    }

    /// All fields of the request, as the filters judge them and as Pingora reads them; `length` is that of the body.
    fn headers<'a>(&'a self, length: &'a str) -> Vec<httparse::Header<'a>> {
        let mut headers = vec![httparse::Header { name: "host", value: self.host.as_bytes() }];
        let own = self.fields.iter();
        headers.extend(own.map(|(name, value)| httparse::Header { name: name.as_str(), value: value.as_bytes() }));
        if !self.body.is_empty() {
            headers.push(httparse::Header { name: "content-type", value: b"application/json" });
            headers.push(httparse::Header { name: "content-length", value: length.as_bytes() });
        }
        headers
    }

    fn wire(&self, headers: &[httparse::Header<'_>]) -> Vec<u8> {
        let mut wire = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for header in headers {
            wire.extend_from_slice(header.name.as_bytes());
            wire.extend_from_slice(b": ");
            wire.extend_from_slice(header.value);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(&self.body);
        wire
    }
}

/// What asks. One per process.
pub(crate) struct Replays {
    proxy: OnceLock<Arc<HttpProxy<Gateway>>>,
    places: Arc<Semaphore>,
    running: watch::Receiver<bool>,
}

impl Replays {
    /// Asks nothing until it is given the proxy.
    pub(crate) fn new() -> Self {
        let (proxy, places) = (OnceLock::new(), Arc::new(Semaphore::new(AT_ONCE)));
        Self { proxy, places, running: watch::channel(false).1 }
    }

    /// Gives it the proxy, once.
    pub(crate) fn connect(&self, proxy: Arc<HttpProxy<Gateway>>) {
        // A second one would be the same.
        let _first_stays = self.proxy.set(proxy);
    }

    /// Asks behind the reply of another request, which has taken the lead for it. Nothing happens where too much is under
    /// way already.
    pub(crate) fn refresh(shared: &Arc<Shared>, recipe: Recipe, lead: Lead) {
        let Ok(place) = Arc::clone(&shared.replays.places).try_acquire_owned() else { return };
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            // A refresh that failed is counted as the upstream's failure; the next request tries again.
            let _status = shared.replays.ask(&shared, &recipe, Some(lead)).await;
            drop(place);
        });
    }

    /// Asks, and gives the status of the answer; `None` where there was none.
    pub(crate) async fn ask(&self, shared: &Arc<Shared>, recipe: &Recipe, lead: Option<Lead>) -> Option<u16> {
        let proxy = Arc::clone(self.proxy.get()?);
        let plan = shared.plan_kept();
        let (client, upstream) = (recipe.client.clone(), recipe.upstream.clone());
        let mut verdict = Verdict { background: true, client, upstream, ..Verdict::default() };
        let length = recipe.body.len().to_string();
        let headers = recipe.headers(&length);
        let head = Head::new(&recipe.method, &recipe.target, Headers::Raw(&headers));
        let stop = plan.filters.request(&head, &mut verdict).err();
        let wire = recipe.wire(&headers);
        let (mut client, server) = tokio::io::duplex(wire.len().max(16 << 10));
        client.write_all(&wire).await.ok()?;
        let carried = Carried { verdict, stop, plan, started: Instant::now(), last: true, date: Arc::default(), lead };
        let stream = Stream::from(VirtualSocketStream::new(Box::new(Wire(server))));
        let mut session = ServerSession::new_http1(Box::new(stream));
        session.set_connection_user_context(Some(Box::new(carried)));
        let running = self.running.clone();
        let served = async {
            drop(proxy.process_new_http(session, &running).await);
        };
        let ((), status) = timeout(LIMIT, async { tokio::join!(served, status(client)) }).await.ok()?;
        status
    }
}

/// Reads the answer to its end; its status is all that is wanted.
async fn status(mut client: DuplexStream) -> Option<u16> {
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
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
