//! How long tests wait for what they need, and what they are given.

use std::time::Duration;

/// The longest that anything may take to start or to stop, on a machine busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What `scripts/test.sh` gives to the tests.
pub fn given(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        let package = env!("CARGO_PKG_NAME");
        panic!("{variable} is not set: run `make test`, or `bash scripts/test.sh -p {package} --test NAME`")
    })
}

/// Waits until `ready` says so; `what` is for the message when it never does.
pub async fn until<F: Future<Output = bool>>(what: &str, mut ready: impl FnMut() -> F) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !ready().await {
        assert!(tokio::time::Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
