//! Request filters of addrgate: one file each, all of one shape.
//!
//! A filter file holds, in this order: its doc with its YAML, its `Config`, its state, `impl Filter`, its tests. Adding one
//! is that file, one field and one line in [`Filters`], and a block in `config.yaml`.
//!
//! What a filter refuses is a [`reply::Cause`]; only [`reply`] knows statuses and bodies.

pub mod breaker;
pub mod cache_key;
pub mod cache_policy;
pub mod cache_status;
pub mod client;
pub mod cors;
pub mod edge;
pub mod head;
pub mod meta;
pub mod per_upstream;
pub mod priority;
pub mod queue;
pub mod rate_limit;
pub mod reply;
pub mod request_body;
pub mod request_id;
pub mod route;
pub mod target;
pub mod units;
pub mod verdict;

use async_trait::async_trait;
use head::Head;
use reply::{Cause, Reply};
use verdict::Verdict;

/// What a filter says to one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Flow {
    /// On to the next filter.
    Continue,
    /// The request is refused.
    Reply(Cause),
    /// The request ends here with an answer that is no refusal.
    Answer(Reply),
}

/// Which filter ended a request, and how.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop {
    /// By name, and why.
    Refused(&'static str, Cause),
    /// With this answer.
    Answered(Reply),
}

impl Flow {
    /// A refusal.
    #[must_use]
    pub fn refuse(code: reply::Code, reason: &'static str, message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Flow::Reply(Cause::new(code, reason, message))
    }

    fn stop(self, by: &'static str) -> Result<(), Stop> {
        match self {
            Flow::Continue => Ok(()),
            Flow::Reply(cause) => Err(Stop::Refused(by, cause)),
            Flow::Answer(reply) => Err(Stop::Answered(reply)),
        }
    }
}

/// Whether a filter acts or only counts what it would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Refusals are sent.
    #[default]
    Enforce,
    /// Refusals are counted and logged (`observed`), and the request goes on: the safe way to tune a limit.
    Observe,
}

impl Mode {
    /// What becomes of a refusal: sent, or noted in the verdict.
    fn refuse(self, by: &'static str, cause: Cause, verdict: &mut Verdict) -> Flow {
        match self {
            Mode::Enforce => Flow::Reply(cause),
            Mode::Observe => {
                verdict.observed.push((by, cause.reason));
                Flow::Continue
            }
        }
    }
}

/// How a request ended, for [`Filter::finish`].
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// The status sent; 0 where the client left before one was.
    pub status: u16,
    /// From the end of the request head to the end of the answer.
    pub elapsed: std::time::Duration,
}

/// One filter. Three moments and no more; response shaping is not one of them.
#[async_trait]
pub trait Filter: Send + Sync {
    /// The name in logs, metrics and `explain`: the file's.
    fn name(&self) -> &'static str;

    /// Every request, before the cache. Never waits, so that the door can run it.
    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        let _ = (head, verdict);
        Flow::Continue
    }

    /// Only when the upstream is really needed, never on a hit. May wait; a client that leaves meanwhile drops the future.
    async fn forward(&self, verdict: &mut Verdict) -> Flow {
        let _ = verdict;
        Flow::Continue
    }

    /// Always, exactly once, also when the client hangs up: release permits, count.
    fn finish(&self, verdict: &mut Verdict, outcome: Outcome) {
        let _ = (verdict, outcome);
    }
}

/// All filters of one configuration, in the compiled form.
#[derive(Debug)]
pub struct Filters {
    /// Names the request.
    pub request_id: request_id::NameRequest,
    /// Framing and bounds.
    pub edge: edge::Edge,
    /// Scripts on other origins.
    pub cors: cors::Cors,
    /// First route that matches.
    pub route: route::Routes,
    /// API key to identity.
    pub client: client::Clients,
    /// Who goes first.
    pub priority: priority::Priority,
    /// How much a client may ask.
    pub rate_limit: rate_limit::RateLimit,
    /// What body the route takes.
    pub request_body: request_body::Bodies,
    /// Normal form of the request, and its key.
    pub cache_key: cache_key::Keys,
    /// Upstreams that fail are not asked.
    pub breaker: breaker::Breakers,
    /// Who waits, who goes, who is refused.
    pub queue: queue::Queues,
}

impl Filters {
    /// The order, and why:
    ///
    /// 1. `request_id` first, so that every refusal carries a name;
    /// 2. `edge` before anything reads a field, because nothing can be trusted in a request whose framing is in doubt;
    /// 3. `cors` before `route` and `client`, because a preflight has no key and its method is on no route;
    /// 4. `route` before `client`, because the route says whether a key is needed at all;
    /// 5. `client` before limits (they are per client) and before the body is looked at (cheap refusals first);
    /// 6. `priority` after both, because it comes from both;
    /// 7. `rate_limit` before the body is looked at, so that a flood costs as little as it can;
    /// 8. `request_body` before anything reads the body;
    /// 9. `cache_key` last of those that see each request: it costs the most, and only a request that will be answered
    ///    needs it;
    /// 10. `breaker`, then `queue` when the upstream is needed: what is refused never holds a place.
    #[must_use]
    pub fn order(&self) -> [&dyn Filter; 11] {
        [
            &self.request_id,
            &self.edge,
            &self.cors,
            &self.route,
            &self.client,
            &self.priority,
            &self.rate_limit,
            &self.request_body,
            &self.cache_key,
            &self.breaker,
            &self.queue,
        ]
    }

    /// Walks the list until a filter ends the request.
    pub fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Result<(), Stop> {
        self.order().into_iter().try_for_each(|filter| filter.request(head, verdict).stop(filter.name()))
    }

    /// The same list, when the upstream is needed, before each try of another upstream ([`Verdict::upstream`]).
    pub async fn forward(&self, verdict: &mut Verdict) -> Result<(), Stop> {
        for filter in self.order() {
            filter.forward(verdict).await.stop(filter.name())?;
        }
        Ok(())
    }

    /// The same list, at the end.
    pub fn finish(&self, verdict: &mut Verdict, outcome: Outcome) {
        for filter in self.order() {
            filter.finish(verdict, outcome);
        }
    }

    /// Goes on with the running state of the filters before a reload: what is kept by upstream or by process stays, only
    /// settings change. To be called when this configuration takes its place, not before: a file that turns out invalid
    /// must change nothing.
    pub fn adopt(&mut self, old: &Filters) {
        self.breaker.adopt(&old.breaker);
        self.queue.adopt(&old.queue);
    }
}
