//! Who matters is not harmed by who does not.

use std::time::Duration;

use tokio::time::Instant;

use super::generator::{ask, offer, quantile, share};
use super::profile::{self, SERVICE, capacity, clients, limited};
use super::support::origin::pause;
use super::{Report, Scale};

/// People at a fifth of the capacity, first alone, then beside a batch at five times the capacity.
pub async fn classes(scale: Scale) -> Report {
    let upstream = limited().await;
    let gateway = profile::gateway(&upstream.origin.place).await;
    let (people, batch) = clients(&gateway);
    let time = Duration::from_secs(scale.pick(6, 30));
    let rate = capacity() / 5.0;
    let alone = offer(&people, rate, time, |n| format!("/nocache/alone/{n}")).await;
    let load = offer(&batch, 5.0 * capacity(), time + Duration::from_secs(1), |n| format!("/nocache/batch/{n}"));
    let beside = async {
        // The batch has filled the places and the queue.
        pause(1000).await;
        offer(&people, rate, time, |n| format!("/nocache/people/{n}")).await
    };
    let (batch, beside) = tokio::join!(load, beside);
    let mut report = Report::default();
    report.at_least("people served beside the batch", share(&beside, |seen| seen.is_served()), scale.pick(0.99, 0.999));
    report.tell("people alone, p99, ms", quantile(&alone, 0.99));
    report.tell("people beside the batch, p99, ms", quantile(&beside, 0.99));
    let ratio = quantile(&beside, 0.99) / quantile(&alone, 0.99);
    report.at_most("p99 of people, in p99 of people alone", ratio, scale.pick(2.5, 1.5));
    report.at_least("batch served all the same", share(&batch, |seen| seen.is_served()), 0.08);
    gateway.stop(&["level of degradation"]).await;
    report
}

/// A key with a limit sends sixty times as much; another key's requests are as quick as before.
pub async fn noisy_key(scale: Scale) -> Report {
    let upstream = limited().await;
    let text = profile::text().replace("client: [100/15m]", "client: [20/1s]");
    let gateway = profile::with(&upstream.origin.place, &text, &[]).await;
    let (people, _) = clients(&gateway);
    let noisy = gateway.client.with_key("demo-small");
    let time = Duration::from_secs(scale.pick(5, 30));
    let alone = offer(&people, 50.0, time, |n| format!("/nocache/alone/{n}")).await;
    let flood = offer(&noisy, 60.0 * 20.0, time, |n| format!("/nocache/noisy/{n}"));
    let others = offer(&people, 50.0, time, |n| format!("/nocache/others/{n}"));
    let (flood, others) = tokio::join!(flood, others);
    let mut report = Report::default();
    report.at_least("others served", share(&others, |seen| seen.is_served()), 1.0);
    report.tell("others alone, p99, ms", quantile(&alone, 0.99));
    let ratio = quantile(&others, 0.99) / quantile(&alone, 0.99);
    report.at_most("p99 of others, in p99 of others alone", ratio, scale.pick(2.5, 1.5));
    let admitted = flood.iter().filter(|seen| seen.is_served()).count() as f64;
    report.at_most("admitted of the flood, in its limit", admitted / (20.0 * (time.as_secs_f64() + 1.0)), 1.02);
    report.at_most(
        "answers to the flood other than 200 and 429",
        share(&flood, |s| !matches!(s.status, 200 | 429)),
        0.0,
    );
    gateway.stop(&["level of degradation"]).await;
    report
}

/// A batch has filled the queue and its request for `/shared/n` stands in it; a person asks for the same. Its first round,
/// in which all places are taken and come free together, is over by then.
pub async fn lent(scale: Scale) -> Report {
    let upstream = limited().await;
    let gateway = profile::gateway(&upstream.origin.place).await;
    let (people, batch) = clients(&gateway);
    let mut report = Report::default();
    let (mut waits, mut leads) = (Vec::new(), Vec::new());
    for round in 0..scale.pick(3, 20) {
        let load = super::generator::at_once(&batch, 240, |n| format!("/nocache/{round}/{n}"));
        let path = format!("/shared/{round}");
        let leader = async {
            pause(250).await;
            ask(&batch, &path, Instant::now()).await
        };
        let person = async {
            pause(270).await;
            ask(&people, &path, Instant::now()).await
        };
        let (_, lead, person) = tokio::join!(load, leader, person);
        assert_eq!((lead.status, person.status), (200, 200), "{lead:?} {person:?}");
        assert_eq!(upstream.origin.count(&path), 1, "one fetch for both");
        waits.push(person);
        leads.push(lead);
    }
    let service = SERVICE.as_secs_f64() * 1000.0;
    report.tell("who fetches, p50, ms", quantile(&leads, 0.5));
    report.tell("a person who waits for it, p50, ms", quantile(&waits, 0.5));
    report.at_most("the longest, ms beyond one service time", quantile(&waits, 1.0) - service, scale.pick(250.0, 50.0));
    gateway.stop(&["level of degradation"]).await;
    report
}
