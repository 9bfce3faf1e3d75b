//! Whether the process lives and is ready, and its metrics: the same for clients and for operators.

use std::net::IpAddr;
use std::time::Duration;

use addrgate_filters::reply::{Cause, Code, Reply, render};
use addrgate_filters::verdict::Verdict;
use serde_json::json;

use crate::shared::Shared;
use crate::status;
use crate::telemetry::METRICS;

/// That the process runs.
pub(crate) fn livez() -> Reply {
    Reply::json(200, &json!({"alive": true}))
}

/// Whether load balancers should send traffic, as `peer` asks.
pub(crate) fn readyz(shared: &Shared, peer: Option<IpAddr>, verdict: &Verdict) -> Reply {
    shared.polls.note(peer);
    if shared.is_ready() {
        return Reply::json(200, &json!({"ready": true}));
    }
    let cause = Cause::new(Code::ServiceUnavailable, "draining", "This instance takes no more traffic.");
    render(&cause.retry_after(Duration::from_secs(1)), verdict, false, chrono::Utc::now())
}

/// Everything that is counted, for Prometheus.
pub(crate) fn metrics(shared: &Shared) -> Reply {
    status::gather(shared);
    let fields = [("content-type", "text/plain; version=0.0.4"), ("cache-control", "no-store")];
    Reply {
        status: 200,
        fields: fields.map(|(name, value)| (name, value.to_owned())).into(),
        body: METRICS.text().into(),
        close: false,
    }
}
