//! HTTP/2 connections: their streams, judged and served like the requests of HTTP/1.
//!
//! Frames, windows and field compression are the `h2` crate's. What memory does not have is Pingora's, which reads and writes
//! the stream as a session of ours ([`session`]).

use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use addrgate_filters::Stop;
use addrgate_filters::http::head::{Head, Moment};
use addrgate_filters::verdict::Verdict;
use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::Response;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::handshake;
use pingora::protocols::{Digest, Stream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::conn::Turn;
use super::parse::Request;
use super::{Door, hit};
use crate::context::{Carried, Handed};
use crate::plan::Plan;
use crate::proxy::head;
use crate::recipe::Recipe;
use crate::shared::{InFlight, Shared};

mod body;
mod session;

use body::{Gone, Read};
use session::StreamSession;

/// A connection that comes during a stop comes with a request. Told at once, its client would never send that.
const FIRST: Duration = Duration::from_secs(1);

/// Requests without a sound head that a connection may bring.
const MALFORMED: u32 = 32;

/// A request that came by a stream, and what is known of it.
struct Arrived {
    session: StreamSession,
    verdict: Verdict,
    started: Moment,
    in_flight: InFlight<Arc<Shared>>,
}

impl Door {
    /// An HTTP/2 connection, to its end. From the beginning of a stop on its client is told to send further requests elsewhere
    /// (GOAWAY, RFC 9113 section 6.8).
    pub(super) async fn http2(self: &Arc<Self>, (stream, turn): (Stream, Arc<Turn>), peer: Option<IpAddr>) {
        let digest = Arc::new(Digest {
            ssl_digest: stream.get_ssl_digest(),
            timing_digest: stream.get_timing_digest(),
            proxy_digest: stream.get_proxy_digest(),
            socket_digest: stream.get_socket_digest(),
        });
        let mut stop = self.shared.stop_watch();
        let late = self.shared.is_stopping();
        let mut stops = pin!(async {
            // The sender lives as long as the process.
            drop(stop.wait_for(|stops| *stops).await);
            if late {
                sleep(FIRST).await;
            }
        });
        let Ok(mut connection) = handshake(stream, None).await else { return };
        let mut plans = self.shared.plans();
        let mut streams = JoinSet::new();
        let (mut told, mut malformed) = (false, 0);
        loop {
            let idle = plans.load().file.limits.keepalive.0;
            let accepted = tokio::select! {
                biased;
                () = &mut stops, if !told => {
                    connection.graceful_shutdown();
                    told = true;
                    continue;
                }
                accepted = in_turns(&turn, connection.accept()) => accepted,
                Some(_ended) = streams.join_next() => continue,
                () = sleep(idle), if streams.is_empty() => return,
            };
            // Else the client has closed the connection, or broken its rules.
            let Some(Ok((request, respond))) = accepted else { break };
            let sound = is_sound(&request);
            let mut session = StreamSession::new(request, respond, &digest);
            if sound {
                let in_flight = Shared::enter(Arc::clone(&self.shared));
                let (verdict, started) = (Verdict::default(), Moment::now());
                let request = Request { peer, last: false, plan: plans.load(), started };
                self.stream(Arrived { session, verdict, started, in_flight }, &request, &mut streams);
            } else {
                session.reset(Reason::PROTOCOL_ERROR);
                malformed += 1;
                if malformed > MALFORMED {
                    break;
                }
            }
        }
        // Each hears of the end by itself.
        streams.detach_all();
    }

    /// One request: a hit is written here and now, all else by a task of its own.
    fn stream(self: &Arc<Self>, mut arrived: Arrived, request: &Request<'_>, streams: &mut JoinSet<()>) {
        arrived.session.write_time = Some(request.plan.file.limits.write_time.0);
        let stop = {
            let Arrived { session, verdict, .. } = &mut arrived;
            request.plan.filters.request(&view(session, request), verdict).err()
        };
        let passed = arrived.session.has_ended() && stop.is_none() && arrived.verdict.waiting.is_none();
        match passed.then(|| self.hit(&mut arrived, request)).flatten() {
            Some(response) => self.send(arrived, response, streams),
            None => {
                streams.spawn(Arc::clone(self).rest(arrived, stop, request.peer, Arc::clone(request.plan)));
            }
        }
    }

    /// The response from memory, if the request is plain and there is one that can go out as it is; recorded.
    fn hit(&self, arrived: &mut Arrived, request: &Request<'_>) -> Option<Response<Bytes>> {
        let Arrived { session, verdict, .. } = arrived;
        let head = view(session, request);
        let hit = hit::find(self.shared.caching.store, &head, request.plan, verdict)?;
        let elapsed = request.started.instant.elapsed();
        let response = hit.response(verdict, elapsed)?;
        self.shared.popular.used(&hit.entry, verdict, |vary| Recipe::of(&head, verdict, vary));
        let sent = (response.status().as_u16(), response.body().len() as u64);
        self.record((head.method, head.path), request, verdict, sent, elapsed, None);
        Some(response)
    }

    /// Writes a hit. What does not go out at once, because the client's window is full, is a task's.
    fn send(&self, arrived: Arrived, response: Response<Bytes>, streams: &mut JoinSet<()>) {
        let mut sending = Box::pin(write(arrived, response));
        let waker = Waker::noop();
        if sending.as_mut().poll(&mut Context::from_waker(waker)).is_pending() {
            streams.spawn(sending);
        }
    }

    /// What a hit at hand does not serve: tokens of a limit are awaited, the body is read, then memory is asked once more, then
    /// it is Pingora's.
    async fn rest(
        self: Arc<Self>,
        mut arrived: Arrived,
        mut stop: Option<Stop>,
        peer: Option<IpAddr>,
        plan: Arc<Plan>,
    ) {
        let request = Request { peer, last: false, plan: &plan, started: arrived.started };
        let waited = stop.is_none() && arrived.verdict.waiting.is_some();
        if waited {
            stop = plan.filters.settle(&mut arrived.verdict).await.err();
        }
        let Arrived { session, verdict, .. } = &mut arrived;
        let (mut body, mut looks) = (None, waited);
        if stop.is_none() {
            match body::read(&self.shared, session, verdict, &request).await {
                Ok(Read::None) => {}
                Ok(Read::Whole { body: read, looks: may }) => (body, looks) = (Some(read), may),
                Ok(Read::Refused(refused)) => stop = Some(refused),
                Err(Gone) => {
                    let (head, elapsed) = (view(session, &request), request.started.instant.elapsed());
                    return self.record((head.method, head.path), &request, verdict, (0, 0), elapsed, None);
                }
            }
        }
        if stop.is_none()
            && looks
            && let Some(response) = self.hit(&mut arrived, &request)
        {
            return write(arrived, response).await;
        }
        let Arrived { mut session, verdict, started, in_flight } = arrived;
        let started = started.instant;
        let carried = Carried { verdict, stop, plan, started, body, last: false, date: None, fetch: None };
        let handed: Handed = Arc::new(Mutex::new(Some(carried)));
        session.request.extensions_mut().insert(handed);
        // The session's own context counts from here.
        drop(in_flight);
        let session = ServerSession::new_custom(Box::new(session));
        // A stream is not used again.
        let _none = self.proxy.process_new_http(session, &self.shared.stop_watch()).await;
    }
}

/// Whether a target may be passed on: the grammar of `:path` leaves out control characters, and that is not checked before.
fn is_sound(request: &http::Request<RecvStream>) -> bool {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    !target.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
}

/// Has what is written until there is nothing more to do go out in one piece.
async fn in_turns<T>(turn: &Turn, accepting: impl Future<Output = T>) -> T {
    let mut accepting = pin!(accepting);
    poll_fn(|cx| {
        turn.begin();
        let accepted = accepting.as_mut().poll(cx);
        match accepted.is_pending() && turn.end() {
            true => accepting.as_mut().poll(cx),
            false => accepted,
        }
    })
    .await
}

/// The borrowed view of a stream's request that the filters judge.
fn view<'a>(session: &'a StreamSession, request: &Request<'_>) -> Head<'a> {
    let head = head(&session.request, request.peer);
    let streams = !session.has_ended() && !head.headers.has("content-length");
    Head { streams, at: Some(request.started), ..head }
}

/// Writes a response. A client that has left is told nothing.
async fn write(arrived: Arrived, response: Response<Bytes>) {
    let Arrived { mut session, in_flight, .. } = arrived;
    let _gone = session.send(response).await;
    drop(in_flight);
}
