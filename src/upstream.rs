//! The services behind: equal addresses, checked actively, asked in turn.
//!
//! An address whose checks fail is left out; where all fail, all are used, so that a wrong check is not an outage and the
//! first request after a recovery finds it.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use addrgate_filters::budget::{self, Budget, Metered};
use async_trait::async_trait;
use futures::FutureExt;
use pingora::lb::discovery::ServiceDiscovery;
use pingora::lb::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};
use pingora::lb::selection::RoundRobin;
use pingora::lb::{Backend, Backends, LoadBalancer};
use pingora::protocols::ALPN;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};

use crate::config::{Health, Upstream};
use crate::shared::Shared;
use crate::telemetry::{METRICS, UpstreamMetrics};

pub(crate) mod answer;
mod ask;
mod hedge;
pub(crate) use ask::{LARGEST, connect};
pub(crate) use hedge::Hedge;
pub(crate) mod location;
pub(crate) mod request;
pub(crate) mod single;

/// How many addresses are looked at for a healthy one.
const TURNS: usize = 16;

/// One upstream.
pub(crate) struct Pool {
    name: String,
    config: Upstream,
    balancer: LoadBalancer<RoundRobin>,
    budget: budget::Config,
    /// How many second tries it bears.
    pub(crate) retries: Budget,
    stand_in: Option<Metered>,
    pub(crate) metrics: UpstreamMetrics,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Pool {
    /// Addresses that are numbers can be used at once; names once they are resolved, for which a second is given here. Where
    /// that is not enough the first check goes on.
    pub(crate) fn new(name: &str, config: &Upstream, retries: &budget::Config) -> Result<Arc<Self>, String> {
        retries.check().map_err(|e| format!("`retries`: {e}"))?;
        let stand_in = config.stand_in.map(Metered::new).transpose().map_err(|e| format!("`stand_in`: {e}"))?;
        let mut backends = Backends::new(Box::new(Resolve::new(&config.addresses)));
        backends.set_health_check(check(config));
        let balancer = LoadBalancer::from_backends(backends);
        match config.addresses.iter().all(|address| address.parse::<SocketAddr>().is_ok()) {
            // Ready at once.
            true => drop(balancer.update().now_or_never()),
            false => resolve(&balancer),
        }
        Ok(Arc::new(Self {
            name: name.to_owned(),
            config: config.clone(),
            balancer,
            budget: *retries,
            retries: Budget::new(retries),
            stand_in,
            metrics: METRICS.upstream(name),
        }))
    }

    /// Whether another one of these settings would be the same: then what this one knows, of its addresses and of budgets
    /// that are spent, need not be lost.
    pub(crate) fn is_made_of(&self, config: &Upstream, retries: &budget::Config) -> bool {
        self.config == *config && self.budget == *retries
    }

    /// Whether it may be asked in place of another upstream; that is counted then.
    pub(crate) fn may_stand_in(&self) -> bool {
        self.stand_in.as_ref().is_none_or(Metered::spend)
    }

    /// The name in the configuration.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What it sees as `Host`.
    pub(crate) fn host(&self) -> &str {
        let config = &self.config;
        config.host.as_deref().or(config.addresses.first().map(String::as_str)).unwrap_or_default()
    }

    /// Whether it is asked over TLS.
    fn is_tls(&self) -> bool {
        self.config.tls_name.is_some()
    }

    /// Whether references to its own address are mapped ([`location`]).
    pub(crate) fn maps_location(&self) -> bool {
        self.config.map_location
    }

    /// Whether this is where it listens, or what it is told to be called.
    fn is_at(&self, host: &str, port: u16) -> bool {
        let split = |place: &str| {
            let (host, port) = place.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).unzip();
            (host.unwrap_or(place).to_ascii_lowercase(), port.and_then(|port| port.parse().ok()))
        };
        let written = self.config.addresses.iter().map(|address| split(address));
        let resolved = self.balancer.backends().get_backend();
        let resolved = resolved.iter().filter_map(|backend| backend.addr.as_inet());
        let resolved = resolved.map(|address| split(&address.to_string()));
        let places: Vec<(String, Option<u16>)> = written.chain(resolved).collect();
        let called = [split(self.host()), split(self.config.tls_name.as_deref().unwrap_or_default())];
        let default = if self.is_tls() { 443 } else { 80 };
        let is_port = port == default && called.iter().any(|(name, port)| name == host && port.is_none())
            || places.iter().chain(&called).any(|(_, known)| *known == Some(port));
        is_port && places.iter().chain(&called).any(|(name, _)| name == host)
    }

    /// Healthy addresses and all addresses.
    pub(crate) fn health(&self) -> (usize, usize) {
        let all = self.balancer.backends().get_backend();
        (all.iter().filter(|backend| self.balancer.backends().ready(backend)).count(), all.len())
    }

    /// The next address in turn; `None` where none is known yet. `timeout` bounds the wait for the answer's head and
    /// between its parts; the whole is bounded by the caller.
    pub(crate) fn peer(&self, timeout: Duration) -> Option<Box<HttpPeer>> {
        let addr = self.next()?;
        let tls_name = self.config.tls_name.clone();
        let mut peer = HttpPeer::new(addr, tls_name.is_some(), tls_name.unwrap_or_default());
        let options = &mut peer.options;
        options.connection_timeout = Some(self.config.connect_time.0);
        options.total_connection_timeout = Some(self.config.connect_time.0.min(timeout));
        options.read_timeout = Some(timeout);
        options.write_timeout = Some(timeout);
        options.idle_timeout = Some(self.config.idle_time.0);
        options.alpn = ALPN::H1;
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
        Some(Box::new(peer))
    }

    /// The next address in turn: of the healthy ones, of all where none is.
    fn next(&self) -> Option<SocketAddr> {
        let all = self.balancer.backends().get_backend();
        if let (1, Some(only)) = (all.len(), all.first()) {
            return only.addr.as_inet().copied();
        }
        let healthy = self.balancer.select(b"", TURNS);
        let backend = healthy.or_else(|| self.balancer.select_with(b"", TURNS, |_, _| true))?;
        backend.addr.as_inet().copied()
    }

    /// An address besides `address`; that one where there is no other.
    fn other(&self, address: SocketAddr) -> SocketAddr {
        let is_other = |backend: &Backend, ready: bool| ready && backend.addr.as_inet() != Some(&address);
        let other = self.balancer.select_with(b"", TURNS, is_other);
        other.and_then(|backend| backend.addr.as_inet().copied()).unwrap_or(address)
    }

    /// Resolves and checks once.
    async fn check(&self) {
        if let Err(error) = self.balancer.update().await {
            tracing::warn!(upstream = %self.name, %error, "its addresses can't be used");
        }
        self.balancer.backends().run_health_check(true).await;
    }
}

/// Looks names up once, on a thread of its own: configurations are compiled inside of runtimes and outside.
fn resolve(balancer: &LoadBalancer<RoundRobin>) {
    const PATIENCE: Duration = Duration::from_secs(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            // A failure is told by the first check, which follows.
            let _found = runtime.block_on(async { tokio::time::timeout(PATIENCE, balancer.update()).await });
            // A lookup that hangs is not waited for.
            runtime.shutdown_background();
        });
    });
}

/// The addresses of the configuration, resolved. Of a name that can't be resolved the known ones stay.
struct Resolve {
    addresses: Vec<String>,
    known: Mutex<HashMap<String, Vec<SocketAddr>>>,
}

impl Resolve {
    fn new(addresses: &[String]) -> Self {
        Self { addresses: addresses.to_vec(), known: Mutex::default() }
    }

    async fn resolve(&self, address: &String) -> Vec<SocketAddr> {
        if let Ok(number) = address.parse() {
            return vec![number];
        }
        let lookup = tokio::time::timeout(Duration::from_secs(5), tokio::net::lookup_host(address)).await;
        let found = lookup.unwrap_or_else(|elapsed| Err(elapsed.into())).map(Iterator::collect::<Vec<_>>);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(found) => known.entry(address.clone()).insert_entry(found).get().clone(),
            Err(error) => {
                let known = known.get(address).cloned().unwrap_or_default();
                tracing::warn!(address, %error, known = known.len(), "an address can't be resolved; the known ones stay");
                known
            }
        }
    }
}

#[async_trait]
impl ServiceDiscovery for Resolve {
    async fn discover(&self) -> pingora::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let mut found = BTreeSet::new();
        for address in &self.addresses {
            for addr in self.resolve(address).await {
                found.insert(Backend::new(&addr.to_string())?);
            }
        }
        Ok((found, HashMap::new()))
    }
}

fn check(config: &Upstream) -> Box<dyn HealthCheck + Send + Sync> {
    let Health { path, timeout, fall, rise, .. } = &config.health;
    let (fall, rise) = (usize::try_from(*fall).unwrap_or(usize::MAX), usize::try_from(*rise).unwrap_or(usize::MAX));
    let host = config.host.as_ref().or(config.addresses.first()).map(String::as_str).unwrap_or_default();
    let request = path.as_ref().and_then(|path| {
        let mut request = pingora::http::RequestHeader::build("GET", path.as_bytes(), None).ok()?;
        request.insert_header("Host", host).ok()?;
        request.insert_header("User-Agent", "addrgate-health").ok()?;
        Some(request)
    });
    match request {
        Some(request) => {
            let tls_name = config.tls_name.as_deref();
            let mut check = HttpHealthCheck::new(tls_name.unwrap_or(host), tls_name.is_some());
            check.req = request;
            check.consecutive_failure = fall;
            check.consecutive_success = rise;
            check.peer_template.options.connection_timeout = Some(timeout.0);
            check.peer_template.options.total_connection_timeout = Some(timeout.0);
            check.peer_template.options.read_timeout = Some(timeout.0);
            Box::new(check)
        }
        None => {
            let mut check = TcpHealthCheck::new();
            check.consecutive_failure = fall;
            check.consecutive_success = rise;
            check.peer_template.options.connection_timeout = Some(timeout.0);
            check
        }
    }
}

/// Runs the checks of all upstreams of the current plan; a new plan brings its own.
pub(crate) struct Checks(pub(crate) Arc<Shared>);

#[async_trait]
impl BackgroundService for Checks {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut changes = self.0.plan_changes();
        loop {
            let mut running = tokio::task::JoinSet::new();
            for pool in self.0.plan().pools.iter().cloned() {
                running.spawn(async move {
                    let mut turn = tokio::time::interval(pool.config.health.interval.0);
                    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                    loop {
                        turn.tick().await;
                        pool.check().await;
                    }
                });
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                _ = shutdown.changed() => return,
            }
        }
    }
}
