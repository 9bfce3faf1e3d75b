//! What the black-box tests stand on: the real programs, started on free ports over a database of the sample data, and a
//! client that sees bytes as they are. Nothing is left behind, also when a test panics. Used by
//! `#[path = "support/lib.rs"] mod support;`, so that each test file takes of it what it needs.
#![allow(dead_code, unreachable_pub, unused_imports)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

pub mod database;
pub mod gateway;
pub mod golden;
pub mod http;
pub mod origin;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod stack;
pub mod waiting;

pub use database::Database;
pub use gateway::Gateway;
pub use http::{Client, Reply};
pub use origin::{Answer, Asked, Origin};
pub use process::Process;
pub use stack::Stack;
pub use waiting::{PATIENCE, given, until};

use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};

/// A file of the project.
pub fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The gateway's program, and the address service's beside it; `ADDRGATE_PROGRAMS` names another folder.
pub fn program(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("ADDRGATE_PROGRAMS") {
        return PathBuf::from(folder).join(name);
    }
    let gateway = PathBuf::from(env!("CARGO_BIN_EXE_addrgate"));
    if name == "addrgate" {
        return gateway;
    }
    let program = gateway.with_file_name(name);
    assert!(program.exists(), "{} is not built: run `cargo build --workspace` or `make test`", program.display());
    program
}

/// A port that nothing listens on, from 10,000 to 17,000: below the range that outgoing connections take theirs from, as is
/// the port of a cluster's bus, 10,000 higher.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Test programs run in parallel: each begins somewhere else.
        let offset = (std::process::id() % 175) as u16 * 40 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + offset % 7_000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
