//! A server's process: started on its core, gone with the value, its CPU time as the kernel books it.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::Instant;

/// The kernel's unit in `/proc`; 100 on every Linux that is in use.
const TICKS: u64 = 100;

/// A running server.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command` on `core`, and waits until it listens at `place`.
    pub(crate) fn start(
        core: u64,
        command: &[&str],
        environment: &[(&str, &str)],
        place: SocketAddr,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let out = std::fs::File::create(log)?;
        let child = Command::new("taskset")
            .arg("-c")
            .arg(core.to_string())
            .args(command)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            // An access log goes where it costs the least.
            .stdout(Stdio::null())
            .stderr(out)
            .spawn()
            .with_context(|| command.join(" "))?;
        let mut process = Self { child };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(place).is_err() {
            let over = process.child.try_wait()?;
            if over.is_some() || Instant::now() > deadline {
                bail!("{} does not start: {}", command.join(" "), std::fs::read_to_string(log).unwrap_or_default());
            }
            pause();
        }
        Ok(process)
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// User and system time of the process and of all below it.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
            // It may be gone by now.
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            let after = stat.rsplit(')').next().unwrap_or_default();
            let fields: Vec<u64> = after.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
            let (Some(parent), Some(user), Some(system)) = (fields.get(1), fields.get(11), fields.get(12)) else {
                continue;
            };
            all.push((u64::from(pid), *parent, user + system));
        }
        let mut tree = vec![u64::from(self.child.id())];
        let mut at = 0;
        while let Some(&pid) = tree.get(at) {
            tree.extend(all.iter().filter(|(_, parent, _)| *parent == pid).map(|(child, ..)| *child));
            at += 1;
        }
        let ticks: u64 = all.iter().filter(|(pid, ..)| tree.contains(pid)).map(|(.., ticks)| ticks).sum();
        Ok(Duration::from_millis(ticks * 1000 / TICKS))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Asked first, so that it stops its own workers; then made to.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        for _ in 0..100 {
            if asked.is_err() || !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            pause();
        }
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[allow(clippy::disallowed_methods, reason = "no runtime here")]
fn pause() {
    std::thread::sleep(Duration::from_millis(30));
}
