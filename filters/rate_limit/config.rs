//! Settings of limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::traffic::Mode;
use crate::traffic::leases::OnError;
use crate::traffic::units::{Rate, Span};

/// Limits, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether refusals are sent or only counted.
    pub mode: Mode,
    /// What each client may ask; all of them hold.
    pub client: Vec<Rate>,
    /// What each network address may ask, with a key or without.
    pub address: Vec<Rate>,
    /// Which response fields tell of the limit.
    pub headers: Fields,
    /// Whether all instances count together. Needs Redis.
    pub shared: bool,
    /// What is allowed while Redis can't be asked.
    pub on_error: OnError,
    /// How long a request may wait where no tokens are at hand; then `on_error` holds.
    pub wait: Span,
    /// Most budgets that are remembered, of clients and of addresses each; 1000 to 10000000. One takes 0.4 KiB, with
    /// `shared` 0.8 KiB. The idlest give way, and begin with a whole budget when they come again. Needs a restart.
    pub accounts: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            client: Vec::new(),
            address: Vec::new(),
            headers: Fields::Legacy,
            shared: false,
            on_error: OnError::Local,
            wait: Span::millis(100),
            accounts: 50_000,
        }
    }
}

/// Limits of one route, besides those of `rate_limit`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// What each client may ask of this route; also one whose own `limits` are empty.
    pub client: Vec<Rate>,
    /// What each network address may ask of it.
    pub address: Vec<Rate>,
}

impl Limits {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.client.is_empty() && self.address.is_empty()
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
