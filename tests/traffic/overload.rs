//! More than the upstream can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::generator::{at_once, offer, quantile, share, worst_goodput};
use super::profile::{self, DEADLINE, PLACES, capacity, clients, limited};
use super::support::origin::pause;
use super::support::stack::start_gateway;
use super::support::{Answer, Client, Origin};
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

/// 1000 requests at once with one key, none of them cached, on the configuration as it is shipped: the service has as many
/// connections to its database as by default, its first calls are slow, and it could do all in half of the route's time.
pub async fn one_key(scale: Scale) -> Report {
    let (database, calls) = (Arc::new(Semaphore::new(16)), Arc::new(AtomicUsize::new(0)));
    let origin = Origin::start(move |_| {
        let (database, call) = (Arc::clone(&database), calls.fetch_add(1, Ordering::SeqCst));
        async move {
            let _connection = database.acquire_owned().await;
            pause(if call < 16 { 100 } else { 15 }).await;
            Answer::json("{}").with("cache-control", "no-store")
        }
    })
    .await;
    let (mut process, client, _) = start_gateway(&origin.place, vec![]).await;
    let mut report = Report::default();
    for round in 0..scale.pick(1, 5) {
        for (protocol, client) in [("HTTP/1.1", client.clone()), ("HTTP/2", client.over_http2())] {
            for route in ["validate", "search", "geocode"] {
                let statuses = thousand(&client, route, round).await;
                let served = statuses.iter().filter(|(status, _)| *status == 200).count();
                let why = statuses.iter().find(|(status, _)| *status != 200);
                let what = format!("{route} of 1,000 served over {protocol}");
                report.at_least(why.map_or(what.clone(), |why| format!("{what} ({why:?})")), served as f64, 1000.0);
            }
        }
    }
    assert!(process.stop().await.success());
    process.assert_clean(&["level of degradation"]);
    report
}

/// Status and body of a thousand different requests at once.
async fn thousand(client: &Client, route: &'static str, round: usize) -> Vec<(u16, String)> {
    let mut asked = JoinSet::new();
    for n in 0..1000 {
        let (client, text) = (client.clone(), format!("{n} Round {round} Street Horsham"));
        asked.spawn(async move {
            let path = format!("/api/v1/addresses/{route}");
            let reply = match route {
                "search" => client.get(&format!("{path}?q={}", text.replace(' ', "+"))).await,
                _ => client.post(&path, &json!({"address": text})).await,
            };
            (reply.status, reply.text())
        });
    }
    asked.join_all().await
}
