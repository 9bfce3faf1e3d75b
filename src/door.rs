//! The door: judges each request, serves what is stored fresh in memory, and hands everything else to Pingora's session,
//! from which an HTTP/1 connection comes back after each request.
//!
//! It exists for two reasons. A hot hit costs a fraction of what it costs on Pingora's path. And it
//! closes what Pingora leaves open: a total time for the head, bounds before anything is kept, strict framing, the origin's
//! `Date`. HTTP/1 heads are read here, HTTP/2's streams by the `h2` crate.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::http::head::{Head, Headers, Moment};
use addrgate_filters::reply::{Cause, render, wants_problem};
use addrgate_filters::request_body::{most, taken};
use addrgate_filters::verdict::Verdict;
use addrgate_filters::{Flow, Stop};
use async_trait::async_trait;
use http::Version;
use pingora::apps::{HttpServerApp, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::config::Limits;
use crate::context::{Carried, record};
use crate::proxy::Gateway;
use crate::recipe::Recipe;
use crate::shared::Shared;
use crate::telemetry::{CacheOutcome, Line, METRICS};
use crate::tls::Tls;

mod admit;
mod alarm;
mod body;
mod canonical;
mod chunks;
mod conn;
mod head;
mod hit;
mod http2;
mod known;
mod line;
mod parse;
mod spare;
mod visit;
mod write;

use admit::Admitted;
use body::{Body, asks};
use hit::Hit;
use parse::{FIELDS, Request, parse};
use visit::{Arrived, Visit};

/// See the module.
pub(crate) struct Door {
    shared: Arc<Shared>,
    proxy: Arc<HttpProxy<Gateway>>,
    /// TLS on all listeners, if any.
    tls: Option<Tls>,
    /// Ports on which connections begin with the PROXY protocol.
    proxied: Vec<u16>,
    room: usize,
}

/// What becomes of a request once its head, or its body, is there.
enum Step {
    /// Its request line has to be escaped first.
    Escape(line::Escaped),
    /// The answer lies in the buffer, since when; the request had so many bytes. Whether the connection ends with it.
    Answered { at: Instant, used: usize, close: bool },
    /// Tokens of a limit have to be awaited first.
    Settle,
    /// The body has to be read first, of so many bytes at most; whether the client has to be asked for it.
    Body { body: Body, most: u64, asks: bool },
    /// Over to Pingora, with this head in place of so many bytes of the wire, and so many more. Whether the connection ends
    /// with it.
    HandOver { head: Vec<u8>, used: usize, lent: usize, close: bool, stop: Option<Stop> },
    /// Refused in a way that ends the connection.
    Refused(&'static str, Cause),
}

#[async_trait]
impl ServerApp for Door {
    /// Pingora's own watch tells of a stop only once nothing more is accepted; connections are told at its beginning.
    async fn process_new(self: &Arc<Self>, stream: Stream, _: &ShutdownWatch) -> Option<Stream> {
        match self.admit(stream).await {
            Ok(Admitted { stream, peer, place }) => {
                let left = self.serve(Visit::new(stream, self.shared.stop_watch()), peer).await;
                drop(place);
                left
            }
            Err(reason) => {
                METRICS.refused.with_label_values(&["door", reason]).inc();
                None
            }
        }
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

impl Door {
    /// In front of the proxy, with TLS if any; `proxied` are ports on which connections begin with the PROXY protocol, `room` is for how many
    /// connections the process has descriptors.
    pub(crate) fn new(
        shared: Arc<Shared>,
        proxy: Arc<HttpProxy<Gateway>>,
        tls: Option<Tls>,
        proxied: Vec<u16>,
        room: usize,
    ) -> Self {
        Self { shared, proxy, tls, proxied, room }
    }

    /// One connection, request by request. Ends with it.
    async fn serve(self: &Arc<Self>, mut visit: Visit, peer: Option<IpAddr>) -> Option<Stream> {
        let mut verdict = Verdict::default();
        let mut plans = self.shared.plans();
        loop {
            let arrived = visit.head(&plans.load().file.limits).await;
            // It may have waited for long: what was reloaded meanwhile holds.
            let plan = plans.load();
            let mut head = match arrived {
                Arrived::Head(length) => length,
                Arrived::Nothing => {
                    // Over TLS what just breaks off may be an attack (RFC 8446 section 6.1).
                    visit.close().await;
                    return None;
                }
                Arrived::Http2 => {
                    self.http2(visit.lend_all(plan.file.limits.write_time.0)?, peer).await;
                    return None;
                }
                Arrived::Wrong(cause) => {
                    verdict.clear();
                    let in_flight = Shared::enter(&*self.shared);
                    let request = Request { peer, last: true, plan, started: Moment::now() };
                    self.refuse(&mut visit, &request, &mut verdict, "door", cause).await;
                    drop(in_flight);
                    return None;
                }
            };
            let in_flight = Shared::enter(&*self.shared);
            let last = visit.count() >= plan.file.limits.requests_per_connection || self.shared.is_stopping();
            let request = Request { peer, last, plan, started: Moment::now() };
            let mut step = self.judge(&mut visit, head, &request, &mut verdict);
            if let Step::Escape(escaped) = step {
                head = visit.escape(head, &escaped);
                step = self.judge(&mut visit, head, &request, &mut verdict);
            }
            if let Step::Settle = step {
                let stop = plan.filters.settle(&mut verdict).await.err();
                step = self.settled(&mut visit, head, &request, &mut verdict, stop);
            }
            let mut memory: Option<OwnedSemaphorePermit> = None;
            if let Step::Body { body, most, asks } = step {
                let Limits { write_time, body_time, .. } = plan.file.limits;
                let reserve = |bytes| {
                    let more = self.shared.reserve(bytes)?;
                    match &mut memory {
                        Some(memory) => memory.merge(more),
                        None => memory = Some(more),
                    }
                    Ok(())
                };
                let length = match asks && !visit.ask(head, write_time.0).await {
                    true => Ok(None),
                    false => visit.body(head, (body, most), body_time.0, reserve).await,
                };
                step = match length {
                    Ok(Some(length)) => self.judge_body(&mut visit, head, length, &request, &mut verdict),
                    Ok(None) => {
                        self.left(&mut visit, head, &request, &verdict);
                        return None;
                    }
                    Err(cause) => Step::Refused("door", cause),
                };
            }
            match step {
                Step::Answered { at, used, close } => {
                    if !visit.send(at, plan.file.limits.write_time.0).await || close {
                        visit.close().await;
                        return None;
                    }
                    visit.used(used);
                }
                Step::Refused(by, cause) => {
                    drop(memory);
                    self.refuse(&mut visit, &request, &mut verdict, by, cause).await;
                    return None;
                }
                Step::HandOver { head, used, lent, close, stop } => {
                    let write_time = plan.file.limits.write_time.0;
                    let budgets = std::mem::take(&mut verdict.budgets);
                    let carried = Carried {
                        verdict: std::mem::replace(&mut verdict, Verdict { budgets, ..Verdict::default() }),
                        stop,
                        started: request.started.instant,
                        last: last || close || self.shared.is_stopping(),
                        date: Some(visit.date()),
                        plan: Arc::clone(plan),
                        fetch: None,
                        body: None,
                    };
                    let mut session = ServerSession::new_http1(visit.lend(head, used, lent, write_time)?);
                    session.set_connection_user_context(Some(Box::new(carried)));
                    // The session's own context counts from here.
                    drop(in_flight);
                    let reused = self.proxy.process_new_http(session, &self.shared.stop_watch()).await?;
                    visit.take_back(reused.consume().0)?;
                    if !visit.send(Instant::now(), write_time).await {
                        return None;
                    }
                    continue;
                }
                // All were done already.
                Step::Escape(_) | Step::Settle | Step::Body { .. } => return None,
            }
            drop((in_flight, memory));
        }
    }

    /// The filters, on the head alone.
    fn judge(&self, visit: &mut Visit, length: usize, request: &Request<'_>, verdict: &mut Verdict) -> Step {
        let (wire, out) = visit.parts();
        known::with(|heads| {
            let wire = &wire[..length];
            let hash = heads.hash(wire, request);
            if let Some(known) = heads.find(hash, wire, request) {
                let stop = request.plan.filters.again(request.started, &mut known.verdict).err();
                let passed = stop.is_none() && known.verdict.waiting.is_none();
                if let Some(hit) = passed.then(|| known.hit(self.shared.caching.store, request)).flatten() {
                    let known::Known { words, verdict, .. } = known;
                    self.shared.popular.used(&hit.entry, verdict, |vary| {
                        let mut fields = known::FIELDS;
                        Recipe::of(&words.head(&mut fields, request), verdict, vary)
                    });
                    return self.answer(&hit, length, request, verdict, words.names(), out);
                }
                let mut fields = known::FIELDS;
                let head = known.words.head(&mut fields, request);
                let step = match passed {
                    true => hand_over(&head, &known.verdict, length, None),
                    false => self.judged(&head, length, request, &known.verdict, stop, out),
                };
                *verdict = heads.forget(hash);
                return step;
            }
            verdict.clear();
            let mut fields = FIELDS;
            let head = match parse(wire, &mut fields, request) {
                Ok(head) => head,
                Err(cause) => {
                    return match line::escaped(wire) {
                        Some(escaped) => Step::Escape(escaped),
                        None if line::is_foreign(wire) => Step::Refused("door", line::foreign()),
                        None => Step::Refused("door", cause),
                    };
                }
            };
            let stop = request.plan.filters.request(&head, verdict).err();
            let step = self.judged(&head, length, request, verdict, stop, out);
            if let Step::Answered { .. } = step {
                heads.learn(hash, wire, &head, request, verdict);
            }
            step
        })
    }

    /// The same, once the limits that had no tokens at hand have answered.
    fn settled(
        &self,
        visit: &mut Visit,
        length: usize,
        request: &Request<'_>,
        verdict: &mut Verdict,
        stop: Option<Stop>,
    ) -> Step {
        let (wire, out) = visit.parts();
        let mut fields = FIELDS;
        match parse(&wire[..length], &mut fields, request) {
            // Time has passed.
            Ok(head) => self.judged(&Head { at: None, ..head }, length, request, verdict, stop, out),
            Err(cause) => Step::Refused("door", cause),
        }
    }

    /// What follows from what the filters said.
    fn judged(
        &self,
        head: &Head<'_>,
        length: usize,
        request: &Request<'_>,
        verdict: &Verdict,
        stop: Option<Stop>,
        out: &mut Vec<u8>,
    ) -> Step {
        match stop {
            // Pingora would refuse a target of another form by itself, unseen.
            Some(Stop::Refused(by, cause)) if cause.close || !head.path.starts_with('/') => {
                return Step::Refused(by, cause.closing());
            }
            Some(stop) => return hand_over(head, verdict, length, Some(stop)),
            None if verdict.waiting.is_some() => return Step::Settle,
            None => {}
        }
        match Body::of(head) {
            Body::Bytes(0) => {
                self.look(head, length, request, verdict, out).unwrap_or_else(|| hand_over(head, verdict, length, None))
            }
            body => {
                let most = verdict.route.as_ref().map_or(0, |route| most(route, head.method));
                Step::Body { body, most, asks: asks(head) }
            }
        }
    }

    /// The same, once the body is there, `length` bytes without chunks. On a body-keyed route the key follows from it.
    fn judge_body(
        &self,
        visit: &mut Visit,
        head_length: usize,
        length: usize,
        request: &Request<'_>,
        verdict: &mut Verdict,
    ) -> Step {
        let (wire, out) = visit.parts();
        let mut fields = FIELDS;
        let head = match parse(&wire[..head_length], &mut fields, request) {
            // The body took its time.
            Ok(head) => Head { at: None, ..head },
            Err(cause) => return Step::Refused("door", cause),
        };
        let whole = head_length + length;
        let route = verdict.route.as_ref();
        // What has no bytes is no body, however it was announced.
        let goes_on = length > 0 && route.is_some_and(|route| taken(route, head.method).is_some());
        let caching = route.and_then(|route| route.config.cache.as_ref());
        let by_body = goes_on && caching.is_some_and(|caching| caching.by_body(head.method));
        if by_body
            && let Flow::Reply(cause) = request.plan.filters.cache_key.body(&head, &wire[head_length..whole], verdict)
        {
            return lend(&head, verdict, (head_length, Body::Bytes(length)), Some(Stop::Refused("cache_key", cause)));
        }
        let looks = by_body || !goes_on;
        if let Some(answered) = looks.then(|| self.look(&head, whole, request, verdict, out)).flatten() {
            return answered;
        }
        match goes_on {
            true => lend(&head, verdict, (head_length, Body::Bytes(length)), None),
            false => lend(&head, verdict, (whole, Body::Bytes(0)), None),
        }
    }

    /// Answers from memory, where that needs no thought.
    fn look(
        &self,
        head: &Head<'_>,
        used: usize,
        request: &Request<'_>,
        verdict: &Verdict,
        out: &mut Vec<u8>,
    ) -> Option<Step> {
        let hit = hit::find(self.shared.caching.store, head, request.plan, verdict)?;
        self.shared.popular.used(&hit.entry, verdict, |vary| Recipe::of(head, verdict, vary));
        Some(self.answer(&hit, used, request, verdict, (head.method, head.path), out))
    }

    /// Puts an answer from memory into the buffer, and records it.
    fn answer(
        &self,
        hit: &Hit<'_>,
        used: usize,
        request: &Request<'_>,
        verdict: &Verdict,
        names: (&str, &str),
        out: &mut Vec<u8>,
    ) -> Step {
        let close = request.last || hit.closes() || self.shared.is_stopping();
        let at = Instant::now();
        let elapsed = at - request.started.instant;
        let (status, bytes) = hit.write(verdict, elapsed, close, out);
        self.record(names, request, verdict, (status, bytes as u64), elapsed, None);
        Step::Answered { at, used, close }
    }

    /// Refuses and closes: what follows on this connection can't be trusted, or is not wanted.
    async fn refuse(
        &self,
        visit: &mut Visit,
        request: &Request<'_>,
        verdict: &mut Verdict,
        by: &'static str,
        cause: Cause,
    ) {
        if verdict.request_id.as_str().is_empty() {
            verdict.request_id = addrgate_filters::http::request_id::RequestId::new();
        }
        let (wire, out) = visit.parts();
        {
            let mut fields = FIELDS;
            let head = parse(wire, &mut fields, request)
                .unwrap_or(Head { peer: request.peer, ..Head::new("-", "-", Headers::Raw(&[])) });
            let reply = render(&cause, verdict, wants_problem(head.headers), chrono::Utc::now());
            let elapsed = request.started.instant.elapsed();
            match cause.reason {
                line::PREFACE => write::goaway(out),
                _ => write::reply(out, &reply, verdict, elapsed, head.is_head()),
            }
            let sent = (reply.status, reply.body.len() as u64);
            self.record((head.method, head.path), request, verdict, sent, elapsed, Some((by, cause.reason)));
        }
        if visit.send(Instant::now(), request.plan.file.limits.write_time.0).await {
            visit.linger().await;
        }
        visit.close().await;
    }

    /// The client has left before all of its request was there.
    fn left(&self, visit: &mut Visit, length: usize, request: &Request<'_>, verdict: &Verdict) {
        let mut fields = FIELDS;
        if let Ok(head) = parse(&visit.parts().0[..length], &mut fields, request) {
            let elapsed = request.started.instant.elapsed();
            self.record((head.method, head.path), request, verdict, (0, 0), elapsed, None);
        }
    }

    /// The end of a hit, of a refusal, or of a request without an answer (status 0).
    fn record(
        &self,
        (method, path): (&str, &str),
        request: &Request<'_>,
        verdict: &Verdict,
        (status, bytes): (u16, u64),
        elapsed: Duration,
        refused: Option<(&'static str, &'static str)>,
    ) {
        let line = Line {
            verdict,
            peer: request.peer,
            method,
            path,
            status,
            bytes,
            elapsed,
            cache: if refused.is_some() || status == 0 { CacheOutcome::Own } else { CacheOutcome::Hit },
            upstream: None,
            refused,
        };
        record(&self.shared, request.plan, &line);
    }
}

/// With its head of `length` bytes and its body as it was announced.
fn hand_over(head: &Head<'_>, verdict: &Verdict, length: usize, stop: Option<Stop>) -> Step {
    lend(head, verdict, (length, Body::of(head)), stop)
}

/// With a head in place of `used` bytes, and the body that follows them. A connection is good for one request more where its
/// end is not known, or with HTTP/1.0.
fn lend(head: &Head<'_>, verdict: &Verdict, (used, body): (usize, Body), stop: Option<Stop>) -> Step {
    let lent = match body {
        Body::Bytes(length) => length,
        Body::Chunks => usize::MAX,
    };
    let close = lent == usize::MAX || head.version == Version::HTTP_10;
    Step::HandOver { head: canonical::head(head, verdict, stop.as_ref(), body), used, lent, close, stop }
}
