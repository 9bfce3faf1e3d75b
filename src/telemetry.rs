//! Metrics, access log and the process's own log lines.
//!
//! Labels come from closed sets only (route names, classes, reasons of our own), so a client can't add series. The access
//! log never blocks a request and never holds a key.

mod access;
mod metrics;
mod recent;

pub(crate) use access::{AccessLog, Line};
pub(crate) use metrics::{CacheOutcome, CallOutcome, METRICS, RouteMetrics, UpstreamMetrics};
pub(crate) use recent::{Recent, Totals};

/// Starts the process's own log: JSON lines on standard error. Pingora's go the same way.
pub(crate) fn start(level: &str) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(level)?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would complain of a full disk on the same standard error, which panics.
        .log_internal_errors(false)
        .try_init()
        .map_err(|e| anyhow::anyhow!("the log can't be started: {e}"))
}
