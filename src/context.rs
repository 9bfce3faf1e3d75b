//! What one request carries from phase to phase of Pingora's path.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use addrgate_filters::http::cache_policy::directives::RequestDirectives;
use addrgate_filters::http::cache_policy::downstream::Terms;
use addrgate_filters::http::cache_policy::part::Wanted;
use addrgate_filters::http::cache_policy::storing::Reason;
use addrgate_filters::http::cache_status::Forward;
use addrgate_filters::http::meta::Stamp;
use addrgate_filters::reply::Cause;
use addrgate_filters::request_body::Inflate;
use addrgate_filters::route::Route;
use addrgate_filters::traffic::Answered;
use addrgate_filters::verdict::Verdict;
use addrgate_filters::{Stop, http::head::Head};
use http::HeaderMap;
use pingora::{Error, ErrorType};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::date::DateSlot;
use crate::fetch::{Facts, Fetch};
use crate::invalidation::Clock;
use crate::plan::Plan;
use crate::shared::{InFlight, Shared};
use crate::store::{Brought, Fill, Filled, Given, Held};
use crate::telemetry::{CacheOutcome, CallOutcome, Line, METRICS};
use crate::upstream::{Call, Decoder, Shadow};

/// What a request that is handed over brings along, so that nothing is decided twice.
pub(crate) struct Carried {
    /// What the filters found.
    pub(crate) verdict: Verdict,
    /// How they ended it, if they did.
    pub(crate) stop: Option<Stop>,
    /// The plan it was judged by.
    pub(crate) plan: Arc<Plan>,
    /// When its head was complete.
    pub(crate) started: Instant,
    /// Whether the connection ends with it.
    pub(crate) last: bool,
    /// Takes the origin's `Date`; not on HTTP/2.
    pub(crate) date: Option<Arc<DateSlot>>,
    /// It is the fetch that others wait for.
    pub(crate) fetch: Option<Fetch>,
    /// Its body, where it came by a stream of HTTP/2.
    pub(crate) body: Option<StreamBody>,
}

/// What the door hands over with a stream: in the extensions of its request, to be taken once.
pub(crate) type Handed = Arc<Mutex<Option<Carried>>>;

/// What is known of the body of a request that came by a stream of HTTP/2.
pub(crate) struct StreamBody {
    /// The upstream gets it.
    pub(crate) goes_on: bool,
    /// Room for it, and for what it inflates to.
    pub(crate) memory: OwnedSemaphorePermit,
}

/// One request.
pub(crate) struct Context {
    pub(crate) shared: Arc<Shared>,
    /// The plan it began with.
    pub(crate) plan: Arc<Plan>,
    /// What the filters found.
    pub(crate) verdict: Verdict,
    /// How the filters ended the request, if they did.
    pub(crate) stop: Option<Stop>,
    /// Whether its connection ends with it.
    pub(crate) last: bool,
    /// Where the origin's `Date` is put; not on HTTP/2.
    pub(crate) date: Option<Arc<DateSlot>>,
    /// When its head was read.
    pub(crate) started: Instant,
    /// Why it is refused, from where the reason arises to where the answer is written.
    pub(crate) refusal: Option<Cause>,
    /// Who refused, and the reason; for log and metrics.
    pub(crate) refused: Option<(&'static str, &'static str)>,
    /// What the cache did.
    pub(crate) cache: CacheOutcome,
    /// What it needs to know.
    pub(crate) cached: Cached,
    /// It is the fetch that others wait for.
    pub(crate) fetch: Option<Fetch>,
    /// Where the body of a fetch goes that is not stored.
    pub(crate) relay: Option<Arc<Fill>>,
    /// What is copied to another upstream.
    pub(crate) shadow: Option<Box<Shadow>>,
    /// `meta` on its way out.
    pub(crate) stamp: Option<Stamp>,
    /// Room for its body; over HTTP/1 the door holds that.
    pub(crate) memory: Option<OwnedSemaphorePermit>,
    /// Body bytes read so far.
    pub(crate) body_read: u64,
    /// Whether the canonical body was sent in this try.
    pub(crate) body_sent: bool,
    /// Whether the body is none for the upstream, although the client announced or sent one.
    pub(crate) body_dropped: bool,
    /// Inflates the body on its way to the upstream, where it comes in gzip and is not held whole.
    pub(crate) inflate: Option<Inflate>,
    /// When the whole request was there: from then on the route's time counts.
    pub(crate) begun: Instant,
    /// Whether it was asked for something only if that has changed.
    pub(crate) conditional: bool,
    /// When the upstream was asked, first and last, and how long it took to the head of its answer.
    pub(crate) asked: Option<Instant>,
    pub(crate) tried: Option<Instant>,
    pub(crate) upstream_time: Option<Duration>,
    /// Bytes of the response's body received so far.
    pub(crate) received: u64,
    /// Calls of the upstream so far.
    pub(crate) tries: u32,
    /// The one under way, in flight at its address.
    pub(crate) call: Option<Call>,
    /// The head of its response is there.
    pub(crate) responded: bool,
    /// What that says of the upstream, told once all of the body is there; and how long it took to the head.
    pub(crate) pending: Option<(CallOutcome, Answered, Duration)>,
    /// Decodes the body.
    pub(crate) decoder: Option<Decoder>,
    /// The request was sent, whole or in part, in any try.
    pub(crate) sent: bool,
    /// A kept connection was closed under the request, so the next try has a new one.
    pub(crate) fresh: bool,
    /// Addresses of the upstream at which the request failed.
    pub(crate) failed_at: Vec<SocketAddr>,
    /// What the log says at the end, also where the client is gone before.
    seen: Seen,
    finished: bool,
    /// It counts among those whose clients wait; a fetch does not.
    pub(crate) in_flight: Option<InFlight<Arc<Shared>>>,
}

/// The cache's part of a request.
#[derive(Debug, Default)]
pub(crate) struct Cached {
    /// The cache was asked.
    pub(crate) on: bool,
    /// What memory has for it.
    pub(crate) held: Option<Held>,
    /// The request's own directives, where they are honoured.
    pub(crate) wish: Option<RequestDirectives>,
    /// The part that it asks for, where the route keeps parts.
    pub(crate) wanted: Option<Wanted>,
    /// The invalidation clock when the fetch began.
    pub(crate) clock: Clock,
    /// What a fetch brought, its own or another request's.
    pub(crate) given: Option<Given>,
    /// Whether that is being stored, or is.
    pub(crate) unstored: bool,
    /// How the fetch went that this request caused.
    pub(crate) facts: Option<Facts>,
    /// What is stored went out because the fetch failed.
    pub(crate) failed: bool,
    /// What came of the fetch, where this is one.
    pub(crate) brought: Arc<Mutex<Option<Brought>>>,
    /// Nobody is known to keep it, so the second tier is not asked.
    pub(crate) passing: bool,
    /// Another instance fetches the same.
    pub(crate) contended: Arc<AtomicBool>,
    /// It was found in the second tier.
    pub(crate) second: bool,
    /// It waited for another's fetch.
    pub(crate) waited: bool,
    /// What is kept is stale, and goes out while it is refreshed.
    pub(crate) updating: bool,
    /// When the upstream was asked, by the wall clock that `Date` and `Age` use.
    pub(crate) requested: Option<SystemTime>,
    /// The fields of a 304 that validated what is kept.
    pub(crate) validated: Option<HeaderMap>,
    /// Fields of its answer that are for this request only.
    pub(crate) own: HeaderMap,
    /// Set with the last piece of a body that is being stored, where `meta` is added at its end.
    pub(crate) last: Option<Arc<AtomicBool>>,
    /// Why the upstream was asked.
    pub(crate) forward: Forward,
    /// What it answered.
    pub(crate) upstream_status: Option<u16>,
    /// What caches in front may do with its answer, where that is not stored.
    pub(crate) terms: Option<Terms>,
    /// Why its answer was not kept.
    pub(crate) unkept: Option<Reason>,
}

#[derive(Debug, Default)]
struct Seen {
    method: String,
    path: String,
    peer: Option<std::net::IpAddr>,
}

impl Context {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let started = Instant::now();
        Self {
            plan: shared.plan_kept(),
            verdict: Verdict::default(),
            stop: None,
            last: false,
            date: None,
            started,
            refusal: None,
            refused: None,
            cache: CacheOutcome::Own,
            cached: Cached::default(),
            fetch: None,
            relay: None,
            shadow: None,
            stamp: None,
            memory: None,
            body_read: 0,
            body_sent: false,
            body_dropped: false,
            inflate: None,
            begun: started,
            conditional: false,
            asked: None,
            tried: None,
            upstream_time: None,
            received: 0,
            tries: 0,
            call: None,
            responded: false,
            pending: None,
            decoder: None,
            sent: false,
            fresh: false,
            failed_at: Vec::new(),
            seen: Seen::default(),
            finished: false,
            in_flight: Some(Shared::enter(Arc::clone(shared))),
            shared: Arc::clone(shared),
        }
    }

    /// Notes what the log will need.
    pub(crate) fn see(&mut self, head: &Head<'_>) {
        // A little more than the log will tell, so that it can say that there was more.
        let path = &head.path[..head.path.floor_char_boundary(300)];
        self.seen = Seen { method: head.method.to_owned(), path: path.to_owned(), peer: head.peer };
    }

    /// Begins with what the door found.
    pub(crate) fn begin(&mut self, carried: Carried) {
        let Carried { verdict, stop, plan, started, last, date, fetch, body } = carried;
        if fetch.is_some() {
            (self.fetch, self.begun, self.in_flight) = (fetch, started, None);
        }
        (self.verdict, self.stop, self.plan) = (verdict, stop, plan);
        (self.started, self.last, self.date) = (started, last, date);
        if let Some(body) = body {
            (self.memory, self.body_dropped) = (Some(body.memory), !body.goes_on);
        }
    }

    /// Its route, which every request has that goes to an upstream.
    pub(crate) fn route(&self) -> pingora::Result<Arc<Route>> {
        let without = || Error::explain(ErrorType::InternalError, "a request without a route");
        self.verdict.route.clone().ok_or_else(without)
    }

    /// The other end of the connection.
    pub(crate) fn peer(&self) -> Option<std::net::IpAddr> {
        self.seen.peer
    }

    /// Whether the connection is a trusted proxy's, whose word counts.
    pub(crate) fn is_from_trusted(&self) -> bool {
        let trusted = &self.plan.filters.address.0.trusted_proxies;
        self.seen.peer.is_some_and(|peer| trusted.contain(peer))
    }

    /// Counts a call of the upstream.
    pub(crate) fn count(&self, outcome: CallOutcome, elapsed: Option<Duration>) {
        if let Some(pool) = self.plan.pool_of(&self.verdict) {
            pool.metrics.count(outcome, elapsed);
        }
    }

    /// Ends the request: filters, metrics, log line. Once, whatever happens.
    pub(crate) fn finish(&mut self, status: u16, bytes: u64) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        if let Some(relay) = self.relay.take() {
            // Where it ended well, that was said already.
            relay.end(Filled::Broken);
        }
        if let Some(fetch) = self.fetch.take() {
            fetch.over(self.shared.caching.store.largest());
        }
        if let Some((outcome, _, elapsed)) = self.pending.take() {
            // The client left before all of it was there: that says nothing more of the upstream.
            self.count(outcome, Some(elapsed));
        }
        self.plan.filters.finish(&mut self.verdict);
        self.call = None;
        if self.verdict.background {
            return;
        }
        let line = Line {
            verdict: &self.verdict,
            peer: self.seen.peer,
            method: &self.seen.method,
            path: &self.seen.path,
            status,
            bytes,
            elapsed: self.started.elapsed(),
            cache: self.cache,
            upstream: self.upstream_time,
            refused: self.refused,
        };
        record(&self.shared, &self.plan, &line);
    }
}

/// The end of any request, the door's too, after the filters' own: metrics, one log line.
pub(crate) fn record(shared: &Shared, plan: &Plan, line: &Line<'_>) {
    plan.metrics(line.verdict.route.as_deref()).count(line.status, line.cache, line.elapsed);
    if let Some((by, reason)) = line.refused {
        METRICS.refused.with_label_values(&[by, reason]).inc();
    }
    for (by, reason) in &line.verdict.observed {
        METRICS.observed.with_label_values(&[by, reason]).inc();
    }
    if plan.file.log.access {
        shared.access.write(line);
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // The client left, or the process stops: nothing was sent.
        self.finish(0, 0);
    }
}
