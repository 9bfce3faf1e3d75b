//! One JSON line per request.
//!
//! A request appends its line to a bounded buffer; a thread of its own writes the buffer out ten times a second. So no
//! request waits for a disk or a pipe and no line wakes a thread. Where the reader is too slow the newest lines are
//! dropped and counted.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use addrgate_filters::verdict::Verdict;

use super::METRICS;
use super::metrics::CacheOutcome;

/// What a line tells; everything that a client chose is cut and escaped.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    /// The request's names, its client and its route.
    pub(crate) verdict: &'a Verdict,
    /// Told where the verdict knows no better address.
    pub(crate) peer: Option<std::net::IpAddr>,
    pub(crate) method: &'a str,
    /// Without the query: what people look for is their own business.
    pub(crate) path: &'a str,
    /// 0 where the client left before the answer.
    pub(crate) status: u16,
    /// Body bytes sent.
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
    pub(crate) cache: CacheOutcome,
    /// Time the upstream took, where it was asked.
    pub(crate) upstream: Option<Duration>,
    /// Which filter or part refused, and its reason.
    pub(crate) refused: Option<(&'a str, &'a str)>,
}

/// The bounded buffer.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog(Arc<Buffer>);

#[derive(Debug, Default)]
struct Buffer {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    closed: bool,
    written: bool,
}

/// Some 10,000 lines.
const LIMIT: usize = 4 << 20;

impl AccessLog {
    /// Writes to `out` from a thread of its own.
    pub(crate) fn start(mut out: Box<dyn Write + Send>) -> std::io::Result<Self> {
        let buffer = Arc::new(Buffer::default());
        let reader = Arc::clone(&buffer);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            let mut lines = Vec::with_capacity(64 << 10);
            loop {
                let mut state = reader.lock();
                if !state.closed {
                    let waited = reader.wake.wait_timeout(state, Duration::from_millis(100));
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                let closed = state.closed;
                std::mem::swap(&mut state.bytes, &mut lines);
                drop(state);
                if !lines.is_empty() && out.write_all(&lines).and_then(|()| out.flush()).is_err() {
                    METRICS.access_dropped.inc_by(lines.iter().filter(|b| **b == b'\n').count() as u64);
                }
                lines.clear();
                if closed {
                    reader.lock().written = true;
                    reader.wake.notify_all();
                    return;
                }
            }
        })?;
        Ok(Self(buffer))
    }

    /// Appends a line.
    pub(crate) fn write(&self, line: &Line<'_>) {
        let mut state = self.0.lock();
        if state.bytes.len() > LIMIT {
            METRICS.access_dropped.inc();
        } else {
            format(line, chrono::Utc::now(), &mut state.bytes);
        }
    }

    /// Writes out what is there, within a second; nothing is logged afterwards.
    pub(crate) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        self.0.wake.notify_all();
        let done = self.0.wake.wait_timeout_while(state, Duration::from_secs(1), |state| !state.written);
        drop(done);
    }
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn format(line: &Line<'_>, now: chrono::DateTime<chrono::Utc>, out: &mut Vec<u8>) {
    let verdict = line.verdict;
    // Writing into a vector can't fail.
    let _never_fails = write!(out, r#"{{"ts":"{}","id":"{}""#, now.format("%FT%T%.3fZ"), verdict.request_id.as_str());
    let text = |out: &mut Vec<u8>, name: &str, value: Option<&str>| {
        if let Some(value) = value {
            let _never_fails = write!(out, r#","{name}":""#);
            escape(value, out);
            out.push(b'"');
        }
    };
    text(out, "correlation", verdict.correlation.as_deref());
    text(out, "client", verdict.client.as_ref().map(|client| &*client.name));
    if let Some(peer) = verdict.address.or(line.peer) {
        let _never_fails = write!(out, r#","peer":"{peer}""#);
    }
    text(out, "route", verdict.route.as_ref().map(|route| route.name()));
    text(out, "method", Some(line.method));
    text(out, "path", Some(line.path));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let _never_fails = write!(
        out,
        r#","status":{},"bytes":{},"ms":{:.3},"cache":"{}""#,
        line.status,
        line.bytes,
        ms(line.elapsed),
        line.cache.as_str()
    );
    if let Some(upstream) = line.upstream {
        let _never_fails = write!(out, r#","upstream_ms":{:.3}"#, ms(upstream));
    }
    if let Some((by, reason)) = line.refused {
        text(out, "by", Some(by));
        text(out, "reason", Some(reason));
    }
    out.extend_from_slice(b"}\n");
}

/// Escapes for JSON and cuts after 256 bytes.
fn escape(value: &str, out: &mut Vec<u8>) {
    const LONGEST: usize = 256;
    let end = (0..=LONGEST.min(value.len())).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
    for byte in value[..end].bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 | 0x7f => {
                let _never_fails = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
    if end < value.len() {
        out.extend_from_slice("…".as_bytes());
    }
}

#[cfg(test)]
mod tests {

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn line<'a>(verdict: &'a Verdict, path: &'a str) -> Line<'a> {
        Line {
            verdict,
            peer: None,
            method: "GET",
            path,
            status: 200,
            bytes: 5,
            elapsed: Duration::from_micros(1500),
            cache: CacheOutcome::Hit,
            upstream: None,
            refused: Some(("client", "no_key")),
        }
    }

    proptest! {
        #[test]
        fn every_line_is_one_line_of_json(path in any::<String>()) {
            let mut out = Vec::new();
            format(&line(&Verdict::default(), &path), chrono::DateTime::UNIX_EPOCH, &mut out);
            prop_assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1);
            let value: Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&value["ms"], &Value::from(1.5));
            if path.len() <= 256 {
                prop_assert_eq!(value["path"].as_str().unwrap(), path);
            } else {
                prop_assert!(value["path"].as_str().unwrap().len() <= 260);
            }
        }
    }

    #[test]
    fn lines_are_written_by_the_time_it_is_closed() {
        #[derive(Clone, Default)]
        struct Sink(Arc<Mutex<Vec<u8>>>);
        impl Write for Sink {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let sink = Sink::default();
        let log = AccessLog::start(Box::new(sink.clone())).unwrap();
        for _ in 0..100 {
            log.write(&line(&Verdict::default(), "/a"));
        }
        log.close();
        assert_eq!(sink.0.lock().unwrap().iter().filter(|b| **b == b'\n').count(), 100);
    }
}
