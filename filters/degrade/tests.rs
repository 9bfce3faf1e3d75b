use rstest::rstest;
use tokio::time::advance;

use super::*;
use crate::route::Routes;
use crate::traffic::degrade::Effect;
use crate::traffic::units::{Percent, Span};

const SECOND: Duration = Duration::from_secs(1);

fn degrade(mode: Mode) -> Degrade {
    Degrade::new(&Config { mode, ..Config::default() }).unwrap()
}

fn memory(share: f64) -> Signals {
    Signals { memory: share, ..Signals::default() }
}

/// Feeds one signal for so many seconds; the level after each.
async fn feed(degrade: &Degrade, signals: Signals, seconds: usize) -> Vec<Level> {
    let mut levels = Vec::new();
    for _ in 0..seconds {
        advance(SECOND).await;
        degrade.tick(signals);
        levels.push(degrade.level());
    }
    levels
}

async fn at(level: Level, mode: Mode) -> Degrade {
    let degrade = degrade(mode);
    degrade.force(level, 3600 * SECOND);
    degrade
}

fn verdict(sheds: Option<&str>) -> Verdict {
    let route = serde_json::json!([{ "name": "r", "paths": ["/"], "sheds": sheds }]);
    let routes = Routes::new(serde_json::from_value(route).unwrap()).unwrap();
    Verdict { route: Some(Arc::clone(&routes.list()[0])), ..Verdict::default() }
}

#[rstest]
#[case(Signals { delay: Duration::from_millis(60), ..Signals::default() }, Level::Reduced)]
#[case(Signals { delay: Duration::from_millis(300), ..Signals::default() }, Level::Minimal)]
#[case(Signals { calls: 100, errors: 11, ..Signals::default() }, Level::Reduced)]
#[case(Signals { calls: 100, errors: 35, ..Signals::default() }, Level::Minimal)]
#[case(Signals { calls: 100, errors: 100, ..Signals::default() }, Level::Minimal)]
#[case(Signals { calls: 3, errors: 3, ..Signals::default() }, Level::Normal)]
#[case(Signals { calls: 1000, refused: 110, ..Signals::default() }, Level::Reduced)]
#[case(Signals { calls: 1000, refused: 950, ..Signals::default() }, Level::Minimal)]
#[case(Signals { calls: 1000, refused: 90, errors: 290, ..Signals::default() }, Level::Minimal)]
#[case(Signals { breakers: 0.5, ..Signals::default() }, Level::Reduced)]
#[case(Signals { breakers: 1.0, ..Signals::default() }, Level::Minimal)]
#[case(memory(0.79), Level::Normal)]
#[case(memory(0.82), Level::Reduced)]
#[case(memory(0.92), Level::Minimal)]
#[case(memory(0.97), Level::Emergency)]
#[tokio::test(start_paused = true)]
async fn each_signal_leads_to_its_level(#[case] signals: Signals, #[case] level: Level) {
    let levels = feed(&degrade(Mode::Enforce), signals, 60).await;
    assert_eq!(levels.last(), Some(&level));
    assert!(levels.is_sorted(), "no level in between was left");
}

#[tokio::test(start_paused = true)]
async fn a_short_spike_is_no_trouble() {
    let degrade = degrade(Mode::Enforce);
    feed(&degrade, memory(0.5), 60).await;
    assert_eq!(feed(&degrade, memory(1.0), 3).await, [Level::Normal; 3]);
    assert_eq!(feed(&degrade, memory(0.5), 60).await, [Level::Normal; 60]);
}

#[tokio::test(start_paused = true)]
async fn a_full_cache_keeps_no_level_that_a_spike_has_led_to() {
    let degrade = degrade(Mode::Enforce);
    feed(&degrade, memory(0.97), 60).await;
    assert_eq!(degrade.level(), Level::Emergency);
    feed(&degrade, memory(0.75), 600).await;
    assert_eq!(degrade.level(), Level::Normal);
}

#[tokio::test(start_paused = true)]
async fn up_at_once_and_down_one_by_one_after_a_stay_at_each() {
    let degrade = degrade(Mode::Enforce);
    let mut changes = degrade.changes();
    feed(&degrade, Signals { delay: 10 * SECOND, ..memory(1.0) }, 1).await;
    assert_eq!(degrade.level(), Level::Minimal, "straight from normal");
    feed(&degrade, memory(1.0), 60).await;
    assert_eq!(degrade.level(), Level::Emergency);
    let levels = feed(&degrade, memory(0.0), 60).await;
    let stay = |level: Level| levels.iter().filter(|now| **now == level).count();
    assert!(levels.is_sorted_by(|a, b| a >= b), "{levels:?}");
    assert_eq!((stay(Level::Minimal), stay(Level::Reduced)), (10, 10));
    let mut told = Vec::new();
    while let Ok(change) = changes.try_recv() {
        told.push((change.to, change.by_operator));
    }
    let automatic = |level| (level, false);
    assert_eq!(told, [Level::Minimal, Level::Emergency, Level::Minimal, Level::Reduced, Level::Normal].map(automatic),);
}

#[tokio::test(start_paused = true)]
async fn between_the_thresholds_nothing_changes() {
    let degrade = degrade(Mode::Enforce);
    feed(&degrade, memory(0.82), 60).await;
    for _ in 0..20 {
        feed(&degrade, memory(0.79), 7).await;
        feed(&degrade, memory(0.81), 7).await;
        assert_eq!(degrade.level(), Level::Reduced);
    }
    feed(&degrade, memory(0.77), 60).await;
    assert_eq!(degrade.level(), Level::Reduced, "not below 95 % of 80 %");
    feed(&degrade, memory(0.75), 60).await;
    assert_eq!(degrade.level(), Level::Normal);
}

#[tokio::test(start_paused = true)]
async fn irregular_ticks_average_alike() {
    let (often, seldom) = (degrade(Mode::Enforce), degrade(Mode::Enforce));
    for _ in 0..40 {
        advance(SECOND / 4).await;
        often.tick(memory(0.9));
    }
    seldom.tick(memory(0.9));
    let difference = often.snapshot().signals.memory - seldom.snapshot().signals.memory;
    assert!(difference.abs() < 1e-9, "{difference}");
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_sets_holds_until_it_expires() {
    let degrade = degrade(Mode::Enforce);
    degrade.force(Level::Emergency, 30 * SECOND);
    assert_eq!(degrade.level(), Level::Emergency);
    feed(&degrade, memory(0.82), 29).await;
    let snapshot = degrade.snapshot();
    assert_eq!((snapshot.level, snapshot.automatic, snapshot.forced_for), (Level::Emergency, Level::Reduced, Some(1)));
    feed(&degrade, memory(0.82), 1).await;
    assert_eq!((degrade.level(), degrade.snapshot().forced_for), (Level::Reduced, None));
    degrade.force(Level::Normal, Duration::MAX);
    assert_eq!(degrade.level(), Level::Normal, "down as well");
    feed(&degrade, memory(0.82), 1).await;
    degrade.release();
    assert_eq!(degrade.level(), Level::Reduced);
}

#[rstest]
#[case(Level::Normal, Some("batch"), None)]
#[case(Level::Reduced, Some("batch"), None)]
#[case(Level::Minimal, Some("batch"), Some("degraded_batch"))]
#[case(Level::Minimal, Some("analysis"), Some("degraded_analysis"))]
#[case(Level::Minimal, None, None)]
#[case(Level::Emergency, Some("batch"), Some("degraded_cache_only"))]
#[case(Level::Emergency, None, Some("degraded_cache_only"))]
#[tokio::test(start_paused = true)]
async fn levels_refuse(#[case] level: Level, #[case] sheds: Option<&str>, #[case] reason: Option<&str>) {
    let degrade = at(level, Mode::Enforce).await;
    match (degrade.forward(&mut verdict(sheds)).await, reason) {
        (Flow::Reply(cause), Some(reason)) => {
            assert_eq!((cause.status(), cause.reason), (503, reason));
            assert_eq!(cause.details["level"], level.as_str());
            assert!(cause.retry_after.unwrap() >= 10 * SECOND);
        }
        (flow, None) => assert_eq!(flow, Flow::Continue),
        (flow, reason) => panic!("{flow:?}, not {reason:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn effects_can_be_read() {
    let degrade = at(Level::Minimal, Mode::Enforce).await;
    let effects = degrade.effects();
    assert_eq!((effects.stale, effects.hint(), effects.cache_only), (12, Some("no-fuzzy"), false));
    let status = serde_json::to_value(degrade.snapshot()).unwrap();
    assert_eq!((&status["level"], &status["effects"]["no_batch"]), (&"minimal".into(), &true.into()));
}

#[tokio::test(start_paused = true)]
async fn observed_levels_have_no_effect() {
    let degrade = at(Level::Emergency, Mode::Observe).await;
    let mut verdict = verdict(None);
    assert_eq!(degrade.forward(&mut verdict).await, Flow::Continue);
    assert_eq!(verdict.observed, [("degrade", "degraded_cache_only")]);
    assert_eq!(degrade.effects(), Effects::default());
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_level() {
    let old = at(Level::Minimal, Mode::Enforce).await;
    let mut new = degrade(Mode::Enforce);
    new.adopt(&old);
    assert_eq!(new.level(), Level::Minimal);
    new.release();
    assert_eq!(old.level(), Level::Normal, "requests in flight see it, too");
}

#[rstest]
#[case(|c: &mut Config| c.leave = Percent::of(100), "`leave` must be below 100%")]
#[case(|c: &mut Config| c.smooth = Span::secs(0), "`smooth` must be more")]
#[case(|c: &mut Config| c.minimal.enter.errors = Some(Percent::of(5)), "higher level must not be entered at a lower")]
#[case(|c: &mut Config| c.emergency.enter.delay = Some(Span::millis(1)), "higher level must not be entered at a lower")]
#[case(|c: &mut Config| c.reduced.enter.breakers = Some(Percent::of(0)), "`reduced` would be entered at zero")]
#[case(|c: &mut Config| c.minimal.effects.push(Effect::NoBatch), "`minimal`: `no_batch` is there twice")]
fn wrong_settings_are_refused(#[case] spoil: fn(&mut Config), #[case] message: &str) {
    let mut config = Config::default();
    spoil(&mut config);
    let error = Degrade::new(&config).unwrap_err();
    assert!(error.contains(message), "{error}");
}
