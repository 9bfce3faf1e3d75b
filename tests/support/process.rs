//! A program under test: its lines of log are kept, it is gone when the value is.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{PATIENCE, until};

/// A running program.
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts `command` with its output kept.
    pub fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        keep(child.stdout.take().unwrap(), &lines);
        keep(child.stderr.take().unwrap(), &lines);
        Self { name: name.to_owned(), child, lines }
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has said so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The first line of log, as JSON, of which `wanted` is true, once there is one.
    pub async fn line(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let over = self.child.try_wait().unwrap();
            let found =
                self.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).find(|line| wanted(line));
            if let Some(found) = found {
                return found;
            }
            if over.is_some() || tokio::time::Instant::now() > deadline {
                panic!("{}: no log line about {what}; exit {over:?}; it said:\n{}", self.name, self.lines().join("\n"));
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Waits until it has said `text`.
    pub async fn text(&mut self, text: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.lines().iter().any(|line| line.contains(text)) {
            if !self.is_running() || tokio::time::Instant::now() > deadline {
                panic!("{} did not say {text:?}; it said:\n{}", self.name, self.lines().join("\n"));
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Waits at most `limit` for its end, without a runtime: for destructors.
    pub fn give_up_after(&mut self, limit: std::time::Duration) {
        for _ in 0..limit.as_millis() / 50 {
            if !self.is_running() {
                return;
            }
            #[allow(clippy::disallowed_methods)]
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Whether it is still there.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by its name, `TERM`.
    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success(), "{}: kill -s {signal}", self.name);
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.end().await
    }

    /// Waits until it ends by itself.
    pub async fn end(&mut self) -> ExitStatus {
        let name = self.name.clone();
        let child = &mut self.child;
        let mut status = None;
        until(&format!("{name} ends"), || {
            status = child.try_wait().unwrap();
            let over = status.is_some();
            async move { over }
        })
        .await;
        status.unwrap()
    }

    /// Panics on a warning, an error or a line that isn't JSON, unless it holds one of the `expected` texts.
    pub fn assert_clean(&self, expected: &[&str]) {
        let bad: Vec<String> = self.lines().into_iter().filter(|line| is_bad(line)).collect();
        let unexpected: Vec<&String> =
            bad.iter().filter(|line| !expected.iter().any(|text| line.contains(text))).collect();
        assert!(unexpected.is_empty(), "unexpected in the log of {}:\n{unexpected:#?}", self.name);
    }
}

fn is_bad(line: &str) -> bool {
    match serde_json::from_str::<Value>(line) {
        // A line of the access log has no level.
        Ok(line) if line["level"].is_null() => line["status"].is_null(),
        Ok(line) => !matches!(line["level"].as_str(), Some("INFO" | "DEBUG" | "TRACE" | "info" | "debug" | "trace")),
        Err(_) => !line.trim().is_empty(),
    }
}

fn keep(from: impl Read + Send + 'static, into: &Arc<Mutex<Vec<String>>>) {
    let into = Arc::clone(into);
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            into.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
        }
    });
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let lines = self.lines();
            eprintln!("--- the last of {}\n{}", self.name, lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }
}
