//! Log lines on their way to a file, a pipe or a terminal.
//!
//! A line is appended to a bounded buffer; a thread of its own writes the buffer out ten times a second. So no thread that
//! serves waits for a disk or for whoever reads a pipe, and no line wakes a thread. Where the reader is too slow the newest
//! lines are dropped and counted.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;
use tracing_subscriber::fmt::MakeWriter;

/// The bounded buffer. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lines(Arc<Buffer>);

#[derive(Debug)]
struct Buffer {
    state: Mutex<State>,
    wake: Condvar,
    dropped: &'static IntCounter,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    closed: bool,
    written: bool,
}

/// Bytes that wait to be written: some 10,000 lines.
const LIMIT: usize = 4 << 20;

impl Lines {
    /// Writes to `out` from a thread called `name`; counts in `dropped` what is lost.
    pub(super) fn start(
        name: &str,
        mut out: Box<dyn Write + Send>,
        dropped: &'static IntCounter,
    ) -> std::io::Result<Self> {
        let buffer = Arc::new(Buffer { state: Mutex::default(), wake: Condvar::new(), dropped });
        let reader = Arc::clone(&buffer);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
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
                    reader.dropped.inc_by(lines.iter().filter(|b| **b == b'\n').count() as u64);
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

    /// Appends what `format` writes: one line, its end included.
    pub(super) fn append(&self, format: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        if state.bytes.len() > LIMIT {
            self.0.dropped.inc();
        } else {
            format(&mut state.bytes);
        }
    }

    /// Writes out what is there, within a second; nothing is written afterwards.
    pub(super) fn close(&self) {
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

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;

    fn make_writer(&'a self) -> &'a Lines {
        self
    }
}

/// The subscriber writes each event as one piece, its line end included.
impl Write for &Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.append(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn counter() -> &'static IntCounter {
        Box::leak(Box::new(IntCounter::new("dropped", "in a test").unwrap()))
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
        let (sink, dropped) = (Sink::default(), counter());
        let lines = Lines::start("test", Box::new(sink.clone()), dropped).unwrap();
        for _ in 0..100 {
            lines.append(|out| out.extend_from_slice(b"line\n"));
        }
        lines.close();
        assert_eq!(sink.0.lock().unwrap().iter().filter(|b| **b == b'\n').count(), 100);
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn a_reader_that_stalls_costs_lines_and_nobody_waits() {
        /// A pipe that nobody reads: `write` returns when the test is over.
        struct Stalled(mpsc::Receiver<()>);
        impl Write for Stalled {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                let _over = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let (_holds, reader) = mpsc::channel();
        let dropped = counter();
        let lines = Lines::start("test", Box::new(Stalled(reader)), dropped).unwrap();
        let line = [b'x'; 1 << 20];
        for _ in 0..20 {
            (&lines).write_all(&line).unwrap();
        }
        // What the thread took before it was stuck and what the buffer holds: at most twice the limit and a line each.
        assert!(dropped.get() >= 10, "{}", dropped.get());
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let dropped = counter();
        let lines = Lines::start("test", Box::new(Full), dropped).unwrap();
        lines.append(|out| out.extend_from_slice(b"a line\n"));
        lines.close();
        assert_eq!(dropped.get(), 1);
    }
}
