//! What lives as long as the process: the current plan, whether traffic is taken, how many requests are in flight.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use addrgate_filters::reply::{Cause, Code};
use arc_swap::{ArcSwap, Guard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::caching::Caching;
use crate::config::File;
use crate::connections::Connections;
use crate::dispatch::Dispatch;
use crate::invalidation::Invalidation;
use crate::plan::Plan;
use crate::polls::Polls;
use crate::popular::Popular;
use crate::progress::Progress;
use crate::redis::Redis;
use crate::services::Services;
use crate::store::Writer;
use crate::telemetry::{AccessLog, METRICS, Recent};

/// A connection on which nothing has been asked for so long is idle: its client is not at work.
pub(crate) const AT_WORK: Duration = Duration::from_secs(2);

/// The handles. One per process.
pub(crate) struct Shared {
    /// The configuration that the process began with; some of it holds to its end.
    pub(crate) at_start: File,
    plan: ArcSwap<Plan>,
    changed: watch::Sender<()>,
    ready: AtomicBool,
    stopping: AtomicBool,
    stop: watch::Sender<bool>,
    /// Never looked at, so that its clones see a stop that began before them as one that begins.
    stop_seen: watch::Receiver<bool>,
    in_flight: AtomicUsize,
    /// The client connections that are open.
    pub(crate) connections: Connections,
    /// The pollers of `/readyz`, for the delay of a stop.
    pub(crate) polls: Polls,
    /// Asks for a stop as SIGTERM does; the admin API's drain uses it.
    pub(crate) drain: tokio::sync::Notify,
    /// Held from reading a new configuration until it is in place: of two, the later one read stays.
    pub(crate) reloading: Mutex<()>,
    /// What the last reload said.
    pub(crate) last_reload: ArcSwap<String>,
    /// Memory for request bodies, in KiB.
    bodies: Arc<Semaphore>,
    /// Where access log lines go.
    pub(crate) access: AccessLog,
    /// The cache.
    pub(crate) caching: Caching,
    /// What was purged.
    pub(crate) invalidation: Arc<Invalidation>,
    /// Shared by all instances; `None`: this one is alone.
    pub(crate) redis: Option<Arc<Redis>>,
    /// Sends requests of the gateway's own.
    pub(crate) dispatch: Dispatch,
    /// What is asked most.
    pub(crate) popular: Popular,
    /// How far warming is.
    pub(crate) warming: Progress,
    /// What the upstreams said of their health.
    pub(crate) services: Services,
    /// The last minutes' counters.
    pub(crate) recent: Recent,
    /// When the process began.
    pub(crate) started: Instant,
}

impl Shared {
    /// Ready from the start: the plan is valid and the listeners follow. What writes to the second tier has to be run.
    pub(crate) fn new(plan: Plan, access: AccessLog, redis: Option<Arc<Redis>>) -> (Arc<Self>, Option<Writer>) {
        METRICS.config(&plan.hash, true);
        let invalidation = Invalidation::new(&plan.file.invalidation, redis.clone());
        let (caching, writer) = Caching::new(&plan.file.cache, Arc::clone(&invalidation), redis.clone());
        let bodies = usize::try_from(plan.file.limits.bodies.0 / 1024).unwrap_or(usize::MAX);
        let (stop, stop_seen) = watch::channel(false);
        let shared = Arc::new(Self {
            at_start: plan.file.clone(),
            bodies: Arc::new(Semaphore::new(bodies.min(Semaphore::MAX_PERMITS))),
            caching,
            invalidation,
            redis,
            dispatch: Dispatch::new(),
            popular: Popular::new(plan.file.warm.keys),
            warming: Progress::default(),
            plan: ArcSwap::from_pointee(plan),
            changed: watch::Sender::new(()),
            ready: AtomicBool::new(true),
            stopping: AtomicBool::new(false),
            stop,
            stop_seen,
            in_flight: AtomicUsize::new(0),
            connections: Connections::default(),
            polls: Polls::default(),
            drain: tokio::sync::Notify::new(),
            reloading: Mutex::default(),
            last_reload: ArcSwap::from_pointee("none since the start".to_owned()),
            access,
            services: Services::default(),
            recent: Recent::default(),
            started: Instant::now(),
        });
        (shared, writer)
    }

    /// The current plan, for a moment; a request that waits keeps an `Arc` with [`Shared::plan_kept`].
    pub(crate) fn plan(&self) -> Guard<Arc<Plan>> {
        self.plan.load()
    }

    /// The current plan, to be kept for a whole request.
    pub(crate) fn plan_kept(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// The current plan again and again, for a connection: a look whether it is another one costs next to nothing.
    pub(crate) fn plans(&self) -> arc_swap::Cache<&ArcSwap<Plan>, Arc<Plan>> {
        arc_swap::Cache::new(&self.plan)
    }

    /// Puts a new plan in place. Requests in flight end with the one they began with.
    pub(crate) fn swap(&self, mut plan: Plan) {
        let old = self.plan_kept();
        plan.filters.adopt(&old.filters);
        // Without TLS from the next start on; until then its clients are served.
        plan.certificate = plan.certificate.or_else(|| old.certificate.clone());
        METRICS.config(&plan.hash, true);
        self.plan.store(Arc::new(plan));
        self.changed.send_replace(());
    }

    /// Tells of every new plan.
    pub(crate) fn plan_changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether load balancers should send traffic here.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// From now on `/readyz` says no.
    pub(crate) fn not_ready(&self) {
        self.ready.store(false, Ordering::Release);
    }

    /// From now on clients are told with each response to take what follows elsewhere.
    pub(crate) fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.send_replace(true);
    }

    /// Whether a stop has begun.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Tells when a stop begins, or that it has.
    pub(crate) fn stop_watch(&self) -> watch::Receiver<bool> {
        self.stop_seen.clone()
    }

    /// Whether Redis serves and its log of purges is read, where there is one.
    pub(crate) fn is_redis_well(&self) -> bool {
        self.redis.as_ref().is_none_or(|redis| redis.is_well()) && !self.invalidation.is_lost()
    }

    /// Room for a request body, until it is dropped.
    ///
    /// # Errors
    /// The refusal, where all of it is taken.
    pub(crate) fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Cause> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        Arc::clone(&self.bodies).try_acquire_many_owned(kib).map_err(|_| {
            let message = "Too many request bodies are being received. Try again shortly.";
            Cause::new(Code::ServiceUnavailable, "bodies", message).retry_after(Duration::from_secs(1)).closing()
        })
    }

    /// Requests whose head is read and whose answer is not yet finished.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Counts a request as in flight until the guard is dropped.
    pub(crate) fn enter<S: Deref<Target = Shared>>(shared: S) -> InFlight<S> {
        shared.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(shared)
    }
}

/// One request in flight. The door's borrows what is shared: counting a reference would cost every hit as much as this.
pub(crate) struct InFlight<S: Deref<Target = Shared>>(S);

impl<S: Deref<Target = Shared>> Drop for InFlight<S> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
