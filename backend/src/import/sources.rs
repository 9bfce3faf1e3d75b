//! `address-service sources` and `remove`: what is loaded, and taking some of it away.

use std::io::Write;

use anyhow::bail;
use tokio_postgres::Client;

use super::publish::{self, Purge};
use super::{SESSION, begin, finish};
use crate::db::ConnectArgs;
use crate::migrate;

const LOADED: &str = include_str!("../sql/import/loaded.sql");
const REPLACE_SOURCE: &str = include_str!("../sql/import/replace_source.sql");

/// What to remove.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// As `address-service sources` names them: `core:demo`, `boundaries:sa2`.
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<String>,
    #[command(flatten)]
    database: ConnectArgs,
}

/// Prints the sources, a line each.
///
/// # Errors
/// When the server is away or the schema isn't there.
pub(crate) async fn list(database: &ConnectArgs) -> anyhow::Result<()> {
    let mut client = migrate::connect(database).await?;
    migrate::require_schema(&mut client).await?;
    client.batch_execute(SESSION).await?;
    let mut out = std::io::stdout().lock();
    for row in client.query(LOADED, &[]).await? {
        writeln!(out, "{}", row.get::<_, &str>(0))?;
    }
    Ok(())
}

/// Removes every row of the sources, purges what shows them, and prints the closing table.
///
/// # Errors
/// When one of them isn't loaded; else as an import.
pub(crate) async fn remove(options: &Options) -> anyhow::Result<()> {
    let mut client = begin(&options.database).await?;
    check_loaded(&client, &options.sources).await?;
    replace(&client, &options.sources, "by nothing").await?;
    let changes = publish::prepare(&client).await?;
    publish::publish(&mut client, &changes, Purge::Touched).await?;
    finish(&client, &[], &[], &changes).await
}

/// # Errors
/// When one of the sources isn't loaded.
pub(super) async fn check_loaded(client: &Client, sources: &[String]) -> anyhow::Result<()> {
    for source in sources {
        let loaded: bool =
            client.query_one("SELECT EXISTS (SELECT FROM public.dataset WHERE source = $1)", &[source]).await?.get(0);
        if !loaded {
            let rows = client.query("SELECT source FROM public.dataset ORDER BY source", &[]).await?;
            let names: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            bail!("no source {source:?} is loaded; these are: {names}");
        }
    }
    Ok(())
}

/// Has every row of loaded sources go that this import doesn't bring.
///
/// # Errors
/// The server's.
pub(super) async fn replace(client: &Client, sources: &[String], why: &str) -> anyhow::Result<()> {
    for source in sources {
        client.execute(REPLACE_SOURCE, &[source, &why]).await?;
    }
    Ok(())
}
