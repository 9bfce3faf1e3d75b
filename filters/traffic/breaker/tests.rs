use rstest::rstest;
use tokio::time::{advance, sleep};

use super::*;
use crate::traffic::units::{Percent, Span};

const MS: Duration = Duration::from_millis(1);

fn config() -> Config {
    Config { minimum: 100, ..Config::default() }
}

fn breaker(config: Config) -> Arc<Breaker> {
    config.check().unwrap();
    Breaker::new("service", &config)
}

fn call(breaker: &Arc<Breaker>, good: bool) -> bool {
    match breaker.admit() {
        Ok(permit) if good => permit.success(MS),
        Ok(permit) => permit.failure(),
        Err(_) => return false,
    }
    true
}

/// Fails until it is open.
fn trip(breaker: &Arc<Breaker>) {
    while call(breaker, false) {}
    assert_eq!(breaker.state(), State::Open);
}

async fn wait_open_time(breaker: &Arc<Breaker>) {
    sleep(Duration::from_millis(breaker.snapshot().reopens_in_ms.unwrap() + 1)).await;
}

/// Opens, waits, and takes all probes.
async fn probing(breaker: &Arc<Breaker>) -> Vec<Permit> {
    trip(breaker);
    wait_open_time(breaker).await;
    let probes = std::iter::from_fn(|| breaker.admit().ok()).take(1000).collect();
    assert_eq!(breaker.state(), State::HalfOpen);
    probes
}

#[rstest]
#[case(3, 1_000_000, State::Closed)]
#[case(7, 200, State::Open)]
#[tokio::test(start_paused = true)]
async fn by_the_failures_of_ten(#[case] failures: u32, #[case] calls: u32, #[case] state: State) {
    let breaker = breaker(config());
    for i in 0..calls {
        call(&breaker, i * 7 % 10 >= failures);
    }
    assert_eq!(breaker.state(), state);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_judged_below_the_minimum() {
    let breaker = breaker(Config { minimum: 10, ..config() });
    for _ in 0..9 {
        assert!(call(&breaker, false));
    }
    assert_eq!((breaker.state(), breaker.snapshot().failure_rate), (State::Closed, 1.0));
    assert!(call(&breaker, false));
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn one_failure_is_enough_where_the_settings_say_so() {
    let breaker = breaker(Config { window: 1, minimum: 1, failure_rate: Percent::of(100), ..config() });
    assert!(call(&breaker, true) && call(&breaker, false));
    assert!(!call(&breaker, true));
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_it_by_the_settings_or_by_the_calls_own_bound() {
    for (slow, own) in [(Some(Span::millis(300)), None), (None, Some(300 * MS))] {
        let breaker = breaker(Config { slow, minimum: 10, ..config() });
        for i in 0..100 {
            let Ok(permit) = breaker.admit() else { break };
            let permit = if let Some(own) = own { permit.slow_from(own) } else { permit };
            permit.success(if i % 10 < 2 { 299 * MS } else { 300 * MS });
        }
        assert_eq!(breaker.state(), State::Open);
    }
    let breaker = breaker(config());
    (0..200).for_each(|_| breaker.admit().unwrap().success(Duration::from_secs(60)));
    assert_eq!(breaker.state(), State::Closed, "nothing says what is slow");
}

#[tokio::test(start_paused = true)]
async fn refusals_say_when_to_come_back() {
    let breaker = breaker(config());
    trip(&breaker);
    let refused = breaker.admit().unwrap_err();
    assert_eq!((refused.state, &*refused.name), (State::Open, "service"));
    assert!((1600 * MS..=2000 * MS).contains(&refused.retry_after), "{refused:?}");
    advance(500 * MS).await;
    assert_eq!(breaker.admit().unwrap_err().retry_after, refused.retry_after - 500 * MS);
    assert_eq!(breaker.snapshot().refused, 2 + 1, "the one that found it open, and these two");
}

#[tokio::test(start_paused = true)]
async fn exactly_the_permitted_probes_and_all_must_do_well() {
    let breaker = breaker(Config { probes: 5, ..config() });
    let mut probes = probing(&breaker).await;
    assert_eq!(probes.len(), 5);
    let last = probes.pop().unwrap();
    for probe in probes {
        probe.success(MS);
        assert!(breaker.admit().is_err(), "five, not five at a time");
    }
    last.success(MS);
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(breaker.snapshot().calls, 0, "a fresh window");
}

#[tokio::test(start_paused = true)]
async fn it_opens_again_as_soon_as_enough_probes_failed() {
    let breaker = breaker(Config { probes: 5, ..config() });
    let mut probes = probing(&breaker).await;
    for _ in 0..3 {
        assert_eq!(breaker.state(), State::HalfOpen);
        probes.pop().unwrap().failure();
    }
    assert_eq!(breaker.state(), State::Open);
    drop(probes);
    assert_eq!(breaker.state(), State::Open, "what is left of the round says nothing any more");
}

#[tokio::test(start_paused = true)]
async fn cancelled_probes_give_their_place_back() {
    let breaker = breaker(config());
    for _ in 0..50 {
        let probes =
            if breaker.state() == State::Closed { probing(&breaker).await } else { vec![breaker.admit().unwrap()] };
        drop(probes);
    }
    for _ in 0..3 {
        assert!(call(&breaker, true), "not wedged");
    }
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_future_counts_as_nothing() {
    let breaker = breaker(Config { window: 1, minimum: 1, ..config() });
    let task = tokio::spawn({
        let breaker = Arc::clone(&breaker);
        async move {
            let _permit = breaker.admit().unwrap();
            sleep(Duration::from_secs(60)).await;
        }
    });
    sleep(MS).await;
    task.abort();
    let _cancelled = task.await;
    assert_eq!((breaker.state(), breaker.snapshot().calls), (State::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn results_of_calls_begun_before_the_trip_do_not_count() {
    let breaker = breaker(config());
    let early: Vec<Permit> = (0..20).map(|_| breaker.admit().unwrap()).collect();
    let probes = probing(&breaker).await;
    early.into_iter().for_each(Permit::failure);
    assert_eq!(breaker.state(), State::HalfOpen);
    probes.into_iter().for_each(|probe| probe.success(MS));
    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn probes_that_hang_open_it_again_and_are_then_forgotten() {
    let breaker = breaker(config());
    let hanging = probing(&breaker).await;
    advance(9_999 * MS).await;
    assert_eq!(breaker.admit().unwrap_err().state, State::HalfOpen);
    advance(MS).await;
    assert_eq!(breaker.admit().unwrap_err().state, State::Open);
    wait_open_time(&breaker).await;
    let probe = breaker.admit().unwrap();
    hanging.into_iter().for_each(Permit::failure);
    assert_eq!(breaker.state(), State::HalfOpen);
    probe.success(MS);
}

#[tokio::test(start_paused = true)]
async fn each_open_time_is_longer_up_to_the_longest_and_good_calls_reset_it() {
    let breaker = breaker(config());
    let open_time = |breaker: &Arc<Breaker>| breaker.admit().unwrap_err().retry_after;
    trip(&breaker);
    for nominal in [2, 4, 8, 10, 10] {
        let time = open_time(&breaker).as_secs_f64();
        assert!((f64::from(nominal) * 0.8 - 1e-6..=f64::from(nominal)).contains(&time), "{nominal}: {time}");
        wait_open_time(&breaker).await;
        (0..2).for_each(|_| assert!(call(&breaker, false)));
    }
    wait_open_time(&breaker).await;
    (0..3 + 100).for_each(|_| assert!(call(&breaker, true)));
    trip(&breaker);
    assert!(open_time(&breaker) <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn closing_alone_does_not_reset_the_open_time() {
    let breaker = breaker(config());
    probing(&breaker).await.into_iter().for_each(|probe| probe.success(MS));
    trip(&breaker);
    assert!(breaker.admit().unwrap_err().retry_after >= Duration::from_millis(3200));
}

#[tokio::test(start_paused = true)]
async fn forced_states_hold_until_automatic() {
    let breaker = breaker(config());
    let before = breaker.admit().unwrap();
    breaker.force(Force::Open);
    assert_eq!(breaker.admit().unwrap_err().state, State::ForcedOpen);
    before.failure();
    advance(Duration::from_secs(3600)).await;
    assert!(breaker.admit().is_err());
    breaker.force(Force::Automatic);
    (0..3).for_each(|_| assert!(call(&breaker, true)));
    assert_eq!(breaker.state(), State::Closed, "probes went first");
    breaker.force(Force::Closed);
    (0..500).for_each(|_| assert!(call(&breaker, false)));
    assert_eq!(breaker.snapshot().failure_rate, 1.0, "still counted");
    breaker.force(Force::Automatic);
    assert_eq!((breaker.state(), breaker.snapshot().calls), (State::Closed, 0));
    trip(&breaker);
    breaker.force(Force::Automatic);
    assert_eq!(breaker.state(), State::Open, "which it was before");
}

#[tokio::test(start_paused = true)]
async fn who_waits_to_begin_hears_that_it_opened() {
    let breaker = breaker(config());
    let waiting = breaker.admit().unwrap();
    let heard = tokio::spawn(async move { waiting.revoked().await });
    sleep(MS).await;
    assert!(!heard.is_finished());
    trip(&breaker);
    tokio::time::timeout(MS, heard).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_with_their_cause() {
    let breaker = breaker(config());
    let mut changes = breaker.changes();
    probing(&breaker).await.into_iter().for_each(|probe| probe.success(MS));
    breaker.force(Force::Open);
    let mut told = Vec::new();
    while let Ok(Change { to, why, .. }) = changes.try_recv() {
        told.push((to, why));
    }
    let expected = [
        (State::Open, Why::FailureRate),
        (State::HalfOpen, Why::OpenTimeOver),
        (State::Closed, Why::ProbesSucceeded),
        (State::ForcedOpen, Why::Operator),
    ];
    assert_eq!(told, expected);
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_state_and_counts() {
    let breaker = breaker(config());
    (0..99).for_each(|_| assert!(call(&breaker, false)));
    breaker.configure(&Config { window: 50, minimum: 50, ..config() });
    assert_eq!((breaker.state(), breaker.snapshot().calls), (State::Closed, 50));
    assert!(call(&breaker, false));
    assert_eq!(breaker.state(), State::Open);
    wait_open_time(&breaker).await;
    assert!(call(&breaker, true));
    breaker.configure(&Config { probes: 7, ..config() });
    (0..6).for_each(|_| assert!(call(&breaker, true)));
    assert_eq!(breaker.state(), State::Closed, "seven probes, not three");
}

#[rstest]
#[case(|c: &mut Config| c.window = 0, "1 to 10000")]
#[case(|c: &mut Config| c.minimum = 101, "the `window`")]
#[case(|c: &mut Config| c.probes = 0, "`probes`")]
#[case(|c: &mut Config| c.failure_rate = Percent::of(0), "at once")]
#[case(|c: &mut Config| c.open_max = Span::secs(1), "shorter than `open` (2s)")]
#[case(|c: &mut Config| c.probe_every = Span::secs(0), "`probe_every` must be more")]
#[case(|c: &mut Config| c.slow = Some(Span::secs(0)), "`slow` must be more")]
fn wrong_settings_are_refused(#[case] spoil: fn(&mut Config), #[case] message: &str) {
    let mut config = Config::default();
    spoil(&mut config);
    let error = config.check().unwrap_err();
    assert!(error.contains(message), "{error}");
}

/// The dependency is down for `down`, and nobody calls.
async fn without_traffic(down: Duration, probe: impl Fn() -> bool + Send + Sync + 'static) -> (Arc<Breaker>, Duration) {
    let breaker = breaker(Config::default());
    trip(&breaker);
    let back = Instant::now() + down;
    let watch = Arc::clone(&breaker).watch(move || {
        let good = Instant::now() >= back && probe();
        async move { good }
    });
    let task = tokio::spawn(watch);
    while breaker.state() != State::Closed && back.elapsed() < Duration::from_secs(60) {
        sleep(10 * MS).await;
    }
    task.abort();
    (breaker, back.elapsed())
}

#[tokio::test(start_paused = true)]
async fn it_closes_without_traffic_soon_after_the_recovery() {
    for down in [0, 1, 5, 60, 600] {
        let (breaker, took) = without_traffic(Duration::from_secs(down), || true).await;
        assert_eq!(breaker.state(), State::Closed);
        assert!(took <= Duration::from_secs(5), "{took:?} after {down} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_or_fails_does_not_close_it() {
    let breaker = breaker(Config::default());
    trip(&breaker);
    let _task = tokio::spawn(Arc::clone(&breaker).watch(std::future::pending::<bool>));
    sleep(Duration::from_secs(300)).await;
    assert_eq!(breaker.state(), State::Open);
}

/// A health check that is answered while every call fails: calls may not be let through more often than by the open time.
#[tokio::test(start_paused = true)]
async fn a_misleading_probe_is_not_believed_twice() {
    let breaker = breaker(Config::default());
    trip(&breaker);
    let _task = tokio::spawn(Arc::clone(&breaker).watch(|| std::future::ready(true)));
    let mut passed = 0;
    for _ in 0..6_000 {
        sleep(10 * MS).await;
        passed += u32::from(call(&breaker, false));
    }
    assert!((5..=30).contains(&passed), "{passed} calls in a minute; by the open times alone about 16");
    // Our probes may take places, but never decide against the calls.
    assert_ne!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_watch_begins_anew_after_a_forced_state() {
    let breaker = breaker(Config::default());
    let _task = tokio::spawn(Arc::clone(&breaker).watch(|| std::future::ready(true)));
    breaker.force(Force::Open);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(breaker.state(), State::ForcedOpen);
    breaker.force(Force::Automatic);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn many_threads_get_exactly_the_probes() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let breaker = breaker(Config { probes: 10, ..config() });
        trip(&breaker);
        wait_open_time(&breaker).await;
        let begun: usize = std::thread::scope(|scope| {
            let handle = tokio::runtime::Handle::current();
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    let (breaker, handle) = (&breaker, handle.clone());
                    scope.spawn(move || {
                        let _clock = handle.enter();
                        (0..200).filter_map(|_| breaker.admit().ok()).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>().iter().map(Vec::len).sum()
        });
        assert_eq!(begun, 10);
    });
}
