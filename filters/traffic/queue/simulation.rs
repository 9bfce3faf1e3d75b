//! The queue in front of a simulated upstream, on paused time: what clients would see under load.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use tokio::sync::Semaphore;
use tokio::time::{sleep, sleep_until};

use super::*;
use crate::client::Client;
use crate::queue::Queues;
use crate::route::{Route, Routes};
use crate::traffic::units::Span;
use crate::verdict::Verdict;
use crate::{Filter, Flow};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DEADLINE: Duration = SECOND;

/// What one request saw.
#[derive(Debug, Clone)]
struct Seen {
    /// When its answer or refusal came, from the beginning.
    at: Duration,
    /// How long it took to get a place or a refusal, and to the end.
    waited: Duration,
    took: Duration,
    /// `None`: served.
    refused: Option<&'static str>,
}

type Service = fn(&str, f64, Duration) -> Duration;

/// An upstream that does up to `bears` requests at a time and refuses more.
struct Upstream {
    bears: usize,
    running: AtomicUsize,
    /// How long a call takes: of this client, by a random number in [0, 1), asked so long after the beginning.
    service: Service,
    /// How long a call may take.
    timeout: Duration,
    /// Where all calls share so many processors; else each takes its time beside the others.
    processors: Option<Semaphore>,
}

impl Upstream {
    /// So much work, in turns of 2 ms with the others.
    async fn work(&self, mut left: Duration) {
        let Some(processors) = &self.processors else { return sleep(left).await };
        while !left.is_zero() {
            let turn = left.min(2 * MS);
            let _processor = processors.acquire().await.unwrap();
            sleep(turn).await;
            left -= turn;
        }
    }
}

/// 30 at a time in 100 ms each: 300 per second.
fn steady() -> Upstream {
    Upstream {
        bears: 30,
        running: AtomicUsize::new(0),
        service: |_, _, _| 100 * MS,
        timeout: 60 * SECOND,
        processors: None,
    }
}

/// A client's requests.
#[derive(Debug, Clone)]
struct Load {
    client: &'static str,
    class: Class,
    per_second: f64,
}

/// Numbers in [0, 1) that are the same in each run (an LCG of Knuth's).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Each client has a route of its own.
fn route(client: &str) -> Option<Arc<Route>> {
    static ROUTES: LazyLock<Routes> = LazyLock::new(|| {
        let config = |name: &&str| {
            serde_json::from_value(json!({"name": name, "paths": [format!("/{name}")], "timeout": "60s"})).unwrap()
        };
        Routes::new(["all", "search", "batch"].iter().map(config).collect()).unwrap()
    });
    ROUTES.list().iter().find(|route| route.name() == client).cloned()
}

fn queues(ceiling: usize) -> Arc<Queues> {
    let config = Config { ceiling, deadline: Some(Span(DEADLINE)), ..Config::default() };
    Arc::new(Queues::new(&BTreeMap::from([("service".to_owned(), config)])).unwrap())
}

async fn request(queues: &Queues, upstream: &Upstream, load: &Load, random: f64, begin: Instant) -> Seen {
    let came = Instant::now();
    let client = Client { name: load.client.into(), ..Client::default() };
    let mut verdict =
        Verdict { client: Some(Arc::new(client)), class: load.class, route: route(load.client), ..Verdict::default() };
    let flow = queues.forward(&mut verdict).await;
    let waited = came.elapsed();
    let mut refused = match flow {
        Flow::Reply(cause) => Some(cause.reason),
        _ => None,
    };
    if refused.is_none() {
        let asked = Instant::now();
        let overloaded = upstream.running.fetch_add(1, Ordering::Relaxed) >= upstream.bears;
        let service = (upstream.service)(load.client, random, begin.elapsed());
        upstream.work(if overloaded { MS } else { service.min(upstream.timeout) }).await;
        upstream.running.fetch_sub(1, Ordering::Relaxed);
        let (answered, failure) = match (overloaded, service < upstream.timeout) {
            (true, _) => (Answered::Overloaded, Some("upstream")),
            (false, false) => (Answered::TimedOut, Some("timeout")),
            (false, true) => (Answered::Ok, None),
        };
        verdict.answered(answered, asked.elapsed());
        refused = failure;
    }
    queues.finish(&mut verdict);
    Seen { at: begin.elapsed(), waited, took: came.elapsed(), refused }
}

/// Sends all loads for `time`, each with arrivals of its own at random, and waits for the last answer.
async fn run(
    queues: &Arc<Queues>,
    upstream: Upstream,
    loads: &[Load],
    time: Duration,
) -> BTreeMap<&'static str, Vec<Seen>> {
    let (upstream, begin) = (Arc::new(upstream), Instant::now());
    let mut arrivals: Vec<(Instant, usize, f64)> = Vec::new();
    for (index, load) in loads.iter().enumerate() {
        let mut random = Random(index as u64 + 1);
        let mut at = 0.0;
        while at < time.as_secs_f64() {
            at -= (1.0 - random.next()).ln() / load.per_second;
            arrivals.push((begin + Duration::from_secs_f64(at), index, random.next()));
        }
    }
    arrivals.sort_by_key(|(at, ..)| *at);
    let mut requests = tokio::task::JoinSet::new();
    for (at, index, random) in arrivals {
        sleep_until(at).await;
        let (queues, upstream, load) = (Arc::clone(queues), Arc::clone(&upstream), loads[index].clone());
        requests.spawn(async move { (load.client, request(&queues, &upstream, &load, random, begin).await) });
    }
    let mut seen: BTreeMap<&'static str, Vec<Seen>> = BTreeMap::new();
    while let Some(done) = requests.join_next().await {
        let (client, one) = done.unwrap();
        seen.entry(client).or_default().push(one);
    }
    seen
}

/// So many requests at once.
async fn at_once(queues: &Arc<Queues>, upstream: Upstream, count: usize) -> Vec<Seen> {
    let (upstream, begin) = (Arc::new(upstream), Instant::now());
    let load = Load { client: "all", class: Class::Normal, per_second: 0.0 };
    let requests = (0..count).map(|_| {
        let (queues, upstream, load) = (Arc::clone(queues), Arc::clone(&upstream), load.clone());
        tokio::spawn(async move { request(&queues, &upstream, &load, 0.0, begin).await })
    });
    let mut seen = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        seen.push(request.await.unwrap());
    }
    seen
}

fn served(seen: &[Seen]) -> Vec<&Seen> {
    seen.iter().filter(|seen| seen.refused.is_none()).collect()
}

fn share_served(seen: &[Seen]) -> f64 {
    served(seen).len() as f64 / seen.len() as f64
}

fn p99<'a>(seen: impl IntoIterator<Item = &'a Seen>, of: impl Fn(&Seen) -> Duration) -> Duration {
    let mut times: Vec<Duration> = seen.into_iter().map(of).collect();
    times.sort();
    times[(times.len() * 99).div_ceil(100) - 1]
}

/// The worst goodput of all whole windows of 5 s, in answers per second.
fn worst_goodput(seen: &[Seen], time: Duration) -> f64 {
    let done = served(seen);
    let window = 5 * SECOND;
    let starts = (0..).map(|i| i * SECOND).take_while(|start| *start + window <= time);
    let counts = starts.map(|start| done.iter().filter(|seen| (start..start + window).contains(&seen.at)).count());
    counts.min().unwrap() as f64 / 5.0
}

mod knee;
mod recovery;

#[tokio::test(start_paused = true)]
async fn at_five_times_the_capacity_it_goes_on_at_full_speed() {
    let queues = queues(30);
    let load = Load { client: "all", class: Class::Normal, per_second: 1_500.0 };
    let seen = &run(&queues, steady(), &[load], 20 * SECOND).await["all"];
    let goodput = worst_goodput(seen, 20 * SECOND);
    assert!(goodput >= 0.95 * 300.0, "{goodput} per second");
    let wait = p99(served(seen), |seen| seen.waited);
    assert!(wait <= DEADLINE * 5 / 4, "{wait:?}");
    let refused: Vec<&Seen> = seen.iter().filter(|seen| seen.refused.is_some()).collect();
    let late = refused.iter().filter(|seen| seen.took > 5 * MS).count();
    // Those that were let in for a whole deadline just before a trial of half the limit.
    assert!(late * 1_000 <= refused.len() * 3, "{late} of {} were refused late", refused.len());
}

#[tokio::test(start_paused = true)]
async fn uneven_answers_change_nothing_of_it() {
    let queues = queues(30);
    let load = Load { client: "all", class: Class::Normal, per_second: 1_500.0 };
    let uneven = Upstream { service: |_, random, _| MS + (99 * MS).mul_f64(-(1.0 - random).ln()), ..steady() };
    let seen = &run(&queues, uneven, &[load], 20 * SECOND).await["all"];
    let goodput = served(seen).iter().filter(|seen| seen.at < 20 * SECOND).count() as f64 / 20.0;
    let wait = p99(served(seen), |seen| seen.waited);
    assert!(goodput >= 0.95 * 300.0 && wait <= DEADLINE * 5 / 4, "{goodput} per second, {wait:?}");
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_absorbed() {
    for _warm in 0..2 {
        let queues = queues(30);
        let seen = at_once(&queues, steady(), 200).await;
        assert_eq!(served(&seen).len(), 200, "{:?}", seen.iter().find(|seen| seen.refused.is_some()));
        assert!(p99(&seen, |seen| seen.took) <= 800 * MS);
        sleep(10 * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn people_hardly_notice_a_batch() {
    let loads = [
        Load { client: "people", class: Class::High, per_second: 60.0 },
        Load { client: "batch", class: Class::Low, per_second: 1_500.0 },
    ];
    let seen = run(&queues(30), steady(), &loads, 30 * SECOND).await;
    let took = p99(served(&seen["people"]), |seen| seen.took);
    assert!(share_served(&seen["people"]) >= 0.999);
    assert!(took <= 150 * MS, "1.5 times the unloaded 100 ms: {took:?}");
    assert!(served(&seen["batch"]).len() >= 30 * 220, "the rest of the capacity is the batch's");
}

#[tokio::test(start_paused = true)]
async fn one_flooding_client_leaves_the_others_alone() {
    const OTHERS: [&str; 20] =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"];
    let others = OTHERS.map(|client| Load { client, class: Class::Normal, per_second: 7.0 });
    let took = |seen: &BTreeMap<&'static str, Vec<Seen>>| {
        let all: Vec<Seen> = OTHERS.iter().flat_map(|client| seen[client].clone()).collect();
        (share_served(&all), p99(served(&all), |seen| seen.took))
    };
    let (_, alone) = took(&run(&queues(30), steady(), &others, 20 * SECOND).await);
    let mut flooded = others.to_vec();
    flooded.push(Load { client: "noisy", class: Class::Normal, per_second: 60.0 * 15.0 });
    let seen = run(&queues(30), steady(), &flooded, 20 * SECOND).await;
    let (served_share, beside) = took(&seen);
    assert!(served_share >= 0.998, "{served_share}");
    // A trial takes half of the permits for a moment.
    assert!(beside <= alone * 7 / 4, "{alone:?} alone, {beside:?} beside a flood");
    assert!(served(&seen["noisy"]).len() >= 20 * 130, "what is left is the noisy client's");
}

#[tokio::test(start_paused = true)]
async fn low_is_not_starved_by_a_flood_above_it() {
    let loads = [
        Load { client: "people", class: Class::High, per_second: 1_500.0 },
        Load { client: "batch", class: Class::Low, per_second: 100.0 },
        Load { client: "refresh", class: Class::Background, per_second: 100.0 },
    ];
    let seen = run(&queues(30), steady(), &loads, 20 * SECOND).await;
    let per_second = |client: &str| served(&seen[client]).len() as f64 / 20.0;
    assert!(per_second("batch") >= 20.0 && per_second("refresh") >= 8.0);
    assert!(per_second("people") >= 220.0);
}

#[tokio::test(start_paused = true)]
async fn it_finds_how_much_the_upstream_bears() {
    let queues = queues(100);
    let load = Load { client: "all", class: Class::Normal, per_second: 1_000.0 };
    let seen = &run(&queues, steady(), &[load], 30 * SECOND).await["all"];
    let settled: Vec<Seen> = seen.iter().filter(|seen| seen.at >= 5 * SECOND).cloned().collect();
    let goodput = served(&settled).iter().filter(|seen| seen.at < 30 * SECOND).count() as f64 / 25.0;
    let overloads = settled.iter().filter(|seen| seen.refused == Some("upstream")).count() as f64 / 25.0;
    assert!(goodput >= 0.9 * 300.0, "{goodput} per second");
    assert!(overloads <= 15.0, "{overloads} overload answers per second");
}

#[tokio::test(start_paused = true)]
async fn a_frozen_upstream_costs_no_more_than_the_deadline_and_no_memory() {
    let queues = queues(30);
    let load = |client| Load { client, class: Class::Normal, per_second: 500.0 };
    let loads = [load("a"), load("b"), load("c")];
    let watched = Arc::clone(&queues);
    let most = tokio::spawn(async move {
        let mut most = 0;
        for _ in 0..1_000 {
            sleep(10 * MS).await;
            most = most.max(watched.upstreams().get("service").unwrap().snapshot().waiting["normal"]);
        }
        most
    });
    let frozen = Upstream { service: |_, _, _| 15 * SECOND, ..steady() };
    let seen = run(&queues, frozen, &loads, 10 * SECOND).await;
    let all: Vec<Seen> = seen.into_values().flatten().collect();
    assert_eq!(served(&all).len(), 30, "those that it had taken");
    let refused: Vec<&Seen> = all.iter().filter(|seen| seen.refused.is_some()).collect();
    assert!(refused.iter().all(|seen| seen.took <= DEADLINE + 2 * MS));
    assert!(most.await.unwrap() <= Config::default().size);
    let quick = refused.iter().filter(|seen| seen.took <= 5 * MS).count();
    assert!(quick * 10 >= refused.len() * 8, "{quick} of {} at once", refused.len());
}
