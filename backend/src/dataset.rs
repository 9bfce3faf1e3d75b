//! What is loaded: the `dataset` table, read now and then so that no answer has to.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, Utc};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::db::Database;
use crate::error::ApiError;

const EVERY: Duration = Duration::from_secs(5);
/// The counts per state, of the whole country.
const COUNTING: Duration = Duration::from_secs(30);
const SOURCES: &str = include_str!("sql/dataset.sql");
const STATES: &str = include_str!("sql/coverage.sql");

/// When data counts as outdated.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct AgeArgs {
    /// Days after which the newest release counts as outdated in health; G-NAF appears every three months
    #[arg(long, env = "ADDRESS_SERVICE_OUTDATED_AFTER", value_parser = clap::value_parser!(u32).range(1..))]
    outdated_after: Option<u32>,
    /// Answer 503 `DATASET_OUTDATED` instead of outdated data
    #[arg(long, env = "ADDRESS_SERVICE_REFUSE_OUTDATED", requires = "outdated_after")]
    refuse_outdated: bool,
}

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
pub(crate) struct Facts {
    known: watch::Receiver<Known>,
    age: AgeArgs,
}

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
        self.known.borrow().clone()
    }

    /// The value of the `release:` tag: the newest release that has addresses, as a word; `none` without data.
    /// Read before the data is, so that an answer never carries a newer release than its data.
    pub(crate) fn release(&self) -> Arc<str> {
        self.known.borrow().release.clone()
    }

    /// Whether the newest release is older than it should be.
    pub(crate) fn are_outdated(&self) -> bool {
        let first =
            self.age.outdated_after.and_then(|days| Utc::now().date_naive().checked_sub_days(Days::new(days.into())));
        first.is_some_and(|first| self.known.borrow().newest().is_some_and(|newest| newest < first))
    }

    /// Whether that is a reason to answer nothing.
    pub(crate) fn are_refused(&self) -> bool {
        self.age.refuse_outdated && self.are_outdated()
    }
}

impl Known {
    /// The first day of the newest release with addresses; where it is not known, when that was loaded.
    fn newest(&self) -> Option<NaiveDate> {
        let sources = self.sources.iter().flat_map(|sources| sources.iter());
        let loaded = sources.filter(|source| source.addresses > 0);
        loaded.map(|source| source.release_date.unwrap_or_else(|| source.imported_at.date_naive())).max()
    }
}

/// Starts reading every five seconds for the life of the process, and says in the log when the database goes or comes.
pub(crate) fn keep(database: Database, age: AgeArgs) -> Facts {
    let (sender, receiver) = watch::channel(Known { release: "none".into(), ..Known::default() });
    tokio::spawn(async move {
        let mut before: Option<bool> = None;
        loop {
            let known = sender.borrow().clone();
            let reading = read(&database, Instant::now() + COUNTING, known).await;
            let up = reading.is_ok();
            if before != Some(up) {
                match &reading {
                    Ok(known) => tracing::info!(release = &*known.release, "the database responds"),
                    Err(error) => {
                        tracing::warn!(reason = %error.message, "the database does not respond; trying again")
                    }
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
    Facts { known: receiver, age }
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
    fn data_without_a_release_is_as_old_as_its_import() {
        let known = |sources| Known { sources: Some(Arc::new(sources)), ..Known::default() };
        let day = |year, month| NaiveDate::from_ymd_opt(year, month, 1);
        assert_eq!(Known::default().newest(), None);
        assert_eq!(known(vec![source("a", Some((2026, 2)), 0)]).newest(), None);
        assert_eq!(known(vec![source("a", None, 1)]).newest(), day(1970, 1));
        let both = vec![source("a", Some((2025, 11)), 5), source("b", Some((2026, 2)), 1)];
        assert_eq!(known(both).newest(), day(2026, 2));
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
