//! Requests of the gateway's own: to fetch what clients wait for, to refresh a stale response, to warm the cache.
//!
//! They take the same path as any client's, over a connection that exists in memory only: the filters judge them, Pingora
//! fetches, the store keeps. What they don't need is a key, and they count against nobody's limit.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{self, Poll};
use std::time::Duration;

use addrgate_filters::client::Client;
use addrgate_filters::http::cache_policy::fields::strip_hop_by_hop;
use addrgate_filters::http::head::{Head, Headers};
use addrgate_filters::reply::wants_problem;
use addrgate_filters::route::Route;
use addrgate_filters::verdict::Verdict;
use addrgate_filters::{Flow, Stop};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, header};
use pingora::apps::HttpServerApp;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::proxy::HttpProxy;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};

use crate::coalesce::Lead;
use crate::context::Context;
use crate::door::Carried;
use crate::fetch::{Fetch, Relay};
use crate::proxy::Gateway;
use crate::shared::Shared;
use crate::store::Store;
use crate::upstream::request::selects;

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
        wire(&self.method, &self.target, headers, &self.body)
    }
}

fn wire(method: &str, target: &str, headers: &[httparse::Header<'_>], body: &[u8]) -> Vec<u8> {
    let mut wire = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
    for header in headers {
        wire.extend_from_slice(header.name.as_bytes());
        wire.extend_from_slice(b": ");
        wire.extend_from_slice(header.value);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"\r\n");
    wire.extend_from_slice(body);
    wire
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

    /// Refreshes behind the response to another request, which has taken the lead for it. Nothing happens where too much is
    /// under way already.
    pub(crate) fn refresh(shared: &Arc<Shared>, recipe: Recipe, lead: Lead) {
        let Ok(place) = Arc::clone(&shared.replays.places).try_acquire_owned() else { return };
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            // A refresh that failed is counted as the upstream's failure; the next request tries again.
            let _status = shared.replays.ask(&shared, &recipe, Some(Fetch::new(lead, None, false))).await;
            drop(place);
        });
    }

    /// Asks, and gives the status of the response; `None` where there was none.
    pub(crate) async fn ask(&self, shared: &Arc<Shared>, recipe: &Recipe, fetch: Option<Fetch>) -> Option<u16> {
        let plan = shared.plan_kept();
        let (client, upstream) = (recipe.client.clone(), recipe.upstream.clone());
        let mut verdict = Verdict { background: true, client, upstream, ..Verdict::default() };
        let length = recipe.body.len().to_string();
        let headers = recipe.headers(&length);
        let head = Head::new(&recipe.method, &recipe.target, Headers::Raw(&headers));
        let mut stop = plan.filters.request(&head, &mut verdict).err();
        if stop.is_none()
            && !recipe.body.is_empty()
            && let Flow::Reply(cause) = plan.filters.cache_key.body(&head, &recipe.body, &mut verdict)
        {
            stop = Some(Stop::Refused("cache_key", cause));
        }
        let wire = recipe.wire(&headers);
        let carried =
            Carried { verdict, stop, plan, started: Instant::now(), last: true, date: None, body: None, fetch };
        timeout(LIMIT, self.send(shared, wire, carried)).await.ok()?
    }

    /// Begins the fetch that a request caused: with what of it reaches the upstream, and what the filters found.
    pub(crate) fn fetch(ctx: &mut Context, route: &Arc<Route>, request: &RequestHeader, host: &[u8], fetch: Fetch) {
        let of = &mut ctx.verdict;
        let verdict = Verdict {
            background: true,
            request_id: of.request_id,
            route: Some(Arc::clone(route)),
            client: of.client.clone(),
            class: of.class,
            upstream: of.upstream.clone(),
            shadow: of.shadow.take(),
            target: of.target.clone(),
            key: of.key,
            body: of.body.clone(),
            ..Verdict::default()
        };
        let mut fields = request.headers.clone();
        strip_hop_by_hop(&mut fields);
        let problem = wants_problem(Headers::Map(&fields)) && !selects(route, &header::ACCEPT);
        let length = verdict.body.as_ref().map_or(0, Bytes::len).to_string();
        let selecting = fields.iter().filter(|(name, _)| selects(route, name));
        // HTTP/1.0 need not name any.
        let host = Some(host).filter(|host| !host.is_empty());
        let mut headers: Vec<_> = host.map(|value| httparse::Header { name: "host", value }).into_iter().collect();
        headers
            .extend(selecting.map(|(name, value)| httparse::Header { name: name.as_str(), value: value.as_bytes() }));
        if problem {
            headers.push(httparse::Header { name: "accept", value: b"application/problem+json" });
        }
        if verdict.body.is_some() {
            headers.push(httparse::Header { name: "content-type", value: b"application/json" });
            headers.push(httparse::Header { name: "content-length", value: length.as_bytes() });
        }
        // HEAD is answered from what GET stored.
        let method = if request.method == Method::HEAD { "GET" } else { request.method.as_str() };
        let wire = wire(method, &verdict.target, &headers, verdict.body.as_deref().unwrap_or_default());
        // The route's time counts for both from the same moment.
        let (plan, started) = (Arc::clone(&ctx.plan), ctx.begun);
        let carried =
            Carried { verdict, stop: None, plan, started, last: true, date: None, body: None, fetch: Some(fetch) };
        let shared = Arc::clone(&ctx.shared);
        tokio::spawn(async move {
            // All who wait were told by the fetch.
            let _status = shared.replays.send(&shared, wire, carried).await;
        });
    }

    /// Sends a request through the proxy, and reads the response to its end.
    async fn send(&self, shared: &Shared, wire: Vec<u8>, carried: Carried) -> Option<u16> {
        let proxy = Arc::clone(self.proxy.get()?);
        let relay = carried.fetch.as_ref().map(Fetch::relay).unwrap_or_default();
        let (mut client, server) = tokio::io::duplex(wire.len().max(16 << 10));
        client.write_all(&wire).await.ok()?;
        let stream = Stream::from(VirtualSocketStream::new(Box::new(Wire(server))));
        let mut session = ServerSession::new_http1(Box::new(stream));
        session.set_connection_user_context(Some(Box::new(carried)));
        let running = self.running.clone();
        let served = async {
            drop(proxy.process_new_http(session, &running).await);
        };
        let ((), status) = tokio::join!(served, status(client, shared.caching.store, &relay));
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
