//! One shared budget as this instance sees it: what [`super::state`] decides, done.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::state::{IDLE, OnError, Order, State, Take};
use super::{Ask, Leases};
use crate::traffic::gcra;
use crate::traffic::units::Rate;

/// How often what is owed is tried to be paid while there is no answer, beside what requests ask; in nanoseconds.
const AWAY: u64 = 5 * IDLE;

#[derive(Debug)]
pub(crate) struct Lease {
    /// What the account is called among all instances.
    pub(crate) key: String,
    pub(crate) rate: Rate,
    leases: Arc<Leases>,
    state: Mutex<State>,
    /// Wakes who waits for an answer.
    answered: Notify,
    /// Whether [`Leases`] looks after idle tokens.
    watched: AtomicBool,
}

impl Lease {
    pub(crate) fn new(key: String, rate: Rate, leases: &Arc<Leases>) -> Arc<Self> {
        let state = Mutex::new(State::new(rate));
        Arc::new(Self {
            key,
            rate,
            leases: Arc::clone(leases),
            state,
            answered: Notify::new(),
            watched: AtomicBool::new(false),
        })
    }

    /// One request, now. Asks for more where it has to.
    pub(crate) fn take(self: &Arc<Self>, on_error: OnError) -> Take {
        let (mut state, now) = self.state();
        let take = state.take(on_error, self.leases.instances(), now);
        let order = state.order(now);
        drop(state);
        if matches!(take, Take::Alone(_)) {
            self.leases.watch(self);
        }
        match order {
            None => take,
            Some(order) if self.leases.send(Ask::new(self, order)) => take,
            // The ask came back and has failed, so nobody need wait for it.
            Some(_) if take == Take::Wait => {
                let (mut state, now) = self.state();
                state.take(on_error, self.leases.instances(), now)
            }
            Some(_) => take,
        }
    }

    /// The same, waiting for answers until `deadline`.
    pub(crate) async fn wait(self: &Arc<Self>, on_error: OnError, deadline: Instant) -> Take {
        loop {
            let mut answered = pin!(self.answered.notified());
            // Before looking, so that no answer is missed.
            answered.as_mut().enable();
            match self.take(on_error) {
                Take::Wait => {}
                take => return take,
            }
            if tokio::time::timeout_at(deadline, answered).await.is_err() {
                let (mut state, now) = self.state();
                state.go_away(self.leases.instances(), now);
                drop(state);
                return self.take(on_error);
            }
        }
    }

    /// A token that was taken but not used.
    pub(crate) fn give_back(self: &Arc<Self>) {
        self.state().0.give_back();
        self.leases.watch(self);
    }

    pub(crate) fn leased(self: &Arc<Self>, order: Order, granted: u64, full_in: u64, wait: u64) {
        let (mut state, now) = self.state();
        state.leased(order, granted, full_in, wait, now);
        drop(state);
        self.leases.watch(self);
        self.answered.notify_waiters();
    }

    pub(crate) fn failed(&self, order: Order) {
        let (mut state, now) = self.state();
        state.failed(order, self.leases.instances(), now);
        drop(state);
        self.answered.notify_waiters();
    }

    /// Whether idle tokens have to be looked after from now on, and are not yet.
    pub(crate) fn start_watch(&self) -> bool {
        self.state().0.holds() && !self.watched.swap(true, Ordering::AcqRel)
    }

    /// Gives back what is at hand, for good.
    pub(crate) fn surrender(self: &Arc<Self>) -> Option<Ask> {
        let order = self.state().0.surrender()?;
        Some(Ask::new(self, order))
    }

    /// Looks after idle tokens: what has to be given back by now, and when to look again.
    pub(crate) fn overdue(self: &Arc<Self>) -> (Option<Ask>, Option<u64>) {
        let (mut state, now) = self.state();
        state.put_idle_aside(now);
        let order = state.order(now);
        let pause = if state.is_away() { AWAY } else { IDLE / 4 };
        let again = state.holds().then(|| state.idle_at().max(now + pause));
        self.watched.store(again.is_some(), Ordering::Release);
        (order.map(|order| Ask::new(self, order)), again)
    }

    pub(crate) fn leases(&self) -> &Leases {
        &self.leases
    }

    /// The state, and the time: read in this order, so that it never goes back from one holder to the next.
    fn state(&self) -> (MutexGuard<'_, State>, u64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state, gcra::now())
    }
}
