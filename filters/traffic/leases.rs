//! Between the filter, which never waits for the network while tokens are at hand, and the task that asks Redis.
//!
//! That task is small: for each [`Ask`] out of [`Asks::next`] it runs [`SCRIPT`] on its key with its arguments, within a
//! deadline of its own, and says what came by [`Ask::leased`], or drops the ask.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc;

use super::gcra;

mod lease;
mod state;

pub(crate) use lease::Lease;
pub use state::OnError;
pub(crate) use state::{Balance, Take};

use state::{IDLE, Order};

/// Leases tokens. One key per call; five arguments; returns three integers.
pub const SCRIPT: &str = include_str!("leases/lease.lua");

/// Asks that may wait for the task. More, and an account does without an answer (`on_error`).
const MOST_ASKS: usize = 4096;

/// How often idle tokens are looked for.
const SWEEP: Duration = Duration::from_millis(500);

/// The asks of one instance, and what they depend on.
pub struct Leases {
    sender: mpsc::Sender<Ask>,
    receiver: Mutex<Option<mpsc::Receiver<Ask>>>,
    instances: AtomicU64,
    /// Accounts with tokens at hand, by when these will have been idle for too long. Each account at most twice.
    watched: Mutex<VecDeque<(u64, Weak<Lease>)>>,
}

impl Default for Leases {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(MOST_ASKS);
        let (receiver, watched) = (Mutex::new(Some(receiver)), Mutex::default());
        Self { sender, receiver, instances: AtomicU64::new(1), watched }
    }
}

impl fmt::Debug for Leases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leases({} instances)", self.instances())
    }
}

impl Leases {
    /// Tells how many instances share the budgets, this one included. 1 until told; while Redis is away each allows its
    /// part, so a number too small allows too much.
    pub fn set_instances(&self, instances: u64) {
        self.instances.store(instances.max(1), Ordering::Release);
    }

    pub(crate) fn instances(&self) -> u64 {
        self.instances.load(Ordering::Acquire)
    }

    /// What has to be asked. The first caller gets it, no other; to be called within a Tokio runtime.
    #[must_use]
    pub fn asks(self: &Arc<Self>) -> Option<Asks> {
        let receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Some(Asks { leases: Arc::clone(self), receiver, sweep })
    }

    /// Whether the ask is on its way; else it has failed.
    pub(crate) fn send(&self, ask: Ask) -> bool {
        self.sender.try_send(ask).is_ok()
    }

    /// Sees to it that tokens which come to lie idle are given back.
    pub(crate) fn watch(&self, lease: &Arc<Lease>) {
        if lease.start_watch() {
            self.push(gcra::now() + IDLE, Arc::downgrade(lease));
        }
    }

    fn push(&self, at: u64, lease: Weak<Lease>) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push_back((at, lease));
    }

    /// The next ask that gives idle tokens back.
    fn overdue(&self) -> Option<Ask> {
        loop {
            let lease = {
                let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
                let due = watched.front().is_some_and(|(at, _)| *at <= gcra::now());
                if due { watched.pop_front() } else { None }?.1
            };
            // An account that gave way to others is forgotten; its tokens come back in time.
            let Some(lease) = lease.upgrade() else { continue };
            let (ask, again) = lease.overdue();
            if let Some(at) = again {
                self.push(at, Arc::downgrade(&lease));
            }
            if ask.is_some() {
                return ask;
            }
        }
    }
}

/// The end of the task that asks Redis.
#[derive(Debug)]
pub struct Asks {
    leases: Arc<Leases>,
    receiver: mpsc::Receiver<Ask>,
    sweep: tokio::time::Interval,
}

impl Asks {
    /// Waits for the next one. Cancel-safe.
    pub async fn next(&mut self) -> Ask {
        loop {
            if let Some(ask) = self.leases.overdue() {
                return ask;
            }
            tokio::select! {
                Some(ask) = self.receiver.recv() => return ask,
                _ = self.sweep.tick() => {}
            }
        }
    }
}

/// Something to ask Redis. Dropped without an answer, it has failed.
#[derive(Debug)]
pub struct Ask {
    lease: Option<Arc<Lease>>,
    order: Order,
}

impl Ask {
    pub(crate) fn new(lease: &Arc<Lease>, order: Order) -> Self {
        Self { lease: Some(Arc::clone(lease)), order }
    }

    /// The key, to be put after the deployment's own prefix. It never holds what a client sent.
    #[must_use]
    pub fn key(&self) -> &str {
        self.lease.as_ref().map_or("", |lease| &lease.key)
    }

    /// The script's arguments.
    #[must_use]
    pub fn arguments(&self) -> [i64; 5] {
        let Some(lease) = &self.lease else { return [0; 5] };
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let micros = i64::try_from(lease.rate.per.0.as_micros()).unwrap_or(i64::MAX);
        let back = whole(self.order.back).saturating_sub(whole(self.order.owed));
        [micros, whole(lease.rate.count), back, whole(self.order.want), whole(2 * lease.leases().instances())]
    }

    /// What the script returned.
    pub fn leased(mut self, (granted, full_in, wait): (u64, u64, u64)) {
        if let Some(lease) = self.lease.take() {
            lease.leased(self.order, granted, full_in.saturating_mul(1000), wait.saturating_mul(1000));
        }
    }
}

impl Drop for Ask {
    fn drop(&mut self) {
        if let Some(lease) = &self.lease {
            lease.failed(self.order);
        }
    }
}
