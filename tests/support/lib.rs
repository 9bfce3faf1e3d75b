//! What the black-box tests stand on: the real programs, started on free ports over a database of the sample data, and a
//! client that sees bytes as they are. Nothing is left behind, also when a test panics. Used by
//! `#[path = "support/lib.rs"] mod support;`, so that each test file takes of it what it needs.
#![allow(dead_code)]

pub mod database;
pub mod golden;
pub mod http;
pub mod process;
pub mod stack;

pub use database::Database;
pub use http::{Client, Reply};
pub use process::Process;
pub use stack::Stack;

use std::path::PathBuf;
use std::time::Duration;

/// The longest that anything may take to start or to stop, on a machine busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A file of the project.
pub fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The gateway's program, and the address service's beside it.
pub fn program(name: &str) -> PathBuf {
    let gateway = PathBuf::from(env!("CARGO_BIN_EXE_addrgate"));
    if name == "addrgate" {
        return gateway;
    }
    let program = gateway.with_file_name(name);
    assert!(program.exists(), "{} is not built: run `cargo build --workspace` or `make test`", program.display());
    program
}

/// What `scripts/test.sh` gives to the tests.
pub fn given(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run `make test`, or `bash scripts/test.sh -p addrgate --test NAME`"))
}

/// Waits until `ready` says so; `what` is for the message when it never does.
pub async fn until<F: Future<Output = bool>>(what: &str, mut ready: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !ready().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
