//! From staged rows to served ones: build, compare, then one transaction that changes everything at once.

use std::collections::BTreeMap;

use anyhow::bail;
use tokio_postgres::Client;
use tokio_postgres::error::Severity;

use super::bulk;
use super::outlines::{NO_NUMBER, NO_OUTLINE};
use super::progress::Step;
use super::report::SKIPPED;
use super::table::{TABLES, Table};

const BUILD_CODES: &str = include_str!("../sql/import/build_codes.sql");
const BUILD_LOCALITIES: &str = include_str!("../sql/import/build_localities.sql");
const BUILD_STREETS: &str = include_str!("../sql/import/build_streets.sql");
const BUILD_ADDRESSES: &str = include_str!("../sql/import/build_addresses.sql");
const BUILD_LINKS: &str = include_str!("../sql/import/build_links.sql");
const BUILD_AREAS: &str = include_str!("../sql/import/build_areas.sql");
const COLLISIONS: &str = include_str!("../sql/import/collisions.sql");
const COMPARE_AREAS: &str = include_str!("../sql/import/compare_areas.sql");
const TOUCHED: &str = include_str!("../sql/import/touched.sql");
const SHRINKING: &str = include_str!("../sql/import/shrinking.sql");
const REPLACED_BY_CONTENT: &str = include_str!("../sql/import/replaced_by_content.sql");
const MADE_UP_PLACES: &str = include_str!("../sql/import/made_up_places.sql");
const ALL_REJECTED: &str = include_str!("../sql/import/all_rejected.sql");
const PUBLISH_MADE_UP_PLACES: &str = include_str!("../sql/import/publish_made_up_places.sql");
const FORGET_REPLACED: &str =
    "DELETE FROM public.dataset WHERE source IN (SELECT source FROM new_source WHERE replaced IS NOT NULL)";
const PUBLISH_CODES: &str = include_str!("../sql/import/publish_codes.sql");
const PUBLISH_OUTLINES: &str = include_str!("../sql/import/publish_outlines.sql");
const PUBLISH_SEARCH: &str = include_str!("../sql/import/publish_search.sql");
const PUBLISH_DATASETS: &str = include_str!("../sql/import/publish_datasets.sql");
const NO_PLACE: [&str; 2] = [NO_OUTLINE, NO_NUMBER];
const PURGE: &str = "SELECT public.purge_everything($1)";

/// Rows of one table that an import adds, alters and removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) new: i64,
    pub(crate) changed: i64,
    pub(crate) gone: i64,
}

/// By table.
pub(crate) type Changes = BTreeMap<&'static str, Change>;

impl Change {
    /// Whether anything happens.
    pub(crate) fn any(self) -> bool {
        self != Self::default()
    }
}

/// Puts the staged rows together, sets apart those that can't be used, and counts what would change.
///
/// # Errors
/// The server's. Nothing that is served has changed by then.
pub(crate) async fn prepare(client: &Client) -> anyhow::Result<Changes> {
    for (name, sql, built) in [
        ("preparing localities", [BUILD_CODES, BUILD_LOCALITIES].concat(), &TABLES[..3]),
        ("preparing streets", BUILD_STREETS.to_owned(), &TABLES[3..5]),
        ("preparing addresses", BUILD_ADDRESSES.to_owned(), &TABLES[5..6]),
        ("preparing links", BUILD_LINKS.to_owned(), &TABLES[6..8]),
        ("preparing areas", BUILD_AREAS.to_owned(), &TABLES[8..]),
    ] {
        let step = Step::begin(name);
        client.batch_execute(&sql).await?;
        for table in built {
            client.batch_execute(&table.unique()).await?;
            if table.name == "address" {
                client.batch_execute(REPLACED_BY_CONTENT).await?;
            }
            if table.ranked() {
                client.batch_execute(&table.held()).await?;
            }
            if table.name == "address" {
                client.batch_execute(MADE_UP_PLACES).await?;
            }
        }
        step.end();
    }
    let step = Step::begin("comparing with what is loaded");
    client.batch_execute(&[COLLISIONS, COMPARE_AREAS].concat()).await?;
    let mut changes = BTreeMap::new();
    for table in TABLES {
        client.batch_execute(&table.set_apart()).await?;
        client.batch_execute(&table.compare()).await?;
        changes.insert(table.name, count(client, table).await?);
    }
    client.batch_execute(TOUCHED).await?;
    step.end();
    Ok(changes)
}

async fn count(client: &Client, table: &Table) -> anyhow::Result<Change> {
    let rows = client.query(&format!("SELECT kind, count(*) FROM changed_{} GROUP BY kind", table.name), &[]).await?;
    let mut change = Change::default();
    for row in rows {
        match row.get(0) {
            "new" => change.new = row.get(1),
            "changed" => change.changed = row.get(1),
            _ => change.gone = row.get(1),
        }
    }
    Ok(change)
}

/// Nothing of a source can be used: it is another one under a new name, or no data for this country.
///
/// # Errors
/// When every row of a source was rejected.
pub(crate) async fn refuse_useless(client: &Client) -> anyhow::Result<()> {
    // What the data itself says of a row is no fault; a file of nothing but rows without a place is one.
    let harmless: Vec<&str> = SKIPPED.iter().filter(|reason| !NO_PLACE.contains(reason)).copied().collect();
    let Some(row) = client.query_opt(ALL_REJECTED, &[&harmless]).await? else { return Ok(()) };
    let (source, reason): (String, String) = (row.get(0), row.get(1));
    let (times, total): (i64, i64) = (row.get(2), row.get(3));
    let hint = match reason.strip_prefix("held by ") {
        Some(holder) => format!("; if {source} replaces {holder}, add --replaces {holder}"),
        None => String::new(),
    };
    bail!("none of the {total} rows of {source} can be used, {times} of them because: {reason}{hint}")
}

/// Half a release, cut off between two rows, looks like a release that retires the other half.
///
/// # Errors
/// When a source would lose a fifth of its addresses, and a hundred at least.
pub(crate) async fn refuse_shrinking(client: &Client) -> anyhow::Result<()> {
    match client.query_opt(SHRINKING, &[]).await? {
        None => Ok(()),
        Some(row) => {
            let (source, gone, before): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
            bail!(
                "{gone} of the {before} addresses of {source} would disappear; if that is right, add --allow-shrinking"
            )
        }
    }
}

/// The sources of which anything changes.
async fn altered_sources(client: &Client) -> anyhow::Result<Vec<String>> {
    let each: Vec<String> = TABLES.iter().map(|table| format!("SELECT source FROM changed_{}", table.name)).collect();
    let rows = client.query(&each.join(" UNION "), &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How caches learn of the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purge {
    /// One purge of everything, softly, in place of one per row.
    Everything,
    /// What each row touches.
    Touched,
}

/// Publishes, all or nothing.
///
/// # Errors
/// The server's; then nothing has changed.
pub(crate) async fn publish(client: &mut Client, changes: &Changes, purge: Purge) -> anyhow::Result<()> {
    let step = Step::begin("publishing");
    let change = |table: &Table| changes.get(table.name).copied().unwrap_or_default();
    let altered = altered_sources(client).await?;
    let transaction = client.transaction().await?;
    let empty = bulk::empty(&transaction).await?;
    if purge == Purge::Everything && changes.values().any(|change| change.any()) {
        // One purge of everything, before the first change, so that none of the million rows writes its own.
        transaction.execute(PURGE, &[&format!("import of {}", altered.join(", "))]).await?;
    }
    transaction.batch_execute(PUBLISH_CODES).await?;
    let nobody: Vec<String> = Vec::new();
    transaction.execute(PUBLISH_DATASETS, &[&nobody]).await?;
    for table in TABLES.iter().rev().filter(|table| change(table).gone > 0) {
        transaction.batch_execute(&table.remove()).await?;
    }
    for table in TABLES.iter().filter(|table| change(table).changed > 0) {
        transaction.batch_execute(&table.change()).await?;
    }
    for table in TABLES.iter().filter(|table| change(table).new > 0) {
        let restore = bulk::strip(&transaction, &empty, table.name, change(table).new).await?;
        transaction.batch_execute(&table.add()).await?;
        restore.run(&transaction).await?;
    }
    if changes.values().any(|change| change.any()) {
        // The planner has to know the new sizes before the refill below.
        transaction.batch_execute("ANALYZE address; ANALYZE street; ANALYZE locality").await?;
        transaction.batch_execute(&[PUBLISH_OUTLINES, PUBLISH_MADE_UP_PLACES, PUBLISH_SEARCH].concat()).await?;
    }
    transaction.execute(PUBLISH_DATASETS, &[&altered]).await?;
    transaction.batch_execute(FORGET_REPLACED).await?;
    transaction.commit().await.map_err(|error| {
        // An answer tells that it was undone; a connection that ends without one tells nothing.
        let undone = error.as_db_error().is_some_and(|error| error.parsed_severity() == Some(Severity::Error));
        anyhow::Error::new(error).context(match undone {
            true => "the data could not be published, nothing has changed",
            false => {
                "the connection was lost while the data was being published: it may be, or nothing has changed; \
                      import it again to know, and then run `address-service refresh`"
            }
        })
    })?;
    step.end();
    Ok(())
}
