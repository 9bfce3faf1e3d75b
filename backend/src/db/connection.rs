//! One session: a client, its prepared statements, and the statement timeout it is set to.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::server::Server;

/// What each new session is told. Answers are made of short reads, so compiling them (jit) never pays.
const SESSION: &str = "SET default_transaction_read_only = on; SET jit = off; SET timezone = 'UTC'";

const SET_TIMEOUT: &str = "SELECT set_config('statement_timeout', $1, false)";

/// The timeouts a session may be set to, in milliseconds: few, so that it seldom changes. The server gives up
/// at the greatest of these that ends before the deadline, so that the connection survives a slow statement.
const STEPS: [u64; 12] = [29_000, 20_000, 12_000, 8_000, 5_800, 4_300, 3_300, 2_350, 1_700, 900, 400, 150];

/// A session of the pool.
pub(crate) struct Connection {
    client: Client,
    server: Server,
    set_timeout: Statement,
    timeout: Duration,
    /// By address of the statement's text, which is a `&'static str` with one home.
    statements: HashMap<usize, Statement>,
    /// True from before a message is sent until its answer is complete.
    busy: bool,
    discarded: bool,
}

impl Connection {
    /// The rows of `sql`, prepared on first use.
    ///
    /// When this future is dropped half way, the session is marked: the pool throws it away and the server is told to
    /// cancel what it is doing.
    pub(crate) async fn query(
        &mut self,
        deadline: Instant,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.busy = true;
        let rows = self.run(deadline, sql, params).await;
        self.busy = false;
        rows
    }

    async fn run(
        &mut self,
        deadline: Instant,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let key = sql.as_ptr() as usize;
        let statement = match self.statements.get(&key) {
            Some(statement) => statement.clone(),
            None => {
                let statement = self.client.prepare(sql).await?;
                self.statements.insert(key, statement.clone());
                statement
            }
        };
        let wanted = statement_timeout(deadline.saturating_duration_since(Instant::now()));
        if wanted == self.timeout {
            return self.client.query(&statement, params).await;
        }
        // Both messages leave together: no round trip is spent on the setting.
        let setting = wanted.as_millis().to_string();
        let (set, rows) = futures::future::join(
            self.client.query(&self.set_timeout, &[&setting]),
            self.client.query(&statement, params),
        )
        .await;
        set?;
        self.timeout = wanted;
        rows
    }

    /// Marks the session as not to be used again.
    pub(crate) fn discard(&mut self) {
        self.discarded = true;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.busy || self.client.is_closed() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (server, token) = (self.server.clone(), self.client.cancel_token());
            runtime.spawn(async move {
                // The statement timeout ends the query too, only later: a failed cancel needs no more than this line.
                match timeout(Duration::from_secs(1), server.cancel(token)).await {
                    Ok(Ok(())) => tracing::debug!("cancelled the statement of an abandoned request"),
                    Ok(Err(error)) => tracing::debug!(%error, "an abandoned statement could not be cancelled"),
                    Err(_) => tracing::debug!("an abandoned statement could not be cancelled in time"),
                }
            });
        }
    }
}

/// The greatest step below what is left.
fn statement_timeout(left: Duration) -> Duration {
    let left = left.as_millis();
    let step = STEPS.iter().copied().find(|step| u128::from(*step) < left);
    Duration::from_millis(step.unwrap_or(50))
}

/// Makes sessions for the pool.
pub(crate) struct Connector {
    server: Server,
    connect_timeout: Duration,
    refusals: watch::Sender<u64>,
}

impl Connector {
    /// The connector, and a count of its failed attempts that can be waited on.
    pub(crate) fn new(server: Server, connect_timeout: Duration) -> (Self, watch::Receiver<u64>) {
        let (refusals, watcher) = watch::channel(0);
        (Self { server, connect_timeout, refusals }, watcher)
    }

    async fn open(&self) -> Result<Connection, ConnectError> {
        let (client, connection) = self.server.connect().await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a database connection ended");
            }
        });
        client.batch_execute(SESSION).await?;
        let set_timeout = client.prepare(SET_TIMEOUT).await?;
        // A zero timeout differs from every step, so that the first statement sets one.
        let timeout = Duration::ZERO;
        let (server, statements) = (self.server.clone(), HashMap::new());
        Ok(Connection { client, server, set_timeout, timeout, statements, busy: false, discarded: false })
    }
}

/// Why there is no new session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Database(#[from] tokio_postgres::Error),
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
    #[error("the connection is closed")]
    Closed,
}

impl bb8::ManageConnection for Connector {
    type Connection = Connection;
    type Error = ConnectError;

    async fn connect(&self) -> Result<Connection, ConnectError> {
        let opened = match timeout(self.connect_timeout, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(ConnectError::TimedOut(self.connect_timeout)),
        };
        if let Err(error) = &opened {
            tracing::debug!(error = describe(error), "no database connection");
            self.refusals.send_modify(|count| *count = count.wrapping_add(1));
        }
        opened
    }

    /// Asks nothing of the server: the connection's task has seen its end if there was one, and a statement that meets
    /// a dead connection is tried again on another.
    async fn is_valid(&self, connection: &mut Connection) -> Result<(), ConnectError> {
        if self.has_broken(connection) { Err(ConnectError::Closed) } else { Ok(()) }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.busy || connection.discarded || connection.client.is_closed()
    }
}

/// The error and its causes; tokio-postgres puts the useful part in the source.
fn describe(error: &ConnectError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(30_000, 29_000)]
    #[case(4_500, 4_300)]
    #[case(2_500, 2_350)]
    #[case(2_300, 1_700)]
    #[case(500, 400)]
    #[case(150, 50)]
    #[case(0, 50)]
    fn the_server_gives_up_before_we_do(#[case] left: u64, #[case] timeout: u64) {
        assert_eq!(statement_timeout(Duration::from_millis(left)), Duration::from_millis(timeout));
    }
}
