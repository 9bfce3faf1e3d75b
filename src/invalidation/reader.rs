//! Follows the log: applies what is new, notices what was lost, writes what waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Invalidation;
use super::log::{Ear, Log, Page};
use super::table::Clock;
use crate::redis::Failed;
use crate::telemetry::METRICS;

/// How often an instance says that it is there, and reads the log though it heard of nothing new.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The pause before another connection is made on which is waited for what is new.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest time for the purges that wait at the end of the process.
const LAST: Duration = Duration::from_secs(1);

/// Reads the log for as long as the process runs, a stop included: requests in flight still purge, and are to hear of
/// purges.
pub(crate) struct Reader(pub(crate) Arc<Invalidation>);

#[async_trait]
impl BackgroundService for Reader {
    async fn start(&self, _: ShutdownWatch) {
        if let Some(log) = &self.0.log {
            self.0.follow(log).await;
        }
    }
}

/// How far the log is read.
#[derive(Debug, Default)]
struct Cursor {
    /// The entry read last.
    last: Option<Clock>,
    /// Those that were read, the newest of them: a log that is read from its beginning again holds some of them, and others
    /// that may have any id, lower ones where its new server's clock is behind.
    read: BTreeSet<Clock>,
}

/// More than a log holds with the usual `length`. What is forgotten is applied once more, which costs a few responses.
const READ: usize = 20_000;

impl Cursor {
    /// From the beginning again. Says whether something was read before.
    fn rewind(&mut self) -> bool {
        self.last.take().is_some() || !self.read.is_empty()
    }

    /// Reads an entry. Says whether it is a new one.
    fn read(&mut self, id: Clock) -> bool {
        self.last = Some(id);
        let is_new = self.read.insert(id);
        if self.read.len() > READ {
            self.read.pop_first();
        }
        is_new
    }
}

impl Invalidation {
    async fn follow(&self, log: &Log) {
        let read = watch::Sender::new(None);
        tokio::join!(self.read_on(log, &read), self.listen(log, read.subscribe()));
    }

    /// Reads whenever there is something new, or may be.
    async fn read_on(&self, log: &Log, read: &watch::Sender<Option<Clock>>) {
        let mut cursor = Cursor::default();
        let mut announced: Option<(Clock, Instant)> = None;
        loop {
            let done = self.catch_up(log, &mut cursor).await;
            let done = match done {
                Ok(()) => self.catch_out(log).await,
                Err(error) => Err(error),
            };
            match &done {
                Ok(()) => {
                    self.found();
                    read.send_replace(cursor.last);
                }
                Err(error) => self.lost(error),
            }
            if done.is_ok()
                && let Some(last) = cursor.last
                && announced.is_none_or(|(what, when)| what != last || when.elapsed() >= HEARTBEAT * 3 / 4)
                && let Ok(all) = log.announce(last).await
            {
                announced = Some((last, Instant::now()));
                self.instances.store(all.len().max(1), Ordering::Relaxed);
            }
            // What nobody would tell is looked for.
            let hears = done.is_ok() && self.hears.load(Ordering::Acquire);
            let _elapsed = timeout(if hears { HEARTBEAT } else { self.config.poll.0 }, self.news.notified()).await;
        }
    }

    /// Waits for what is new on a connection of its own, as long as there is one.
    async fn listen(&self, log: &Log, mut read: watch::Receiver<Option<Clock>>) {
        loop {
            if let Ok(ear) = log.ear().await {
                let error = self.hear(log, &ear, &mut read).await;
                self.hears.store(false, Ordering::Release);
                self.news.notify_one();
                tracing::debug!(%error, "the invalidation log is polled");
            }
            sleep(PAUSE).await;
        }
    }

    async fn hear(&self, log: &Log, ear: &Ear, read: &mut watch::Receiver<Option<Clock>>) -> Failed {
        loop {
            let last = *read.borrow_and_update();
            if let Some(last) = last {
                let new = match log.wait(ear, last).await {
                    Ok(new) => new,
                    Err(error) => return error,
                };
                self.hears.store(true, Ordering::Release);
                if !new {
                    continue;
                }
                self.news.notify_one();
            }
            // Until it has been read.
            if read.changed().await.is_err() {
                return Failed::Away;
            }
        }
    }

    /// Applies what is new.
    async fn catch_up(&self, log: &Log, cursor: &mut Cursor) -> Result<(), Failed> {
        loop {
            let page = log.read(cursor.last).await?;
            let is_last = !page.is_full();
            self.take_in(page, cursor);
            if is_last {
                return Ok(());
            }
        }
    }

    fn take_in(&self, page: Page, cursor: &mut Cursor) {
        if !page.connected {
            if cursor.rewind() {
                tracing::warn!("entries of the invalidation log were missed; every stored response counts as stale");
                METRICS.log_gaps.inc();
                self.table.distrust();
                self.outbox().write_again();
            } else if let Some((id, _)) = page.entries.first() {
                // The first look: what was purged before the log's first entry can't be known, be it that the log was
                // trimmed or that it is a new one.
                self.table.floor(*id);
            }
        }
        for (id, purge) in page.entries {
            let is_new = cursor.read(id);
            match purge.filter(|_| is_new) {
                Some(purge) => self.apply(&purge, Some(id)),
                None => self.table.pass(id),
            }
        }
    }

    /// Writes what could not be written before.
    async fn catch_out(&self, log: &Log) -> Result<(), Failed> {
        loop {
            let Some((ticket, purge)) = self.outbox().next() else { return Ok(()) };
            log.append(&purge).await?;
            self.outbox().wrote(ticket);
        }
    }

    /// Writes what waits for the log and says that this instance is gone, once nothing more will come, and does not wait for
    /// it long.
    pub(crate) async fn leave(&self) {
        let Some(log) = &self.log else { return };
        let _late = timeout(LAST, self.catch_out(log)).await;
        let purges = self.outbox().len();
        if purges > 0 {
            tracing::warn!(purges, "some purges could not be written to the log; other instances do not hear of them");
        }
        // Others count it for some seconds more where that fails.
        let _late = timeout(LAST, log.leave()).await;
    }

    fn lost(&self, error: &Failed) {
        if self.lost.load().is_none() {
            tracing::warn!(%error, "the invalidation log can't be read; responses in memory are trusted for a short time only");
            self.lost.store(Arc::new(Some(SystemTime::now())));
        }
        METRICS.log_read.set(0);
    }

    fn found(&self) {
        self.outbox().forget();
        self.known.store(true, Ordering::Release);
        if self.lost.load().is_some() {
            self.lost.store(Arc::new(None));
            tracing::info!("the invalidation log is read");
        }
        METRICS.log_read.set(1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{Name, Purge, Target, Validity};
    use super::super::{Config, Invalidation};
    use super::*;

    fn id(ms: u64) -> Clock {
        Clock { ms, ..Clock::default() }
    }

    fn tag(ms: u64) -> Name {
        Name::tag(ms.to_string())
    }

    /// Each entry purges a tag of its own; without a number in `purges` it only marks a beginning.
    fn page(connected: bool, ids: &[u64], purges: &[u64]) -> Page {
        let purge = |ms: &u64| Purge { target: Target::Names(vec![tag(*ms)]), soft: false };
        let entry = |ms: &u64| (id(*ms), purges.contains(ms).then(|| purge(ms)));
        Page { connected, entries: ids.iter().map(entry).collect() }
    }

    #[test]
    fn what_is_older_than_the_log_is_stale_for_who_begins() {
        for purges in [&[50, 51][..], &[51][..]] {
            let invalidation = Invalidation::new(&Config::default(), None);
            invalidation.take_in(page(false, &[50, 51], purges), &mut Cursor::default());
            assert_eq!(invalidation.judge(&[], id(49)), Validity::Stale, "a trimmed log, or a new one");
            assert_eq!(invalidation.judge(&[], id(50)), Validity::Valid);
            assert_eq!(invalidation.judge(&[tag(51)], id(50)), Validity::Gone);
        }
    }

    #[test]
    fn a_purge_of_a_log_whose_ids_went_back_is_as_hard_as_it_says() {
        let invalidation = Invalidation::new(&Config::default(), None);
        let mut cursor = Cursor::default();
        invalidation.take_in(page(false, &[100, 200], &[100, 200]), &mut cursor);
        let kept = invalidation.now();
        // A new server, whose clock is behind, knows one purge already.
        invalidation.take_in(page(false, &[50, 60], &[60]), &mut cursor);
        assert_eq!(invalidation.judge(&[tag(60)], kept), Validity::Gone);
        assert_eq!(invalidation.judge(&[tag(61)], kept), Validity::Stale, "others may be missing");
        let fetched = invalidation.now();
        invalidation.take_in(page(true, &[70], &[70]), &mut cursor);
        assert_eq!(invalidation.judge(&[tag(70)], fetched), Validity::Gone);
        assert_eq!(invalidation.judge(&[tag(60)], fetched), Validity::Valid);
    }

    #[test]
    fn a_log_that_is_read_again_applies_only_what_is_new_however_many_reads_it_takes() {
        let invalidation = Invalidation::new(&Config::default(), None);
        let mut cursor = Cursor::default();
        invalidation.take_in(page(false, &[10, 20, 30, 40], &[10, 20, 30, 40]), &mut cursor);
        let kept = invalidation.now();
        invalidation.take_in(page(false, &[10, 20], &[10, 20]), &mut cursor);
        assert_eq!(invalidation.judge(&[], kept), Validity::Stale, "some may be missing");
        let fetched = invalidation.now();
        // The next page, maybe much later.
        invalidation.take_in(page(true, &[30, 50], &[30, 50]), &mut cursor);
        for (ms, validity) in
            [(10, Validity::Valid), (20, Validity::Valid), (30, Validity::Valid), (50, Validity::Gone)]
        {
            assert_eq!(invalidation.judge(&[tag(ms)], fetched), validity, "{ms}");
        }
    }
}
