//! The session that takes changes from the outbox. What is taken stays locked until it is deleted; when the session ends
//! instead, however it ends, the changes are there again.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{AsyncMessage, Client, Row, Transaction};

use super::{Batch, Failure};
use crate::db::Server;

const TAKE: &str = include_str!("../sql/outbox/take.sql");
const DELETE: &str = include_str!("../sql/outbox/delete.sql");
/// The calls to gateways happen inside a transaction; they have deadlines, and this is for what they forget.
const SESSION: &str = "SET statement_timeout = '10s'; SET idle_in_transaction_session_timeout = '5min';
  SET jit = off; LISTEN purge_outbox";

/// Rows of one batch, and tags after which no further row joins it.
const ROWS: i64 = 200;
const TAGS: usize = 4_000;
const CONNECT: Duration = Duration::from_secs(5);
/// A server that has not answered by now will not: the statement timeout is shorter.
const SILENCE: Duration = Duration::from_secs(12);

pub(super) struct Outbox {
    client: Client,
    /// A change was announced, or the connection has ended.
    news: Arc<Notify>,
}

/// Rows that are locked.
pub(super) struct Taken<'a>(Transaction<'a>);

impl Outbox {
    pub(super) async fn open(server: &Server) -> Result<Self, Failure> {
        let mut server = server.clone();
        server.config.application_name("address-service purge");
        // Of several servers the primary: a replica can't delete.
        server.config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let (client, mut connection) = in_time(CONNECT, server.connect()).await?;
        let news = Arc::new(Notify::new());
        let announced = news.clone();
        tokio::spawn(async move {
            loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notification(_))) => announced.notify_one(),
                    Some(Ok(_)) => {}
                    // The next statement fails with the reason.
                    Some(Err(_)) | None => break announced.notify_one(),
                }
            }
        });
        in_time(SILENCE, client.batch_execute(SESSION)).await?;
        Ok(Self { client, news })
    }

    /// Locks the oldest changes.
    pub(super) async fn take(&mut self) -> Result<(Taken<'_>, Batch), Failure> {
        let transaction = in_time(SILENCE, self.client.transaction()).await?;
        let rows = in_time(SILENCE, transaction.query(TAKE, &[&ROWS])).await?;
        // Tags may be written by hand, with nothing among them.
        let tags =
            |row: &Row| row.get::<_, Option<Vec<Option<String>>>>(1).map(|tags| tags.into_iter().flatten().collect());
        let batch = Batch::of(rows.iter().map(|row| (row.get(0), tags(row), row.get(2))));
        Ok((Taken(transaction), batch))
    }

    /// Until a change is announced, at most for `time`.
    pub(super) async fn wait(&self, time: Duration) {
        // Running out of time is the other way this ends.
        let _ = timeout(time, self.news.notified()).await;
    }
}

impl Taken<'_> {
    /// Deletes these and unlocks the others.
    pub(super) async fn delete(self, ids: &[i64]) -> Result<(), Failure> {
        if !ids.is_empty() {
            in_time(SILENCE, self.0.execute(DELETE, &[&ids])).await?;
        }
        in_time(SILENCE, self.0.commit()).await
    }
}

impl Batch {
    /// The first of `rows`, each with its id, its tags (none: everything) and its reason.
    fn of(rows: impl Iterator<Item = (i64, Option<Vec<String>>, String)>) -> Self {
        let mut batch = Self { ids: Vec::new(), tags: BTreeSet::new(), everything: None };
        for (id, tags, reason) in rows {
            match tags {
                Some(tags) => batch.tags.extend(tags),
                None => batch.everything = Some(reason),
            }
            batch.ids.push(id);
            if batch.tags.len() >= TAGS {
                break;
            }
        }
        batch
    }
}

async fn in_time<T>(
    time: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    match timeout(time, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Failure::Silent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_and_names_each_tag_once() {
        let tags = |of: std::ops::Range<usize>| Some(of.map(|n| format!("pid:{n}")).collect::<Vec<_>>());
        let row = |id, tags| (id, tags, "address".to_owned());
        let batch = Batch::of([row(1, tags(0..900)), row(2, None), row(3, tags(500..1_400))].into_iter());
        assert_eq!((batch.ids.len(), batch.tags.len()), (3, 1_400));
        assert_eq!(batch.everything.as_deref(), Some("address"));
        let batch = Batch::of((0..200).map(|n| row(n, tags(n as usize * 1_000..n as usize * 1_000 + 1_000))));
        assert_eq!((batch.ids.len(), batch.tags.len()), (4, 4_000));
        assert_eq!(Batch::of(std::iter::empty()), Batch::default());
    }
}
