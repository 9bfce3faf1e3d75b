//! The real service over a real PostGIS, under load, while one of them is killed or stands still.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::generator::{Seen, ask, offer, quantile, share};
use super::support::postgres::Server;
use super::support::stack::{ADMIN_TOKEN, Wishes};
use super::support::{Client, Stack};
use super::{Report, Scale};

/// Answers that are kept, asked for all the time.
const KEPT: u64 = 20;
/// Requests a second: for what is kept, and for what is not.
const HITS: f64 = 100.0;
const MISSES: f64 = 20.0;

pub fn kept(n: u64) -> String {
    format!("/api/v1/addresses/search?q=frith+road&limit={}", n % KEPT + 1)
}

/// Never asked for twice.
pub fn new(n: u64) -> String {
    format!("/api/v1/addresses/search?q=mccoy+circuit+{n}")
}

pub async fn start() -> (Server, Stack) {
    let (server, url) = Server::with_acton(&[]);
    let mut stack = Stack::with(Wishes { database_url: Some(url), ..Wishes::default() }).await;
    for text in
        ["database", "connection", "health", "upstream", "503", "unavailable", "breaker", "degradation", "deadline"]
    {
        stack.expect_log(text);
    }
    for n in 0..KEPT {
        assert_eq!(stack.client.get(&kept(n)).await.status, 200, "{}", kept(n));
    }
    (server, stack)
}

/// How often the gateway has asked the service.
async fn asked(stack: &Stack) -> f64 {
    let admin = Client::new(&stack.admin, "");
    let request = admin.request("GET", "/metrics").header("authorization", format!("Bearer {ADMIN_TOKEN}"));
    let text = admin.send(request).await.text();
    let lines = text.lines().filter_map(|line| line.strip_prefix("addrgate_upstream_total"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Kilobytes of memory that a process uses.
fn memory(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// PostGIS is killed for 60 s (short: 6 s) under load.
pub async fn postgis_killed(scale: Scale) -> Report {
    let (server, mut stack) = start().await;
    let normal = Duration::from_secs(scale.pick(3, 20));
    let down = Duration::from_secs(scale.pick(6, 60));
    let time = normal + down + Duration::from_secs(scale.pick(10, 20));
    let (hits, misses) = (stack.client.clone(), stack.client.clone());
    let story = async {
        let begin = Instant::now();
        let before = asked(&stack).await;
        sleep(normal).await;
        let rate = (asked(&stack).await - before) / begin.elapsed().as_secs_f64();
        server.signal("KILL");
        let killed = begin.elapsed();
        sleep(down).await;
        server.script("start");
        let back = begin.elapsed();
        // The first that is answered again, and how often the service is asked from then on.
        let probe = stack.client.clone();
        while ask(&probe, &new(1_000_000 + begin.elapsed().as_millis() as u64), begin).await.status != 200 {
            sleep(Duration::from_millis(20)).await;
        }
        let answered = begin.elapsed();
        let before = asked(&stack).await;
        sleep(Duration::from_secs(5)).await;
        (rate, killed, back, answered, (asked(&stack).await - before) / 5.0)
    };
    let (hits, misses, (rate, killed, back, answered, after)) =
        tokio::join!(offer(&hits, HITS, time, kept), offer(&misses, MISSES, time, new), story);
    let mut report = Report::default();
    report.tell("requests for kept answers", hits.len() as f64);
    report.at_most("failed of these", hits.iter().filter(|seen| !seen.is_served()).count() as f64, 0.0);
    let during: Vec<&Seen> = misses.iter().filter(|seen| (killed..back).contains(&seen.at)).collect();
    let odd = share(during.iter().copied().filter(|seen| seen.at > killed + Duration::from_millis(500)), |seen| {
        seen.status != 503
    });
    report.at_most("misses during the outage not refused with 503", odd, 0.0);
    let opened = during.iter().find(|seen| seen.reason.starts_with("breaker")).map(|seen| seen.at);
    report.tell("seconds until the breaker refuses", opened.map_or(f64::NAN, |at| (at - killed).as_secs_f64()));
    let refused = during.iter().copied().filter(|seen| seen.reason.starts_with("breaker"));
    report.at_most("refused by the breaker, p99, ms", quantile(refused, 0.99), scale.pick(250.0, 50.0));
    report.at_most("seconds from PostGIS being back to the first answer", (answered - back).as_secs_f64(), 5.0);
    report.tell("calls of the service a second, before", rate);
    report.at_most("the same in the 5 s after the recovery, in that", after / rate, 2.0);
    assert!(stack.gateway.is_running() && stack.service.is_running());
    stack.stop().await;
    report
}

/// The service stands still for 15 s (short: 4 s) under load.
pub async fn service_frozen(scale: Scale) -> Report {
    let (_server, mut stack) = start().await;
    let normal = Duration::from_secs(scale.pick(3, 10));
    let frozen = Duration::from_secs(scale.pick(4, 15));
    let time = normal + frozen + Duration::from_secs(scale.pick(6, 10));
    let (hits, misses) = (stack.client.clone(), stack.client.clone());
    let pid = stack.gateway.pid();
    let story = async {
        let begin = Instant::now();
        sleep(normal).await;
        let before = memory(pid);
        stack.service.signal("STOP");
        let stopped = begin.elapsed();
        sleep(frozen).await;
        let after = memory(pid);
        stack.service.signal("CONT");
        let back = begin.elapsed();
        let probe = stack.client.clone();
        while ask(&probe, &new(1_000_000 + begin.elapsed().as_millis() as u64), begin).await.status != 200 {
            sleep(Duration::from_millis(20)).await;
        }
        (stopped, back, begin.elapsed(), (after - before) / 1024.0)
    };
    let (hits, misses, (stopped, back, answered, grown)) =
        tokio::join!(offer(&hits, HITS, time, kept), offer(&misses, MISSES, time, new), story);
    let during = |seen: &&Seen| (stopped..back).contains(&seen.at);
    let before = |seen: &&Seen| seen.at < stopped;
    let mut report = Report::default();
    report.at_most("hits that failed", hits.iter().filter(|seen| !seen.is_served()).count() as f64, 0.0);
    report.tell("hits before, p99, ms", quantile(hits.iter().filter(before), 0.99));
    report.tell("hits during, p99, ms", quantile(hits.iter().filter(during), 0.99));
    let slowest = misses.iter().filter(during).map(|seen| seen.took.as_secs_f64()).fold(0.0, f64::max);
    report.at_most("slowest miss, in its budget of 2.5 s", slowest / 2.5, scale.pick(1.2, 1.05));
    report.at_most("memory grown by, MiB", grown, 16.0);
    report.at_most("seconds until a miss is answered again", (answered - back).as_secs_f64(), 5.0);
    assert!(stack.gateway.is_running() && stack.service.is_running());
    stack.stop().await;
    report
}
