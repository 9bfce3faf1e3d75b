//! What a call is told by, from when it is let through to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::window::Call;
use super::{Breaker, State};

/// A call that was let through. Dropped without a word it was cancelled: it counts as nothing and gives its place back.
#[derive(Debug)]
#[must_use = "a permit that is dropped counts as cancelled"]
pub struct Permit {
    breaker: Arc<Breaker>,
    generation: u64,
    /// Our own probe.
    own: bool,
    slow: Option<Duration>,
    told: bool,
}

impl Permit {
    pub(super) fn new(breaker: Arc<Breaker>, generation: u64, own: bool) -> Self {
        Self { breaker, generation, own, slow: None, told: false }
    }

    /// What counts as slow for this call where the settings do not say.
    pub fn slow_from(mut self, time: Duration) -> Self {
        self.slow = Some(time);
        self
    }

    /// The breaker that let it through.
    #[must_use]
    pub fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }

    /// The dependency answered, be it with a refusal that is the caller's fault.
    pub fn success(self, elapsed: Duration) {
        self.tell(Some(elapsed));
    }

    /// It did not, or answered that it can't.
    pub fn failure(self) {
        self.tell(None);
    }

    fn tell(mut self, answered: Option<Duration>) {
        self.told = true;
        self.breaker.with(|machine| {
            let limit = machine.config.slow.map(|span| span.0).or(self.slow);
            let slow = answered.zip(limit).is_some_and(|(elapsed, limit)| elapsed >= limit);
            machine.report(self.generation, Call { failed: answered.is_none(), slow }, self.own, Instant::now());
        });
    }

    /// Ends when the breaker refuses every call: whoever still waits to begin this one need not wait on.
    pub async fn revoked(&self) {
        loop {
            self.breaker.until(State::refuses).await;
            if self.breaker.enforces() {
                return;
            }
            self.breaker.until(|state| !state.refuses()).await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.told {
            self.breaker.with(|machine| machine.cancelled(self.generation));
        }
    }
}
