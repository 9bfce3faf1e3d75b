//! The budgets that a request is taken from. All or nothing: where a later one refuses, or the client leaves, what was
//! taken is given back.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::account::{Account, Accounts};
use super::config::Config;
use crate::client::Client;
use crate::route::Route;
use crate::traffic::gcra::{Bucket, Decision, Pace};
use crate::traffic::leases::{Balance, Lease, OnError, Take};

/// One account, and where its tokens are.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    pub(super) account: Account,
    /// The account's rate.
    pub(super) pace: Pace,
    pub(super) tokens: Tokens,
}

#[derive(Debug, Clone)]
pub(super) enum Tokens {
    Bucket(Arc<Bucket>),
    Lease(Arc<Lease>),
}

/// What a budget says to one request.
#[derive(Debug)]
pub(super) enum Answer {
    /// Yes; whether there is something to give back if another budget refuses.
    Yes { balance: Balance, held: bool },
    /// No; so many nanoseconds until yes.
    No { wait: u64, balance: Balance },
    /// Nobody knows.
    Unknown,
    /// The answer has to be awaited.
    Wait,
}

impl Budget {
    /// One request, now.
    pub(super) fn take(&self, on_error: OnError, now: u64) -> Answer {
        match &self.tokens {
            Tokens::Lease(lease) => Answer::of(lease.take(on_error)),
            Tokens::Bucket(bucket) => match bucket.take(self.pace, now) {
                Decision::Allowed { remaining, full_in } => {
                    Answer::Yes { balance: Balance { remaining, full_in }, held: true }
                }
                Decision::Refused { wait, full_in } => Answer::No { wait, balance: Balance { remaining: 0, full_in } },
            },
        }
    }

    /// The same, waiting for tokens until `deadline`.
    pub(super) async fn wait(&self, on_error: OnError, deadline: Instant) -> Answer {
        match &self.tokens {
            Tokens::Lease(lease) => Answer::of(lease.wait(on_error, deadline).await),
            // Never left to be awaited.
            Tokens::Bucket(_) => Answer::Unknown,
        }
    }

    pub(super) fn give_back(&self) {
        match &self.tokens {
            Tokens::Bucket(bucket) => bucket.give_back(self.pace),
            Tokens::Lease(lease) => lease.give_back(),
        }
    }
}

impl Answer {
    fn of(take: Take) -> Self {
        match take {
            Take::Token(balance) => Answer::Yes { balance, held: true },
            Take::Alone(balance) => Answer::Yes { balance, held: false },
            Take::Empty { wait, balance } => Answer::No { wait, balance },
            Take::Unknown => Answer::Unknown,
            Take::Wait => Answer::Wait,
        }
    }
}

/// One from each of these. Dropped before [`Taken::spend`], it is given back.
#[derive(Debug)]
pub(super) struct Taken(pub(super) Vec<Budget>);

impl Taken {
    /// The request goes on; nothing is given back.
    pub(super) fn spend(mut self) {
        self.0.clear();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|budget| budget.give_back());
    }
}

/// A request that found no tokens at hand, and what it has taken elsewhere.
#[derive(Debug)]
pub struct Waiting {
    pub(super) taken: Taken,
    pub(super) pending: Vec<Budget>,
}

/// For so long budgets are kept without looking for them again, which would tell that they are in use.
const KEPT: u64 = 1_000_000_000;

/// The budgets of a connection's last request. Nearly always the next one is of the same client, address and route, and
/// looking its budgets up would be half of what counting it costs.
#[derive(Debug, Default)]
pub struct Budgets {
    list: Vec<Budget>,
    of: Option<Found>,
    /// By [`super::gcra::now`].
    until: u64,
}

/// What budgets follow from.
#[derive(Debug, Clone)]
pub(super) struct Of<'a> {
    pub(super) config: &'a Arc<Config>,
    pub(super) accounts: &'a Arc<Accounts>,
    pub(super) client: Option<&'a Arc<Client>>,
    pub(super) address: Option<IpAddr>,
    /// The route, where it has limits of its own.
    pub(super) route: Option<&'a Arc<Route>>,
}

/// The same, remembered.
#[derive(Debug, Clone)]
struct Found {
    config: Arc<Config>,
    accounts: Arc<Accounts>,
    client: Option<Arc<Client>>,
    address: Option<IpAddr>,
    route: Option<Arc<Route>>,
}

impl Budgets {
    /// The budgets of a request at the time `now`, found anew if these are another's.
    pub(super) fn refresh(&mut self, of: &Of<'_>, now: u64, find: impl FnOnce() -> Vec<Budget>) -> &[Budget] {
        let same = self.of.as_ref().is_some_and(|found| found.is(of));
        if !same || now >= self.until {
            self.list = find();
            self.of = Some(Found {
                config: Arc::clone(of.config),
                accounts: Arc::clone(of.accounts),
                client: of.client.cloned(),
                address: of.address,
                route: of.route.cloned(),
            });
            self.until = now.saturating_add(KEPT);
        }
        &self.list
    }
}

impl Found {
    fn is(&self, of: &Of<'_>) -> bool {
        fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
            one.map(Arc::as_ptr) == other.map(Arc::as_ptr)
        }
        // A reload makes all of them anew.
        Arc::ptr_eq(&self.config, of.config)
            && Arc::ptr_eq(&self.accounts, of.accounts)
            && same(self.client.as_ref(), of.client)
            && self.address == of.address
            && same(self.route.as_ref(), of.route)
    }
}
