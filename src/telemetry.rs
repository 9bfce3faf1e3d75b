//! Metrics, access log and the process's own log lines.
//!
//! Labels come from closed sets only (route names, classes, reasons of our own), so a client can't add series. The access
//! log holds no key, and no log blocks a thread that serves.

mod access;
mod changes;
mod format;
mod lines;
mod metrics;
mod recent;

pub(crate) use access::{AccessLog, Line};
pub(crate) use changes::{breaker_changes, each_change};
use format::Json;
use lines::Lines;
pub(crate) use metrics::{CacheOutcome, CallOutcome, METRICS, RouteMetrics, UpstreamMetrics};
pub(crate) use recent::{Recent, Totals};

/// Log lines about one connection or one message that only its client is to blame for: it could fill any log with them.
/// What the file says of the same targets comes later and holds.
const QUIET: &str = "rustls=error,pingora_core::apps=off,pingora_core::protocols::http=error";

/// The process's own log: JSON lines on standard error, which no thread that serves waits for. Written out when it is
/// dropped, within a second.
pub(crate) struct ProcessLog(Lines);

impl ProcessLog {
    /// Starts it for all that this program logs, Pingora's lines and panics included.
    pub(crate) fn start(level: &str) -> anyhow::Result<Self> {
        let filter = tracing_subscriber::EnvFilter::try_new(format!("{QUIET},{level}"))?;
        let lines = Lines::start("log", Box::new(std::io::stderr()), &METRICS.log_dropped)?;
        tracing_subscriber::fmt()
            .event_format(Json)
            .with_env_filter(filter)
            .with_writer(lines.clone())
            .try_init()
            .map_err(|e| anyhow::anyhow!("the log can't be started: {e}"))?;
        // The standard hook writes to standard error itself, waits for its reader, and is no JSON.
        std::panic::set_hook(Box::new(format::panicked));
        Ok(Self(lines))
    }
}

impl Drop for ProcessLog {
    fn drop(&mut self) {
        self.0.close();
    }
}
