//! The address service behind addrgate: Australian addresses in PostGIS over HTTP.

mod address;
mod addressr;
mod analyze;
mod app;
mod area;
mod batch;
mod boundaries;
mod completion;
mod components;
mod coverage;
mod dataset;
mod db;
mod degrade;
mod error;
mod generate;
mod geocode;
mod health;
mod import;
mod input;
mod location;
mod lookup;
mod migrate;
mod parse;
mod place;
mod proximity;
mod purge;
mod rank;
mod record;
mod reply;
mod reverse;
mod routes;
mod search;
mod serve;
mod state;
mod statistics;
mod tags;
mod towns;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The address service behind addrgate.
#[derive(Debug, Parser)]
#[command(name = "address-service", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer HTTP requests until SIGTERM or SIGINT
    Serve(serve::Args),
    /// Bring the database's schema up to this version
    Migrate(db::ConnectArgs),
    /// Load G-NAF releases, flat address files, area outlines and look-up tables
    Import(import::Options),
    /// List what is loaded
    Sources(db::ConnectArgs),
    /// Remove what one or several sources brought
    Remove(import::sources::Options),
    /// Write a large data set of the official layout, made up from real names, for scale tests
    Generate(generate::Options),
    /// Recount the statistics per area
    Refresh(db::ConnectArgs),
}

/// Exit codes: 0 good, 1 failed, 64 wrong usage (sysexits' EX_USAGE).
fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wrong = error.use_stderr();
            return match error.print() {
                Ok(()) if !wrong => ExitCode::SUCCESS,
                Ok(()) => ExitCode::from(64),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    start_log(matches!(cli.command, Command::Serve(_)));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "the runtime could not start");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(cli.command));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "failed");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve(args) => serve::run(args).await,
        Command::Migrate(database) => migrate::run(&database).await,
        Command::Import(options) => import::run(&options).await,
        Command::Sources(database) => import::sources::list(&database).await,
        Command::Remove(options) => import::sources::remove(&options).await,
        Command::Generate(options) => generate::run(&options),
        Command::Refresh(database) => import::refresh(&database).await,
    }
}

/// JSON lines; `ADDRESS_SERVICE_LOG` takes tracing's filter syntax. The server logs to standard output; the other commands
/// keep that for their results and log to standard error.
fn start_log(serving: bool) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ADDRESS_SERVICE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,refinery_core=warn,tokio_postgres=warn"));
    // A line that can't be written is lost; to complain of it on a standard error that is full, too, would panic.
    let log = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).log_internal_errors(false);
    if serving {
        log.init();
    } else {
        log.with_writer(std::io::stderr).init();
    }
}
