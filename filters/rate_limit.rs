//! Limits how much one client, or one address, may ask; in this process, or over all instances.
//!
//! ```yaml
//! rate_limit:
//!   mode: enforce                  # or observe: only count and log what would be refused
//!   client: [1000/15m, 100/1m]     # per client; its own or its plan's `limits` stand in for these
//!   address: []                    # per network address, also without a key; IPv6 by /64
//!   headers: legacy                # X-RateLimit-*; or draft-10 (RateLimit, RateLimit-Policy), both, off
//!   shared: false                  # true: all instances count together, through Redis
//!   on_error: local                # while Redis is away: this instance's share; or allow, or deny
//!   wait: 100ms                    # how long a request may wait for tokens where none are at hand
//!   accounts: 50000                # budgets that are remembered, of clients and of addresses each; needs a restart
//! routes:
//!   - name: search
//!     limits: { client: [30/1m], address: [] }  # besides the others, for this route alone
//! ```
//!
//! Several limits hold at once: a request is taken from all or from none. A refresh behind a reply counts for no one.
//!
//! Shared budgets are leased in small batches and spent here (docs/decisions/0011). [`Filter::request`] never waits; where
//! nothing is at hand it leaves a [`Waiting`] in the verdict, and whoever walks the filters awaits [`RateLimit::settle`]
//! before it goes on.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use crate::cause::{Cause, Code};
use crate::http::head::Head;
use crate::route::{self, Route};
use crate::traffic::gcra;
use crate::traffic::leases::Balance;
use crate::traffic::units::Rate;
use crate::verdict::Verdict;
use crate::{Filter, Flow, Mode, address};

mod account;
mod budget;
mod config;
mod standing;

use account::{Account, Owner};
use budget::{Answer, Budget, Of, Taken, Tokens};

pub use crate::traffic::gcra::check;
pub use account::Accounts;
pub use budget::{Budgets, Waiting};
pub use config::{Config, Fields, Limits};
pub use standing::Standing;

/// The filter.
#[derive(Debug, Clone, Default)]
pub struct RateLimit {
    config: Arc<Config>,
    accounts: Arc<Accounts>,
}

impl RateLimit {
    /// Compiles, over the accounts of the process; the error is a sentence.
    pub fn new(config: &Config) -> Result<Self, String> {
        check(config.client.iter().chain(&config.address))?;
        if !(1_000..=10_000_000).contains(&config.accounts) {
            return Err("`accounts` is 1000 to 10000000".to_owned());
        }
        if config.wait.0 > Duration::from_secs(1) {
            return Err("`wait`: no request should wait for more than a second to be counted".to_owned());
        }
        Ok(Self { config: Arc::new(config.clone()), accounts: Accounts::bounded(config.accounts) })
    }

    /// The same over other accounts, as another instance has them.
    #[must_use]
    pub fn over(self, accounts: Arc<Accounts>) -> Self {
        Self { accounts, ..self }
    }

    /// The second half: awaits what [`Filter::request`] did not find at hand, at most for `wait`.
    pub async fn settle(&self, verdict: &mut Verdict) -> Flow {
        let Some(Waiting { mut taken, pending }) = verdict.waiting.take() else { return Flow::Continue };
        let deadline = Instant::now() + self.config.wait.0;
        for budget in pending {
            let answer = budget.wait(self.config.on_error, deadline).await;
            match self.heed(answer, &budget.account, verdict) {
                Ok(held) => taken.0.extend(held.then_some(budget)),
                Err(cause) => return self.config.mode.refuse(self.name(), cause, verdict),
            }
        }
        taken.spend();
        Flow::Continue
    }

    /// The first half: takes the request from its budgets, at `at`.
    pub fn count(&self, at: Instant, verdict: &mut Verdict) -> Flow {
        let answer = verdict.route.as_ref().and_then(|route| route.config.answer);
        // Who polls whether traffic is taken must hear so, however often it asks.
        if verdict.background || matches!(answer, Some(route::Answer::Livez | route::Answer::Readyz)) {
            return Flow::Continue;
        }
        match self.judge(at, verdict) {
            Ok(()) => Flow::Continue,
            Err(cause) => self.config.mode.refuse(self.name(), cause, verdict),
        }
    }

    fn judge(&self, at: Instant, verdict: &mut Verdict) -> Result<(), Cause> {
        let now = gcra::time_of(at);
        let mut budgets = std::mem::take(&mut verdict.budgets);
        let of = Of {
            config: &self.config,
            accounts: &self.accounts,
            client: verdict.client.as_ref(),
            address: verdict.address,
            route: limited(verdict),
        };
        let found = budgets.refresh(&of, now, || self.find(verdict));
        let judged = self.take(found, verdict, now);
        verdict.budgets = budgets;
        judged
    }

    /// One from each budget.
    fn take(&self, budgets: &[Budget], verdict: &mut Verdict, now: u64) -> Result<(), Cause> {
        let mut taken = SmallVec::<[&Budget; 4]>::new();
        let mut pending = Vec::new();
        for budget in budgets {
            match budget.take(self.config.on_error, now) {
                Answer::Wait => pending.push(budget.clone()),
                answer => match self.heed(answer, &budget.account, verdict) {
                    Ok(held) => taken.extend(held.then_some(budget)),
                    Err(cause) => {
                        taken.into_iter().for_each(Budget::give_back);
                        return Err(cause);
                    }
                },
            }
        }
        // Who only observes delays nobody.
        if !pending.is_empty() && self.config.mode == Mode::Enforce {
            let taken = Taken(taken.into_iter().cloned().collect());
            verdict.waiting = Some(Waiting { taken, pending });
        }
        Ok(())
    }

    /// Whether a token is held that can be given back.
    fn heed(&self, answer: Answer, account: &Account, verdict: &mut Verdict) -> Result<bool, Cause> {
        let standing = |balance: Balance| Standing {
            rate: account.rate,
            remaining: balance.remaining,
            full_in: Duration::from_nanos(balance.full_in),
            fields: self.config.headers,
        };
        match answer {
            Answer::Yes { balance, held } => {
                // Told of is the limit that is closest to its end.
                if verdict.limit.is_none_or(|other| balance.remaining < other.remaining) {
                    verdict.limit = Some(standing(balance));
                }
                Ok(held)
            }
            Answer::No { wait, balance } => {
                let standing = standing(balance);
                verdict.limit = Some(standing);
                Err(standing.refusal(wait, account))
            }
            Answer::Unknown | Answer::Wait => {
                let message = "How much you have asked can't be counted at the moment.";
                Err(Cause::new(Code::ServiceUnavailable, "limits_away", message).retry_after(Duration::from_secs(1)))
            }
        }
    }

    fn find(&self, verdict: &Verdict) -> Vec<Budget> {
        let find = |account| {
            let tokens = match self.config.shared {
                true => Tokens::Lease(self.accounts.lease(&account)),
                false => Tokens::Bucket(self.accounts.bucket(&account)),
            };
            Budget { pace: account.rate.into(), account, tokens }
        };
        self.accounts(verdict).into_iter().map(find).collect()
    }

    /// Every account that the request is taken from.
    fn accounts(&self, verdict: &Verdict) -> Vec<Account> {
        let client = verdict.client.as_ref();
        let of_client = client.map(|client| Owner::Client(Arc::clone(&client.name)));
        let of_address = verdict.address.map(|address| Owner::Address(address::unit(address)));
        let own = client.map_or(&[][..], |client| client.limits.as_deref().unwrap_or(&self.config.client));
        let of_route = limited(verdict).map(|route| (&route.config.limits, Arc::clone(&route.scope)));
        let mut accounts = Vec::with_capacity(2);
        let mut add = |owner: &Option<Owner>, rates: &[Rate], scope: Option<&Arc<str>>| {
            let Some(owner) = owner else { return };
            accounts.extend(rates.iter().map(|rate| Account {
                owner: owner.clone(),
                scope: scope.cloned(),
                rate: *rate,
            }));
        };
        add(&of_client, own, None);
        add(&of_address, &self.config.address, None);
        if let Some((limits, scope)) = of_route {
            add(&of_client, &limits.client, Some(&scope));
            add(&of_address, &limits.address, Some(&scope));
        }
        accounts
    }
}

/// The route, where it has limits of its own.
fn limited(verdict: &Verdict) -> Option<&Arc<Route>> {
    verdict.route.as_ref().filter(|route| !route.config.limits.is_empty())
}

impl Filter for RateLimit {
    fn name(&self) -> &'static str {
        "rate_limit"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        self.count(head.moment().instant, verdict)
    }
}

#[cfg(test)]
mod tests;
