use rstest::rstest;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::client::Client;
use crate::queue::Queues;
use crate::traffic::breaker::{self, Breaker, Force};
use crate::traffic::units::Span;
use crate::verdict::Verdict;
use crate::{Filter, Flow};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn config(ceiling: usize) -> Config {
    Config { ceiling, floor: 1, deadline: Some(Span::secs(1)), ..Config::default() }
}

fn queues(config: Config) -> Arc<Queues> {
    config.check().unwrap();
    Arc::new(Queues::new(&BTreeMap::from([("service".to_owned(), config)])).unwrap())
}

fn queue(queues: &Queues) -> &Arc<Queue> {
    queues.upstreams().get("service").unwrap()
}

fn verdict(client: &str, class: Class) -> Verdict {
    let client = Client { name: client.into(), ..Client::default() };
    Verdict { client: Some(Arc::new(client)), class, ..Verdict::default() }
}

/// A request that holds its place until it is told to end.
fn request(queues: &Arc<Queues>, mut verdict: Verdict) -> JoinHandle<(Flow, Verdict)> {
    let queues = Arc::clone(queues);
    tokio::spawn(async move { (queues.forward(&mut verdict).await, verdict) })
}

async fn settled(request: JoinHandle<(Flow, Verdict)>) -> (Flow, Verdict) {
    timeout(MS, request).await.unwrap().unwrap()
}

async fn running(queues: &Arc<Queues>) -> Verdict {
    let (flow, verdict) = settled(request(queues, verdict("first", Class::Normal))).await;
    assert_eq!(flow, Flow::Continue);
    verdict
}

fn reason(flow: &Flow) -> &'static str {
    match flow {
        Flow::Reply(cause) => {
            assert_eq!(cause.status(), 503);
            let after = cause.retry_after.unwrap();
            assert!((Duration::from_secs(1)..=Duration::from_secs(60)).contains(&after), "{after:?}");
            cause.reason
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_by_who_ends() {
    let queues = queues(config(1));
    let mut first = running(&queues).await;
    let second = request(&queues, verdict("second", Class::Normal));
    sleep(100 * MS).await;
    assert!(!second.is_finished());
    first.answered(Answered::Ok, 100 * MS);
    let (flow, second) = settled(second).await;
    assert_eq!((flow, second.slot.as_ref().unwrap().waited()), (Flow::Continue, 100 * MS));
    queues.finish(&mut { second });
    let snapshot = queue(&queues).snapshot();
    assert_eq!((snapshot.running, snapshot.waiting["normal"]), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_leaves_frees_its_place_in_the_queue_at_once() {
    let queues = queues(Config { size: 1, ..config(1) });
    let mut first = running(&queues).await;
    let leaving = request(&queues, verdict("leaving", Class::Normal));
    sleep(MS).await;
    assert_eq!(reason(&settled(request(&queues, verdict("late", Class::Normal))).await.0), "queue_full");
    leaving.abort();
    let _cancelled = leaving.await;
    let next = request(&queues, verdict("next", Class::Normal));
    sleep(MS).await;
    first.answered(Answered::Ok, MS);
    assert_eq!(settled(next).await.0, Flow::Continue);
    assert_eq!((queue(&queues).snapshot().left, queue(&queues).snapshot().running), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_to_someone_who_is_gone_goes_on() {
    let queues = queues(config(1));
    let ask = Ask { class: Class::Normal, owner: Owner::Nobody, now: Instant::now(), left: Duration::MAX };
    let first = running(&queues).await;
    let Ok(Entered::Waiting(gone)) = queue(&queues).enter(&ask) else { panic!("there was a place") };
    let next = request(&queues, verdict("next", Class::Normal));
    sleep(MS).await;
    drop(first);
    drop(gone);
    assert_eq!(settled(next).await.0, Flow::Continue);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_deadline_or_its_own() {
    let queues = queues(config(1));
    let _holds = running(&queues).await;
    let patient = request(&queues, verdict("patient", Class::Normal));
    let hasty = Verdict { deadline: Some(Instant::now() + 300 * MS), ..verdict("hasty", Class::Normal) };
    let hasty = request(&queues, hasty);
    sleep(299 * MS).await;
    assert!(!hasty.is_finished());
    sleep(2 * MS).await;
    assert_eq!(reason(&settled(hasty).await.0), "queue_timeout");
    sleep(698 * MS).await;
    assert!(!patient.is_finished());
    sleep(2 * MS).await;
    assert_eq!(reason(&settled(patient).await.0), "queue_timeout");
    assert_eq!((queue(&queues).snapshot().timeout, queue(&queues).snapshot().waiting["normal"]), (2, 0));
}

/// Ten calls of 100 ms on one place: so the queue knows its rate.
async fn known_rate(queues: &Arc<Queues>) {
    for _ in 0..10 {
        let mut verdict = running(queues).await;
        sleep(100 * MS).await;
        verdict.answered(Answered::Ok, 100 * MS);
    }
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_is_refused_at_once() {
    let queues = queues(config(1));
    known_rate(&queues).await;
    let _holds = running(&queues).await;
    let within = |left: u32| Verdict { deadline: Some(Instant::now() + left * MS), ..verdict("a", Class::Normal) };
    assert_eq!(reason(&settled(request(&queues, within(90))).await.0), "queue_wait");
    let waiting: Vec<_> = (0..9).map(|_| request(&queues, within(5_000))).collect();
    sleep(MS).await;
    assert!(waiting.iter().all(|request| !request.is_finished()));
    assert_eq!(reason(&settled(request(&queues, within(800))).await.0), "queue_wait");
    let tenth = request(&queues, within(5_000));
    sleep(MS).await;
    assert!(!tenth.is_finished(), "a second for ten");
    assert_eq!(reason(&settled(request(&queues, within(5_000))).await.0), "queue_wait");
    let other = request(&queues, verdict("other", Class::Normal));
    sleep(MS).await;
    assert!(!other.is_finished(), "another client's turn comes sooner");
}

#[tokio::test(start_paused = true)]
async fn past_deadlines_are_not_waited_for() {
    let queues = queues(config(1));
    let _holds = running(&queues).await;
    let late = Verdict { deadline: Some(Instant::now() - MS), ..verdict("late", Class::Normal) };
    sleep(2 * MS).await;
    assert_eq!(reason(&settled(request(&queues, late)).await.0), "queue_wait");
}

#[tokio::test(start_paused = true)]
async fn a_client_has_the_whole_queue_until_another_comes() {
    let queues = queues(Config { size: 10, ..config(1) });
    let mut first = running(&queues).await;
    let mut noisy: Vec<_> = (0..10).map(|_| request(&queues, verdict("noisy", Class::Normal))).collect();
    sleep(MS).await;
    assert!(noisy.iter().all(|request| !request.is_finished()));
    assert_eq!(reason(&settled(request(&queues, verdict("noisy", Class::Normal))).await.0), "queue_share");
    let others: Vec<_> = (0..5).map(|_| request(&queues, verdict("other", Class::Normal))).collect();
    sleep(MS).await;
    assert!(others.iter().all(|request| !request.is_finished()));
    let displaced: Vec<_> = noisy.extract_if(.., |request| request.is_finished()).collect();
    assert_eq!(displaced.len(), 5, "what is beyond its share of a full queue");
    for request in displaced {
        let (flow, verdict) = settled(request).await;
        assert_eq!(reason(&flow), "queue_share");
        assert!(verdict.slot.is_none());
    }
    assert_eq!(reason(&settled(request(&queues, verdict("noisy", Class::Normal))).await.0), "queue_share");
    let snapshot = queue(&queues).snapshot();
    assert_eq!((snapshot.share, snapshot.waiting["normal"], snapshot.left, snapshot.timeout), (7, 10, 0, 0));
    // Those that still wait are served in turn.
    first.answered(Answered::Ok, MS);
    drop(first);
    let served = noisy.into_iter().chain(others).map(|request| async {
        let (flow, mut served) = timeout(SECOND, request).await.unwrap().unwrap();
        assert_eq!(flow, Flow::Continue);
        served.answered(Answered::Ok, MS);
    });
    futures::future::join_all(served).await;
}

/// Without a deadline of the queue's own.
#[tokio::test(start_paused = true)]
async fn the_wait_is_bounded_by_the_requests_own_time() {
    for (left, waits) in [(4_500, 3_600), (2_500, 2_000), (1_000, 800)] {
        let queues = queues(Config { deadline: None, ..config(1) });
        let _holds = running(&queues).await;
        let asked = Verdict { deadline: Some(Instant::now() + left * MS), ..verdict("a", Class::Normal) };
        let asked = request(&queues, asked);
        sleep(waits * MS - MS).await;
        assert!(!asked.is_finished(), "{left}");
        sleep(2 * MS).await;
        assert_eq!(reason(&settled(asked).await.0), "queue_timeout", "{left}");
    }
    let queues = queues(Config { deadline: None, ..config(1) });
    let _holds = running(&queues).await;
    let unbound = request(&queues, verdict("a", Class::Normal));
    sleep(config::UNBOUND + MS).await;
    assert_eq!(reason(&settled(unbound).await.0), "queue_timeout");
}

/// 1000 calls of one client at once, the first of each connection slow, to a service that is then quick.
#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_are_served_whole_where_the_routes_time_allows() {
    for within in [4_500, 2_500] {
        let queues = queues(Config::default());
        let calls: Vec<_> = (0..1_000)
            .map(|n| {
                let queues = Arc::clone(&queues);
                tokio::spawn(async move {
                    // They arrive over a fifth of a second.
                    sleep(MS * n / 5).await;
                    let deadline = Some(Instant::now() + within * MS);
                    let mut asked = Verdict { deadline, ..verdict("one", Class::Normal) };
                    let flow = queues.forward(&mut asked).await;
                    if flow == Flow::Continue {
                        sleep(if n < 32 { 150 * MS } else { 50 * MS }).await;
                        asked.answered(Answered::Ok, 50 * MS);
                    }
                    flow
                })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap(), Flow::Continue, "within {within} ms");
        }
    }
}

/// A call of 100 ms; how long it waited, `None` where it was refused.
fn call(queues: &Arc<Queues>, mut verdict: Verdict) -> JoinHandle<Option<Duration>> {
    let queues = Arc::clone(queues);
    tokio::spawn(async move {
        queues.forward(&mut verdict).await;
        let waited = verdict.slot.as_ref()?.waited();
        sleep(100 * MS).await;
        verdict.answered(Answered::Ok, 100 * MS);
        Some(waited)
    })
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_stands_lets_in_only_what_goes_soon() {
    let queues = queues(config(2));
    let mut turns = Vec::new();
    for _ in 0..80 {
        turns.push((0..4).map(|_| call(&queues, verdict("all", Class::Normal))).collect::<Vec<_>>());
        sleep(50 * MS).await;
    }
    let mut waits = Vec::new();
    for turn in turns {
        let mut of_turn = Vec::new();
        for call in turn {
            of_turn.extend(call.await.unwrap());
        }
        waits.push(of_turn);
    }
    let longest = |turns: std::ops::Range<usize>| waits[turns].iter().flatten().max().copied().unwrap();
    assert!(longest(0..20) >= 800 * MS, "a burst may use the whole deadline: {:?}", longest(0..20));
    assert!(longest(50..80) <= 200 * MS, "{:?}", longest(50..80));
    let late: usize = waits[50..80].iter().map(Vec::len).sum();
    assert!((28..=32).contains(&late), "and nothing is lost by it: {late} of 30 in 1.5 s");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_answer_lends_its_class() {
    let queues = queues(config(1));
    let mut first = running(&queues).await;
    let others: Vec<_> = (0..5).map(|_| request(&queues, verdict("others", Class::Low))).collect();
    sleep(MS).await;
    let mut batch = verdict("batch", Class::Low);
    let while_it_waits = batch.lend.get_or_insert_default().clone();
    let also = while_it_waits.clone();
    let batch = request(&queues, batch);
    sleep(MS).await;
    also.raise(Class::Background);
    while_it_waits.raise(Class::High);
    assert_eq!(
        queue(&queues).snapshot().waiting,
        BTreeMap::from([("background", 0), ("low", 5), ("normal", 0), ("high", 1), ("critical", 0),])
    );
    let mut before = verdict("batch", Class::Low);
    before.lend.get_or_insert_default().raise(Class::Critical);
    let before = request(&queues, before);
    sleep(MS).await;
    first.answered(Answered::Ok, MS);
    let (_, mut critical) = settled(before).await;
    critical.answered(Answered::Ok, MS);
    let (_, served) = settled(batch).await;
    assert!(served.slot.is_some() && others.iter().all(|request| !request.is_finished()));
    while_it_waits.raise(Class::Critical);
    assert_eq!(also.class(), Class::Critical);
}

/// An interactive client waits for what a queued batch client is to fetch: one service time and 50 ms.
#[tokio::test(start_paused = true)]
async fn no_priority_inversion() {
    let queues = queues(Config { deadline: Some(Span::secs(60)), ..config(3) });
    let _flood: Vec<_> = (0..200).map(|i| call(&queues, verdict(["a", "b", "c"][i % 3], Class::Low))).collect();
    sleep(210 * MS).await;
    let mut leader = verdict("batch", Class::Low);
    let lend = leader.lend.get_or_insert_default().clone();
    let leader = call(&queues, leader);
    sleep(MS).await;
    let begun = Instant::now();
    lend.raise(Class::High);
    assert!(leader.await.unwrap().is_some());
    assert!(begun.elapsed() <= 100 * MS + 100 * MS + 50 * MS, "a place came free, then its own service time");
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_ends_the_wait() {
    let queues = queues(config(1));
    let _holds = running(&queues).await;
    let breaker = Breaker::new("service", &breaker::Config::default());
    let mut waiting = verdict("waiting", Class::Normal);
    waiting.breaker = Some(breaker.admit().unwrap());
    let waiting = request(&queues, waiting);
    sleep(100 * MS).await;
    assert!(!waiting.is_finished());
    breaker.force(Force::Open);
    let (flow, verdict) = settled(waiting).await;
    assert_eq!(reason(&flow), "breaker_forced_open");
    assert!(verdict.breaker.is_none() && verdict.slot.is_none());
    assert_eq!(queue(&queues).snapshot().waiting["normal"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_gives_the_breaker_its_permit_back() {
    let queues = queues(Config { size: 0, ..config(1) });
    let _holds = running(&queues).await;
    let mut verdict = verdict("a", Class::Normal);
    verdict.breaker = Some(Breaker::new("service", &breaker::Config::default()).admit().unwrap());
    assert_eq!(reason(&queues.forward(&mut verdict).await), "queue_full");
    assert!(verdict.breaker.is_none());
}

#[tokio::test(start_paused = true)]
async fn observing_nobody_waits() {
    let queues = queues(Config { mode: Mode::Observe, size: 0, ..config(1) });
    let mut held = vec![running(&queues).await];
    for _ in 0..3 {
        let (flow, verdict) = settled(request(&queues, verdict("a", Class::Normal))).await;
        assert_eq!((flow, &verdict.observed[..]), (Flow::Continue, &[("queue", "queue_full")][..]));
        held.push(verdict);
    }
    assert_eq!(queue(&queues).snapshot().running, 4, "they are counted");
    held.clear();
    assert_eq!(queue(&queues).snapshot().running, 0);
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_who_runs_and_who_waits() {
    let old = queues(config(1));
    let mut first = running(&old).await;
    let waiting = request(&old, verdict("waiting", Class::Normal));
    sleep(MS).await;
    let config = config(2);
    let mut new = Queues::new(&BTreeMap::from([("service".to_owned(), config), ("new".to_owned(), config)])).unwrap();
    new.adopt(&old);
    let (flow, _second) = settled(waiting).await;
    assert_eq!(flow, Flow::Continue, "the new settings have a place for it");
    assert_eq!(queue(&new).snapshot().running, 2);
    first.answered(Answered::Ok, MS);
    assert_eq!(queue(&new).snapshot().running, 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_try_keeps_its_place_and_a_spare_one_is_not_queued_for() {
    let queues = queues(config(2));
    let mut first = running(&queues).await;
    assert!(first.again());
    assert!(first.slot.is_some());
    let hedge = queue(&queues).spare(Class::Normal).unwrap();
    assert!(queue(&queues).spare(Class::Critical).is_none());
    drop(hedge);
    first.answered(Answered::Ok, MS);
    assert_eq!(queue(&queues).snapshot().running, 0);
}

#[tokio::test(start_paused = true)]
async fn the_delay_is_that_of_now() {
    let queues = queues(config(1));
    assert_eq!(queue(&queues).delay(), Duration::ZERO);
    let first = running(&queues).await;
    let second = request(&queues, verdict("second", Class::Normal));
    sleep(400 * MS).await;
    assert_eq!(queue(&queues).delay(), 400 * MS);
    drop(first);
    let second = settled(second).await;
    assert!(queue(&queues).delay() > Duration::ZERO);
    drop(second);
    assert_eq!(queue(&queues).delay(), Duration::ZERO, "a place is free");
}

#[test]
fn under_real_threads_never_more_than_the_limit() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    let most = runtime.block_on(async {
        let queues = queues(Config { size: 10_000, deadline: Some(Span::secs(86_400)), ..config(7) });
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let requests: Vec<_> = (0..2_000)
            .map(|i| {
                let (queues, now, most) = (Arc::clone(&queues), Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(async move {
                    let client = (i % 50).to_string();
                    let mut verdict = verdict(&client, Class::ALL[i % 5]);
                    let forward = queues.forward(&mut verdict);
                    // Some leave while they wait, some right when their place comes.
                    let patience =
                        if i % 3 == 0 { Duration::from_micros(i as u64 * 10) } else { Duration::from_secs(60) };
                    if let Ok(flow) = timeout(patience, forward).await {
                        assert_eq!(flow, Flow::Continue);
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        sleep(Duration::from_micros(200)).await;
                        now.fetch_sub(1, Ordering::SeqCst);
                        verdict.answered(Answered::Ok, MS);
                    }
                })
            })
            .collect();
        for request in requests {
            request.await.unwrap();
        }
        let snapshot = queue(&queues).snapshot();
        assert_eq!((snapshot.running, snapshot.waiting.values().sum::<usize>()), (0, 0), "nothing leaked");
        most.load(Ordering::SeqCst)
    });
    assert!((2..=7).contains(&most), "{most}");
}

#[rstest]
#[case(Config { ceiling: 0, ..Config::default() }, "`ceiling` is 1 to")]
#[case(Config { floor: 33, ..Config::default() }, "the `ceiling`")]
#[case(Config { floor: 0, ..Config::default() }, "`floor` is 1 to 32")]
#[case(Config { deadline: Some(Span::secs(0)), ..Config::default() }, "`size: 0` says that")]
#[case(Config { size: 1_000_000, ..Config::default() }, "`size` at most")]
fn wrong_settings_are_refused(#[case] config: Config, #[case] message: &str) {
    let error = Queues::new(&BTreeMap::from([("service".to_owned(), config)])).unwrap_err();
    assert!(error.starts_with("queue of `service`: ") && error.contains(message), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_matters_and_was_lost_is_counted_for_the_signals() {
    let queues = queues(Config { size: 0, ..config(1) });
    let mut first = running(&queues).await;
    for class in Class::ALL {
        assert_eq!(reason(&settled(request(&queues, verdict("a", class))).await.0), "queue_full");
    }
    first.answered(Answered::TimedOut, MS);
    assert_eq!(queue(&queues).drain(), (4, 3, 1), "those above low, and the first");
    assert_eq!(queue(&queues).drain(), (0, 0, 0));
}
