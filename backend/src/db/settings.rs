//! How to reach the database, as the operator says it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::server::Server;

/// Where the database is. The URL holds a password, so it comes from the environment or a file, never from an argument.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// File with the database URL; without it, the variable `DATABASE_URL` is used
    #[arg(long, value_name = "FILE", env = "DATABASE_URL_FILE")]
    database_url_file: Option<PathBuf>,
    /// File with the certificates that are trusted, PEM, where the URL says sslmode=require; without it, the system's
    #[arg(long, value_name = "FILE", env = "DATABASE_CA_FILE")]
    database_ca_file: Option<PathBuf>,
}

impl ConnectArgs {
    /// What the URL says.
    ///
    /// # Errors
    /// When there is no URL, it or certificates can't be read or parsed. The message never holds the URL.
    pub(crate) fn server(&self) -> anyhow::Result<Server> {
        let url = match &self.database_url_file {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("the database URL can't be read from {}", file.display()))?,
            None => std::env::var("DATABASE_URL")
                .context("no database: set DATABASE_URL or give --database-url-file FILE")?,
        };
        let mut config: tokio_postgres::Config =
            url.trim().parse().context("the database URL is not valid; postgresql://user:password@host:port/name")?;
        if config.get_application_name().is_none() {
            config.application_name("address-service");
        }
        Server::new(config, self.database_ca_file.as_deref())
    }
}

/// How many connections, and how long they may take to make.
#[derive(Debug, Args)]
pub(crate) struct PoolArgs {
    /// Most database connections at a time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) pool_size: u32,
    /// Most statements waiting for a connection; more are refused with 503
    #[arg(long, default_value_t = 512)]
    pub(crate) pool_waiters: usize,
    /// Longest time to make a connection, for example 500ms or 2s
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) connect_timeout: Duration,
}

/// `250ms`, `2s` or `1m`: the unit is always written.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| format!("`{text}` is not a whole number with a unit"))?;
    let duration = match &text[digits.len()..] {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.saturating_mul(60)),
        _ => return Err(format!("`{text}` needs a unit: ms, s or m")),
    };
    if duration.is_zero() || duration > Duration::from_secs(86_400) {
        return Err(format!("`{text}` is not between 1ms and a day"));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("250ms", Some(250))]
    #[case("2s", Some(2_000))]
    #[case("1m", Some(60_000))]
    #[case("2", None)]
    #[case("0s", None)]
    #[case("-1s", None)]
    #[case("s", None)]
    #[case("9999999999s", None)]
    fn durations_have_units(#[case] text: &str, #[case] milliseconds: Option<u64>) {
        assert_eq!(duration(text).ok(), milliseconds.map(Duration::from_millis));
    }
}
