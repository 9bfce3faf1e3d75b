//! One timer for all that a connection waits for, because it waits for one thing at a time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// See the module. It is moved only where it would ring too late; where it rings too early it is set again:
/// so a hot hit never touches the timers of the runtime.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    at: Option<Instant>,
}

impl Alarm {
    /// Rings at this time, and no other.
    pub(super) fn set(&mut self, at: Instant) {
        self.at = Some(at);
        if let Some(sleep) = &mut self.sleep
            && at < sleep.deadline()
        {
            sleep.as_mut().reset(at);
        }
    }

    /// Ready once the time that was set last has come.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}
