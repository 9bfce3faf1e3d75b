//! What is loaded: the `dataset` table, read now and then so that no answer has to.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::db::Database;
use crate::error::ApiError;

const EVERY: Duration = Duration::from_secs(5);
/// The counts per state, of the whole country.
const COUNTING: Duration = Duration::from_secs(30);
const SOURCES: &str = include_str!("sql/dataset.sql");
const STATES: &str = include_str!("sql/coverage.sql");

/// One imported source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// The importer's name for it.
    pub(crate) source: String,
    /// As published: `February 2026`.
    pub(crate) release: String,
    /// First day of the release's month, when known.
    pub(crate) release_date: Option<NaiveDate>,
    /// When it was loaded.
    pub(crate) imported_at: DateTime<Utc>,
    /// Rows of `address` from it; 0 for boundaries.
    pub(crate) addresses: i64,
}

/// What is loaded of one state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Abbreviation.
    pub(crate) state: String,
    /// Localities that have addresses.
    pub(crate) localities: i64,
    /// Postcodes of these.
    pub(crate) postcodes: i64,
    /// Addresses, aliases excluded.
    pub(crate) addresses: i64,
}

/// What is known of the data; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Facts(watch::Receiver<Known>);

/// One reading.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Every source, by name; `None` until the database has answered once.
    pub(crate) sources: Option<Arc<Vec<Source>>>,
    /// Per state, counted once per import.
    pub(crate) states: Arc<Vec<State>>,
    /// Whether the latest reading succeeded.
    pub(crate) up: bool,
    release: Arc<str>,
}

impl Facts {
    /// The latest reading.
    pub(crate) fn known(&self) -> Known {
        self.0.borrow().clone()
    }

    /// The value of the `release:` tag: the newest release that has addresses, as a word; `none` without data.
    /// Read before the data is, so that an answer never carries a newer release than its data.
    pub(crate) fn release(&self) -> Arc<str> {
        self.0.borrow().release.clone()
    }
}

/// Starts reading every five seconds for the life of the process, and says in the log when the database goes or comes.
pub(crate) fn keep(database: Database) -> Facts {
    let (sender, receiver) = watch::channel(Known { release: "none".into(), ..Known::default() });
    tokio::spawn(async move {
        let mut before: Option<bool> = None;
        loop {
            let known = sender.borrow().clone();
            let reading = read(&database, Instant::now() + COUNTING, known).await;
            let up = reading.is_ok();
            if before != Some(up) {
                match &reading {
                    Ok(known) => tracing::info!(release = &*known.release, "the database answers"),
                    Err(error) => tracing::warn!(reason = %error.message, "the database does not answer; trying again"),
                }
                before = Some(up);
            }
            sender.send_modify(|known| match reading {
                Ok(reading) => *known = reading,
                Err(_) => known.up = false,
            });
            let pause = if up { EVERY } else { Duration::from_secs(1) };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = sender.closed() => return,
            }
        }
    });
    Facts(receiver)
}

/// The sources, and when these are others than before the counts per state.
///
/// # Errors
/// What the database says.
pub(crate) async fn read(database: &Database, deadline: Instant, before: Known) -> Result<Known, ApiError> {
    let soon = deadline.min(Instant::now() + Duration::from_secs(3));
    let rows = database.query(soon, SOURCES, &[]).await?;
    let sources: Vec<Source> = rows
        .iter()
        .map(|row| Source {
            source: row.get("source"),
            release: row.get("release"),
            release_date: row.get("release_date"),
            imported_at: row.get("imported_at"),
            addresses: row.get("addresses"),
        })
        .collect();
    if before.sources.as_deref() == Some(&sources) {
        return Ok(Known { up: true, ..before });
    }
    let rows = database.query(deadline, STATES, &[]).await?;
    let states = rows
        .iter()
        .map(|row| State {
            state: row.get("state"),
            localities: row.get("localities"),
            postcodes: row.get("postcodes"),
            addresses: row.get("addresses"),
        })
        .collect();
    let release = tag(&sources).into();
    Ok(Known { sources: Some(Arc::new(sources)), states: Arc::new(states), up: true, release })
}

/// `2026-02` for a dated release, else its name in lower case with dashes.
fn tag(sources: &[Source]) -> String {
    let newest = sources
        .iter()
        .filter(|source| source.addresses > 0)
        .max_by(|a, b| (a.release_date, &a.source).cmp(&(b.release_date, &b.source)));
    match newest {
        None => "none".into(),
        Some(Source { release_date: Some(date), .. }) => date.format("%Y-%m").to_string(),
        Some(Source { release, .. }) => {
            release.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, date: Option<(i32, u32)>, addresses: i64) -> Source {
        Source {
            source: name.into(),
            release: "Sample 1".into(),
            release_date: date.and_then(|(year, month)| NaiveDate::from_ymd_opt(year, month, 1)),
            imported_at: DateTime::UNIX_EPOCH,
            addresses,
        }
    }

    #[test]
    fn the_newest_release_with_addresses_gives_the_tag() {
        assert_eq!(tag(&[]), "none");
        assert_eq!(tag(&[source("b", Some((2027, 1)), 0)]), "none");
        assert_eq!(tag(&[source("a", None, 5)]), "sample-1");
        assert_eq!(
            tag(&[source("a", Some((2025, 11)), 5), source("b", Some((2026, 2)), 1), source("c", None, 9)]),
            "2026-02"
        );
    }
}
