//! All filters, and the order in which a request meets them.

use crate::filter::{Filter, Stop};
use crate::http::head::{Head, Moment};
use crate::http::request_id::RequestId;
use crate::traffic::degrade::Signals;
use crate::verdict::Verdict;
use crate::{address, breaker, cache_key, client, cors, degrade, edge, priority, queue, rate_limit, request_body};
use crate::{request_id, rollout, route};

/// All filters of one configuration, in the compiled form.
#[derive(Debug, Default)]
pub struct Filters {
    /// Names the request.
    pub request_id: request_id::NameRequest,
    /// Framing and bounds.
    pub edge: edge::Edge,
    /// From where a client asks.
    pub address: address::Addresses,
    /// Scripts on other origins.
    pub cors: cors::Cors,
    /// First route that matches.
    pub route: route::Routes,
    /// API key or token to client.
    pub client: client::Clients,
    /// Who goes first.
    pub priority: priority::Priority,
    /// How much a client may ask.
    pub rate_limit: rate_limit::RateLimit,
    /// What body the route takes.
    pub request_body: request_body::Bodies,
    /// Which upstream, for a gradual rollout.
    pub rollout: rollout::Rollout,
    /// Normal form of the request, and its key.
    pub cache_key: cache_key::Keys,
    /// Less is done while there is trouble.
    pub degrade: degrade::Degrade,
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
    /// 3. `address` before all that depends on from where a client asks;
    /// 4. `cors` before `route` and `client`, because a preflight has no key and its method is on no route;
    /// 5. `route` before `client`, because the route says whether a key is needed at all;
    /// 6. `client` before limits (they are per client) and before the body is looked at (cheap refusals first);
    /// 7. `priority` after both, because it comes from both;
    /// 8. `rate_limit` before the body is looked at, so that a flood costs as little as it can;
    /// 9. `request_body` before anything reads the body;
    /// 10. `rollout` before `cache_key`, because each upstream's answers are kept apart;
    /// 11. `cache_key` last of those that see each request: it costs the most, and only a request that will be answered
    ///     needs it;
    /// 12. `degrade`, `breaker`, `queue` when the upstream is needed: what is refused never holds a place.
    #[must_use]
    pub fn order(&self) -> [&dyn Filter; 14] {
        [
            &self.request_id,
            &self.edge,
            &self.address,
            &self.cors,
            &self.route,
            &self.client,
            &self.priority,
            &self.rate_limit,
            &self.request_body,
            &self.rollout,
            &self.cache_key,
            &self.degrade,
            &self.breaker,
            &self.queue,
        ]
    }

    /// Walks the list until a filter ends the request.
    pub fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Result<(), Stop> {
        verdict.probe = self.route.is_probe(head);
        self.order().into_iter().try_for_each(|filter| filter.request(head, verdict).stop(filter.name()))
    }

    /// The same for a request that equals one that passed, with the verdict on that one if it is a lasting one
    /// ([`Verdict::is_lasting`]): only what is each request's own.
    pub fn again(&self, at: Moment, verdict: &mut Verdict) -> Result<(), Stop> {
        verdict.limit = None;
        verdict.observed.clear();
        verdict.request_id = RequestId::at(at.wall);
        self.rate_limit.count(at.instant, verdict).stop(self.rate_limit.name())
    }

    /// Awaits what [`Filters::request`] left to be awaited ([`Verdict::waiting`]); before anything else is done.
    pub async fn settle(&self, verdict: &mut Verdict) -> Result<(), Stop> {
        self.rate_limit.settle(verdict).await.stop(self.rate_limit.name())
    }

    /// The same list, when the upstream is needed, before each try of another upstream ([`Verdict::upstream`]).
    pub async fn forward(&self, verdict: &mut Verdict) -> Result<(), Stop> {
        // The others have nothing to say to it, and asking each costs an allocation.
        let [.., degrade, breaker, queue] = self.order();
        for filter in [degrade, breaker, queue] {
            filter.forward(verdict).await.stop(filter.name())?;
        }
        Ok(())
    }

    /// The same list, at the end.
    pub fn finish(&self, verdict: &mut Verdict) {
        for filter in self.order() {
            filter.finish(verdict);
        }
    }

    /// Feeds the degradation controller with the signals of breakers and queues; to be called about once a second, with
    /// the share of its limit of memory that the process uses (0 to 1).
    pub fn tick(&self, memory: f64) {
        let mut signals = Signals { memory, ..Signals::default() };
        for queue in self.queue.upstreams().used(&self.route) {
            let (calls, refused, errors) = queue.drain();
            signals.calls += calls;
            signals.refused += refused;
            signals.errors += errors;
            signals.delay = signals.delay.max(queue.delay());
        }
        let breakers = || self.breaker.upstreams().used(&self.route);
        let open = breakers().filter(|breaker| breaker.enforces() && breaker.state().refuses()).count();
        signals.breakers = open as f64 / breakers().count().max(1) as f64;
        self.degrade.tick(signals);
    }

    /// Goes on with the running state of the filters before a reload: what is kept by upstream or by process stays, only
    /// settings change. To be called when this configuration takes its place, not before: a file that turns out invalid
    /// must change nothing.
    pub fn adopt(&mut self, old: &Filters) {
        self.degrade.adopt(&old.degrade);
        self.breaker.adopt(&old.breaker);
        self.queue.adopt(&old.queue);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::breaker::Breakers;
    use crate::http::head::Headers;
    use crate::queue::Queues;
    use crate::traffic::breaker::Force;
    use crate::traffic::degrade::Level;
    use crate::traffic::{self, Answered, Mode};

    /// A route to `main`; `spare` is nobody's own upstream.
    fn filters() -> Filters {
        filters_that(Mode::Enforce)
    }

    fn filters_that(mode: Mode) -> Filters {
        let routes = r#"[{"name": "r", "paths": ["/"], "upstream": "main"}]"#;
        let route = route::Routes::new(serde_json::from_str(routes).unwrap()).unwrap();
        let names = || ["main".to_owned(), "spare".to_owned()].into_iter();
        let breaker = traffic::breaker::Config { mode, ..traffic::breaker::Config::default() };
        let breaker = Breakers::new(&names().map(|name| (name, breaker)).collect()).unwrap();
        let queue = traffic::queue::Config { mode, ceiling: 1, floor: 1, size: 0, ..traffic::queue::Config::default() };
        let queue = Queues::new(&names().map(|name| (name, queue)).collect::<BTreeMap<_, _>>()).unwrap();
        let degrade = degrade::Degrade::new(&traffic::degrade::Config::default()).unwrap();
        Filters { route, breaker, queue, degrade, ..Filters::default() }
    }

    fn verdict(filters: &Filters) -> Verdict {
        Verdict { route: Some(Arc::clone(&filters.route.list()[0])), ..Verdict::default() }
    }

    async fn refused(filters: &Filters, verdict: &mut Verdict) -> (&'static str, &'static str) {
        match filters.forward(verdict).await {
            Err(Stop::Refused(by, cause)) => (by, cause.reason),
            other => panic!("{other:?}"),
        }
    }

    fn running(filters: &Filters, name: &str) -> usize {
        filters.queue.upstreams().get(name).unwrap().snapshot().running
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_holds_nothing_and_a_fallback_is_asked_anew() {
        let filters = filters();
        let mut first = verdict(&filters);
        assert_eq!(filters.forward(&mut first).await, Ok(()));
        let mut second = verdict(&filters);
        assert_eq!(refused(&filters, &mut second).await, ("queue", "queue_full"));
        filters.breaker.upstreams().get("main").unwrap().force(Force::Open);
        assert_eq!(refused(&filters, &mut second).await, ("breaker", "breaker_forced_open"));
        assert!(second.breaker.is_none() && second.slot.is_none());

        second.upstream = Some("spare".into());
        assert_eq!(filters.forward(&mut second).await, Ok(()));
        assert_eq!((running(&filters, "main"), running(&filters, "spare")), (1, 1));
        second.answered(Answered::Ok, Duration::ZERO);
        filters.degrade.force(Level::Emergency, Duration::from_secs(60));
        assert_eq!(refused(&filters, &mut second).await, ("degrade", "degraded_cache_only"));

        filters.finish(&mut first);
        assert_eq!((running(&filters, "main"), running(&filters, "spare")), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_upstreams_of_routes_give_the_signals() {
        let filters = filters();
        let level_after = async |seconds: usize| {
            for _ in 0..seconds {
                tokio::time::advance(Duration::from_secs(1)).await;
                filters.tick(0.1);
            }
            filters.degrade.level()
        };
        filters.breaker.upstreams().get("spare").unwrap().force(Force::Open);
        assert_eq!(level_after(60).await, Level::Normal);
        filters.breaker.upstreams().get("main").unwrap().force(Force::Open);
        assert_eq!(level_after(1).await, Level::Reduced);
        assert_eq!(level_after(10).await, Level::Minimal);
        filters.breaker.upstreams().get("main").unwrap().force(Force::Closed);
        assert_eq!(level_after(60).await, Level::Normal);
        let _holds = {
            let mut verdict = verdict(&filters);
            filters.forward(&mut verdict).await.unwrap();
            verdict
        };
        for _ in 0..60 {
            refused(&filters, &mut verdict(&filters)).await;
        }
        assert_eq!(level_after(1).await, Level::Minimal, "60 of 61 were refused, none failed");
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_observes_lowers_no_level() {
        let filters = filters_that(Mode::Observe);
        filters.breaker.upstreams().get("main").unwrap().force(Force::Open);
        for _ in 0..60 {
            let mut verdict = verdict(&filters);
            assert_eq!(filters.forward(&mut verdict).await, Ok(()));
            tokio::time::advance(Duration::from_secs(1)).await;
            filters.tick(0.1);
        }
        assert_eq!(filters.degrade.level(), Level::Normal);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_goes_on_with_what_runs() {
        let (old, mut new) = (filters(), filters());
        let mut first = verdict(&old);
        old.forward(&mut first).await.unwrap();
        old.breaker.upstreams().get("spare").unwrap().force(Force::Open);
        old.degrade.force(Level::Reduced, Duration::from_secs(60));
        new.adopt(&old);
        assert_eq!((running(&new, "main"), new.degrade.level()), (1, Level::Reduced));
        first.answered(Answered::Ok, Duration::ZERO);
        assert_eq!(running(&new, "main"), 0);
        assert!(new.breaker.upstreams().get("spare").unwrap().state().refuses());
    }

    #[test]
    fn judged_again_an_equal_request_gets_what_a_new_one_gets() {
        let routes = r#"[{"name": "r", "paths": ["/a"], "auth": "none", "cache": {}}]"#;
        let route = route::Routes::new(serde_json::from_str(routes).unwrap()).unwrap();
        let limits = rate_limit::Config { address: vec!["3/1h".parse().unwrap()], ..Default::default() };
        let accounts = Arc::<rate_limit::Accounts>::default();
        let rate_limit = rate_limit::RateLimit::new(&limits).unwrap().over(accounts);
        let filters = Filters { route, rate_limit, ..filters() };
        let fields = [("host", "h"), ("x-correlation-id", "c"), ("origin", "o"), ("priority", "u=7")]
            .map(|(name, value)| httparse::Header { name, value: value.as_bytes() });
        let head = Head::new("GET", "/a?q=1&x=2", Headers::Raw(&fields));
        let head = Head { peer: Some([10, 0, 0, 1].into()), ..head };
        let (mut first, mut new) = (Verdict::default(), Verdict::default());
        assert_eq!(filters.request(&head, &mut first), Ok(()));
        assert!(first.is_lasting() && first.key.is_some());
        let (name, left) = (first.request_id, first.limit.unwrap().remaining);
        assert_eq!(filters.again(Moment::now(), &mut first), Ok(()));
        assert_ne!(first.request_id, name);
        assert_eq!(first.limit.unwrap().remaining, left - 1);
        assert_eq!(filters.request(&head, &mut new), Ok(()));
        assert!(matches!(filters.again(Moment::now(), &mut first), Err(Stop::Refused("rate_limit", _))));
        for verdict in [&mut first, &mut new] {
            (verdict.request_id, verdict.limit) = Default::default();
            verdict.budgets = Default::default();
        }
        assert_eq!(format!("{first:?}"), format!("{new:?}"));
    }
}
