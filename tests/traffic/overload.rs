//! More than the upstream can do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::generator::{at_once, offer, quantile, share, worst_goodput};
use super::profile::{self, DEADLINE, PLACES, capacity, clients, limited};
use super::{Report, Scale};

/// Five times the capacity: what it can do is done, the rest hears so at once.
pub async fn overload(scale: Scale) -> Report {
    let upstream = limited().await;
    let gateway = profile::gateway(&upstream.origin.place).await;
    let (people, _) = clients(&gateway);
    let time = Duration::from_secs(scale.pick(10, 60));
    let seen = offer(&people, 5.0 * capacity(), time, |n| format!("/nocache/{n}")).await;
    let served = || seen.iter().filter(|seen| seen.is_served());
    let refused = || seen.iter().filter(|seen| seen.status == 503);
    let ms = DEADLINE.as_secs_f64() * 1000.0;
    let mut report = Report::default();
    let worst = worst_goodput(&seen, Duration::from_secs(5), time) / capacity();
    report.at_least("goodput in the worst 5 s, share of the capacity", worst, scale.pick(0.8, 0.95));
    report.at_most("served, p99, in deadlines of the queue", quantile(served(), 0.99) / ms, 1.25);
    report.tell("refused, p50, ms", quantile(refused(), 0.5));
    report.at_most("refused, p99, ms", quantile(refused(), 0.99), scale.pick(ms / 4.0, 5.0));
    report.at_most("neither served nor refused", share(&seen, |seen| !matches!(seen.status, 200 | 503)), 0.0);
    report.at_most("most at the upstream at once", upstream.most.load(Ordering::SeqCst) as f64, PLACES as f64);
    gateway.stop(&["level of degradation"]).await;
    report
}

/// 200 at once on 30 places of 100 ms: 0.7 s of work, within the deadline of a second.
pub async fn burst(scale: Scale) -> Report {
    let upstream = limited().await;
    let gateway = profile::gateway(&upstream.origin.place).await;
    let (people, _) = clients(&gateway);
    let mut report = Report::default();
    for round in 0..scale.pick(1, 10) {
        let seen = at_once(&people, 200, |n| format!("/nocache/{round}/{n}")).await;
        let served = seen.iter().filter(|seen| seen.is_served()).count();
        report.at_least(format!("served of 200, burst {}", round + 1), served as f64, 200.0);
    }
    report.at_most("most at the upstream at once", upstream.most.load(Ordering::SeqCst) as f64, PLACES as f64);
    gateway.stop(&["level of degradation"]).await;
    report
}
