//! The addrgate gateway process. Commands, and their exit codes: 0 good, 1 invalid or failed, 64 usage.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod admin;
mod caching;
mod checks;
mod coalesce;
mod config;
mod connections;
mod context;
mod date;
mod dispatch;
mod door;
mod edit;
mod explain;
mod fetch;
mod health;
mod invalidation;
mod leases;
mod plan;
mod polls;
mod popular;
mod pressure;
mod progress;
mod proxy;
mod recipe;
mod redis;
mod reference;
mod reload;
mod replay;
mod server;
mod services;
mod shared;
mod shutdown;
mod status;
mod store;
mod telemetry;
mod tls;
mod upstream;
mod uses;
mod warm;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A caching gateway for address APIs.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM (orderly), SIGINT (at once) or SIGQUIT (hand the sockets over).
    Run {
        #[command(flatten)]
        file: FileArgument,
        /// Take the listening sockets over from a running process (`server.upgrade_socket`).
        #[arg(long)]
        upgrade: bool,
    },
    /// Say whether a configuration is valid.
    Check {
        #[command(flatten)]
        file: FileArgument,
        /// Also connect to every upstream, and to Redis, where the user's rights are tried.
        #[arg(long)]
        connect: bool,
    },
    /// Show the configuration with its variables replaced and its defaults in, secrets hidden.
    Print {
        #[command(flatten)]
        file: FileArgument,
    },
    /// Say what would happen to a request: route, key, limits, lifetimes, cacheable or why not.
    Explain {
        #[command(flatten)]
        file: FileArgument,
        #[command(flatten)]
        question: explain::Question,
    },
    /// Show the JSON schema of the configuration.
    Schema,
    /// Show all settings or all metrics with their meaning, in Markdown.
    Reference {
        /// What to list.
        what: reference::Reference,
    },
    /// API keys.
    #[command(subcommand)]
    Keys(Keys),
}

#[derive(Subcommand)]
enum Keys {
    /// Make a key and the digest that the configuration needs.
    New,
}

#[derive(clap::Args)]
struct FileArgument {
    /// The configuration file.
    #[arg(long, default_value = "config.yaml", env = "ADDRGATE_CONFIG")]
    config: PathBuf,
}

impl FileArgument {
    fn load(&self) -> anyhow::Result<plan::Plan> {
        Ok(plan::load(&self.config, &config::environment, None)?)
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(e) => {
            let usage = e.use_stderr();
            // Nothing is left to do where even this can't be written.
            let _unwritable = e.print();
            return ExitCode::from(if usage { 64 } else { 0 });
        }
    };
    match execute(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            complain(&format!("{e:#}"));
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run { file, upgrade } => server::run(file.load()?, &absolute(&file.config)?, upgrade),
        Command::Check { file, connect } => {
            let plan = file.load()?;
            for warning in &plan.warnings {
                complain(&format!("warning: {warning}"));
            }
            if connect {
                upstream::connect(&plan.file.upstreams)?;
                let folder = file.config.parent().unwrap_or(Path::new("."));
                if let Some(redis) = redis::Redis::of(plan.file.redis.as_ref(), folder)? {
                    redis.check()?;
                }
            }
            say(&format!("{} is valid, hash {}", file.config.display(), plan.hash))
        }
        Command::Print { file } => say(serde_saphyr::to_string(&file.load()?.file)?.trim_end()),
        Command::Explain { file, question } => say(&explain::request(&file.load()?, &question)),
        Command::Schema => say(&serde_json::to_string_pretty(&config::schema())?),
        Command::Reference { what } => say(what.page()?.trim_end()),
        Command::Keys(Keys::New) => {
            let key = addrgate_filters::client::new_key()?;
            say(&format!("key:    {key}\ndigest: {}", addrgate_filters::client::digest_of(&key)))
        }
    }
}

/// Relative paths would change their meaning with the working directory.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(path)?)
}

fn say(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn complain(text: &str) {
    use std::io::Write;
    // Nothing is left to do where even this can't be written.
    let _unwritable = writeln!(std::io::stderr(), "{text}");
}
