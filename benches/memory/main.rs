//! How much memory the gateway takes after a million distinct keys: at most 1.25 times what the cache may hold, and 100 MiB.
//!
//! BENCH_KEYS (1000000), BENCH_BODY (1000 bytes), CACHE_MEMORY (256MiB); the program is ADDRGATE. Fails where the bar is
//! missed. The origin is this process.
#![allow(clippy::print_stdout)]

use std::net::{SocketAddr, TcpListener as Probe};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};

/// Connections, and requests that are sent on one before the first answer is read.
const CONNECTIONS: usize = 16;
const AHEAD: usize = 16;

struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        // Nothing is left to do where it is gone already.
        let _gone = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn setting(name: &str, default: usize) -> anyhow::Result<usize> {
    std::env::var(name).map_or(Ok(default), |text| text.parse().with_context(|| format!("{name}={text}")))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (keys, body) = (setting("BENCH_KEYS", 1_000_000)?, setting("BENCH_BODY", 1_000)?);
    let cap = std::env::var("CACHE_MEMORY").unwrap_or_else(|_| "256MiB".to_owned());
    let mebibytes: u64 = cap.strip_suffix("MiB").context("CACHE_MEMORY is written in MiB here")?.parse()?;
    let program = std::env::var("ADDRGATE").context("ADDRGATE, the program, is not set: run `make bench-memory`")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = listener.local_addr()?;
    tokio::spawn(serve(listener, body));
    let [place, admin] = [free()?, free()?];
    let child = Command::new(&program)
        .args(["run", "--config", "benches/gateway.yaml"])
        .env("LISTEN", place.to_string())
        .env("ADMIN", admin.to_string())
        .env("UPSTREAM", origin.to_string())
        .env("CACHE_MEMORY", &cap)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .context(program)?;
    let gateway = Gateway(child);
    let begun = Instant::now();
    while TcpStream::connect(place).await.is_err() {
        ensure!(begun.elapsed() < Duration::from_secs(20), "the gateway does not start");
        sleep(Duration::from_millis(50)).await;
    }
    let empty = resident(&gateway, "VmRSS")?;
    let begun = Instant::now();
    let share = keys.div_ceil(CONNECTIONS);
    let mut all = tokio::task::JoinSet::new();
    for first in (0..keys).step_by(share) {
        all.spawn(ask(place, first..(first + share).min(keys)));
    }
    while let Some(asked) = all.join_next().await {
        asked??;
    }
    let took = begun.elapsed();
    sleep(Duration::from_secs(2)).await;
    let (after, most, bar) = (resident(&gateway, "VmRSS")?, resident(&gateway, "VmHWM")?, mebibytes * 5 / 4 + 100);
    println!("{keys} distinct keys, bodies of {body} bytes, {cap} for answers, in {:.0} s", took.as_secs_f64());
    println!(
        "resident: {empty} MiB at the start, {after} MiB at the end, {most} MiB at most; at most {bar} MiB are allowed"
    );
    if most > bar {
        bail!("the bar is missed");
    }
    Ok(())
}

fn free() -> anyhow::Result<SocketAddr> {
    Ok(Probe::bind("127.0.0.1:0")?.local_addr()?)
}

/// In MiB.
fn resident(gateway: &Gateway, what: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.0.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).context(what.to_owned())?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}

async fn ask(place: SocketAddr, keys: std::ops::Range<usize>) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(place).await?;
    let (mut input, mut wire) = (Vec::new(), vec![0; 64 << 10]);
    let keys: Vec<usize> = keys.collect();
    for some in keys.chunks(AHEAD) {
        let requests: String = some
            .iter()
            .map(|key| format!("GET /key/{key} HTTP/1.1\r\nHost: bench\r\nX-API-Key: bench\r\n\r\n"))
            .collect();
        stream.write_all(requests.as_bytes()).await?;
        let mut left = some.len();
        while left > 0 {
            let n = stream.read(&mut wire).await?;
            ensure!(n > 0, "the gateway hung up");
            input.extend_from_slice(&wire[..n]);
            while let Some(length) = answer(&input)? {
                input.drain(..length);
                left -= 1;
            }
        }
    }
    Ok(())
}

/// The length of the answer at the beginning, once all of it is there.
fn answer(input: &[u8]) -> anyhow::Result<Option<usize>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(begin) = head.parse(input)? else { return Ok(None) };
    ensure!(head.code == Some(200), "{}", String::from_utf8_lossy(input));
    let length = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let length: usize = std::str::from_utf8(length.context("no length")?.value)?.parse()?;
    Ok((input.len() >= begin + length).then_some(begin + length))
}

async fn serve(listener: TcpListener, body: usize) {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: max-age=86400\r\nETag: \"a\"\r\nCache-Tag: a, b\r\n";
    let answer = format!("{head}Content-Length: {body}\r\n\r\n{}", "x".repeat(body));
    while let Ok((mut stream, _)) = listener.accept().await {
        let answer = answer.clone();
        tokio::spawn(async move {
            let (mut input, mut wire) = (Vec::new(), vec![0; 16 << 10]);
            while let Ok(n @ 1..) = stream.read(&mut wire).await {
                input.extend_from_slice(&wire[..n]);
                while let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") {
                    input.drain(..end + 4);
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}
