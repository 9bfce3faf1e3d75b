//! Black box: rows change, and the caches in front hear of it. A recorded HTTP server stands for the gateway.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "../support/lib.rs"]
mod support;

mod answers;
mod delivery;
mod gateway;
mod outbox;
