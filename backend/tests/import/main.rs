//! Black box: the real binary, real files, a real PostGIS. TEST_DATABASE_URL names a server where databases may be created.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of a test may fail it; clippy only exempts the test functions themselves"
)]

#[path = "../support/lib.rs"]
mod support;

mod database;
mod sample;

mod areas;
mod content;
mod faults;
mod flat;
mod generated;
mod sources;
mod updates;
