//! The queues of the upstreams as a filter: the last that a request passes before its upstream is asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::address::unit;
use crate::breaker;
use crate::cause::{Cause, Code};
use crate::per_upstream::PerUpstream;
use crate::traffic::breaker::{Permit, Refused};
use crate::traffic::queue::{Ask, Config, Entered, Full, Gone, Lend, No, Owner, Queue, Slot, Waiting};
use crate::verdict::Verdict;
use crate::{Filter, Flow, Mode};

/// The filter.
#[derive(Debug, Default)]
pub struct Queues(PerUpstream<Config, Queue>);

impl Queues {
    /// From the settings of each upstream; the error is a sentence naming it.
    pub fn new(configs: &BTreeMap<String, Config>) -> Result<Self, String> {
        for (name, config) in configs {
            config.check().map_err(|e| format!("queue of `{name}`: {e}"))?;
        }
        Ok(Self(PerUpstream::new(configs, Queue::new)))
    }

    /// The queues, for status, signals and second tries.
    #[must_use]
    pub fn upstreams(&self) -> &PerUpstream<Config, Queue> {
        &self.0
    }

    pub(crate) fn adopt(&mut self, old: &Self) {
        self.0.adopt(&old.0, Queue::configure);
    }
}

fn owner(verdict: &Verdict) -> Owner {
    match (&verdict.client, verdict.address) {
        (Some(client), _) => Owner::Client(Arc::clone(&client.name)),
        (None, Some(address)) => Owner::Address(unit(address)),
        (None, None) => Owner::Nobody,
    }
}

fn cause(no: No) -> Cause {
    let (reason, message, wait) = match no {
        No::Full(Full::Class) => ("queue_full", "Too many requests are waiting.", Duration::ZERO),
        No::Full(Full::Share) => ("queue_share", "Too many of your requests are waiting.", Duration::ZERO),
        No::Wait(excess) => ("queue_wait", "The request would wait too long for its turn.", excess),
    };
    refusal(reason, message, wait)
}

/// With `Retry-After` of at least a second, and at random up to twice that, so that the refused don't come back together.
fn refusal(reason: &'static str, message: &'static str, wait: Duration) -> Cause {
    let wait = wait.clamp(Duration::from_secs(1), Duration::from_secs(30));
    let spread = wait.mul_f64(1.0 + rand::random::<f64>());
    Cause::new(Code::ServiceUnavailable, reason, message).retry_after(spread)
}

/// The place, or why there is none.
async fn wait(mut waiting: Waiting, permit: Option<&Permit>) -> Result<Slot, Cause> {
    let revoked = async {
        match permit {
            Some(permit) => permit.revoked().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        slot = waiting.slot() => slot.map_err(|gone| match gone {
            Gone::TimedOut => {
                waiting.queue.timed_out(waiting.number);
                refusal("queue_timeout", "The request waited too long for its turn.", Duration::ZERO)
            }
            Gone::Displaced => cause(No::Full(Full::Share)),
        }),
        () = revoked => Err(permit.map_or_else(
            || refusal("queue_timeout", "The request waited too long for its turn.", Duration::ZERO),
            revocation,
        )),
    }
}

/// The refusal of a breaker that opened while the request waited.
fn revocation(permit: &Permit) -> Cause {
    let breaker = permit.breaker();
    let snapshot = breaker.snapshot();
    let retry_after = Duration::from_millis(snapshot.reopens_in_ms.unwrap_or(1000));
    breaker::cause(&Refused { name: breaker.name().clone(), state: snapshot.state, retry_after })
}

#[async_trait]
impl Filter for Queues {
    fn name(&self) -> &'static str {
        "queue"
    }

    async fn forward(&self, verdict: &mut Verdict) -> Flow {
        verdict.slot = None;
        let Some((config, queue)) = self.0.of(verdict) else { return Flow::Continue };
        let lent = verdict.lend.as_ref().map(Lend::class);
        let class = verdict.class.max(lent.unwrap_or(verdict.class));
        let now = Instant::now();
        let left = verdict.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(now));
        let ask = Ask { class, owner: owner(verdict), now, left };
        let refused = match queue.enter(&ask) {
            Ok(Entered::Slot(slot)) => {
                verdict.slot = Some(slot);
                return Flow::Continue;
            }
            Ok(Entered::Waiting(waiting)) if config.mode == Mode::Enforce => {
                if let Some(lend) = &verdict.lend {
                    lend.wait(&waiting);
                }
                match wait(waiting, verdict.breaker.as_ref()).await {
                    Ok(slot) => {
                        verdict.slot = Some(slot);
                        return Flow::Continue;
                    }
                    Err(cause) => Some(cause),
                }
            }
            Ok(Entered::Waiting(_)) => None,
            Err(no) => Some(cause(no)),
        };
        if config.mode == Mode::Observe {
            verdict.slot = Some(queue.beyond(class));
        } else {
            // The upstream is not asked, so the breaker's permit is free again.
            verdict.breaker = None;
        }
        match refused {
            Some(cause) => config.mode.refuse(self.name(), cause, verdict),
            None => Flow::Continue,
        }
    }

    /// A place that is still held is given back.
    fn finish(&self, verdict: &mut Verdict) {
        verdict.slot = None;
    }
}
