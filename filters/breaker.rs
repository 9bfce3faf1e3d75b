//! The breakers of the upstreams as a filter: what an open one refuses never reaches the queue.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::cause::{Cause, Code};
use crate::per_upstream::PerUpstream;
use crate::traffic::breaker::{Breaker, Config, Refused, State};
use crate::verdict::Verdict;
use crate::{Filter, Flow};

/// The filter.
#[derive(Debug, Default)]
pub struct Breakers(PerUpstream<Config, Breaker>);

impl Breakers {
    /// From the settings of each upstream; the error is a sentence naming it.
    pub fn new(configs: &BTreeMap<String, Config>) -> Result<Self, String> {
        for (name, config) in configs {
            config.check().map_err(|e| format!("breaker of `{name}`: {e}"))?;
        }
        Ok(Self(PerUpstream::new(configs, Breaker::new)))
    }

    /// The breakers, for status, overrides and their watches.
    #[must_use]
    pub fn upstreams(&self) -> &PerUpstream<Config, Breaker> {
        &self.0
    }

    pub(crate) fn adopt(&mut self, old: &Self) {
        self.0.adopt(&old.0, |breaker, config| breaker.configure(config));
    }
}

/// The refusal of an open breaker.
#[must_use]
pub fn cause(refused: &Refused) -> Cause {
    let (reason, message) = match refused.state {
        State::HalfOpen => (
            "breaker_probing",
            "The upstream service was failing; a few trial requests find out whether it is back. Try again later.",
        ),
        State::ForcedOpen => ("breaker_forced_open", "The upstream service was taken out of use by an operator."),
        _ => ("breaker_open", "The upstream service is failing; no requests are sent to it for now. Try again later."),
    };
    Cause::new(Code::ServiceUnavailable, reason, message).retry_after(refused.retry_after)
}

#[async_trait]
impl Filter for Breakers {
    fn name(&self) -> &'static str {
        "breaker"
    }

    async fn forward(&self, verdict: &mut Verdict) -> Flow {
        let Some((config, breaker)) = self.0.of(verdict) else { return Flow::Continue };
        match breaker.admit() {
            Ok(permit) => {
                verdict.breaker = Some(permit.slow_from(verdict.slow()));
                Flow::Continue
            }
            Err(refused) => {
                verdict.breaker = None;
                config.mode.refuse(self.name(), cause(&refused), verdict)
            }
        }
    }

    /// A permit that is still there was not used: the call counts as cancelled.
    fn finish(&self, verdict: &mut Verdict) {
        verdict.breaker = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::route::Routes;
    use crate::traffic::Answered;
    use crate::traffic::Mode;
    use crate::traffic::units::Span;

    const MS: Duration = Duration::from_millis(1);

    fn filter(mode: Mode) -> Breakers {
        let config = Config { mode, minimum: 1, ..Config::default() };
        let other = Config { open: Span::secs(3), ..config };
        Breakers::new(&BTreeMap::from([("main".to_owned(), config), ("other".to_owned(), other)])).unwrap()
    }

    fn verdict(upstream: &str) -> Verdict {
        let route = format!(r#"[{{"name": "r", "paths": ["/"], "upstream": "{upstream}", "timeout": "1s"}}]"#);
        let routes = Routes::new(serde_json::from_str(&route).unwrap()).unwrap();
        Verdict { route: Some(Arc::clone(&routes.list()[0])), ..Verdict::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn each_upstream_has_its_own() {
        let filter = filter(Mode::Enforce);
        let mut verdict = verdict("main");
        assert_eq!(filter.forward(&mut verdict).await, Flow::Continue);
        verdict.answered(Answered::Failed, MS);
        let Flow::Reply(cause) = filter.forward(&mut verdict).await else { panic!("let through") };
        assert_eq!((cause.status(), cause.reason), (503, "breaker_open"));
        assert!(cause.retry_after.is_some());
        verdict.upstream = Some("other".into());
        assert_eq!(filter.forward(&mut verdict).await, Flow::Continue);
        assert_eq!(verdict.breaker.as_ref().map(|permit| &**permit.breaker().name()), Some("other"));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_is_measured_against_the_routes_timeout() {
        for (elapsed, flow) in [(799, true), (800, false)] {
            let (filter, mut verdict) = (filter(Mode::Enforce), verdict("main"));
            filter.forward(&mut verdict).await;
            verdict.answered(Answered::Ok, elapsed * MS);
            assert_eq!(filter.forward(&mut verdict).await == Flow::Continue, flow);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_unanswered_counts_as_nothing() {
        let (filter, mut verdict) = (filter(Mode::Enforce), verdict("main"));
        filter.forward(&mut verdict).await;
        filter.finish(&mut verdict);
        assert_eq!(filter.upstreams().get("main").unwrap().snapshot().calls, 0);
        assert_eq!(filter.forward(&mut verdict).await, Flow::Continue);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_try_needs_the_breaker_too() {
        let (filter, mut first, mut second) = (filter(Mode::Enforce), verdict("main"), verdict("main"));
        filter.forward(&mut first).await;
        filter.forward(&mut second).await;
        assert!(first.again() && first.breaker.is_some());
        first.answered(Answered::Failed, MS);
        assert!(!second.again(), "the failure opened it");
    }

    #[tokio::test(start_paused = true)]
    async fn observed_refusals_go_on() {
        let (filter, mut verdict) = (filter(Mode::Observe), verdict("main"));
        filter.forward(&mut verdict).await;
        verdict.answered(Answered::Overloaded, MS);
        assert_eq!(filter.forward(&mut verdict).await, Flow::Continue);
        assert_eq!(verdict.observed, [("breaker", "breaker_open")]);
        assert!(verdict.breaker.is_none(), "its result would say nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn observed_nobody_loses_a_place_or_a_second_try() {
        let (filter, mut first, mut second) = (filter(Mode::Observe), verdict("main"), verdict("main"));
        filter.forward(&mut first).await;
        filter.forward(&mut second).await;
        first.answered(Answered::Failed, MS);
        assert!(second.again(), "the failure opened it");
        let breaker = filter.upstreams().get("main").unwrap();
        assert!(breaker.state().refuses() && !breaker.refuses());
        let revoked = tokio::time::timeout(60_000 * MS, second.breaker.as_ref().unwrap().revoked()).await;
        assert!(revoked.is_err(), "who waits goes on waiting");
    }

    #[tokio::test(start_paused = true)]
    async fn it_refuses_until_its_time_is_over_and_while_its_probes_are_out() {
        let (filter, mut verdict) = (filter(Mode::Enforce), verdict("main"));
        let breaker = Arc::clone(filter.upstreams().get("main").unwrap());
        filter.forward(&mut verdict).await;
        verdict.answered(Answered::Failed, MS);
        assert!(breaker.refuses());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!breaker.refuses(), "nobody needs to come for that");
        let _probes: Vec<_> = (0..3).map(|_| breaker.admit().unwrap()).collect();
        assert!(breaker.refuses());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_goes_on_with_the_state_and_the_new_settings() {
        let (old, mut verdict) = (filter(Mode::Enforce), verdict("main"));
        old.forward(&mut verdict).await;
        verdict.answered(Answered::TimedOut, MS);
        let mut new = filter(Mode::Observe);
        new.adopt(&old);
        assert_eq!(new.upstreams().get("main").unwrap().state(), State::Open);
        assert_eq!(new.forward(&mut verdict).await, Flow::Continue);
    }

    #[test]
    fn a_mistake_names_its_upstream() {
        let config = Config { window: 0, ..Config::default() };
        let error = Breakers::new(&BTreeMap::from([("main".to_owned(), config)])).unwrap_err();
        assert!(error.starts_with("breaker of `main`: "), "{error}");
    }
}
