//! The addresses of an upstream: how each one does, and which is asked next.
//!
//! An address is left out while its checks fail, and after calls in a row that got no response from it, until a check
//! passes. Where all are left out, all are used: a wrong check must not be an outage, and the first request after a recovery
//! finds it. Of those in use the one with the fewest requests in flight is next, at random among equals; one that
//! returns takes its share bit by bit (slow start).

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

/// Points of faults in a row that take an address out ([`Fault::points`]).
const OUT: u32 = 10;

/// The part of its share that an address begins with when it returns.
const FIRST: f64 = 0.1;

/// After so long on trial, a request that can't be repeated elsewhere may be the trial, too: no other may ever come.
const TRIAL: Duration = Duration::from_secs(30);

/// Why a call got no response from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection, so nothing was sent.
    Unreachable,
    /// It took the connection and closed it, or sent something that is no HTTP.
    Broken,
    /// Nothing came in time.
    Silent,
}

impl Fault {
    /// Two failed connections in a row take an address out. One slow request says little about the address, so that takes
    /// five timeouts.
    fn points(self) -> u32 {
        match self {
            Self::Unreachable | Self::Broken => OUT / 2,
            Self::Silent => OUT / 5,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "it can't be reached",
            Self::Broken => "it breaks connections off",
            Self::Silent => "it does not respond in time",
        }
    }
}

/// What calls have found out about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// Nothing against it.
    Good,
    /// Left out until a check passes. Where it took connections, a check says less than a request does.
    Out { connected: bool },
    /// A check passed since then. One request at a time finds out whether it responds.
    Trial { since: Instant },
}

#[derive(Debug)]
struct Standing {
    /// Of faults in a row.
    points: u32,
    found: Found,
    /// Its checks fail.
    sick: bool,
    /// Checks in a row that say the opposite.
    contrary: u32,
    /// When it returned, while it has less than its share.
    back: Option<Instant>,
}

/// One address.
#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) addr: SocketAddr,
    upstream: Arc<str>,
    in_flight: AtomicUsize,
    standing: Mutex<Standing>,
}

impl Address {
    fn new(addr: SocketAddr, upstream: &Arc<str>, back: Option<Instant>) -> Arc<Self> {
        let standing = Standing { points: 0, found: Found::Good, sick: false, contrary: 0, back };
        Arc::new(Self {
            addr,
            upstream: Arc::clone(upstream),
            in_flight: AtomicUsize::new(0),
            standing: Mutex::new(standing),
        })
    }

    /// Whether it is in use.
    fn is_healthy(&self) -> bool {
        let standing = self.lock();
        !standing.sick && !matches!(standing.found, Found::Out { .. })
    }

    /// Its part of a full share; `None` where it is left out.
    fn weight(&self, repeatable: bool, slow_start: Duration) -> Option<f64> {
        let mut standing = self.lock();
        let may = match standing.found {
            _ if standing.sick => false,
            Found::Good => true,
            Found::Out { .. } => false,
            Found::Trial { since } => {
                self.in_flight.load(Ordering::Relaxed) == 0 && (repeatable || since.elapsed() >= TRIAL)
            }
        };
        let Some(back) = standing.back.filter(|_| may) else { return may.then_some(1.0) };
        let part = back.elapsed().as_secs_f64() / slow_start.as_secs_f64();
        if part >= 1.0 || part.is_nan() {
            standing.back = None;
            return Some(1.0);
        }
        Some(part.max(FIRST))
    }

    /// The result of a check: after `fall` failures in a row the address is left out, after `rise` successes it is back.
    pub(super) fn checked(&self, passed: bool, fall: u32, rise: u32) {
        let mut standing = self.lock();
        if passed == standing.sick {
            standing.contrary += 1;
            if standing.contrary >= if passed { rise } else { fall } {
                (standing.sick, standing.contrary) = (!passed, 0);
                self.tell(!passed, "its checks fail");
                standing.back = passed.then(Instant::now);
            }
        } else {
            standing.contrary = 0;
        }
        match standing.found {
            Found::Out { connected: false } if passed => self.take_back(&mut standing),
            Found::Out { connected: true } if passed => standing.found = Found::Trial { since: Instant::now() },
            _ => {}
        }
    }

    fn fault(&self, fault: Fault) {
        let mut standing = self.lock();
        standing.points = standing.points.saturating_add(fault.points()).min(OUT);
        let connected = fault != Fault::Unreachable;
        match standing.found {
            Found::Good if standing.points < OUT => {}
            Found::Good => {
                standing.found = Found::Out { connected };
                self.tell(true, fault.as_str());
            }
            Found::Trial { .. } | Found::Out { .. } => standing.found = Found::Out { connected },
        }
    }

    fn responded(&self) {
        let mut standing = self.lock();
        standing.points = 0;
        if standing.found != Found::Good {
            self.take_back(&mut standing);
        }
    }

    fn take_back(&self, standing: &mut Standing) {
        (standing.points, standing.found, standing.back) = (0, Found::Good, Some(Instant::now()));
        self.tell(false, "");
    }

    fn tell(&self, out: bool, why: &str) {
        let (upstream, address) = (&*self.upstream, self.addr);
        match out {
            true => tracing::warn!(upstream, %address, why, "an upstream address is left out"),
            false => tracing::info!(upstream, %address, "an upstream address is back"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        // Nothing that runs under the lock can leave it half changed.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request at one address. Dropped, it is in flight no more.
#[derive(Debug)]
pub(crate) struct Call {
    address: Arc<Address>,
    /// The only address is never left out, so nothing is held against it.
    only: bool,
}

impl Call {
    fn begin(address: &Arc<Address>, only: bool) -> Self {
        address.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { address: Arc::clone(address), only }
    }

    /// Where it goes.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.address.addr
    }

    /// The head of a response is there.
    pub(crate) fn responded(&self) {
        if !self.only {
            self.address.responded();
        }
    }

    /// It got no response.
    pub(crate) fn failed(&self, fault: Fault) {
        if !self.only {
            self.address.fault(fault);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.address.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All addresses of one upstream.
#[derive(Debug)]
pub(crate) struct Addresses {
    upstream: Arc<str>,
    list: ArcSwap<Vec<Arc<Address>>>,
    slow_start: Duration,
}

impl Addresses {
    /// None known yet.
    pub(crate) fn new(upstream: &str, slow_start: Duration) -> Self {
        Self { upstream: upstream.into(), list: ArcSwap::default(), slow_start }
    }

    /// Those there are now; what is known of those that stay is kept. One that comes later starts slowly.
    pub(crate) fn update(&self, found: BTreeSet<SocketAddr>) {
        let old = self.list.load();
        if old.iter().map(|address| address.addr).eq(found.iter().copied()) {
            return;
        }
        let back = (!old.is_empty()).then(Instant::now);
        let known = |addr: &SocketAddr| old.iter().find(|known| known.addr == *addr).map(Arc::clone);
        let list = found.iter().map(|addr| known(addr).unwrap_or_else(|| Address::new(*addr, &self.upstream, back)));
        self.list.store(Arc::new(list.collect()));
    }

    /// All of them.
    pub(crate) fn all(&self) -> Arc<Vec<Arc<Address>>> {
        self.list.load_full()
    }

    /// Addresses in use and all addresses.
    pub(crate) fn health(&self) -> (usize, usize) {
        let all = self.list.load();
        (all.iter().filter(|address| address.is_healthy()).count(), all.len())
    }

    /// How many there are besides these.
    pub(crate) fn count_besides(&self, these: &[SocketAddr]) -> usize {
        self.list.load().iter().filter(|address| !these.contains(&address.addr)).count()
    }

    /// The address to ask next, besides `avoid`: of those in use, of all where none is. `repeatable` says that the request can
    /// be sent again elsewhere. `None` where there is none.
    pub(crate) fn choose(&self, avoid: &[SocketAddr], repeatable: bool) -> Option<Call> {
        let list = self.list.load();
        let mut left = list.iter().filter(|address| !avoid.contains(&address.addr));
        if list.len() == 1 {
            return left.next().map(|only| Call::begin(only, true));
        }
        let least = |weight: &dyn Fn(&Address) -> Option<f64>| {
            let scored = left.clone().filter_map(|address| {
                let in_flight = address.in_flight.load(Ordering::Relaxed) as f64;
                Some(((in_flight + rand::random::<f64>()) / weight(address)?, address))
            });
            scored.min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, address)| address)
        };
        let chosen = least(&|address| address.weight(repeatable, self.slow_start)).or_else(|| least(&|_| Some(1.0)))?;
        Some(Call::begin(chosen, false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FALL_RISE: (u32, u32) = (3, 2);

    fn addresses(n: u16) -> Addresses {
        let addresses = Addresses::new("origin", Duration::from_secs(10));
        addresses.update((1..=n).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect());
        addresses
    }

    fn checked(address: &Address, passed: bool) {
        address.checked(passed, FALL_RISE.0, FALL_RISE.1);
    }

    /// How many of 1000 requests, one after the other, go to each.
    fn shares(addresses: &Addresses) -> Vec<usize> {
        let mut shares = vec![0; addresses.all().len()];
        for _ in 0..1000 {
            shares[usize::from(addresses.choose(&[], true).unwrap().addr().port()) - 1] += 1;
        }
        shares
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_with_the_fewest_in_flight_is_next() {
        let addresses = addresses(3);
        let calls: Vec<Call> = (0..9).map(|_| addresses.choose(&[], false).unwrap()).collect();
        assert!(addresses.all().iter().all(|address| address.in_flight.load(Ordering::Relaxed) == 3));
        drop(calls);
        assert!(shares(&addresses).iter().all(|share| (200..470).contains(share)), "equals take turns");
    }

    #[tokio::test(start_paused = true)]
    async fn two_failed_connections_in_a_row_take_it_out_until_a_check_passes() {
        for fault in [Fault::Unreachable, Fault::Broken] {
            let addresses = addresses(2);
            let bad = &addresses.all()[0];
            let call = Call::begin(bad, false);
            call.failed(fault);
            call.responded();
            call.failed(fault);
            assert_eq!(addresses.health(), (2, 2), "not in a row");
            call.failed(fault);
            drop(call);
            assert_eq!((addresses.health(), shares(&addresses)), ((1, 2), vec![0, 1000]));
            checked(bad, false);
            assert_eq!(addresses.health(), (1, 2));
            checked(bad, true);
            assert_eq!(addresses.health(), (2, 2));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn timeouts_take_longer() {
        let addresses = addresses(2);
        let call = Call::begin(&addresses.all()[0], false);
        (0..4).for_each(|_| call.failed(Fault::Silent));
        assert_eq!(addresses.health(), (2, 2));
        call.failed(Fault::Silent);
        assert_eq!(addresses.health(), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn what_broke_connections_off_is_tried_by_what_can_be_repeated() {
        let addresses = addresses(2);
        let bad = Arc::clone(&addresses.all()[0]);
        let port = |repeatable| addresses.choose(&[], repeatable).map(|call| call.addr().port());
        (0..2).for_each(|_| Call::begin(&bad, false).failed(Fault::Broken));
        checked(&bad, true);
        assert!((0..100).all(|_| port(false) == Some(2)));
        let trial = Call::begin(&bad, false);
        assert!((0..100).all(|_| port(true) == Some(2)), "one at a time");
        trial.failed(Fault::Silent);
        drop(trial);
        assert_eq!(addresses.health(), (1, 2), "once is enough");
        checked(&bad, true);
        tokio::time::advance(TRIAL).await;
        assert!((0..100).any(|_| port(false) == Some(1)), "nothing else may ever come");
        Call::begin(&bad, false).responded();
        assert_eq!(bad.lock().found, Found::Good);
    }

    #[tokio::test(start_paused = true)]
    async fn checks_take_it_out_and_back() {
        let addresses = addresses(2);
        let bad = &addresses.all()[0];
        (0..2).for_each(|_| checked(bad, false));
        checked(bad, true);
        (0..2).for_each(|_| checked(bad, false));
        assert_eq!(addresses.health(), (2, 2), "three in a row");
        checked(bad, false);
        assert_eq!(addresses.health(), (1, 2));
        Call::begin(bad, false).responded();
        assert_eq!(addresses.health(), (1, 2), "a check knows better");
        (0..2).for_each(|_| checked(bad, true));
        assert_eq!(addresses.health(), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_are_out_all_are_used_and_a_response_brings_one_back() {
        let addresses = addresses(2);
        for address in addresses.all().iter() {
            (0..2).for_each(|_| Call::begin(address, false).failed(Fault::Unreachable));
        }
        assert_eq!(addresses.health(), (0, 2));
        let first = addresses.choose(&[], false).unwrap();
        let second = addresses.choose(&[first.addr()], false).unwrap();
        assert_ne!(first.addr(), second.addr());
        assert!(addresses.choose(&[first.addr(), second.addr()], false).is_none());
        second.responded();
        assert_eq!(addresses.health(), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_returns_starts_slowly() {
        let addresses = addresses(2);
        let back = Arc::clone(&addresses.all()[0]);
        (0..2).for_each(|_| Call::begin(&back, false).failed(Fault::Unreachable));
        checked(&back, true);
        let first = shares(&addresses)[0];
        assert!((10..120).contains(&first), "{first} of 1000, one at a time");
        let held: Vec<Call> = (0..22).map(|_| addresses.choose(&[], true).unwrap()).collect();
        let in_flight = back.in_flight.load(Ordering::Relaxed);
        assert!((1..=3).contains(&in_flight), "{in_flight} of 22 at a time");
        drop(held);
        tokio::time::advance(Duration::from_secs(5)).await;
        let half = shares(&addresses)[0];
        assert!((180..330).contains(&half), "{half} of 1000");
        tokio::time::advance(Duration::from_secs(5)).await;
        let full = shares(&addresses)[0];
        assert!((420..580).contains(&full), "{full} of 1000");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_of_those_that_stay_is_kept() {
        let addresses = addresses(2);
        let stays = Arc::clone(&addresses.all()[0]);
        (0..2).for_each(|_| Call::begin(&stays, false).failed(Fault::Unreachable));
        addresses.update([1, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port))).into());
        assert_eq!(addresses.health(), (1, 2));
        assert!(addresses.all()[1].lock().back.is_some(), "a new one starts slowly");
    }

    #[tokio::test(start_paused = true)]
    async fn the_only_one_is_never_left_out() {
        let addresses = addresses(1);
        (0..5).for_each(|_| addresses.choose(&[], false).unwrap().failed(Fault::Unreachable));
        assert_eq!(addresses.health(), (1, 1));
        assert_eq!((addresses.count_besides(&[]), addresses.count_besides(&[addresses.all()[0].addr])), (1, 0));
    }
}
