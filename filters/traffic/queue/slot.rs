//! A place at the upstream, the wait for one, and what lends a waiting request a higher class.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Queue;
use super::limit::Call;
use crate::traffic::Answered;
use crate::traffic::Class;

/// A place at the upstream. Dropped, it goes to whoever is next.
#[derive(Debug)]
#[must_use = "a place that is dropped is given back"]
pub struct Slot {
    queue: Arc<Queue>,
    class: Class,
    began: Instant,
    waited: Duration,
}

impl Slot {
    pub(super) fn new(queue: Arc<Queue>, class: Class, waited: Duration, began: Instant) -> Self {
        Self { queue, class, began, waited }
    }

    /// How long the request waited for it.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Tells the limit what came of a call; from `slow` on, a response is a bad sign. `route` is any number for what the
    /// call was about: latencies are compared within one.
    pub fn tell(&self, route: usize, answered: Answered, elapsed: Duration, slow: Duration) {
        self.queue.learn(self.class, &Call { route, answered, elapsed, slow, began: self.began });
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.queue.give_back(self.class, self.began);
    }
}

/// A request that waits. Dropped, it is out of the queue at once; a place that came meanwhile goes on.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) queue: Arc<Queue>,
    pub(crate) number: u64,
    pub(super) until: Instant,
    pub(super) place: oneshot::Receiver<Slot>,
}

impl Waiting {
    /// The place, or why there is none.
    pub(crate) async fn slot(&mut self) -> Result<Slot, Gone> {
        let given = timeout_at(self.until, &mut self.place).await.map_err(|_elapsed| Gone::TimedOut)?;
        given.map_err(|_closed| Gone::Displaced)
    }
}

/// Why a request that waited gets no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It took too long.
    TimedOut,
    /// Another client's request has its room in the queue.
    Displaced,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.queue.leave(self.number);
    }
}

/// Lends a request the class of whoever waits for its answer, so that nobody waits behind somebody of less importance.
/// Kept by who joins requests for one answer; works before the request waits, and while it does.
#[derive(Debug, Clone)]
pub struct Lend(Arc<Mutex<Lent>>);

#[derive(Debug)]
struct Lent {
    class: Class,
    /// Where the request waits.
    place: Option<(Weak<Queue>, u64)>,
}

impl Default for Lend {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Lent { class: Class::Background, place: None })))
    }
}

impl Lend {
    /// The request now matters at least so much.
    pub fn raise(&self, class: Class) {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if class <= lent.class {
            return;
        }
        lent.class = class;
        if let Some((queue, number)) = &lent.place
            && let Some(queue) = queue.upgrade()
        {
            queue.raise(*number, class);
        }
    }

    /// The highest class lent so far.
    #[must_use]
    pub fn class(&self) -> Class {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).class
    }

    /// From now on the request waits there. What was lent since its class was read counts, too.
    pub(crate) fn wait(&self, waiting: &Waiting) {
        let mut lent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lent.place = Some((Arc::downgrade(&waiting.queue), waiting.number));
        waiting.queue.raise(waiting.number, lent.class);
    }
}
