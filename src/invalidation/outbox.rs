//! Purges on their way into the log: those that could not be written yet, and those that were written of late, which are
//! written again where the log has lost them before others read them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::table::{Purge, Target};
use crate::telemetry::METRICS;

/// Purges that wait for the log; what comes on top makes them all one purge of everything.
const MAX_WAITING: usize = 1_000;

/// How many of those that were written are remembered, and for how long while the log can be read. Who could read it has
/// read them by then; who could not notices the gap, and takes everything for stale.
const MAX_WRITTEN: usize = 1_000;
const REMEMBERED: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    tickets: u64,
    waiting: VecDeque<(u64, Purge)>,
    /// To be written once more. They never make what waits too much.
    again: VecDeque<(u64, Purge)>,
    written: VecDeque<(Instant, Purge)>,
}

impl Outbox {
    /// One that could not be written. A purge that waits already is not needed twice, but the later moment counts.
    pub(super) fn put_off(&mut self, purge: Purge) {
        self.waiting.retain(|(_, other)| *other != purge);
        let purge = if self.waiting.len() >= MAX_WAITING {
            tracing::warn!("too many purges wait for the log; they become one of everything");
            let soft = purge.soft && self.waiting.iter().all(|(_, purge)| purge.soft);
            self.waiting.clear();
            Purge { target: Target::All, soft }
        } else {
            purge
        };
        let ticket = self.ticket();
        self.waiting.push_back((ticket, purge));
        self.count();
    }

    /// The next one to be written, with a ticket.
    pub(super) fn next(&self) -> Option<(u64, Purge)> {
        self.waiting.front().or(self.again.front()).cloned()
    }

    /// That one is written.
    pub(super) fn wrote(&mut self, ticket: u64) {
        // It may have given way meanwhile, to a later one or to one of everything.
        let queues = [&mut self.waiting, &mut self.again];
        let queue = queues.into_iter().find(|queue| queue.front().is_some_and(|(other, _)| *other == ticket));
        if let Some((_, purge)) = queue.and_then(VecDeque::pop_front) {
            self.remember(purge);
        }
        self.count();
    }

    /// A purge is written.
    pub(super) fn remember(&mut self, purge: Purge) {
        self.written.push_back((Instant::now(), purge));
        while self.written.len() > MAX_WRITTEN {
            self.written.pop_front();
        }
    }

    /// The log can be read: what was written long ago has been read by all.
    pub(super) fn forget(&mut self) {
        while self.written.front().is_some_and(|(when, _)| when.elapsed() > REMEMBERED) {
            self.written.pop_front();
        }
    }

    /// The log has lost entries, maybe some of these.
    pub(super) fn write_again(&mut self) {
        for (_, purge) in std::mem::take(&mut self.written) {
            self.again.retain(|(_, other)| *other != purge);
            let ticket = self.ticket();
            self.again.push_back((ticket, purge));
        }
        while self.again.len() > MAX_WRITTEN {
            self.again.pop_front();
        }
        self.count();
    }

    /// How many have to be written.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.again.len()
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    fn count(&self) {
        METRICS.purges_pending.set(i64::try_from(self.len()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Name;
    use super::*;

    fn purge(n: usize) -> Purge {
        Purge { target: Target::Names(vec![Name::tag(n.to_string())]), soft: true }
    }

    /// Writes all; gives what was written.
    fn write(outbox: &mut Outbox) -> Vec<Purge> {
        let mut written = Vec::new();
        while let Some((ticket, purge)) = outbox.next() {
            outbox.wrote(ticket);
            written.push(purge);
        }
        written
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_tried_again_and_again_waits_once() {
        let mut outbox = Outbox::default();
        for _ in 0..2 * MAX_WAITING {
            outbox.put_off(purge(1));
            outbox.put_off(purge(2));
        }
        assert_eq!(write(&mut outbox), [purge(1), purge(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_comes_while_its_like_is_being_written_is_written_too() {
        let mut outbox = Outbox::default();
        outbox.put_off(purge(1));
        let (ticket, _) = outbox.next().unwrap();
        outbox.put_off(purge(1));
        outbox.wrote(ticket);
        assert_eq!(write(&mut outbox), [purge(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_become_one_of_everything() {
        let mut outbox = Outbox::default();
        (0..=MAX_WAITING).for_each(|n| outbox.put_off(purge(n)));
        assert_eq!(write(&mut outbox), [Purge { target: Target::All, soft: true }]);
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_written_of_late_is_written_again() {
        let mut outbox = Outbox::default();
        outbox.remember(purge(1));
        tokio::time::sleep(REMEMBERED / 2).await;
        outbox.forget();
        outbox.put_off(purge(2));
        write(&mut outbox);
        tokio::time::sleep(REMEMBERED * 3 / 4).await;
        outbox.forget();
        // While the log is away, time does not count.
        tokio::time::sleep(REMEMBERED * 100).await;
        outbox.write_again();
        assert_eq!(write(&mut outbox), [purge(2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_again_does_not_become_one_of_everything() {
        let mut outbox = Outbox::default();
        (0..3 * MAX_WRITTEN).for_each(|n| outbox.remember(purge(n)));
        outbox.put_off(purge(0));
        outbox.write_again();
        outbox.put_off(purge(1));
        assert_eq!(outbox.len(), MAX_WRITTEN + 2);
        assert!(write(&mut outbox).iter().all(|purge| purge.target != Target::All));
    }
}
