//! The services behind: equal addresses, checked actively, the one with the fewest requests in flight asked next.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use addrgate_filters::traffic::budget::{self, Budget, Metered};
use pingora::protocols::ALPN;
use pingora::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use tokio::task::JoinSet;

use crate::config::Upstream;
use crate::telemetry::{METRICS, UpstreamMetrics};

mod addresses;
pub(crate) mod answer;
mod ask;
mod check;
mod decode;
mod hedge;
use addresses::Addresses;
pub(crate) use addresses::{Call, Fault};
pub(crate) use ask::{LARGEST, connect};
use check::Check;
pub(crate) use decode::Decoder;
pub(crate) use hedge::Hedge;
pub(crate) use shadow::Shadow;
pub(crate) mod location;
pub(crate) mod request;
mod shadow;
pub(crate) mod single;

/// Has `peer` take a new connection, apart from those that are kept, and keeps it no longer than its request. Each has a
/// pool of its own: a connection lies in its pool for a moment even where it is not to be kept.
pub(crate) fn connect_apart(peer: &mut HttpPeer) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    peer.group_key = NEXT.fetch_add(1, Ordering::Relaxed);
    peer.options.idle_timeout = Some(Duration::ZERO);
}

/// One upstream.
pub(crate) struct Pool {
    name: String,
    config: Upstream,
    names: Names,
    addresses: Addresses,
    check: Arc<Check>,
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
        let names = Names::new(&config.addresses);
        let addresses = Addresses::new(name, config.slow_start.0);
        match names.numbers() {
            // Ready at once.
            Some(numbers) => addresses.update(numbers),
            None => resolve(&names, &addresses),
        }
        Ok(Arc::new(Self {
            name: name.to_owned(),
            config: config.clone(),
            names,
            addresses,
            check: Arc::new(Check::new(config)),
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
        let resolved = self.addresses.all();
        let resolved = resolved.iter().map(|address| split(&address.addr.to_string()));
        let places: Vec<(String, Option<u16>)> = written.chain(resolved).collect();
        let called = [split(self.host()), split(self.config.tls_name.as_deref().unwrap_or_default())];
        let default = if self.is_tls() { 443 } else { 80 };
        let is_port = port == default && called.iter().any(|(name, port)| name == host && port.is_none())
            || places.iter().chain(&called).any(|(_, known)| *known == Some(port));
        is_port && places.iter().chain(&called).any(|(name, _)| name == host)
    }

    /// Addresses in use and all addresses.
    pub(crate) fn health(&self) -> (usize, usize) {
        self.addresses.health()
    }

    /// The address to ask next, besides `avoid`; `None` where there is none, or none is known yet. `repeatable` says that the
    /// request can be sent again elsewhere.
    pub(crate) fn choose(&self, avoid: &[SocketAddr], repeatable: bool) -> Option<Call> {
        self.addresses.choose(avoid, repeatable)
    }

    /// How many addresses there are besides these.
    pub(crate) fn count_besides(&self, these: &[SocketAddr]) -> usize {
        self.addresses.count_besides(these)
    }

    /// How to connect to an address. `timeout` bounds the wait for the head of the response and between its parts; the whole
    /// is bounded by the caller. `spare`: there is another address, and some time is left for it.
    pub(crate) fn peer(&self, addr: SocketAddr, timeout: Duration, spare: bool) -> Box<HttpPeer> {
        let tls_name = self.config.tls_name.clone();
        let mut peer = HttpPeer::new(addr, tls_name.is_some(), tls_name.unwrap_or_default());
        let options = &mut peer.options;
        let longest = self.config.connect_time.0.min(if spare { timeout / 2 } else { timeout });
        options.connection_timeout = Some(longest);
        options.total_connection_timeout = Some(longest);
        options.read_timeout = Some(timeout);
        options.write_timeout = Some(timeout);
        options.idle_timeout = Some(self.config.idle_time.0);
        options.alpn = ALPN::H1;
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
        Box::new(peer)
    }

    /// Checks the addresses at the configured interval, for ever.
    pub(crate) async fn keep_checking(&self) {
        let mut turn = tokio::time::interval(self.config.health.interval.0);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            self.check().await;
        }
    }

    /// Resolves the names and checks the addresses, once. A name server that hangs holds no check up.
    async fn check(&self) {
        let ((), ()) = tokio::join!(self.resolve(), self.check_all());
    }

    async fn resolve(&self) {
        if self.names.numbers().is_none() {
            self.addresses.update(self.names.resolve().await);
        }
    }

    async fn check_all(&self) {
        let (fall, rise) = (self.config.health.fall, self.config.health.rise);
        let mut checks = JoinSet::new();
        for address in self.addresses.all().iter().cloned() {
            let check = Arc::clone(&self.check);
            checks.spawn(async move { address.checked(check.passes(address.addr).await, fall, rise) });
        }
        checks.join_all().await;
    }
}

/// Looks names up once, on a thread of its own: configurations are compiled inside of runtimes and outside.
fn resolve(names: &Names, addresses: &Addresses) {
    const PATIENCE: Duration = Duration::from_secs(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            // A failure is told by the first check, which follows.
            if let Ok(found) = runtime.block_on(async { tokio::time::timeout(PATIENCE, names.resolve()).await }) {
                addresses.update(found);
            }
            // A lookup that hangs is not waited for.
            runtime.shutdown_background();
        });
    });
}

/// The addresses of the configuration, resolved. Of a name that can't be resolved the known ones stay.
struct Names {
    addresses: Vec<String>,
    known: Mutex<HashMap<String, Vec<SocketAddr>>>,
}

impl Names {
    fn new(addresses: &[String]) -> Self {
        Self { addresses: addresses.to_vec(), known: Mutex::default() }
    }

    /// All of them, where none is a name.
    fn numbers(&self) -> Option<BTreeSet<SocketAddr>> {
        self.addresses.iter().map(|address| address.parse().ok()).collect()
    }

    async fn resolve(&self) -> BTreeSet<SocketAddr> {
        let mut found = BTreeSet::new();
        for address in &self.addresses {
            found.extend(self.resolve_one(address).await);
        }
        found
    }

    async fn resolve_one(&self, address: &String) -> Vec<SocketAddr> {
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
