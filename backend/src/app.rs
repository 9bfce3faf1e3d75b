//! What every handler is given.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::dataset::Facts;
use crate::db::Database;
use crate::purge;

/// The handles a request may use; cheap to clone.
#[derive(Clone)]
pub(crate) struct App {
    /// The pool of database connections.
    pub(crate) database: Database,
    /// What is loaded, refreshed in the background.
    pub(crate) facts: Facts,
    /// How changes of data reach the caches; `None` where no gateway is named.
    pub(crate) purges: Option<watch::Receiver<purge::State>>,
    /// One permit per request being answered (health excepted).
    pub(crate) requests: Arc<Semaphore>,
    /// When the process began to serve.
    pub(crate) started: Instant,
}
