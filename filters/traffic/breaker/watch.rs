//! The breaker's own probe: while it is not closed, the dependency is asked from time to time, whether calls come or not.

use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout};

use super::{Breaker, Permit, State};

/// How a turn of the watch asks.
enum Turn {
    /// Half open: as one of the probes.
    Probe(Permit),
    /// Open, in this generation: a good answer makes it half open, and is the first good result.
    Look(u64),
}

impl Breaker {
    /// Probes for as long as it is polled; run it as a task of its own, once per breaker. `probe` says whether the
    /// dependency does its work: ask for something that needs all of it.
    pub async fn watch<F, A>(self: Arc<Self>, probe: F)
    where
        F: Fn() -> A,
        A: Future<Output = bool>,
    {
        loop {
            self.until(|state| matches!(state, State::Open | State::HalfOpen)).await;
            let (every, longest) = {
                let config = self.lock().config;
                (config.probe_every.0, config.probe_time.0)
            };
            sleep(every.mul_f64(1.0 - 0.2 * rand::random::<f64>())).await;
            let Some(turn) = self.turn() else { continue };
            let begun = Instant::now();
            let answered = timeout(longest, probe()).await.unwrap_or(false);
            let permit = match turn {
                Turn::Probe(permit) => Some(permit),
                Turn::Look(generation) if answered => self.answered(generation),
                Turn::Look(_) => None,
            };
            match permit {
                Some(permit) if answered => permit.success(begun.elapsed()),
                Some(permit) => permit.failure(),
                None => {}
            }
        }
    }

    fn turn(self: &Arc<Self>) -> Option<Turn> {
        self.with(|machine| match machine.state() {
            State::Open => Some(Turn::Look(machine.generation)),
            State::HalfOpen => {
                let admitted = machine.admit(Instant::now()).is_ok();
                admitted.then(|| Turn::Probe(self.permit(machine.generation, true)))
            }
            _ => None,
        })
    }

    fn answered(self: &Arc<Self>, generation: u64) -> Option<Permit> {
        self.with(|machine| {
            let goes_on = machine.answered(generation, Instant::now());
            goes_on.then(|| self.permit(machine.generation, true))
        })
    }

    /// Ends once the state is such.
    pub(super) async fn until(&self, such: impl Fn(State) -> bool) {
        let mut changes = self.changes();
        while !such(self.state()) {
            // Never closed: this breaker holds the sender. A receiver that fell behind looks again, too.
            let _changed = changes.recv().await;
        }
    }
}
