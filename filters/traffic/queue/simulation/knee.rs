//! Upstreams that take as many requests as they are given, but do no more by it.

use super::*;

/// So many processors that all calls share.
fn shared(processors: usize, service: Service) -> Upstream {
    Upstream { bears: usize::MAX, service, processors: Some(Semaphore::new(processors)), ..steady() }
}

fn exponential(mean: f64, random: f64) -> Duration {
    Duration::from_secs_f64(-mean * (1.0 - random).ln() / 1000.0)
}

fn search(per_second: f64) -> Load {
    Load { client: "search", class: Class::Normal, per_second }
}

/// What a run showed from a second on.
#[derive(Debug)]
struct Shown {
    /// Served per second.
    goodput: f64,
    /// Within which 95 % of those were answered, from their permit on.
    latency: Duration,
    /// The limit on average.
    limit: f64,
}

async fn shown(config: Config, upstream: Upstream, loads: &[Load], from: u32, to: u32) -> Shown {
    let config = Config { deadline: Some(Span(DEADLINE)), ..config };
    let queues = Arc::new(Queues::new(&BTreeMap::from([("service".to_owned(), config)])).unwrap());
    let watched = Arc::clone(&queues);
    let limits = tokio::spawn(async move {
        sleep(from * SECOND).await;
        let mut sum = 0;
        for _ in 0..(to - from) * 10 {
            sleep(100 * MS).await;
            sum += watched.upstreams().get("service").unwrap().snapshot().limit;
        }
        sum as f64 / f64::from((to - from) * 10)
    });
    let seen = run(&queues, upstream, loads, to * SECOND).await;
    let meant = |seen: &&Seen| seen.refused.is_none() && (from * SECOND..to * SECOND).contains(&seen.at);
    let mut latencies: Vec<Duration> =
        seen["search"].iter().filter(meant).map(|seen| seen.took - seen.waited).collect();
    latencies.sort();
    Shown {
        goodput: latencies.len() as f64 / f64::from(to - from),
        latency: latencies[latencies.len() * 95 / 100],
        limit: limits.await.unwrap(),
    }
}

fn between(floor: usize, ceiling: usize) -> Config {
    Config { floor, ceiling, ..Config::default() }
}

#[tokio::test(start_paused = true)]
async fn two_processors_get_no_more_than_keeps_them_busy() {
    let upstream = || shared(2, |_, random, _| exponential(2.5, random));
    let load = [search(1500.0)];
    let by_hand = shown(between(4, 4), upstream(), &load, 1, 4).await;
    let too_many = shown(between(32, 32), upstream(), &load, 1, 4).await;
    let found = shown(between(4, 32), upstream(), &load, 3, 10).await;
    assert!(found.goodput >= 0.97 * by_hand.goodput.max(too_many.goodput), "{found:?} {by_hand:?} {too_many:?}");
    assert!(found.limit <= 8.0 && found.latency * 3 <= too_many.latency, "{found:?} {by_hand:?} {too_many:?}");
}

#[tokio::test(start_paused = true)]
async fn where_more_at_a_time_do_more_they_are_let_through() {
    let free = |service| Upstream { bears: usize::MAX, service, ..steady() };
    let same = shown(between(4, 32), free(|_, _, _| 100 * MS), &[search(1000.0)], 2, 12).await;
    let uneven = shown(between(4, 32), free(|_, random, _| exponential(100.0, random)), &[search(1000.0)], 2, 20).await;
    // Slower for reasons of its own: no baseline takes that for load.
    let drifts = |_: &str, _, at: Duration| 100 * MS + at / 50;
    let drifting = shown(between(4, 32), free(drifts), &[search(1000.0)], 2, 12).await;
    assert!(same.goodput >= 0.95 * 320.0, "{same:?}");
    assert!(uneven.goodput >= 0.88 * 320.0, "{uneven:?}");
    assert!(drifting.limit >= 29.0, "{drifting:?}");
}

#[tokio::test(start_paused = true)]
async fn places_inside_the_upstream_are_filled_and_little_more() {
    let found = shown(between(4, 100), shared(30, |_, _, _| 100 * MS), &[search(1000.0)], 10, 20).await;
    assert!(found.goodput >= 0.93 * 300.0 && found.limit <= 60.0, "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn batches_do_not_hide_the_knee_of_the_rest() {
    let service = |client: &str, random, _| exponential(if client == "batch" { 250.0 } else { 2.5 }, random);
    let loads = [search(1500.0), Load { client: "batch", class: Class::Low, per_second: 4.0 }];
    let found = shown(between(4, 32), shared(2, service), &loads, 5, 15).await;
    // Batches that hold their permits for long, but cost nothing, hold up no trial for long either.
    let service = |client: &str, random, _| if client == "batch" { 5 * SECOND } else { exponential(20.0, random) };
    let free = shown(between(4, 32), Upstream { bears: usize::MAX, service, ..steady() }, &loads, 5, 12).await;
    assert!(found.limit <= 20.0, "{found:?}");
    assert!(free.limit >= 25.0, "{free:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_grows_gets_more_again() {
    let sick = |_: &str, _, at| if at < 5 * SECOND { 300 * MS } else { 10 * MS };
    let found = shown(between(4, 32), shared(8, sick), &[search(1500.0)], 9, 16).await;
    assert!(found.goodput >= 0.93 * 800.0, "{found:?}");
}
