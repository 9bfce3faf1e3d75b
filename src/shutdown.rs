//! Stops in order: not ready, a while for load balancers to notice, no new connections, requests in flight, out.
//!
//! From the first moment on every response ends its HTTP/1 connection and every HTTP/2 connection is told to go away, so that
//! clients move while they are still served. A connection without a request is closed only once its client is not at work:
//! a request that is on its way would be lost.
//!
//! Pingora's own stop sleeps for its whole grace period even when nothing is in flight, and its last step cancels requests.
//! So its grace period is our upper bound, it runs on a thread of its own, and `main` returns as soon as nothing is in
//! flight.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::{ExecutionPhase, ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::config::Delay;
use crate::shared::{AT_WORK, Shared};
use crate::telemetry::METRICS;

/// How far the stop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Serving.
    Running,
    /// No new connections; requests in flight are finished.
    Draining,
    /// Now.
    Fast,
}

/// The signals that end the process. Until it catches them they kill it, so they are caught before the first request can
/// be served; what comes before somebody waits for it is not lost.
pub(crate) struct Caught {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
}

impl Caught {
    /// Catches them from now on. Needs a runtime around it; any other may wait for them.
    pub(crate) fn new() -> std::io::Result<Self> {
        let [terminate, quit, interrupt] = [SignalKind::terminate(), SignalKind::quit(), SignalKind::interrupt()];
        Ok(Self { terminate: signal(terminate)?, quit: signal(quit)?, interrupt: signal(interrupt)? })
    }
}

/// Turns signals and the admin's drain into stages.
pub(crate) struct Signals {
    pub(crate) caught: Mutex<Caught>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) delay: Delay,
    /// Whether there is a socket by which a new process can take over.
    pub(crate) upgradable: bool,
    pub(crate) stage: watch::Sender<Stage>,
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        match self.asked().await {
            ShutdownSignal::GracefulTerminate => {
                not_ready(&self.shared);
                self.shared.begin_stop();
                let delay = match self.delay {
                    Delay::Auto => self.shared.polls.delay(),
                    Delay::Fixed(delay) => delay.0,
                };
                tracing::info!(?delay, "stopping: not ready any more");
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = interrupted() => {
                        self.stage.send_replace(Stage::Fast);
                        return ShutdownSignal::FastShutdown;
                    }
                }
                self.stage.send_replace(Stage::Draining);
                ShutdownSignal::GracefulTerminate
            }
            ShutdownSignal::GracefulUpgrade => {
                self.shared.begin_stop();
                self.stage.send_replace(Stage::Draining);
                ShutdownSignal::GracefulUpgrade
            }
            ShutdownSignal::FastShutdown => {
                not_ready(&self.shared);
                self.stage.send_replace(Stage::Fast);
                ShutdownSignal::FastShutdown
            }
        }
    }
}

impl Signals {
    async fn asked(&self) -> ShutdownSignal {
        let mut caught = self.caught.lock().await;
        let Caught { terminate, quit, interrupt } = &mut *caught;
        loop {
            return tokio::select! {
                _ = terminate.recv() => ShutdownSignal::GracefulTerminate,
                () = self.shared.drain.notified() => ShutdownSignal::GracefulTerminate,
                _ = quit.recv() => {
                    if !self.upgradable {
                        // Nobody would serve afterwards.
                        tracing::warn!("SIGQUIT without `server.upgrade_socket` does nothing; SIGTERM stops");
                        continue;
                    }
                    ShutdownSignal::GracefulUpgrade
                }
                _ = interrupt.recv() => ShutdownSignal::FastShutdown,
            };
        }
    }
}

fn not_ready(shared: &Shared) {
    shared.not_ready();
    METRICS.ready.set(0);
}

async fn interrupted() {
    match signal(SignalKind::interrupt()) {
        Ok(mut interrupt) => {
            interrupt.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

/// When Pingora has told its listeners and connections to stop. Before that, at an upgrade, it hands the sockets over, which
/// takes it some five seconds, ten where the new process is late.
async fn told(mut phases: broadcast::Receiver<ExecutionPhase>) {
    const LONGEST: Duration = Duration::from_secs(20);
    let told =
        async { while !matches!(phases.recv().await, Ok(ExecutionPhase::ShutdownStarted) | Err(RecvError::Closed)) {} };
    if tokio::time::timeout(LONGEST, told).await.is_err() {
        tracing::warn!("the listeners do not close; stopping all the same");
    }
}

/// Waits for the stop and then until nothing is in flight, at most `drain`. Says whether something was cut off.
pub(crate) async fn drained(
    shared: &Shared,
    mut stage: watch::Receiver<Stage>,
    phases: broadcast::Receiver<ExecutionPhase>,
    drain: Duration,
) -> bool {
    // The sender lives as long as the server; without it there is nothing left to wait for.
    let reached = stage.wait_for(|stage| *stage != Stage::Running).await.map(|stage| *stage);
    if reached.is_ok_and(|stage| stage == Stage::Fast) {
        return shared.in_flight() > 0;
    }
    told(phases).await;
    // A process that hands its sockets over is asked for as long as it holds them.
    not_ready(shared);
    let begun = Instant::now();
    let (idle, end) = (begun + AT_WORK, begun + drain);
    // Listeners close within this moment; what they took just before shows as connected by then.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let left = |now: Instant| shared.in_flight() > 0 || shared.connections.count() > 0 && now < idle;
    while left(Instant::now()) && Instant::now() < end {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(20)) => {}
            () = interrupted() => break,
        }
    }
    shared.in_flight() > 0
}
