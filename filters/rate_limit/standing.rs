//! How a request stands with its limits, told in response fields and refusals.

use std::fmt::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::account::{Account, Owner};
use super::gcra::{self, intervals};
use crate::reply::{Cause, Code};
use crate::units::Rate;

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
    /// From now until one more request is allowed; zero where the whole budget is there.
    pub next_in: Duration,
    /// Which fields tell of it.
    pub fields: Fields,
}

impl Standing {
    /// `full_in`: nanoseconds until the whole budget is there again.
    pub(super) fn new(rate: Rate, remaining: u64, full_in: u64, fields: Fields) -> Self {
        let (_, interval) = intervals(rate);
        let next_in = if full_in == 0 { 0 } else { (full_in - 1) % interval + 1 };
        Self {
            rate,
            remaining,
            reset: Utc::now() + Duration::from_nanos(full_in),
            next_in: Duration::from_nanos(next_in),
            fields,
        }
    }

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
            // Since draft 10 `t` is the time until there is more, not until all is there.
            let seconds = self.next_in.as_secs() + u64::from(self.next_in.subsec_nanos() > 0);
            // Writing into a string can't fail.
            let _never_fails = write!(value, ";t={seconds}");
            field("ratelimit", value);
        }
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
        let message = format!("The {whose} is over its limit of {count} requests{what} in {per}.");
        Cause::new(Code::RateLimitExceeded, reason, message)
            .retry_after(gcra::jittered(wait))
            .detail("limit", count)
            .detail("remaining", 0)
            .detail("resetTime", self.reset.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
    }
}
