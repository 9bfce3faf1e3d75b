//! What the queue learnt in a bad time must not outlive it. The breaker only observes, so that nothing but the queue is
//! between.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::generator::{Seen, at_once, offer, share};
use super::profile;
use super::support::{Answer, Gateway, Origin};
use super::{Report, Scale};

/// What the origin does: it freezes until that changes, or takes so long per request.
type Pause = watch::Sender<Option<Duration>>;

const QUICK: Option<Duration> = Some(Duration::from_millis(100));

/// An origin, and the gateway with so much time per request, and so much in the queue.
async fn start(timeout: &str, deadline: &str) -> (Pause, Origin, Gateway) {
    let (pause, told) = watch::channel(QUICK);
    let origin = Origin::start(move |_| {
        let mut told = told.clone();
        async move {
            let pause = told.wait_for(Option::is_some).await.map_or(QUICK, |pause| *pause);
            sleep(pause.unwrap_or_default()).await;
            Answer::json("{}").with("cache-control", "no-store")
        }
    })
    .await;
    let observed = profile::text().replace("breaker:\n", "breaker:\n  mode: observe\n");
    let text = observed.replace("timeout: 3s", &format!("timeout: {timeout}"));
    let text = text.replace("deadline: 1s", &format!("deadline: {deadline}"));
    let gateway = profile::with(&origin.place, &text, &[]).await;
    (pause, origin, gateway)
}

/// A frozen origin returns under 100 requests a second of 100 ms each.
pub async fn freeze(scale: Scale) -> Report {
    let frozen = Duration::from_secs(scale.pick(8, 60));
    let time = Duration::from_secs(1) + frozen + Duration::from_secs(4);
    let run = async |http2: bool| {
        let (pause, _origin, gateway) = start("600ms", "1s").await;
        let (people, _) = profile::clients(&gateway);
        let people = if http2 { people.over_http2() } else { people };
        let story = async {
            sleep(Duration::from_secs(1)).await;
            pause.send_replace(None);
            sleep(frozen).await;
            pause.send_replace(QUICK);
        };
        let (seen, ()) = tokio::join!(offer(&people, 100.0, time, |n| format!("/nocache/{n}")), story);
        gateway.stop(&["level of degradation", "breaker"]).await;
        let settled = time - Duration::from_secs(3);
        share(seen.iter().filter(|seen| seen.at >= settled), Seen::is_served)
    };
    let (http1, http2) = tokio::join!(run(false), run(true));
    let mut report = Report::default();
    // A machine that does other things as well may be late with one of them.
    report.at_least("served from 1 s after the return on, HTTP/1.1", http1, scale.pick(0.98, 1.0));
    report.at_least("the same, HTTP/2", http2, scale.pick(0.98, 1.0));
    report
}

/// 200 calls of 100 ms at once, on 30 permits within a second (two, where the machine does other things as well), right after
/// slow ones.
pub async fn burst(scale: Scale) -> Report {
    let mut report = Report::default();
    for http2 in [false, true] {
        let (pause, _origin, gateway) = start("5s", scale.pick("2s", "1s")).await;
        let (people, _) = profile::clients(&gateway);
        let people = if http2 { people.over_http2() } else { people };
        pause.send_replace(Some(Duration::from_millis(2500)));
        for _ in 0..2 {
            let slow = at_once(&people, 30, |n| format!("/nocache/slow/{n}")).await;
            assert!(slow.iter().all(Seen::is_served), "{slow:?}");
        }
        pause.send_replace(QUICK);
        let served = at_once(&people, 200, |n| format!("/nocache/{n}")).await.iter().filter(|s| s.is_served()).count();
        let protocol = if http2 { "HTTP/2" } else { "HTTP/1.1" };
        report.at_least(format!("served of 200, {protocol}"), served as f64, 200.0);
        gateway.stop(&["level of degradation"]).await;
    }
    report
}
