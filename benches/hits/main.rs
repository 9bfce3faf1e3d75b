//! What an answer costs, beside nginx, Varnish, HAProxy and a bare epoll loop.
//!
//! All stand in front of the same origin and give the same answer; each runs with one worker on the same core, one at a
//! time, in short slices whose order changes from round to round, so that what else the machine does hits all alike. What
//! counts is the CPU time that the kernel books on a server's processes (`/proc/PID/stat`), per answer; that every answer
//! is the right one and, where it should be a hit, is one, is checked.
//!
//! `BENCH_ROUNDS` (15) and `BENCH_SECONDS` (1) say how long; `BENCH_ONLY=hits,secure,load,miss,second` picks parts;
//! `ADDRGATE` is the program, `BENCH_CORE` (0) the servers' core. Run it on another core: `taskset -c 1 ...`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod answer;
mod load;
mod process;
mod redis;
mod secure;
mod servers;
mod table;
mod train;
mod wire;

use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};

use load::{Load, Seen};
use servers::{Bench, Server};
use table::Ratios;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let outcome = match arguments.get(1).map(String::as_str) {
        Some("bare") => bare().map(|()| true),
        Some("profile") => profile().map(|()| true),
        Some("compare") => compare().map(|()| true),
        Some("train") => train::train().map(|()| true),
        _ => conduct(),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench-hits: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What no cache can beat: an epoll loop that finds the end of a head and sends constant bytes.
fn bare() -> anyhow::Result<()> {
    let listener = TcpListener::bind(std::env::var("LISTEN").context("LISTEN")?)?;
    wire::serve(listener, |_| answer::HIT.as_slice())
}

/// For a profiler: `hits profile` runs addrgate alone under load for a minute, and says which process it is. `BENCH_ONLY`:
/// hits (left out), `miss` or `bare`.
fn profile() -> anyhow::Result<()> {
    let bench = Bench::new()?;
    let only = std::env::var("BENCH_ONLY").unwrap_or_default();
    let (path, connections) = if only == "miss" { ("/nostore", PROXIED) } else { ("/hit", CONNECTIONS) };
    let mut server = if only == "bare" { bench.bare()? } else { bench.addrgate("addrgate", &[])? };
    load::run(Load { mark: b"", ..Load::same(&server, path, connections, Duration::from_millis(300)) })?;
    println!("{}", server.process.id());
    if only == "miss" {
        server.mark = b"";
    }
    let (seen, cpu) =
        measure(&server, Load::same(&server, path, connections, Duration::from_secs(number("BENCH_SECONDS", 60)?)))?;
    println!("{} answers, {:.0} ns of CPU time each", seen.answers, cpu.as_nanos() as f64 / seen.answers as f64);
    Ok(())
}

/// For a change: `hits compare` runs the program `BEFORE` and addrgate in turn, in short slices. `BENCH_ONLY`: hits (left out)
/// or `miss`.
fn compare() -> anyhow::Result<()> {
    const SLICE: Duration = Duration::from_millis(300);
    let before = std::env::var("BEFORE").context("BEFORE")?;
    let bench = Bench::new()?;
    let mut servers = [bench.program(&before, "before", &[])?, bench.addrgate("addrgate", &[])?];
    let is_miss = std::env::var("BENCH_ONLY").is_ok_and(|only| only == "miss");
    let (path, connections) = if is_miss { ("/nostore", PROXIED) } else { ("/hit", CONNECTIONS) };
    for server in &mut servers {
        load::run(Load { mark: b"", ..Load::same(server, path, connections, SLICE) })?;
        if is_miss {
            server.mark = b"";
        }
    }
    let rounds = usize::try_from(number("BENCH_ROUNDS", 40)?)?;
    let mut ratios = Ratios::new(&servers);
    for round in 0..rounds {
        for at in 0..servers.len() {
            let server = &servers[(round + at) % servers.len()];
            ratios.add(server, &measure(server, Load::same(server, path, connections, SLICE))?);
        }
    }
    println!("{path}, {connections} connections, {rounds} rounds of {SLICE:?}");
    ratios.print();
    Ok(())
}

fn number(name: &str, default: u64) -> anyhow::Result<u64> {
    std::env::var(name).map_or(Ok(default), |text| text.parse().with_context(|| format!("{name}={text}")))
}

/// Whether every bar is kept.
fn conduct() -> anyhow::Result<bool> {
    let rounds = usize::try_from(number("BENCH_ROUNDS", 15)?)?;
    let slice = Duration::from_secs(number("BENCH_SECONDS", 1)?);
    let parts = std::env::var("BENCH_ONLY").unwrap_or_else(|_| "hits,secure,load,miss,second".to_owned());
    let wants = |part: &str| parts.split(',').any(|wanted| wanted == part);
    let bench = Bench::new()?;
    let mut kept = true;
    if wants("hits") {
        kept &= hits(&bench, rounds, slice)?;
    }
    if wants("secure") {
        kept &= secure::secure(&bench, rounds, slice)?;
    }
    if wants("load") {
        kept &= crowd(&bench, slice)?;
    }
    if wants("miss") {
        kept &= misses(&bench, rounds, slice)?;
    }
    if wants("second") {
        kept &= second_tier(&bench)?;
    }
    Ok(kept)
}

/// Connections in a slice: enough that a server always has work.
const CONNECTIONS: usize = 100;

/// The same for requests that are proxied.
const PROXIED: usize = 32;

fn hits(bench: &Bench, rounds: usize, slice: Duration) -> anyhow::Result<bool> {
    let servers = [
        bench.nginx("nginx", "")?,
        bench.nginx("nginx, open files kept", "open_file_cache max=1000 inactive=60s;")?,
        bench.varnish()?,
        bench.haproxy()?,
        bench.bare()?,
        bench.addrgate("addrgate", &[])?,
        bench.addrgate("addrgate, access log", &[("ADDRGATE_ACCESS_LOG", "true")])?,
        bench.addrgate("addrgate, new heads", &[])?,
    ];
    for server in &servers {
        // Every cache has it after this; Varnish tells of a hit from the second time on.
        load::run(Load::same(server, "/hit", CONNECTIONS, Duration::from_millis(300)))?;
    }
    let mut ratios = Ratios::new(&servers);
    let mut number = 0;
    let mut unlike = |out: &mut Vec<u8>| {
        number += 1;
        answer::unlike("/hit", number, out);
    };
    for round in 0..rounds {
        for at in 0..servers.len() {
            let server = &servers[(round + at) % servers.len()];
            let asked = bench.origin.asked();
            let mut load = Load::same(server, "/hit", CONNECTIONS, slice);
            if server.name.ends_with("new heads") {
                load.request = &mut unlike;
            }
            let seen = measure(server, load)?;
            ensure!(bench.origin.asked() == asked, "{}: the origin was asked during a slice of hits", server.name);
            ratios.add(server, &seen);
        }
    }
    println!("Cached hits of {} bytes, {CONNECTIONS} connections, {rounds} rounds of {slice:?}", answer::LENGTH);
    ratios.print();
    Ok(table::bars(&[
        ("x nginx", ratios.of("addrgate", "nginx"), 2.0, true),
        ("x HAProxy", ratios.of("addrgate", "HAProxy"), 1.2, true),
        ("bare loop / addrgate", ratios.of("bare loop", "addrgate"), 1.4, false),
    ]))
}

/// Latency of hits where many ask.
fn crowd(bench: &Bench, slice: Duration) -> anyhow::Result<bool> {
    const CROWD: usize = 1000;
    let servers = [
        bench.nginx("nginx", "")?,
        bench.varnish()?,
        bench.haproxy()?,
        bench.bare()?,
        bench.addrgate("addrgate", &[])?,
    ];
    let mut p99 = f64::INFINITY;
    // As fast as they can, where the time is the turn of a thousand; and at a rate that leaves every server room.
    for rate in [None, Some(25_000)] {
        let how = rate.map_or("each asks again at once".to_owned(), |rate| format!("{rate} requests per second"));
        println!("\nCached hits, {CROWD} connections, {how}; milliseconds");
        println!("{:<22} {:>10} {:>8} {:>8} {:>8}", "", "answers/s", "p50", "p99", "max");
        for server in &servers {
            let pace = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate);
            load::run(Load { pace, ..Load::same(server, "/hit", CROWD, Duration::from_millis(500)) })?;
            let seen = load::run(Load { pace, ..Load::same(server, "/hit", CROWD, slice * 4) })?;
            check(server, &seen)?;
            p99 = seen.milliseconds(0.99);
            let rate = seen.answers as f64 / seen.wall.as_secs_f64();
            let [p50, max] = [0.5, 1.0].map(|share| seen.milliseconds(share));
            println!("{:<22} {rate:>10.0} {p50:>8.2} {p99:>8.2} {max:>8.2}", server.name);
        }
    }
    Ok(table::bars(&[("p99 at that rate, ms", p99, 10.0, false)]))
}

/// What a proxied request costs and how much later its answer comes.
fn misses(bench: &Bench, rounds: usize, slice: Duration) -> anyhow::Result<bool> {
    let servers =
        [bench.nginx("nginx", "")?, bench.addrgate("addrgate", &[])?, bench.addrgate("addrgate, new keys", &[])?];
    let mut number = 0_u64;
    let mut ratios = Ratios::new(&servers);
    for round in 0..rounds {
        for at in 0..servers.len() {
            let server = &servers[(round + at) % servers.len()];
            let asked = bench.origin.asked();
            let new_keys = server.name.ends_with("new keys");
            let mut next = |out: &mut Vec<u8>| {
                number += 1;
                answer::request(&if new_keys { format!("/new/{number}") } else { "/nostore".to_owned() }, out);
            };
            let load = Load { connections: PROXIED, ..Load::with(server.place, slice, &mut next) };
            let seen = measure(server, load)?;
            let passed = bench.origin.asked() - asked;
            ensure!(passed >= seen.0.answers, "{}: the origin was asked {passed} times only", server.name);
            ratios.add(server, &seen);
        }
    }
    println!("\nProxied requests, {PROXIED} connections, {rounds} rounds of {slice:?}");
    ratios.print();
    let dear = ratios.of("nginx", "addrgate");

    // One at a time: what is added to the origin's own time.
    println!("\nOne request at a time, p50 in milliseconds");
    let p50 = |name: &str, place| -> anyhow::Result<f64> {
        let mut request = |out: &mut Vec<u8>| answer::request("/nostore", out);
        let seen = load::run(Load::with(place, slice, &mut request))?;
        ensure!(seen.wrong == 0 && seen.answers > 100, "{name}: {} answers, {} wrong", seen.answers, seen.wrong);
        let p50 = seen.milliseconds(0.5);
        println!("{name:<22} {p50:>8.3}");
        Ok(p50)
    };
    let direct = p50("origin", bench.origin.place)?;
    p50("through nginx", servers[0].place)?;
    let ours = p50("through addrgate", servers[1].place)?;
    Ok(table::bars(&[
        ("CPU per request, x nginx", dear, 1.9, false),
        ("added by addrgate, ms", ours - direct, 0.3, false),
    ]))
}

/// What a hit in Redis costs above asking Redis.
fn second_tier(bench: &Bench) -> anyhow::Result<bool> {
    let redis = bench.redis()?;
    let url = format!("redis://{}", redis.place);
    let server = bench.addrgate("addrgate", &[("REDIS_URL", &url), ("CACHE_MEMORY", "0B")])?;
    let time = Duration::from_secs(2);
    load::run(Load::same(&server, "/hit", 1, Duration::from_millis(500)))?;
    let asked = bench.origin.asked();
    let seen = load::run(Load { mark: b"detail=L2", ..Load::same(&server, "/hit", 1, time) })?;
    check(&server, &seen)?;
    ensure!(bench.origin.asked() == asked, "the origin was asked during hits in Redis");
    let trip = redis::round_trip(redis.place, answer::LENGTH + 500, time)?;
    let hit = seen.milliseconds(0.5);
    println!("\nHits in Redis alone, one at a time, p50 in milliseconds");
    println!("{:<22} {hit:>8.3}\n{:<22} {trip:>8.3}", "through addrgate", "one GET of Redis");
    Ok(table::bars(&[("added by addrgate, ms", hit - trip, 0.2, false)]))
}

/// One slice, with the CPU time it took.
fn measure(server: &Server, load: Load<'_>) -> anyhow::Result<(Seen, Duration)> {
    let before = server.process.cpu()?;
    let seen = load::run(load)?;
    let cpu = server.process.cpu()?.saturating_sub(before);
    check(server, &seen)?;
    Ok((seen, cpu))
}

fn check(server: &Server, seen: &Seen) -> anyhow::Result<()> {
    ensure!(seen.answers > 1000, "{}: only {} answers", server.name, seen.answers);
    ensure!(
        seen.wrong == 0,
        "{}: {} of {} answers are wrong: {}",
        server.name,
        seen.wrong,
        seen.answers,
        seen.sample()
    );
    Ok(())
}

/// A port that is free now.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
