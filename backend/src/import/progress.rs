//! What a person watching sees: a bar per file on a terminal, else a line every few seconds.

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

const LINE_EVERY: Duration = Duration::from_secs(3);

/// Counts what is read of one file, and shows it.
#[derive(Clone)]
pub(crate) struct Meter {
    bar: Option<ProgressBar>,
    plain: Option<Arc<Plain>>,
}

/// The state of a file's plain lines.
struct Plain {
    label: String,
    total: u64,
    done: AtomicU64,
    rows: AtomicU64,
    started: Instant,
    last: std::sync::Mutex<Instant>,
}

impl Meter {
    /// Shows nothing: for looking at a file, and for tests.
    pub(crate) fn silent() -> Self {
        Self { bar: None, plain: None }
    }

    /// For one file of `bytes` on disk.
    pub(crate) fn file(path: &Path, bytes: u64) -> Self {
        let label = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if std::io::stderr().is_terminal() {
            return Self { bar: Some(bar(bytes, &label)), plain: None };
        }
        let now = Instant::now();
        let plain = Plain {
            label,
            total: bytes,
            done: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            started: now,
            last: std::sync::Mutex::new(now),
        };
        Self { bar: None, plain: Some(Arc::new(plain)) }
    }

    /// A reader that counts what passes.
    pub(crate) fn wrap<R: Read + 'static>(&self, inner: R) -> Box<dyn Read> {
        Box::new(Counted { inner, meter: self.clone() })
    }

    /// Says how many rows have been read so far.
    pub(crate) fn rows(&self, rows: u64) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{rows} rows"));
        }
        if let Some(plain) = &self.plain {
            plain.rows.store(rows, Ordering::Relaxed);
        }
    }

    /// The file is done: its bar leaves the screen.
    pub(crate) fn done(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn read(&self, bytes: usize) {
        if let Some(bar) = &self.bar {
            bar.inc(bytes as u64);
        }
        if let Some(plain) = &self.plain {
            plain.moved(bytes as u64);
        }
    }
}

impl Plain {
    fn moved(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let Ok(mut last) = self.last.try_lock() else { return };
        if last.elapsed() < LINE_EVERY {
            return;
        }
        *last = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let left = if done == 0 { 0.0 } else { seconds * (self.total.saturating_sub(done)) as f64 / done as f64 };
        tracing::info!(
            file = self.label,
            rows = self.rows.load(Ordering::Relaxed),
            read = %HumanBytes(done),
            of = %HumanBytes(self.total),
            seconds_left = left.round(),
            "reading"
        );
    }
}

struct Counted<R> {
    inner: R,
    meter: Meter,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.meter.read(bytes);
        Ok(bytes)
    }
}

fn bar(bytes: u64, label: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    if let Ok(style) =
        ProgressStyle::with_template("{prefix:<44} {bar:30} {bytes:>10}/{total_bytes:<10} {msg:>14} {eta:>4}")
    {
        bar.set_style(style);
    }
    bar.set_prefix(label.to_owned());
    bar
}

/// For the work inside the database, of which only the current step is known.
pub(crate) struct Step {
    bar: Option<ProgressBar>,
    started: Instant,
    name: &'static str,
}

impl Step {
    /// Begins a step that has a name and no length.
    pub(crate) fn begin(name: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(name);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, started: Instant::now(), name }
    }

    /// Ends it; its time is logged.
    pub(crate) fn end(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        tracing::info!(seconds = (self.started.elapsed().as_secs_f64() * 10.0).round() / 10.0, "{}", self.name);
    }
}
