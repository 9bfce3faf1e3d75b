//! How a request stands with its limits, told in response fields and refusals.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::Utc;

use super::account::{Account, Owner};
use super::config::Fields;
use crate::cause::{Cause, Code};
use crate::traffic::gcra::{self, Pace};
use crate::traffic::units::Rate;

/// How a request stands with the limit that is closest to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub rate: Rate,
    /// How many more requests it allows now.
    pub remaining: u64,
    /// From now until the whole budget is there again.
    pub full_in: Duration,
    /// Which fields tell of it.
    pub fields: Fields,
}

impl Standing {
    /// The response fields. `now` is when they are written.
    pub fn write(&self, now: SystemTime, mut field: impl FnMut(&'static str, &str)) {
        let Rate { count, per } = self.rate;
        if matches!(self.fields, Fields::Legacy | Fields::Both) {
            let reset = (now + self.full_in).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            field("x-ratelimit-limit", itoa::Buffer::new().format(count));
            field("x-ratelimit-remaining", itoa::Buffer::new().format(self.remaining));
            field("x-ratelimit-reset", itoa::Buffer::new().format(reset));
        }
        if matches!(self.fields, Fields::Draft10 | Fields::Both) {
            field("ratelimit-policy", &format!("\"default\";q={count};w={}", per.0.as_secs().max(1)));
            let next_in = self.next_in();
            // Since draft 10 `t` is the time until there is more, not until all is there.
            let seconds = next_in.as_secs() + u64::from(next_in.subsec_nanos() > 0);
            field("ratelimit", &format!("\"default\";r={};t={seconds}", self.remaining));
        }
    }

    /// From now until one more request is allowed; zero where the whole budget is there.
    fn next_in(&self) -> Duration {
        let Pace { interval, .. } = self.rate.into();
        let full_in = u64::try_from(self.full_in.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(if full_in == 0 { 0 } else { (full_in - 1) % interval + 1 })
    }

    /// The refusal of a request that is over the limit, to come back after `wait` nanoseconds.
    pub(super) fn refusal(&self, wait: u64, account: &Account) -> Cause {
        let (of_client, of_route) = (matches!(account.owner, Owner::Client(_)), account.scope.is_some());
        let reason = match (of_client, of_route) {
            (true, false) => "client_limit",
            (true, true) => "client_route_limit",
            (false, false) => "address_limit",
            (false, true) => "address_route_limit",
        };
        let whose = if of_client { "client" } else { "address" };
        let what = if of_route { " to this endpoint" } else { "" };
        let Rate { count, per } = self.rate;
        let reset = Utc::now() + self.full_in;
        let message = format!("The {whose} is over its limit of {count} requests{what} in {per}.");
        Cause::new(Code::RateLimitExceeded, reason, message)
            .retry_after(gcra::jittered(wait))
            .detail("limit", count)
            .detail("remaining", 0)
            .detail("resetTime", crate::http::response::timestamp(reset))
    }
}
