//! The table of all metrics. docs/metrics.md is made from it.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::{LabelPair, MetricFamily};
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::Totals;

/// The process's metrics.
pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

/// What the cache did for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CacheOutcome {
    /// Answered from memory or the second tier, fresh.
    Hit,
    /// Answered from the cache though no longer fresh.
    Stale,
    /// The upstream said that the kept answer still holds.
    Revalidated,
    /// Fetched, and the cache was asked first.
    Miss,
    /// Fetched; the route or the request does without the cache.
    Pass,
    /// Answered by the gateway itself.
    #[default]
    Own,
}

impl CacheOutcome {
    const ALL: [CacheOutcome; 6] = [
        CacheOutcome::Hit,
        CacheOutcome::Stale,
        CacheOutcome::Revalidated,
        CacheOutcome::Miss,
        CacheOutcome::Pass,
        CacheOutcome::Own,
    ];

    /// The word in metrics, logs and headers.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            CacheOutcome::Hit => "hit",
            CacheOutcome::Stale => "stale",
            CacheOutcome::Revalidated => "revalidated",
            CacheOutcome::Miss => "miss",
            CacheOutcome::Pass => "pass",
            CacheOutcome::Own => "own",
        }
    }
}

/// What came of a call of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    /// A status below 400.
    Ok,
    /// 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// An answer that the route does not admit.
    Unexpected,
    /// No connection.
    Unreachable,
    /// A connection, but no whole answer.
    Broken,
}

impl CallOutcome {
    const ALL: [CallOutcome; 6] = [
        CallOutcome::Ok,
        CallOutcome::ClientError,
        CallOutcome::ServerError,
        CallOutcome::Unexpected,
        CallOutcome::Unreachable,
        CallOutcome::Broken,
    ];

    fn as_str(self) -> &'static str {
        match self {
            CallOutcome::Ok => "ok",
            CallOutcome::ClientError => "client_error",
            CallOutcome::ServerError => "server_error",
            CallOutcome::Unexpected => "unexpected",
            CallOutcome::Unreachable => "unreachable",
            CallOutcome::Broken => "broken",
        }
    }
}

/// Seconds; fine where hits are, and up to the longest timeout.
const BUCKETS: [f64; 16] =
    [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 30.0];

/// What a metric is.
pub(crate) struct Description {
    pub(crate) name: String,
    pub(crate) help: String,
    /// `counter`, `gauge` or `histogram`.
    pub(crate) kind: String,
    pub(crate) labels: Vec<String>,
}

/// What is being registered.
#[derive(Default)]
struct Table {
    registry: Registry,
    list: Vec<Description>,
}

/// A metric's name and help, in the forms that prometheus wants.
struct About(&'static str, &'static str);

impl From<About> for Opts {
    fn from(about: About) -> Self {
        Opts::new(about.0, about.1.trim())
    }
}

impl From<About> for HistogramOpts {
    fn from(about: About) -> Self {
        HistogramOpts::new(about.0, about.1.trim()).buckets(BUCKETS.to_vec())
    }
}

/// Each metric once: its help, which documents the field as well, then field, kind, name and labels.
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $vis:vis $field:ident: $kind:ident = $name:literal $([$($label:literal),+])?,)+) => {
        /// Every metric, once.
        pub(crate) struct Metrics {
            registry: Registry,
            list: Vec<Description>,
            $($(#[doc = $help])+ $vis $field: $kind,)+
        }

        impl Metrics {
            fn new() -> Self {
                let mut table = Table::default();
                $(let $field = table.register(metrics!(@make $kind, About($name, concat!($($help),+)) $(, [$($label),+])?));)+
                Self { registry: table.registry, list: table.list, $($field),+ }
            }
        }
    };
    (@make $kind:ident, $about:expr) => { $kind::with_opts($about.into()) };
    (@make $kind:ident, $about:expr, $labels:expr) => { $kind::new($about.into(), &$labels) };
}

metrics! {
    /// Requests by route, status class and what the cache did.
    requests: IntCounterVec = "addrgate_requests_total" ["route", "status", "cache"],
    /// Time from the end of the request head to the end of the answer.
    seconds: HistogramVec = "addrgate_request_seconds" ["route", "cache"],
    /// Requests that a filter or another part refused, with its reason.
    pub(crate) refused: IntCounterVec = "addrgate_refused_total" ["by", "reason"],
    /// Requests that a filter in mode observe would have refused.
    pub(crate) observed: IntCounterVec = "addrgate_observed_total" ["by", "reason"],
    /// Calls of an upstream by outcome.
    upstream: IntCounterVec = "addrgate_upstream_total" ["upstream", "outcome"],
    /// Time from a call of an upstream to the head of its answer.
    upstream_seconds: HistogramVec = "addrgate_upstream_seconds" ["upstream"],
    /// Healthy addresses of an upstream.
    pub(crate) upstream_healthy: GaugeVec = "addrgate_upstream_healthy" ["upstream"],
    /// Requests in flight.
    pub(crate) in_flight: IntGauge = "addrgate_in_flight",
    /// What the memory tier holds: entries, bytes, answers still coming in, and fetches that may be waited for.
    pub(crate) cache_holds: GaugeVec = "addrgate_cache_holds" ["what"],
    /// Stale answers refreshed behind a reply.
    pub(crate) cache_refreshes: IntCounter = "addrgate_cache_refreshes_total",
    /// Purges that began here, by the admin API or an unsafe request.
    pub(crate) purges: IntCounterVec = "addrgate_purges_total" ["by"],
    /// Purges that wait to be written to the invalidation log.
    pub(crate) purges_pending: IntGauge = "addrgate_purges_pending",
    /// Whether the invalidation log is read.
    pub(crate) log_read: IntGauge = "addrgate_invalidation_log_read",
    /// How often entries of the invalidation log were missed.
    pub(crate) log_gaps: IntCounter = "addrgate_invalidation_log_gaps_total",
    /// Lookups in and writes to the second cache tier, by outcome.
    pub(crate) second: IntCounterVec = "addrgate_second_tier_total" ["operation", "outcome"],
    /// Asks for tokens of shared limits, by outcome.
    pub(crate) leases: IntCounterVec = "addrgate_leases_total" ["outcome"],
    /// Requests of our own that warmed the cache, by outcome.
    pub(crate) warmed: IntCounterVec = "addrgate_warmed_total" ["outcome"],
    /// Changes of a breaker by its new state.
    pub(crate) breaker_changes: IntCounterVec = "addrgate_breaker_changes_total" ["breaker", "to"],
    /// The state of a breaker: 0 closed, 1 half open, 2 open.
    pub(crate) breaker_state: GaugeVec = "addrgate_breaker_state" ["breaker"],
    /// Requests at an upstream, those that wait for it by class, and its limit.
    pub(crate) queue: GaugeVec = "addrgate_queue" ["upstream", "what"],
    /// The level of degradation: 0 normal to 3 emergency.
    pub(crate) level: IntGauge = "addrgate_degradation_level",
    /// Second tries at an upstream.
    pub(crate) retries: IntCounterVec = "addrgate_retries_total" ["upstream"],
    /// Requests sent to an upstream as a fallback.
    pub(crate) fallbacks: IntCounterVec = "addrgate_fallbacks_total" ["upstream"],
    /// Requests that were due to be sent a second time beside the first, by upstream: `won`, `lost`, `failed`, or
    /// `denied` for want of a place or budget.
    pub(crate) hedges: IntCounterVec = "addrgate_hedges_total" ["upstream", "outcome"],
    /// Copies of requests by what their answers were beside the route's own: `same`, `status` or `body` where they
    /// differed, `failed`, `skipped`.
    pub(crate) shadows: IntCounterVec = "addrgate_shadows_total" ["route", "outcome"],
    /// Whether Redis is connected; of a cluster, at least one master.
    pub(crate) redis_connected: IntGauge = "addrgate_redis_connected",
    /// Access log lines dropped: the reader was too slow, or they could not be written.
    pub(crate) access_dropped: IntCounter = "addrgate_access_log_dropped_total",
    /// Lines of the process log dropped: the reader was too slow, or they could not be written.
    pub(crate) log_dropped: IntCounter = "addrgate_log_dropped_total",
    /// Reloads of the configuration by result.
    pub(crate) reloads: IntCounterVec = "addrgate_config_reload_total" ["result"],
    /// Whether the last reload was taken.
    reload_success: IntGauge = "addrgate_config_last_reload_success",
    /// The configuration in use, by its hash.
    config_hash: GaugeVec = "addrgate_config_info" ["hash"],
    /// Whether this process takes traffic.
    pub(crate) ready: IntGauge = "addrgate_ready",
    /// Seconds since the start.
    pub(crate) uptime: Gauge = "addrgate_uptime_seconds",
}

impl Metrics {
    /// Puts the hash of the configuration in use into the metrics.
    pub(crate) fn config(&self, hash: &str, taken: bool) {
        self.reload_success.set(taken.into());
        if taken {
            self.config_hash.reset();
            self.config_hash.with_label_values(&[hash]).set(1.0);
        }
    }

    /// The metrics of one route, looked up once, so that a request only counts.
    pub(crate) fn route(&self, name: &str) -> RouteMetrics {
        let counters = CacheOutcome::ALL.map(|cache| {
            ["0xx", "1xx", "2xx", "3xx", "4xx", "5xx"]
                .map(|status| self.requests.with_label_values(&[name, status, cache.as_str()]))
        });
        let seconds = CacheOutcome::ALL.map(|cache| self.seconds.with_label_values(&[name, cache.as_str()]));
        RouteMetrics { counters, seconds }
    }

    /// The metrics of one upstream, in the same way.
    pub(crate) fn upstream(&self, name: &str) -> UpstreamMetrics {
        let counters = CallOutcome::ALL.map(|outcome| self.upstream.with_label_values(&[name, outcome.as_str()]));
        UpstreamMetrics { counters, seconds: self.upstream_seconds.with_label_values(&[name]) }
    }

    /// The text format of Prometheus.
    pub(crate) fn text(&self) -> String {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_else(|e| format!("# {e}\n"))
    }

    /// The counters of requests, over all routes.
    pub(crate) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for metric in self.requests.collect().iter().flat_map(MetricFamily::get_metric) {
            let label = |name| metric.get_label().iter().find(|label| label.name() == name).map(LabelPair::value);
            let count = metric.get_counter().get_value() as u64;
            for (by, name) in [(&mut totals.status, "status"), (&mut totals.cache, "cache")] {
                *by.entry(label(name).unwrap_or_default().to_owned()).or_default() += count;
            }
        }
        totals.within = BUCKETS.map(|bound| (bound, 0)).into();
        for metric in self.seconds.collect().iter().flat_map(MetricFamily::get_metric) {
            let histogram = metric.get_histogram();
            totals.timed += histogram.get_sample_count();
            totals.seconds += histogram.get_sample_sum();
            for ((_, count), bucket) in totals.within.iter_mut().zip(histogram.get_bucket()) {
                *count += bucket.cumulative_count();
            }
        }
        totals
    }

    /// Every metric, by name.
    pub(crate) fn list(&self) -> &[Description] {
        &self.list
    }
}

impl Table {
    /// Names and labels are literals of this file, so a clash is a mistake here that its test finds.
    #[allow(clippy::expect_used, reason = "literals of this file, covered by its test")]
    fn register<C: Collector + Clone + 'static>(&mut self, made: prometheus::Result<C>) -> C {
        let collector = made.expect("the metric's name and labels are valid");
        let kinds = collector.collect();
        self.list.extend(collector.desc().into_iter().map(|desc| Description {
            name: desc.fq_name.clone(),
            help: desc.help.clone(),
            kind:
                kinds.first().map(|family| format!("{:?}", family.get_field_type()).to_lowercase()).unwrap_or_default(),
            labels: desc.variable_labels.clone(),
        }));
        self.registry.register(Box::new(collector.clone())).expect("the metric's name is unique");
        collector
    }
}

/// Counters of one route.
#[derive(Debug, Clone)]
pub(crate) struct RouteMetrics {
    counters: [[IntCounter; 6]; 6],
    seconds: [Histogram; 6],
}

impl RouteMetrics {
    /// Counts one finished request.
    pub(crate) fn count(&self, status: u16, cache: CacheOutcome, elapsed: Duration) {
        let class = usize::from(status / 100).min(5);
        self.counters[cache as usize][class].inc();
        self.seconds[cache as usize].observe(elapsed.as_secs_f64());
    }
}

/// Counters of one upstream.
#[derive(Debug)]
pub(crate) struct UpstreamMetrics {
    counters: [IntCounter; 6],
    seconds: Histogram,
}

impl UpstreamMetrics {
    /// Counts one call; `elapsed` to the head of the answer, where there was one.
    pub(crate) fn count(&self, outcome: CallOutcome, elapsed: Option<Duration>) {
        self.counters[outcome as usize].inc();
        if let Some(elapsed) = elapsed {
            self.seconds.observe(elapsed.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        METRICS.route("r").count(200, CacheOutcome::Hit, Duration::from_millis(1));
        METRICS.route("r").count(0, CacheOutcome::Own, Duration::ZERO);
        METRICS.config("abc", true);
        for Description { name, help, kind, .. } in METRICS.list() {
            assert!(name.starts_with("addrgate_") && help.ends_with('.'), "{name}: {help}");
            assert!(["counter", "gauge", "histogram"].contains(&kind.as_str()), "{name}: {kind}");
        }
        let text = METRICS.text();
        assert!(text.contains(r#"addrgate_requests_total{cache="hit",route="r",status="2xx"} 1"#), "{text}");
    }

    #[test]
    fn outcomes_index_their_own_place() {
        for (i, outcome) in CacheOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, i);
        }
        for (i, outcome) in CallOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, i);
        }
    }
}
