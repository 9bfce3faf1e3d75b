//! `address-service import`: finds what the paths hold, reads and checks every file into staging tables, and publishes the
//! whole in one transaction. A malformed file stops it before anything that is served has changed.

mod bulk;
pub(crate) mod codes;
mod collection;
mod copy;
mod feed;
pub(crate) mod find;
mod flat;
mod kind;
mod layer;
pub(crate) mod layout;
mod malformed;
mod outlines;
mod pid;
pub(crate) mod progress;
pub(crate) mod psv;
mod publish;
pub(crate) mod release;
mod report;
pub(crate) mod sources;
mod stage;
mod table;
mod unknown;

use std::path::PathBuf;

use anyhow::{Context, bail};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use self::feed::Tally;
use self::find::Found;
use self::progress::Step;
use self::publish::{Changes, Purge};
use self::release::{Datum, Editions};
use self::report::Report;
use self::table::TABLES;
use crate::db::ConnectArgs;
use crate::migrate;

/// What to import.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Folders and files: a G-NAF release, flat address files, area outlines, mesh-block and boundary look-ups.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// The release of the addresses, like "February 2026"; else from RELEASES.psv or the folder's name.
    #[arg(long)]
    release: Option<String>,
    /// The datum of the addresses' coordinates, GDA94 or GDA2020; else from RELEASES.psv or the folder's name, else GDA2020.
    #[arg(long)]
    datum: Option<Datum>,
    /// Publish even where a source would lose a fifth of its addresses or more
    #[arg(long)]
    allow_shrinking: bool,
    /// A source that what is imported takes the place of, as `address-service sources` names it; may be given several times
    #[arg(long, value_name = "SOURCE")]
    replaces: Vec<String>,
    #[command(flatten)]
    database: ConnectArgs,
}

/// One import at a time per database; a second one is told so within seconds instead of waiting for an unknown time.
const IMPORT_LOCK: i64 = 0x6164_6472_696d_706f; // "addrimpo"
/// The whole of G-NAF takes minutes per statement, not hours; and the publishing waits a minute at most for others' locks.
/// Sorting and hashing is what the time goes into, on one or two connections, so they get room.
const SESSION: &str = "SET statement_timeout = '2h'; SET lock_timeout = '60s'; SET work_mem = '128MB';
  SET maintenance_work_mem = '512MB'; SET client_min_messages = warning";
const STAGING: &str = include_str!("sql/import/staging.sql");
/// The counts are answers too.
const REFRESH: &str = "REFRESH MATERIALIZED VIEW CONCURRENTLY area_statistics;
  SELECT public.purge(ARRAY['statistics', 'wide'], 'area_statistics')";

/// Runs the import and prints the closing table.
///
/// # Errors
/// Whatever stopped it; what is served is then as it was before, unless the error says that the data is published.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let found = Found::below(&options.paths)?;
    let warn = |left: &[(PathBuf, String)]| {
        for (path, reason) in left {
            tracing::warn!(path = %path.display(), reason, "not something to import, left alone");
        }
    };
    warn(&found.unknown);
    let mut client = begin(&options.database).await?;
    sources::check_loaded(&client, &options.replaces).await?;
    let mut editions = Editions::new(options.release.clone(), options.datum);
    let staged = stage::all(&mut client, &found, &mut editions).await?;
    warn(&staged.left);
    sources::replace(&client, &options.replaces, "as --replaces says").await?;
    let changes = publish::prepare(&client).await?;
    publish::refuse_useless(&client).await?;
    if !options.allow_shrinking {
        publish::refuse_shrinking(&client).await?;
    }
    let left = [found.unknown, staged.left].concat();
    publish::publish(&mut client, &changes, Purge::Everything).await?;
    finish(&client, &staged.read, &left, &changes).await
}

/// Connects for an import, the only one at a time, with empty staging tables.
async fn begin(database: &ConnectArgs) -> anyhow::Result<Client> {
    let mut client = migrate::connect(database).await?;
    migrate::require_schema(&mut client).await?;
    lock(&client).await?;
    client.batch_execute(SESSION).await?;
    client.batch_execute(STAGING).await?;
    Ok(client)
}

/// After the data is published: tidies and prints the closing table.
async fn finish(
    client: &Client,
    read: &[(&'static str, Tally)],
    left: &[(PathBuf, String)],
    changes: &Changes,
) -> anyhow::Result<()> {
    // From here on the data is published, and whatever fails spares the rest.
    let tidied = match changes.values().any(|change| change.any()) {
        true => tidy(client).await,
        false => Ok(()),
    };
    let reported =
        report(client, read, left, changes).await.context("the data is published, but the result can't be told");
    let dropped = client.batch_execute("DROP SCHEMA import_staging CASCADE").await;
    let dropped = dropped.context("the data is published, but the schema `import_staging` is left behind");
    tidied.and(reported).and(dropped)
}

async fn report(
    client: &Client,
    read: &[(&'static str, Tally)],
    left: &[(PathBuf, String)],
    changes: &Changes,
) -> anyhow::Result<()> {
    Ok(Report::collect(client, read, left, changes).await?.write(&mut std::io::stdout().lock())?)
}

/// `address-service refresh`: recounts the statistics per area.
///
/// # Errors
/// When the server is away or the schema isn't there.
pub(crate) async fn refresh(database: &ConnectArgs) -> anyhow::Result<()> {
    let mut client = migrate::connect(database).await?;
    migrate::require_schema(&mut client).await?;
    client.batch_execute(SESSION).await?;
    client.batch_execute(REFRESH).await.context("the statistics per area could not be recounted")
}

/// The lock is the connection's: it goes when the import ends, however it ends. The server may take a moment to notice the
/// end of one that failed, hence the short wait.
async fn lock(client: &Client) -> anyhow::Result<()> {
    client.batch_execute("SET lock_timeout = '5s'").await?;
    match client.execute("SELECT pg_advisory_lock($1)", &[&IMPORT_LOCK]).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            bail!("another import into this database is running")
        }
        Err(error) => Err(error.into()),
    }
}

/// After the data is published: what only makes it faster or derives from it, each whether or not the other fails. To import
/// again would change nothing, and hence repeat neither.
async fn tidy(client: &Client) -> anyhow::Result<()> {
    let vacuumed = vacuum(client).await;
    let step = Step::begin("recounting statistics per area");
    let counted = client.batch_execute(&format!("{REFRESH}; ANALYZE area_statistics")).await;
    step.end();
    counted.context("the data is published, but the statistics per area are old; run `address-service refresh`")?;
    vacuumed
}

async fn vacuum(client: &Client) -> anyhow::Result<()> {
    let step = Step::begin("vacuuming");
    let served = TABLES.iter().map(|table| table.name);
    let derived = ["area_piece", "locality_name", "locality_postcode", "street_name", "street_word"];
    for table in served.chain(derived) {
        client
            .batch_execute(&format!("VACUUM (ANALYZE) public.{table}"))
            .await
            .with_context(|| format!("the data is published, but not all is vacuumed; run `VACUUM ANALYZE {table}`"))?;
    }
    step.end();
    Ok(())
}
