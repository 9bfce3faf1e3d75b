//! Limits how much one client, or one address, may ask. In this process only; the budget of a key is the same whatever it
//! asks.
//!
//! ```yaml
//! rate_limit:
//!   mode: enforce                  # or observe: only count and log what would be refused
//!   client: [1000/15m, 100/1m]     # per API key; a client's own `limits` stand in for these
//!   address: []                    # per network address, also without a key; IPv6 by /64
//!   headers: legacy                # X-RateLimit-*; or draft-10 (RateLimit, RateLimit-Policy), both, off
//! ```
//!
//! Several limits hold at once: a request is taken from all or from none. A refresh behind a reply counts for no one.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::sync::Cache;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::head::Head;
use crate::reply::{Cause, Code};
use crate::units::Rate;
use crate::verdict::Verdict;
use crate::{Filter, Flow, Mode};

mod gcra;

use gcra::{Bucket, Decision};

/// Limits, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether refusals are sent or only counted.
    pub mode: Mode,
    /// What each API key may ask; all of them hold.
    pub client: Vec<Rate>,
    /// What each network address may ask, with a key or without.
    pub address: Vec<Rate>,
    /// Which response fields tell of the limit.
    pub headers: Fields,
}

impl Default for Config {
    fn default() -> Self {
        Self { mode: Mode::Enforce, client: Vec::new(), address: Vec::new(), headers: Fields::Legacy }
    }
}

/// Which response fields tell of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fields {
    /// `X-RateLimit-Limit`, `-Remaining`, `-Reset`.
    #[default]
    Legacy,
    /// `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10.
    #[serde(rename = "draft-10")]
    Draft10,
    /// Both.
    Both,
    /// None.
    Off,
}

/// How a request stands with the limit that is closest to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub rate: Rate,
    /// How many more requests it allows now.
    pub remaining: u64,
    /// When the whole budget is there again.
    pub reset: DateTime<Utc>,
    /// The same, from now.
    pub full_in: Duration,
    /// Which fields tell of it.
    pub fields: Fields,
}

impl Standing {
    /// The response fields.
    pub fn write(&self, mut field: impl FnMut(&'static str, String)) {
        let Rate { count, per } = self.rate;
        if matches!(self.fields, Fields::Legacy | Fields::Both) {
            field("x-ratelimit-limit", count.to_string());
            field("x-ratelimit-remaining", self.remaining.to_string());
            field("x-ratelimit-reset", self.reset.timestamp().to_string());
        }
        if matches!(self.fields, Fields::Draft10 | Fields::Both) {
            field("ratelimit-policy", format!("\"default\";q={count};w={}", per.0.as_secs().max(1)));
            let mut value = format!("\"default\";r={}", self.remaining);
            // Writing into a string can't fail.
            let _never_fails = write!(value, ";t={}", self.full_in.as_secs());
            field("ratelimit", value);
        }
    }
}

/// Whose budget, under which limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Account {
    owner: Owner,
    count: u64,
    per: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Owner {
    Client(Arc<str>),
    Address(IpAddr),
}

/// The longest time that a budget may take to fill; an account that was idle so long is as good as new.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Accounts kept; the idlest give way. An attacker with a million addresses gets a million fresh budgets, but no memory.
const MOST_ACCOUNTS: u64 = 1_000_000;

/// The accounts of the process: a reload must not hand out fresh budgets.
static ACCOUNTS: LazyLock<Cache<Account, Arc<Bucket>>> =
    LazyLock::new(|| Cache::builder().max_capacity(MOST_ACCOUNTS).time_to_idle(LONGEST).build());

/// From here the buckets count.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The filter.
#[derive(Debug, Clone, Default)]
pub struct RateLimit(Config);

impl RateLimit {
    /// Compiles; the error is a sentence.
    pub fn new(config: &Config) -> Result<Self, String> {
        check(config.client.iter().chain(&config.address))?;
        Ok(Self(config.clone()))
    }

    fn judge(&self, head: &Head<'_>, verdict: &mut Verdict) -> Result<(), Cause> {
        // Not zero, which is a bucket that was never used.
        let now = u64::try_from(BEGIN.elapsed().as_nanos()).unwrap_or(u64::MAX / 4) + 1;
        let address = head.peer.map(network);
        let client = verdict.client.as_ref();
        let by_client = client.map_or(&[][..], |client| client.limits.as_deref().unwrap_or(&self.0.client));
        let of_client = by_client.iter().filter_map(|rate| Some((Owner::Client(client?.name.clone()), *rate)));
        let of_address = self.0.address.iter().filter_map(|rate| Some((Owner::Address(address?), *rate)));
        let mut taken: Vec<(Arc<Bucket>, Rate)> = Vec::with_capacity(2);
        for (owner, rate) in of_client.chain(of_address) {
            let is_client = matches!(owner, Owner::Client(_));
            let account = Account { owner, count: rate.count, per: rate.per.0 };
            let bucket = ACCOUNTS.get_with_by_ref(&account, Arc::default);
            let (remaining, full_in, wait) = match bucket.take(rate, now) {
                Decision::Allowed { remaining, full_in } => (remaining, full_in, None),
                Decision::Refused { wait, full_in } => (0, full_in, Some(Duration::from_nanos(wait))),
            };
            let full_in = Duration::from_nanos(full_in);
            let standing = Standing { rate, remaining, reset: Utc::now() + full_in, full_in, fields: self.0.headers };
            if verdict.limit.is_none_or(|other| standing.remaining < other.remaining || wait.is_some()) {
                verdict.limit = Some(standing);
            }
            if let Some(wait) = wait {
                taken.iter().for_each(|(bucket, rate)| bucket.give_back(*rate));
                return Err(refusal(&standing, wait, is_client));
            }
            taken.push((bucket, rate));
        }
        Ok(())
    }
}

/// Whether limits can be counted; the error is a sentence.
pub fn check<'a>(rates: impl Iterator<Item = &'a Rate>) -> Result<(), String> {
    for rate in rates {
        if rate.per.0 > LONGEST {
            return Err(format!("`{rate}`: a budget that takes longer than a day to fill is not kept"));
        }
        if u128::from(rate.count) > rate.per.0.as_nanos() {
            return Err(format!("`{rate}` is more than one request in a nanosecond"));
        }
    }
    Ok(())
}

/// What counts as one address: an IPv6 client has a /64 to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

fn refusal(standing: &Standing, wait: Duration, is_client: bool) -> Cause {
    let (reason, whose) = if is_client { ("client_limit", "API key") } else { ("address_limit", "address") };
    Cause::new(
        Code::RateLimitExceeded,
        reason,
        format!("The {whose} is over its limit of {} requests in {}.", standing.rate.count, standing.rate.per),
    )
    .retry_after(wait)
    .detail("limit", standing.rate.count)
    .detail("remaining", 0)
    .detail("resetTime", standing.reset.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

impl Filter for RateLimit {
    fn name(&self) -> &'static str {
        "rate_limit"
    }

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        if verdict.background {
            return Flow::Continue;
        }
        match (self.judge(head, verdict), self.0.mode) {
            (Ok(()), _) => Flow::Continue,
            (Err(cause), Mode::Enforce) => Flow::Reply(cause),
            (Err(cause), Mode::Observe) => {
                verdict.observed.push((self.name(), cause.reason));
                Flow::Continue
            }
        }
    }
}

#[cfg(test)]
mod tests;
