//! The breaker in front of an origin that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::generator::{Seen, ask, at_once};
use super::profile;
use super::support::origin::pause;
use super::support::{Answer, Client, Gateway, Origin, until};
use super::{Report, Scale};

/// What the origin does with the next requests.
#[derive(Clone, Default)]
struct Script {
    /// Of ten.
    failures: Arc<AtomicUsize>,
    /// Milliseconds before it answers.
    late: Arc<AtomicUsize>,
    calls: Arc<AtomicUsize>,
}

impl Script {
    async fn start(&self) -> Origin {
        let script = self.clone();
        Origin::start(move |_| {
            let call = script.calls.fetch_add(1, Ordering::SeqCst);
            let late = script.late.load(Ordering::SeqCst) as u64;
            // Spread evenly: 3, 6, 9 of ten, for instance.
            let of_ten = script.failures.load(Ordering::SeqCst);
            let fails = (call + 1) * of_ten / 10 > call * of_ten / 10;
            async move {
                pause(late).await;
                if fails { Answer::json("{}").status(500) } else { Answer::json("{}") }
            }
        })
        .await
    }

    fn set(&self, failures: usize, late: usize) -> usize {
        self.failures.store(failures, Ordering::SeqCst);
        self.late.store(late, Ordering::SeqCst);
        self.calls.swap(0, Ordering::SeqCst)
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

async fn state(gateway: &Gateway) -> String {
    let reply = gateway.admin("GET", "/admin/v1/breakers/origin", None).await;
    reply.json()["state"].as_str().unwrap_or_default().to_owned()
}

/// Waits until an open breaker lets calls through again; each time it opens it stays so for longer.
async fn open_time(gateway: &Gateway) {
    let reply = gateway.admin("GET", "/admin/v1/breakers/origin", None).await;
    pause(reply.json()["reopens_in_ms"].as_u64().unwrap_or_default() + 50).await;
}

/// One after the other, until one is refused by the breaker or all are done.
async fn until_refused(client: &Client, most: usize) -> Option<Seen> {
    for n in 0..most {
        let seen = ask(client, &format!("/nocache/{n}"), Instant::now()).await;
        if seen.reason.starts_with("breaker") {
            return Some(seen);
        }
    }
    None
}

/// Threshold, probes, cancelled probes, and closing with and without traffic.
pub async fn breaker(scale: Scale) -> Report {
    let script = Script::default();
    let origin = script.start().await;
    // Its own probes would take places of the permitted ones.
    let text = profile::text().replace("probe_every: 2s", "probe_every: 60s");
    let gateway = profile::with(&origin.place, &text, &[]).await;
    let (people, _) = profile::clients(&gateway);
    let mut report = Report::default();

    script.set(3, 0);
    let refused = until_refused(&people, 400).await;
    report.at_most("refused of 400 calls at 30 % failures", f64::from(u8::from(refused.is_some())), 0.0);
    script.set(7, 0);
    let refused = until_refused(&people, 200).await;
    report.at_most("calls at 70 % failures until it opens", refused.map_or(f64::NAN, |_| script.calls() as f64), 200.0);

    for round in 0..scale.pick(1, 5) {
        // Half open: good answers, but so late that all fifty are there before the first is done.
        script.set(10, 1000);
        open_time(&gateway).await;
        let seen = at_once(&people, 50, |n| format!("/nocache/probes/{round}/{n}")).await;
        report.at_least(format!("calls of 50 let through half open, round {round}"), script.calls() as f64, 3.0);
        report.at_most("the same", script.calls() as f64, 3.0);
        let slowest = seen.iter().filter(|seen| seen.status == 503).map(|seen| seen.took).max().unwrap_or_default();
        report.at_most("slowest refusal, ms", slowest.as_secs_f64() * 1000.0, scale.pick(500.0, 50.0));
        gateway.admin("PUT", "/admin/v1/breakers/origin", Some(serde_json::json!({"state": "closed"}))).await;
        gateway.admin("PUT", "/admin/v1/breakers/origin", Some(serde_json::json!({"state": "auto"}))).await;
        script.set(10, 0);
        assert!(until_refused(&people, 200).await.is_some(), "it opens again");
    }

    // Fifty clients that leave while their probe is under way.
    script.set(0, 60_000);
    open_time(&gateway).await;
    for n in 0..50 {
        let path = format!("/nocache/cancelled/{n}");
        let left = timeout(Duration::from_millis(20), ask(&people, &path, Instant::now())).await;
        assert!(left.is_err() || left.is_ok_and(|seen| seen.status == 503));
    }
    let cancelled = script.set(0, 0);
    report.at_least("cancelled while they probed", cancelled as f64, 10.0);
    let begun = Instant::now();
    until("it closes after cancelled probes", || async {
        ask(&people, "/nocache/back", Instant::now()).await;
        state(&gateway).await == "closed"
    })
    .await;
    report.at_most("seconds until it closes after 50 cancelled probes", begun.elapsed().as_secs_f64(), 10.0);
    gateway.stop(&["a breaker opened", "level of degradation"]).await;
    report.at_most("seconds until it closes without traffic", without_traffic().await, 10.0);
    report
}

/// Seconds from the recovery of an origin until the breaker is closed, though nobody asks.
async fn without_traffic() -> f64 {
    let script = Script::default();
    let origin = script.start().await;
    let gateway = profile::gateway(&origin.place).await;
    let (people, _) = profile::clients(&gateway);
    script.set(10, 0);
    assert!(until_refused(&people, 200).await.is_some(), "it opens");
    script.set(0, 0);
    let recovered = Instant::now();
    until("it closes without traffic", || async { state(&gateway).await == "closed" }).await;
    let took = recovered.elapsed().as_secs_f64();
    assert_eq!(script.calls(), 0, "there was no traffic");
    gateway.stop(&["a breaker opened", "level of degradation"]).await;
    took
}
