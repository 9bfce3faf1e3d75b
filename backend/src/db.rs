//! The database: a pool whose connections keep their prepared statements, and one way to ask.

mod connection;
mod guard;
mod server;
mod settings;

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use addrgate_filters::traffic::breaker::{Breaker, Snapshot};

use self::connection::{Connection, Connector};
pub(crate) use self::server::Server;
pub(crate) use self::settings::{ConnectArgs, PoolArgs};
use crate::error::ApiError;

/// The pool; cheap to clone. Sessions are read-only.
#[derive(Clone)]
pub(crate) struct Database {
    pool: bb8::Pool<Connector>,
    places: Arc<Semaphore>,
    refusals: watch::Receiver<u64>,
    /// Refuses statements at once while the server is away.
    breaker: Arc<Breaker>,
}

/// How full the pool is, for health answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolState {
    /// Connections that are up.
    pub(crate) connections: u32,
    /// Of these, waiting for work.
    pub(crate) idle: u32,
}

/// Why a statement brought no rows.
#[derive(Debug)]
enum Failure {
    /// The connection is of no use; another one may do.
    Gone(tokio_postgres::Error),
    /// There is no connection to be had, or the server can't work: it is in trouble.
    Away(ApiError),
    /// Time was over.
    TooSlow,
    /// The server answered that the statement won't do.
    Refused(ApiError),
}

impl Failure {
    fn into_error(self) -> ApiError {
        match self {
            Self::Gone(_) => ApiError::unavailable("The database is not available", 2),
            Self::Away(error) | Self::Refused(error) => error,
            Self::TooSlow => ApiError::timed_out(),
        }
    }
}

impl Database {
    /// Never waits and never fails: connections are made when they are needed, again and again if need be.
    pub(crate) fn open(server: Server, args: &PoolArgs) -> Self {
        let (connector, refusals) = Connector::new(server, args.connect_timeout);
        let pool = bb8::Pool::builder()
            .max_size(args.pool_size)
            .min_idle(1)
            // Deadlines are ours; this only has to be longer than any of them.
            .connection_timeout(std::time::Duration::from_secs(60))
            .retry_connection(false)
            .queue_strategy(bb8::QueueStrategy::Lifo)
            .build_unchecked(connector);
        let places = (args.pool_size as usize).saturating_add(args.pool_waiters);
        let database = Self { pool, places: Arc::new(Semaphore::new(places)), refusals, breaker: guard::breaker() };
        guard::watch(&database);
        database
    }

    /// All rows of one of `sql/*.sql`. Waiting for a connection, connecting, preparing and querying all end by
    /// `deadline`; the server itself gives up a little before it.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE` when the database can't answer in time, or has not lately, `INTERNAL_ERROR` when the statement
    /// is wrong.
    pub(crate) async fn query(
        &self,
        deadline: Instant,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ApiError> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(ApiError::unavailable("Too many requests are waiting for the database", 1));
        };
        let permit = self.breaker.admit().map_err(|refused| guard::refusal(&refused))?;
        let begun = Instant::now();
        let outcome = match timeout_at(deadline, self.attempts(deadline, sql, params)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                tracing::warn!(statement = name(sql), "the deadline passed before the database responded");
                Err(Failure::TooSlow)
            }
        };
        guard::tell(permit, begun, deadline, outcome.as_ref().err());
        outcome.map_err(Failure::into_error)
    }

    /// At most one row: of several the first.
    pub(crate) async fn query_opt(
        &self,
        deadline: Instant,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, ApiError> {
        Ok(self.query(deadline, sql, params).await?.into_iter().next())
    }

    /// How the breaker stands.
    pub(crate) fn breaker(&self) -> Snapshot {
        self.breaker.snapshot()
    }

    /// Connections up and idle.
    pub(crate) fn state(&self) -> PoolState {
        let state = self.pool.state();
        PoolState { connections: state.connections, idle: state.idle_connections }
    }

    /// Statements only read, so one that met a dead connection is asked again on another: a
    /// server that restarted leaves every pooled connection dead at once.
    async fn attempts(
        &self,
        deadline: Instant,
        sql: &'static str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Failure> {
        let most = self.pool.state().connections.saturating_add(1);
        for attempt in 0..=most {
            let mut connection = self.connection().await?;
            match ask(&mut connection, deadline, sql, params).await {
                Err(Failure::Gone(error)) => {
                    tracing::warn!(%error, attempt, "a database connection was lost");
                }
                outcome => return outcome,
            }
        }
        Err(away(2))
    }

    /// A connection, or the news that there is none to be had: while nothing is connected, the first failed attempt to
    /// connect answers everyone who waits, instead of letting each wait for its deadline.
    async fn connection(&self) -> Result<bb8::PooledConnection<'_, Connector>, Failure> {
        let mut refusals = self.refusals.clone();
        refusals.mark_unchanged();
        let get = self.pool.get();
        tokio::pin!(get);
        loop {
            tokio::select! {
                biased;
                got = &mut get => return got.map_err(|_| Failure::TooSlow),
                changed = refusals.changed() => {
                    if changed.is_err() || self.pool.state().connections == 0 {
                        return Err(away(2));
                    }
                }
            }
        }
    }
}

fn away(retry_after: u32) -> Failure {
    Failure::Away(ApiError::unavailable("The database is not available", retry_after))
}

async fn ask(
    connection: &mut Connection,
    deadline: Instant,
    sql: &'static str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Failure> {
    connection.query(deadline, sql, params).await.map_err(|error| match error.code() {
        None => Failure::Gone(error),
        Some(code) if *code == SqlState::QUERY_CANCELED => {
            tracing::warn!(statement = name(sql), "a statement ran into its timeout");
            Failure::TooSlow
        }
        // Cancelled for the sake of others, as on a replica for what the primary has changed: asked again it may pass.
        Some(code) if code.code().starts_with("40") => Failure::Gone(error),
        // The server is stopping, or a migration changed a table under a prepared statement.
        Some(code)
            if code.code().starts_with("57P")
                || *code == SqlState::FEATURE_NOT_SUPPORTED
                || *code == SqlState::INVALID_SQL_STATEMENT_NAME =>
        {
            connection.discard();
            Failure::Gone(error)
        }
        Some(code) if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::UNDEFINED_FUNCTION => {
            tracing::error!(%error, statement = name(sql), "the schema is missing or old: run `address-service migrate`");
            Failure::Refused(ApiError::unavailable("The data is not loaded yet", 30))
        }
        // Out of connections, memory or disk, locked, broken off or broken: the server's state, not the statement's fault.
        Some(code) if ["08", "53", "55", "58", "XX"].iter().any(|class| code.code().starts_with(class)) => {
            tracing::error!(%error, statement = name(sql), "the statement failed");
            away(5)
        }
        Some(_) => {
            tracing::error!(%error, detail = ?error.as_db_error(), statement = name(sql), "a statement failed");
            Failure::Refused(ApiError::internal())
        }
    })
}

/// The statement's first line, which in every file of `sql/` is a comment saying what it does.
fn name(sql: &'static str) -> &'static str {
    sql.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests;
