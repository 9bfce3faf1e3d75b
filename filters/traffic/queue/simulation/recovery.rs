//! After a bad time: what the queue learnt in it must not outlive it.

use super::*;

/// 30 at a time in 100 ms each, but frozen for two minutes; what it was asked meanwhile it does when it returns.
fn frozen_between(timeout: Duration) -> Upstream {
    let service = |_: &str, _, at: Duration| match at {
        at if at >= 5 * SECOND && at < RETURN => RETURN - at + 100 * MS,
        _ => 100 * MS,
    };
    Upstream { service, timeout, ..steady() }
}

const RETURN: Duration = Duration::from_secs(125);

#[tokio::test(start_paused = true)]
async fn an_upstream_that_returns_from_a_freeze_is_used_at_once() {
    for (per_second, timeout) in [(100.0, 3), (100.0, 1), (250.0, 3)] {
        let queues = queues(30);
        let load = Load { client: "all", class: Class::Normal, per_second };
        let seen = &run(&queues, frozen_between(timeout * SECOND), &[load], 130 * SECOND).await["all"];
        let sent = |after: Duration| seen.iter().filter(move |seen| seen.at - seen.took >= RETURN + after);
        let lost = |after| sent(after).filter(|seen| seen.refused.is_some()).count();
        let most = per_second as usize / 5;
        assert!(lost(500 * MS) == 0 && lost(Duration::ZERO) <= most, "{per_second}/s, timeout {timeout} s");
    }
}

/// Slow calls say nothing about the burst after them, whether it follows at once or later.
#[tokio::test(start_paused = true)]
async fn a_burst_after_slow_calls_is_absorbed() {
    let slow: [(Service, usize); 3] =
        [(|_, _, _| 900 * MS, 30), (|_, _, _| 4 * SECOND, 30), (|_, _, _| 10 * SECOND, 10)];
    for (service, calls) in slow {
        for pause in [Duration::ZERO, SECOND, 60 * SECOND] {
            let queues = queues(30);
            for _ in 0..4 {
                at_once(&queues, Upstream { service, ..steady() }, calls).await;
            }
            sleep(pause).await;
            let seen = at_once(&queues, steady(), 200).await;
            assert_eq!(served(&seen).len(), 200, "after {calls} slow calls and a pause of {pause:?}");
        }
    }
}

/// Batches of 5 s that hold some of the permits say nothing about bursts of another class beside them.
#[tokio::test(start_paused = true)]
async fn slow_batches_refuse_no_burst_beside_them() {
    let queues = queues(30);
    let slow = Upstream { service: |_, _, _| 5 * SECOND, ..steady() };
    let beside = Arc::clone(&queues);
    let batches = tokio::spawn(async move {
        run(&beside, slow, &[Load { client: "batch", class: Class::Low, per_second: 2.0 }], 30 * SECOND).await
    });
    for round in 0..20 {
        sleep(SECOND).await;
        let seen = at_once(&queues, Upstream { service: |_, _, _| 50 * MS, ..steady() }, 120).await;
        assert_eq!(served(&seen).len(), 120, "round {round}");
    }
    assert!(share_served(&batches.await.unwrap()["batch"]) >= 0.95);
}
