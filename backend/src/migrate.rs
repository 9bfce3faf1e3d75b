//! `address-service migrate`: the schema, from the SQL files in `migrations/` that are part of this binary.

use std::time::Duration;

use anyhow::{Context, bail};
use tokio_postgres::{Client, Config};

use crate::db::ConnectArgs;

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// How long to wait for the server, unless the URL says.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One connection of its own, for the commands that change the data.
///
/// # Errors
/// Names host and port when the server is away or refuses.
pub(crate) async fn connect(database: &ConnectArgs) -> anyhow::Result<Client> {
    let mut server = database.server()?;
    if server.config.get_connect_timeout().is_none() {
        server.config.connect_timeout(CONNECT_TIMEOUT);
    }
    let (client, connection) =
        server.connect().await.with_context(|| format!("cannot connect to PostgreSQL at {}", place(&server.config)))?;
    tokio::spawn(async move {
        // The client's pending call fails with the same cause; this line is for what nobody waits for.
        if let Err(error) = connection.await {
            tracing::warn!(%error, "database connection lost");
        }
    });
    Ok(client)
}

fn place(config: &Config) -> String {
    use tokio_postgres::config::Host;
    let hosts = config.get_hosts().iter().zip(config.get_ports().iter().chain(std::iter::repeat(&5432)));
    let places: Vec<String> = hosts
        .map(|(host, port)| match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(path) => format!("{}:{port}", path.display()),
        })
        .collect();
    places.join(", ")
}

/// Two migrations at once would both see the same version missing; the second waits for the first, this long.
const WAIT_FOR_OTHERS: &str = "SET lock_timeout = '60s'";
const MIGRATION_LOCK: i64 = 0x6164_6472_6d69_6772; // "addrmigr"

/// Applies what is missing and says what it applied.
///
/// # Errors
/// When the server is away, a statement fails, or the database was migrated by a newer or a different version.
pub(crate) async fn run(database: &ConnectArgs) -> anyhow::Result<()> {
    let mut client = connect(database).await?;
    client.batch_execute(WAIT_FOR_OTHERS).await?;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK])
        .await
        .context("another migration has been running for a minute")?;
    let report = embedded::migrations::runner().run_async(&mut client).await.map_err(explain)?;
    for migration in report.applied_migrations() {
        tracing::info!(migration = %migration, "applied");
    }
    if report.applied_migrations().is_empty() {
        tracing::info!("the schema is up to date");
    }
    Ok(())
}

/// refinery's own message names the migration only; the server's reason is deeper down.
fn explain(error: refinery::Error) -> anyhow::Error {
    use std::error::Error as _;
    match error.source() {
        Some(_) => anyhow::Error::new(error).context("migration failed, nothing of it was applied"),
        None => anyhow::anyhow!("migration failed: {error}"),
    }
}

/// Stops early, with a remedy, where the schema isn't there.
///
/// # Errors
/// When the newest embedded migration has not been applied.
pub(crate) async fn require_schema(client: &mut Client) -> anyhow::Result<()> {
    let runner = embedded::migrations::runner();
    let wanted = runner.get_migrations().iter().map(|migration| migration.version()).max().unwrap_or(0);
    let there = client
        .query_opt("SELECT to_regclass('refinery_schema_history')::text IS NOT NULL", &[])
        .await?
        .is_some_and(|row| row.get(0));
    let applied = if there {
        runner.get_last_applied_migration_async(client).await.map_err(explain)?.map_or(0, |last| last.version())
    } else {
        0
    };
    if applied < wanted {
        bail!("the schema is at version {applied}, this program needs {wanted}: run `address-service migrate` first");
    }
    Ok(())
}
