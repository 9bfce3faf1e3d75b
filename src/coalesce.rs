//! One fetch at a time for what many ask for at once.
//!
//! The first request for an entry leads: it fetches. The others wait until it is known what becomes of the answer, and no
//! longer than their patience; they are woken, never polled. A leader that dies before it has asked hands its place to one
//! of them. One whose upstream fails, or whose answer is not kept, lets all of them go at once, so that nobody is served one
//! after the other. What turned out not to be kept is remembered for a while, and not waited for again.
//!
//! Who waits lends the leader its class, so that a request that matters does not wait behind a queue in which the leader
//! stands further back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use addrgate_filters::traffic::Class;
use addrgate_filters::traffic::queue::Lend;
use foldhash::fast::RandomState;
use moka::sync::Cache;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::store::Id;

/// How long an answer that was not kept is remembered as such.
const PASSING: Duration = Duration::from_secs(10);

/// Requests that wait for one fetch; more go on by themselves, through the same admission as anyone.
const MAX_WAITERS: usize = 4096;

/// How a fetch ended, as far as those who wait for it are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The answer is kept, or comes in where all can read along.
    Kept,
    /// It is not kept, and the next one won't be either.
    Passing,
    /// It is not kept this time.
    Unkept,
    /// The leader went away before anything was known.
    Abandoned,
}

/// What a request is to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Fetch, for all.
    Lead(Lead),
    /// Look again: it is kept by now.
    Look,
    /// Fetch, for itself.
    Alone,
    /// The same, and it is known that the answer will not be kept.
    Pass,
}

/// The fetches under way. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Coalesce {
    flights: Arc<Mutex<Flights>>,
    passing: Cache<Id, (), RandomState>,
}

/// Ids are digests already, so a quick hash is as good as a strong one.
type Flights = HashMap<Id, Arc<Flight>, RandomState>;

#[derive(Debug)]
struct Flight {
    ended: watch::Sender<Option<End>>,
    lend: Lend,
}

impl Coalesce {
    /// None under way.
    pub(crate) fn new() -> Self {
        // One that is forgotten costs its next requests one wait.
        let passing =
            Cache::builder().max_capacity(100_000).time_to_live(PASSING).build_with_hasher(RandomState::default());
        Self { flights: Arc::default(), passing }
    }

    /// Leads, if nobody does.
    pub(crate) fn lead(&self, id: Id) -> Option<Lead> {
        self.join(id).ok()
    }

    /// Leads, or waits for who does, no longer than `until`, and lends it the class. Dropping the future gives the place up.
    pub(crate) async fn turn(&self, id: Id, until: Instant, class: Class) -> Turn {
        if self.is_passing(&id) {
            return Turn::Pass;
        }
        loop {
            let mut ended = match self.join(id) {
                Ok(lead) => return Turn::Lead(lead),
                Err(flight) if flight.ended.receiver_count() >= MAX_WAITERS => return Turn::Alone,
                Err(flight) => {
                    flight.lend.raise(class);
                    flight.ended.subscribe()
                }
            };
            // A sender that is gone has said so before, in its leader's destructor.
            let end = timeout_at(until, ended.wait_for(Option::is_some)).await.map(|end| end.ok().and_then(|end| *end));
            match end {
                Ok(Some(End::Kept)) => return Turn::Look,
                Ok(Some(End::Abandoned) | None) => {}
                Ok(Some(End::Passing)) => return Turn::Pass,
                Ok(Some(End::Unkept)) | Err(_) => return Turn::Alone,
            }
        }
    }

    /// Notes that a response is not stored, after those who waited for it were let go.
    pub(crate) fn pass(&self, id: Id) {
        self.passing.insert(id, ());
    }

    /// Whether an answer is known not to be kept.
    fn is_passing(&self, id: &Id) -> bool {
        self.passing.contains_key(id)
    }

    /// How many are under way.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn join(&self, id: Id) -> Result<Lead, Arc<Flight>> {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(&id) {
            return Err(Arc::clone(flight));
        }
        let flight = Arc::new(Flight { ended: watch::Sender::new(None), lend: Lend::default() });
        flights.insert(id, Arc::clone(&flight));
        Ok(Lead { id, flight, coalesce: self.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Flights> {
        // Nothing that runs under the lock can leave it half changed.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of the one who fetches. Dropped, it counts as abandoned.
#[derive(Debug)]
pub(crate) struct Lead {
    id: Id,
    flight: Arc<Flight>,
    coalesce: Coalesce,
}

impl Lead {
    /// What those who wait raise its class by.
    pub(crate) fn lend(&self) -> Lend {
        self.flight.lend.clone()
    }

    /// Tells those who wait.
    pub(crate) fn end(self, end: End) {
        match end {
            End::Passing => self.coalesce.passing.insert(self.id, ()),
            End::Kept => self.coalesce.passing.invalidate(&self.id),
            End::Unkept | End::Abandoned => {}
        }
        self.flight.ended.send_replace(Some(end));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // Out of the table first: who is woken must not find it there again.
        self.coalesce.lock().remove(&self.id);
        self.flight.ended.send_if_modified(|ended| ended.is_none() && ended.replace(End::Abandoned).is_none());
    }
}

/// The place in which a request carries its lead; whoever knows first what becomes of the answer takes it out.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeadSlot(Arc<Mutex<Option<Lead>>>);

impl LeadSlot {
    /// Puts it in.
    pub(crate) fn hold(&self, lead: Lead) {
        *self.lock() = Some(lead);
    }

    /// What those who wait raise its class by, where it is in.
    pub(crate) fn lend(&self) -> Option<Lend> {
        self.lock().as_ref().map(Lead::lend)
    }

    /// Whether it is in.
    pub(crate) fn is_held(&self) -> bool {
        self.lock().is_some()
    }

    /// Tells those who wait, if nobody has.
    pub(crate) fn end(&self, end: End) {
        if let Some(lead) = self.lock().take() {
            lead.end(end);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Lead>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use addrgate_filters::cache_key::Key;
    use tokio::task::JoinSet;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    fn id(n: u8) -> Id {
        Id::primary(Key([n; 32]))
    }

    fn waiters(coalesce: &Coalesce, n: usize) -> JoinSet<(Turn, Duration)> {
        let begun = Instant::now();
        let mut all = JoinSet::new();
        for _ in 0..n {
            let coalesce = coalesce.clone();
            all.spawn(async move {
                (coalesce.turn(id(1), Instant::now() + PATIENCE, Class::Normal).await, begun.elapsed())
            });
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn all_wait_for_one_and_are_woken_together() {
        for (end, looks) in [(End::Kept, true), (End::Passing, false), (End::Unkept, false)] {
            let coalesce = Coalesce::new();
            let lead = coalesce.lead(id(1)).unwrap();
            assert!(coalesce.lead(id(1)).is_none());
            assert!(coalesce.lead(id(2)).is_some(), "another entry");
            let waiting = waiters(&coalesce, 200);
            tokio::time::sleep(Duration::from_millis(300)).await;
            lead.end(end);
            for (turn, after) in waiting.join_all().await {
                assert_eq!(matches!(turn, Turn::Look), looks, "{turn:?}");
                assert_eq!(after, Duration::from_millis(300));
            }
            assert_eq!((coalesce.count(), coalesce.is_passing(&id(1))), (0, end == End::Passing));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_dies_is_followed_by_one_of_those_who_wait() {
        let coalesce = Coalesce::new();
        let lead = coalesce.lead(id(1)).unwrap();
        let mut waiting = waiters(&coalesce, 50);
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(lead);
        let (turn, _) = waiting.join_next().await.unwrap().unwrap();
        let Turn::Lead(next) = turn else { panic!("{turn:?}") };
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(waiting.len(), 49, "the others wait for the new leader");
        next.end(End::Kept);
        assert!(waiting.join_all().await.iter().all(|(turn, _)| matches!(turn, Turn::Look)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_leader_is_waited_for_no_longer_than_patience() {
        let coalesce = Coalesce::new();
        let _lead = coalesce.lead(id(1)).unwrap();
        for (turn, after) in waiters(&coalesce, 20).join_all().await {
            assert!(matches!(turn, Turn::Alone) && after == PATIENCE, "{turn:?} {after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_kept_is_not_waited_for_again() {
        let coalesce = Coalesce::new();
        coalesce.lead(id(1)).unwrap().end(End::Passing);
        let _lead = coalesce.lead(id(1)).unwrap();
        assert!(matches!(coalesce.turn(id(1), Instant::now() + PATIENCE, Class::Normal).await, Turn::Pass));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_frees_the_place() {
        let coalesce = Coalesce::new();
        let lead = coalesce.lead(id(1)).unwrap();
        let mut waiting = waiters(&coalesce, 10);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(lead.flight.ended.receiver_count(), 10);
        waiting.abort_all();
        while waiting.join_next().await.is_some() {}
        assert_eq!(lead.flight.ended.receiver_count(), 0);
    }
}
