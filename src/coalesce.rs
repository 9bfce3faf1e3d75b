//! One fetch at a time for what many request at once.
//!
//! The first request for a response leads: it starts the fetch, which belongs to nobody ([`crate::fetch`]). All others wait
//! until it is known what becomes of the response; they are woken, never polled. As long as it comes in, those who come later
//! read along. A fetch that dies before anything is known hands its place to one of those who wait. What turned out to be for
//! one client only is remembered for a while, and not waited for again.
//!
//! A waiter lends the fetch its class, so that a request that matters does not wait behind a queue in which the fetch stands
//! further back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use addrgate_filters::http::cache_policy::downstream::Terms;
use addrgate_filters::reply::Cause;
use addrgate_filters::traffic::Class;
use addrgate_filters::traffic::queue::Lend;
use foldhash::fast::RandomState;
use moka::sync::Cache;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::store::{Entry, Fill, Id};

/// How long it is remembered that a response is for one client only.
const PASSING: Duration = Duration::from_secs(10);

/// Requests that wait for one fetch; more go on by themselves, through the same admission as anyone.
const MAX_WAITERS: usize = 4096;

/// Fetches under way; more requests go on by themselves.
const MAX_FETCHES: usize = 8192;

/// How a fetch ended, as far as those who wait for it are concerned.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// The response is stored.
    Stored(Arc<Entry>),
    /// It is coming in, for all.
    Filling(Filling),
    /// There is none, for a reason that is the same for all.
    Failed(Arc<Failure>),
    /// It is for one client: all others fetch their own.
    Private {
        /// Whether the next response under the same key will be so, too.
        lasting: bool,
    },
    /// Nothing is known: somebody else has to fetch.
    Abandoned,
}

/// A response that is coming in.
#[derive(Debug, Clone)]
pub(crate) struct Filling {
    /// Its head, and its body as far as it is there.
    pub(crate) fill: Arc<Fill>,
    /// Its status.
    pub(crate) status: u16,
    /// Whether it is being stored.
    pub(crate) stored: bool,
    /// What caches in front may do with it, where it is not stored.
    pub(crate) terms: Option<Terms>,
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The filter, or `upstream`, that refused; for log and metrics.
    pub(crate) by: &'static str,
    /// The reason.
    pub(crate) cause: Cause,
}

/// What a request is to do.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Fetch, for all.
    Lead(Lead),
    /// Another request's fetch ended in this way: [`End::Stored`], [`End::Filling`] or [`End::Failed`].
    Ended(End),
    /// Fetch, for itself.
    Alone,
    /// The same, and it is known that the response will be for one client only.
    Pass,
    /// Its time is over.
    TimedOut,
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

impl Flight {
    /// The first end holds.
    fn tell(&self, end: End) {
        self.ended.send_if_modified(|ended| ended.is_none() && ended.replace(end).is_none());
    }
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
        self.join(id)?.ok()
    }

    /// Leads, or waits for the fetch that is under way, no longer than `until`, and lends it the class. Dropping the future
    /// gives the place up.
    pub(crate) async fn turn(&self, id: Id, until: Instant, class: Class) -> Turn {
        if self.passing.contains_key(&id) {
            return Turn::Pass;
        }
        loop {
            let mut ended = match self.join(id) {
                None => return Turn::Alone,
                Some(Ok(lead)) => return Turn::Lead(lead),
                Some(Err(flight)) if flight.ended.receiver_count() >= MAX_WAITERS => return Turn::Alone,
                Some(Err(flight)) => {
                    flight.lend.raise(class);
                    flight.ended.subscribe()
                }
            };
            // A sender that is gone has said so before, in its leader's destructor.
            let end = timeout_at(until, ended.wait_for(Option::is_some))
                .await
                .map(|end| end.ok().and_then(|end| end.clone()));
            match end {
                Err(_elapsed) => return Turn::TimedOut,
                Ok(Some(End::Abandoned) | None) => {}
                Ok(Some(End::Private { lasting: true })) => return Turn::Pass,
                Ok(Some(End::Private { lasting: false })) => return Turn::Alone,
                Ok(Some(end)) => return Turn::Ended(end),
            }
        }
    }

    /// What is coming in under this id was purged: the next request fetches anew.
    pub(crate) fn forget(&self, id: &Id, purged: &Arc<Fill>) {
        let is_it = |flight: &Arc<Flight>| matches!(&*flight.ended.borrow(), Some(End::Filling(filling)) if Arc::ptr_eq(&filling.fill, purged));
        let mut flights = self.lock();
        if flights.get(id).is_some_and(is_it) {
            flights.remove(id);
        }
    }

    /// How many are under way.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// `None` where too many are under way.
    fn join(&self, id: Id) -> Option<Result<Lead, Arc<Flight>>> {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(&id) {
            return Some(Err(Arc::clone(flight)));
        }
        if flights.len() >= MAX_FETCHES {
            return None;
        }
        let flight = Arc::new(Flight { ended: watch::Sender::new(None), lend: Lend::default() });
        flights.insert(id, Arc::clone(&flight));
        Some(Ok(Lead { id, variant: None, flight, coalesce: self.clone() }))
    }

    fn lock(&self) -> MutexGuard<'_, Flights> {
        // Nothing that runs under the lock can leave it half changed.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one place that says how a fetch ends. It stands in the table until it is dropped, so that those who come while the
/// body comes in read along. Dropped before an end was told, it counts as abandoned.
#[derive(Debug)]
pub(crate) struct Lead {
    id: Id,
    /// What the response turned out to be a variant of.
    variant: Option<Id>,
    flight: Arc<Flight>,
    coalesce: Coalesce,
}

/// Those who wait for a fetch, as the fetch sees them.
#[derive(Debug, Clone)]
pub(crate) struct Waiters(Arc<Flight>);

impl Waiters {
    /// Until nobody waits any more.
    pub(crate) async fn gone(&self) {
        self.0.ended.closed().await;
    }

    /// Tells them that another instance has stored what they wait for, if they wait still.
    pub(crate) fn found(&self, entry: Arc<Entry>) {
        self.0.tell(End::Stored(entry));
    }

    /// Whether they were told how the fetch ended.
    pub(crate) fn are_told(&self) -> bool {
        self.0.ended.borrow().is_some()
    }
}

impl Lead {
    /// What those who wait raise its class by.
    pub(crate) fn lend(&self) -> Lend {
        self.flight.lend.clone()
    }

    /// Counts as one who waits as long as it is held.
    pub(crate) fn wait(&self) -> watch::Receiver<Option<End>> {
        self.flight.ended.subscribe()
    }

    /// Those who wait.
    pub(crate) fn waiters(&self) -> Waiters {
        Waiters(Arc::clone(&self.flight))
    }

    /// The entry that it fetches.
    pub(crate) fn id(&self) -> Id {
        self.id
    }

    /// Tells those who wait; the first end holds.
    pub(crate) fn end(&mut self, end: End) {
        match &end {
            End::Private { lasting: true } => self.pass(),
            End::Stored(_) => self.coalesce.passing.invalidate(&self.id),
            End::Filling(filling) if filling.stored => {
                self.coalesce.passing.invalidate(&self.id);
                // Those who come from now on may know by which fields it varies.
                let variant = filling.fill.meta.id;
                if variant != self.id {
                    self.coalesce.lock().entry(variant).or_insert_with(|| Arc::clone(&self.flight));
                    self.variant = Some(variant);
                }
            }
            _ => {}
        }
        if !matches!(&end, End::Filling(filling) if filling.stored) {
            // What is for those who waited is not for those who come later.
            self.leave();
        }
        self.flight.tell(end);
    }

    fn leave(&self) {
        let mut flights = self.coalesce.lock();
        for id in [Some(self.id), self.variant].into_iter().flatten() {
            if flights.get(&id).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
                flights.remove(&id);
            }
        }
    }

    /// Notes that such a response is for one client only, or too large to be stored.
    pub(crate) fn pass(&self) {
        self.coalesce.passing.insert(self.id, ());
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // Out of the table first: a waiter that is woken must not find it there again.
        self.leave();
        self.flight.tell(End::Abandoned);
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

    /// A reason that is the same for all.
    fn failed() -> End {
        let cause = Cause::new(
            addrgate_filters::reply::Code::BadGateway,
            "upstream_closed",
            "The upstream service closed the connection before the response was complete.",
        );
        End::Failed(Arc::new(Failure { by: "upstream", cause }))
    }

    #[tokio::test(start_paused = true)]
    async fn all_wait_for_one_and_are_woken_together() {
        for (end, shared, passing) in [
            (failed(), true, false),
            (End::Private { lasting: true }, false, true),
            (End::Private { lasting: false }, false, false),
        ] {
            let coalesce = Coalesce::new();
            let mut lead = coalesce.lead(id(1)).unwrap();
            assert!(coalesce.lead(id(1)).is_none());
            assert!(coalesce.lead(id(2)).is_some(), "another entry");
            let waiting = waiters(&coalesce, 200);
            tokio::time::sleep(Duration::from_millis(300)).await;
            lead.end(end);
            for (turn, after) in waiting.join_all().await {
                assert_eq!(matches!(turn, Turn::Ended(End::Failed(_))), shared, "{turn:?}");
                assert_eq!(after, Duration::from_millis(300));
            }
            assert_eq!(coalesce.count(), 0, "those who come later fetch anew");
            drop(lead);
            assert_eq!((coalesce.count(), coalesce.passing.contains_key(&id(1))), (0, passing));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_dies_is_followed_by_one_of_those_who_wait() {
        let coalesce = Coalesce::new();
        let lead = coalesce.lead(id(1)).unwrap();
        let mut waiting = waiters(&coalesce, 50);
        tokio::time::sleep(Duration::from_millis(10)).await;
        drop(lead);
        let (turn, _) = waiting.join_next().await.unwrap().unwrap();
        let Turn::Lead(mut next) = turn else { panic!("{turn:?}") };
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(waiting.len(), 49, "the others wait for the new one");
        next.end(failed());
        drop(next);
        assert!(waiting.join_all().await.iter().all(|(turn, _)| matches!(turn, Turn::Ended(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_waits_to_its_own_deadline() {
        let coalesce = Coalesce::new();
        let _lead = coalesce.lead(id(1)).unwrap();
        for (turn, after) in waiters(&coalesce, 20).join_all().await {
            assert!(matches!(turn, Turn::TimedOut) && after == PATIENCE, "{turn:?} {after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_for_one_client_only_is_not_waited_for_again() {
        let coalesce = Coalesce::new();
        coalesce.lead(id(1)).unwrap().end(End::Private { lasting: true });
        let _lead = coalesce.lead(id(1)).unwrap();
        assert!(matches!(coalesce.turn(id(1), Instant::now() + PATIENCE, Class::Normal).await, Turn::Pass));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_leaves_is_not_waited_for() {
        let coalesce = Coalesce::new();
        let lead = coalesce.lead(id(1)).unwrap();
        let mut waiting = waiters(&coalesce, 10);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(lead.flight.ended.receiver_count(), 10);
        waiting.abort_all();
        while waiting.join_next().await.is_some() {}
        lead.waiters().gone().await;
    }
}
