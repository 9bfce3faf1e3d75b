//! How many wrong keys and tokens one address may show. Keys of 256 bits can't be guessed; this bounds what trying costs
//! us. A right key passes all the same, so that one wrong client does not lock out the others behind its address.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use moka::sync::Cache;

use crate::address;
use crate::cause::{Cause, Code};
use crate::traffic::gcra::{self, Bucket, Decision};
use crate::traffic::units::Rate;

/// The failures of the process, by address and limit: a reload forgets none.
static FAILURES: LazyLock<Cache<(IpAddr, Rate), Arc<Bucket>>> =
    LazyLock::new(|| Cache::builder().max_capacity(100_000).time_to_idle(Duration::from_secs(86_400)).build());

#[derive(Debug, Clone, Default)]
pub(super) struct Failures(Option<Rate>);

impl Failures {
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Self(rate)
    }

    /// Counts one more; the refusal where that is too many.
    pub(super) fn count(&self, address: Option<IpAddr>) -> Option<Cause> {
        let (key, rate) = self.key(address)?;
        match FAILURES.get_with(key, Arc::default).take(rate, gcra::now()) {
            Decision::Allowed { .. } => None,
            Decision::Refused { wait, .. } => Some(refusal(wait)),
        }
    }

    /// The refusal where one more would be too many; counts nothing.
    pub(super) fn spent(&self, address: Option<IpAddr>) -> Option<Cause> {
        let (key, rate) = self.key(address)?;
        let wait = FAILURES.get(&key)?.wait(rate, gcra::now());
        (wait > 0).then(|| refusal(wait))
    }

    fn key(&self, address: Option<IpAddr>) -> Option<((IpAddr, Rate), Rate)> {
        self.0.and_then(|rate| Some(((address::unit(address?), rate), rate)))
    }
}

fn refusal(wait: u64) -> Cause {
    let message = "Too many wrong API keys or tokens came from your address.";
    Cause::new(Code::RateLimitExceeded, "auth_failures", message).retry_after(gcra::jittered(wait))
}
