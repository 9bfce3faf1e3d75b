//! Hits over TLS, by HTTP/1 and by HTTP/2, asked for by `h2load` (nghttp2).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::Instant;

use crate::servers::{Bench, Server};
use crate::table::{self, Ratios};

/// A certificate and its key, in one file and apart.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    both: PathBuf,
}

impl Files {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let [files @ .., both] = ["certificate.pem", "key.pem", "both.pem"].map(|name| folder.join(name));
        let [first, second] = files;
        std::fs::write(&first, &certificate)?;
        std::fs::write(&second, &key)?;
        std::fs::write(&both, certificate + &key)?;
        Ok(Self { certificate: first, key: second, both })
    }

    /// The gateway's configuration, with TLS.
    fn addrgate(&self) -> String {
        let [certificate, key] = [&self.certificate, &self.key].map(|file| file.to_string_lossy());
        include_str!("../gateway.yaml")
            .replace("server:\n", &format!("server:\n  tls: {{ certificate_file: {certificate}, key_file: {key} }}\n"))
    }
}

/// A protocol as `h2load` speaks it.
struct Protocol {
    name: &'static str,
    arguments: &'static [&'static str],
    /// At least so many times the hits of nginx and of HAProxy per second of CPU time.
    bars: [f64; 2],
}

const PROTOCOLS: [Protocol; 2] = [
    Protocol { name: "HTTP/1.1 over TLS, 100 connections", arguments: &["--h1", "-c100", "-m1"], bars: [1.5, 1.2] },
    Protocol { name: "HTTP/2 over TLS, 32 connections of 10 streams", arguments: &["-c32", "-m10"], bars: [1.2, 1.2] },
];

/// Whether every bar is kept.
pub(crate) fn secure(bench: &Bench, rounds: usize, slice: Duration) -> anyhow::Result<bool> {
    let files = Files::new(bench.folder())?;
    let [certificate, key, both] = [&files.certificate, &files.key, &files.both].map(|file| file.to_string_lossy());
    let nginx = include_str!("nginx.conf").replace("{MORE}", "").replace(
        "listen {LISTEN};",
        &format!("listen {{LISTEN}} ssl http2;\n    ssl_certificate {certificate};\n    ssl_certificate_key {key};"),
    );
    let haproxy = include_str!("haproxy.cfg")
        .replace("bind {LISTEN}", &format!("bind {{LISTEN}} ssl crt {both} alpn h2,http/1.1"));
    let addrgate = files.addrgate();
    let servers = [bench.nginx_by(&nginx, "nginx")?, bench.haproxy_by(&haproxy)?, bench.addrgate_by(&addrgate)?];
    let mut kept = true;
    for Protocol { name, arguments, bars } in PROTOCOLS {
        for server in &servers {
            load(server, "/hit", arguments, Duration::from_secs(1))?;
        }
        let mut ratios = Ratios::new(&servers);
        for round in 0..rounds {
            for at in 0..servers.len() {
                let server = &servers[(round + at) % servers.len()];
                let asked = bench.origin.asked();
                let (cpu, began) = (server.process.cpu()?, Instant::now());
                let responses = load(server, "/hit", arguments, slice)?;
                let cpu = server.process.cpu()?.saturating_sub(cpu);
                ensure!(bench.origin.asked() == asked, "{}: the origin was asked during a slice of hits", server.name);
                ratios.put(server, responses, cpu, began.elapsed());
            }
        }
        println!("\nCached hits, {name}, {rounds} rounds of {slice:?}");
        ratios.print();
        let mut reached = vec![("x nginx", ratios.of("addrgate", "nginx"), bars[0], true)];
        // 2.x takes half of what 3.x takes for HTTP/2, which the bar was set beside.
        if arguments.contains(&"--h1") || !haproxy_is_old()? {
            reached.push(("x HAProxy", ratios.of("addrgate", "HAProxy"), bars[1], true));
        }
        kept &= table::bars(&reached);
    }
    Ok(kept)
}

fn haproxy_is_old() -> anyhow::Result<bool> {
    let said = Command::new("haproxy").arg("-v").output().context("haproxy")?.stdout;
    Ok(String::from_utf8_lossy(&said).contains("version 2."))
}

/// Work for a build that counts what it does: hits and misses over TLS, by both protocols.
pub(crate) fn train(bench: &Bench, time: Duration) -> anyhow::Result<()> {
    let server = bench.addrgate_by(&Files::new(bench.folder())?.addrgate())?;
    for Protocol { arguments, .. } in PROTOCOLS {
        load(&server, "/hit", arguments, time)?;
        load(&server, "/nostore", arguments, time)?;
    }
    Ok(())
}

/// Asks for as long, and gives the number of responses, all of which have to be 2xx.
fn load(server: &Server, path: &str, arguments: &[&str], time: Duration) -> anyhow::Result<u64> {
    let url = format!("https://{}{path}", server.place);
    let seconds = format!("-D{}", time.as_secs().max(1));
    let said = Command::new("h2load")
        .args(arguments)
        .args([&seconds, "-t1", "-H", "x-api-key: bench", &url])
        .output()
        .context("h2load")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let number = |line: &str, word: &str| {
        let line = said.lines().find(|text| text.starts_with(line))?;
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        words.iter().position(|one| *one == word).and_then(|at| words.get(at.checked_sub(1)?)?.parse::<u64>().ok())
    };
    let done = number("requests:", "done").with_context(|| format!("h2load said {said}"))?;
    ensure!(done > 1000 && number("status codes:", "2xx") == Some(done), "{}: h2load said {said}", server.name);
    Ok(done)
}
