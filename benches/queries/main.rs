//! How long the address service takes per endpoint, uncached, one request at a time, against bars at the 95th percentile.
//!
//! Draws real rows from the database behind the service (`DATABASE_URL`), words requests the way clients do and asks
//! `ADDRESS_SERVICE_URL`. `QUERIES` requests per endpoint (default 2000), drawn by `QUERIES_SEED` (default 1).
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod drawn;
mod requests;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::Instant;

fn main() -> ExitCode {
    let outcome = tokio::runtime::Runtime::new().context("the runtime").and_then(|runtime| runtime.block_on(run()));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("queries: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn number(name: &str, default: u64) -> anyhow::Result<u64> {
    std::env::var(name).map_or(Ok(default), |text| text.parse().with_context(|| format!("{name}={text}")))
}

/// Whether every endpoint kept its bar.
async fn run() -> anyhow::Result<bool> {
    let url = std::env::var("ADDRESS_SERVICE_URL").context("ADDRESS_SERVICE_URL")?;
    let database = std::env::var("DATABASE_URL").context("DATABASE_URL")?;
    let count = usize::try_from(number("QUERIES", 2000)?)?;
    let mut rng = StdRng::seed_from_u64(number("QUERIES_SEED", 1)?);
    let addresses = drawn::addresses(&database, count).await?;
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let mut all_good = true;
    println!("{} addresses drawn, one request at a time, milliseconds", addresses.len());
    println!("{:<20} {:>7} {:>8} {:>8} {:>8} {:>8} {:>8}", "endpoint", "asked", "p50", "p95", "p99", "max", "bar p95");
    for endpoint in requests::ENDPOINTS {
        let mut times = Vec::with_capacity(addresses.len());
        // The first fiftieth warms connections, prepared statements and the database's cache, and is not counted.
        let warm_up = addresses.len() / 50;
        for (index, address) in addresses.iter().chain(&addresses[..warm_up]).enumerate() {
            let request = (endpoint.request)(address, &mut rng).send(&client, &url);
            let begun = Instant::now();
            let response = request.await?;
            let status = response.status();
            let body = response.bytes().await?;
            if index >= warm_up {
                times.push(begun.elapsed().as_secs_f64() * 1000.0);
            }
            if !status.is_success() && status != reqwest::StatusCode::NOT_FOUND {
                bail!("{}: {status} {}", endpoint.name, String::from_utf8_lossy(&body));
            }
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        let good = at(0.95) <= endpoint.bar;
        all_good &= good;
        println!(
            "{:<20} {:>7} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8} {}",
            endpoint.name,
            times.len(),
            at(0.5),
            at(0.95),
            at(0.99),
            at(1.0),
            endpoint.bar,
            if good { "ok" } else { "OVER THE BAR" }
        );
    }
    Ok(all_good)
}
