//! Traffic control under load, in short: each scenario of tests/traffic/ that needs no database, through the real gateway
//! with tests/traffic/gateway.yaml. The full forms are run by `make load SCENARIO=…`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "traffic/lib.rs"]
mod traffic;

use tokio::sync::Mutex;
use traffic::{ALL, Report, Scale};

/// Those that compare times run one after the other: beside each other they would measure each other.
static ALONE: Mutex<()> = Mutex::const_new(());

async fn short(name: &str) {
    let scenario = ALL.iter().find(|scenario| scenario.name == name).unwrap();
    let _turn = ALONE.lock().await;
    let report: Report = (scenario.run)(Scale::Short).await;
    println!("{name}\n{report}");
    report.check();
}

macro_rules! scenarios {
    ($($test:ident: $name:literal;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            short($name).await;
        })*
    };
}

scenarios! {
    two_thousand_at_once_on_two_instances_get_exactly_the_budget: "shared-limit";
    a_sustained_flood_is_admitted_at_the_limits_rate: "shared-flood";
    redis_killed_in_the_middle_never_admits_more_than_half_on_top: "shared-redis-killed";
    keys_at_half_their_limit_are_never_refused: "many-keys";
    at_five_times_the_capacity_it_goes_on_at_full_speed: "overload";
    a_burst_is_absorbed: "burst";
    an_upstream_that_returns_from_a_freeze_is_used_at_once: "freeze";
    slow_calls_refuse_no_burst_after_them: "burst-after-slow";
    a_thousand_at_once_with_one_key_are_all_served: "one-key";
    people_hardly_notice_a_batch: "classes";
    a_key_far_beyond_its_limit_leaves_the_others_alone: "noisy-key";
    who_waits_for_an_answer_lends_its_class: "lent-priority";
    a_cold_cache_fills_under_full_load: "cold-cache";
    the_breaker_opens_and_closes_as_promised: "breaker";
}
