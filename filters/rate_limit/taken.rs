//! What was taken for one request. All or nothing: where a later limit refuses, or the client leaves, it is given back.

use std::sync::Arc;

use super::account::Account;
use super::gcra::{Bucket, Decision};
use super::lease::Lease;
use super::state::{Balance, Take};
use crate::units::Rate;

/// One from each budget so far. Dropped before [`Taken::spend`], it is given back.
#[derive(Debug, Default)]
pub(super) struct Taken(Vec<Held>);

#[derive(Debug)]
pub(super) enum Held {
    Bucket(Arc<Bucket>, Rate),
    Token(Arc<Lease>),
}

/// A request that found no tokens at hand, and what it has taken elsewhere.
#[derive(Debug)]
pub struct Waiting {
    pub(super) taken: Taken,
    pub(super) pending: Vec<(Account, Arc<Lease>)>,
}

/// What a budget says to one request.
#[derive(Debug)]
pub(super) enum Answer {
    /// Yes; what to give back if another budget refuses.
    Yes(Balance, Option<Held>),
    /// No; so many nanoseconds until yes.
    No { wait: u64, balance: Balance },
    /// Nobody knows.
    Unknown,
}

impl Answer {
    pub(super) fn of_bucket(bucket: Arc<Bucket>, rate: Rate, now: u64) -> Self {
        match bucket.take(rate, now) {
            Decision::Allowed { remaining, full_in } => {
                Answer::Yes(Balance { remaining, full_in }, Some(Held::Bucket(bucket, rate)))
            }
            Decision::Refused { wait, full_in } => Answer::No { wait, balance: Balance { remaining: 0, full_in } },
        }
    }

    /// `None` where the answer has to be awaited.
    pub(super) fn of_lease(take: Take, lease: &Arc<Lease>) -> Option<Self> {
        Some(match take {
            Take::Token(balance) => Answer::Yes(balance, Some(Held::Token(Arc::clone(lease)))),
            Take::Alone(balance) => Answer::Yes(balance, None),
            Take::Empty { wait, balance } => Answer::No { wait, balance },
            Take::Unknown => Answer::Unknown,
            Take::Wait => return None,
        })
    }
}

impl Taken {
    pub(super) fn add(&mut self, held: Option<Held>) {
        self.0.extend(held);
    }

    /// The request goes on; nothing is given back.
    pub(super) fn spend(mut self) {
        self.0.clear();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for held in self.0.drain(..) {
            match held {
                Held::Bucket(bucket, rate) => bucket.give_back(rate),
                Held::Token(lease) => lease.give_back(),
            }
        }
    }
}
