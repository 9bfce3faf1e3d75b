//! Scenarios of load and failure, each in a short form for `make test` (tests/traffic.rs) and in its full form for
//! `make load SCENARIO=…` (benches/load). The same code, the same bars but where a short form on a busy machine needs
//! room; what is compared are ratios and shares wherever it can be.
#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../support/lib.rs"]
pub mod support;

pub mod breaker;
pub mod cold;
pub mod fairness;
pub mod faults;
pub mod generator;
pub mod limits;
pub mod overload;
pub mod profile;
pub mod recovery;
pub mod report;

pub use report::{Report, Scale};

use futures::future::BoxFuture;

type Run = fn(Scale) -> BoxFuture<'static, Report>;

/// One scenario.
pub struct Scenario {
    pub name: &'static str,
    pub what: &'static str,
    pub run: Run,
}

macro_rules! scenarios {
    ($($name:literal, $run:path, $what:literal;)*) => {
        /// All of them, in the order in which they run.
        pub const ALL: &[Scenario] = &[$(Scenario { name: $name, what: $what, run: |scale| Box::pin($run(scale)) }),*];
    };
}

scenarios! {
    "shared-limit", limits::at_once, "2,000 requests at once on two instances against a budget of 100";
    "shared-flood", limits::flood, "a flood on two instances is admitted at the rate of the limit";
    "shared-redis-killed", limits::redis_killed, "Redis is killed while two instances share a limit";
    "many-keys", limits::many_keys, "thousands of keys at half their limit on two instances";
    "overload", overload::overload, "five times what the upstream can do";
    "burst", overload::burst, "200 requests that can't be cached at once on 30 places";
    "freeze", recovery::freeze, "an upstream that was frozen returns under load";
    "burst-after-slow", recovery::burst, "200 requests at once on 30 places, right after slow ones";
    "one-key", overload::one_key, "1,000 requests at once with one key on the configuration as it is shipped";
    "classes", fairness::classes, "people at a fifth of the capacity beside a batch at five times the capacity";
    "noisy-key", fairness::noisy_key, "one key far beyond its limit beside others";
    "lent-priority", fairness::lent, "a person waits for an answer that a queued batch is fetching";
    "cold-cache", cold::recovery, "an empty cache under five times what the upstream can do";
    "breaker", breaker::breaker, "opens at its threshold, lets exactly its probes through, closes without traffic";
    "postgis-killed", faults::postgis_killed, "PostGIS is killed under load and comes back";
    "service-frozen", faults::service_frozen, "the address service stands still under load and goes on";
}
