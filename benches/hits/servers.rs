//! Who takes part, each with its configuration in a folder of its own that is gone at the end.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use tempfile::TempDir;

use crate::process::Process;
use crate::{answer, free_port, wire};

/// One server.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) place: SocketAddr,
    /// What the head of a hit holds, where it tells. That the origin was not asked is checked besides.
    pub(crate) mark: &'static [u8],
    pub(crate) process: Process,
}

/// The origin that all stand in front of, on a thread here.
pub(crate) struct Origin {
    pub(crate) place: SocketAddr,
    asked: Arc<AtomicU64>,
}

impl Origin {
    fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (place, asked) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&asked);
        std::thread::Builder::new().name("origin".to_owned()).spawn(move || {
            wire::serve(listener, move |head| {
                count.fetch_add(1, Ordering::Relaxed);
                if head.starts_with(b"GET /nostore") { &answer::NO_STORE } else { &answer::HIT }
            })
        })?;
        Ok(Self { place, asked })
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

/// What all servers share.
pub(crate) struct Bench {
    pub(crate) origin: Origin,
    core: u64,
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("addrgate-bench-").tempdir()?;
        Ok(Self { origin: Origin::start()?, core: crate::number("BENCH_CORE", 0)?, folder })
    }

    /// Where files may lie until the end.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A folder and a place for one server; its configuration with these filled in.
    fn prepare(&self, config: &str) -> anyhow::Result<(PathBuf, SocketAddr, PathBuf)> {
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        // A port may come again; what a server before had there must not.
        let folder = tempfile::Builder::new().disable_cleanup(true).tempdir_in(&self.folder)?.path().to_owned();
        let origin = self.origin.place;
        let filled = config
            .replace("{DIR}", &folder.to_string_lossy())
            .replace("{LISTEN}", &place.to_string())
            .replace("{ORIGIN}", &origin.to_string())
            .replace("{HOST}", &origin.ip().to_string())
            .replace("{PORT}", &origin.port().to_string());
        let file = folder.join("config");
        std::fs::write(&file, filled)?;
        Ok((folder, place, file))
    }

    /// With more directives of the block `http`.
    pub(crate) fn nginx(&self, name: &'static str, more: &str) -> anyhow::Result<Server> {
        self.nginx_by(&include_str!("nginx.conf").replace("{MORE}", more), name)
    }

    /// With a configuration.
    pub(crate) fn nginx_by(&self, config: &str, name: &'static str) -> anyhow::Result<Server> {
        let (folder, place, file) = self.prepare(config)?;
        let (prefix, file) = (folder.to_string_lossy(), file.to_string_lossy());
        let command = ["nginx", "-p", &prefix, "-e", "stderr", "-c", &file];
        let process = Process::start(self.core, &command, &[], place, &folder.join("log"))?;
        Ok(Server { name, place, mark: b"", process })
    }

    pub(crate) fn varnish(&self) -> anyhow::Result<Server> {
        let (folder, place, file) = self.prepare(include_str!("varnish.vcl"))?;
        let (listen, file, own) = (place.to_string(), file.to_string_lossy(), folder.join("varnish"));
        let own = own.to_string_lossy();
        let pools = ["-p", "thread_pools=1", "-p", "thread_pool_max=2000"];
        let mut command = vec!["varnishd", "-F", "-j", "none", "-T", "none", "-a", &listen, "-f", &file, "-n", &own];
        command.extend(["-s", "malloc,64m"].into_iter().chain(pools));
        let process = Process::start(self.core, &command, &[], place, &folder.join("log"))?;
        Ok(Server { name: "Varnish", place, mark: b"Age: ", process })
    }

    pub(crate) fn haproxy(&self) -> anyhow::Result<Server> {
        self.haproxy_by(include_str!("haproxy.cfg"))
    }

    /// With a configuration.
    pub(crate) fn haproxy_by(&self, config: &str) -> anyhow::Result<Server> {
        let (folder, place, file) = self.prepare(config)?;
        let command = ["haproxy", "-db", "-f", &file.to_string_lossy()];
        let process = Process::start(self.core, &command, &[], place, &folder.join("log"))?;
        Ok(Server { name: "HAProxy", place, mark: b"age: ", process })
    }

    pub(crate) fn bare(&self) -> anyhow::Result<Server> {
        let (folder, place, _) = self.prepare("")?;
        let own = std::env::current_exe()?;
        let environment = [("LISTEN", &*place.to_string())];
        let command = [&*own.to_string_lossy(), "bare"];
        let process = Process::start(self.core, &command, &environment, place, &folder.join("log"))?;
        Ok(Server { name: "bare loop", place, mark: b"", process })
    }

    /// The profile for speed, with more environment.
    pub(crate) fn addrgate(&self, name: &'static str, environment: &[(&str, &str)]) -> anyhow::Result<Server> {
        self.program(&std::env::var("ADDRGATE").context("ADDRGATE")?, name, environment)
    }

    /// The same of another build.
    pub(crate) fn program(
        &self,
        program: &str,
        name: &'static str,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Server> {
        self.run(program, include_str!("../gateway.yaml"), name, environment)
    }

    /// With a configuration.
    pub(crate) fn addrgate_by(&self, config: &str) -> anyhow::Result<Server> {
        self.run(&std::env::var("ADDRGATE").context("ADDRGATE")?, config, "addrgate", &[])
    }

    fn run(
        &self,
        program: &str,
        config: &str,
        name: &'static str,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Server> {
        let (folder, place, file) = self.prepare(config)?;
        let [listen, origin] = [place, self.origin.place].map(|place| place.to_string());
        let admin = format!("127.0.0.1:{}", free_port()?);
        let mut all = vec![("LISTEN", &*listen), ("UPSTREAM", &origin), ("ADMIN", &admin), ("ADDRGATE_THREADS", "1")];
        all.extend(environment);
        let command = [program, "run", "--config", &file.to_string_lossy()];
        let process = Process::start(self.core, &command, &all, place, &folder.join("log"))?;
        Ok(Server { name, place, mark: b"x-cache: HIT", process })
    }

    pub(crate) fn redis(&self) -> anyhow::Result<Server> {
        let (folder, place, _) = self.prepare("")?;
        let (port, own) = (place.port().to_string(), folder.to_string_lossy());
        let mut command = vec!["redis-server", "--port", &port, "--bind", "127.0.0.1", "--dir", &own];
        command.extend(["--save", "", "--appendonly", "no"]);
        let process = Process::start(self.core, &command, &[], place, &folder.join("log"))?;
        Ok(Server { name: "Redis", place, mark: b"", process })
    }
}
