//! How well the address service finds addresses that are written the way people write them.
//!
//! Takes every address of `data/` from the published files, writes it in many ways (`variants`), asks a running address service
//! (`ask`) and prints a table of hit rates against the bars (`table`). Knows nothing of the service's parser.
//!
//! Settings from the environment: `ADDRESS_SERVICE_URL` (default `http://127.0.0.1:3002`), `ACCURACY_SAMPLE` (how many
//! addresses; all when absent), `ACCURACY_SEED` (default 1), `ACCURACY_FAILURES` (file for the failures, default
//! `target/accuracy-failures.psv`).
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod ask;
mod codes;
mod habits;
mod impossible;
mod refused;
mod sample;
mod table;
mod typos;
mod units;
mod variants;
mod wording;

use std::process::ExitCode;

use anyhow::Context;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

fn main() -> ExitCode {
    let outcome = tokio::runtime::Runtime::new().context("the runtime").and_then(|runtime| runtime.block_on(run()));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("accuracy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn setting<T: std::str::FromStr>(name: &str, default: T) -> anyhow::Result<T> {
    match std::env::var(name) {
        Ok(text) => text.parse().ok().with_context(|| format!("{name}={text} can't be used")),
        Err(_) => Ok(default),
    }
}

async fn run() -> anyhow::Result<bool> {
    let url = setting("ADDRESS_SERVICE_URL", "http://127.0.0.1:3002".to_owned())?;
    let seed = setting("ACCURACY_SEED", 1_u64)?;
    let failures = setting("ACCURACY_FAILURES", "target/accuracy-failures.psv".to_owned())?;
    measure(&url, setting("ACCURACY_SAMPLE", usize::MAX)?, seed, &failures).await
}

/// Asks the service at `url` about at most `wanted` addresses, prints the table, writes the failures to a file of that name
/// in the project, and says whether every class reached its bar.
pub(crate) async fn measure(url: &str, wanted: usize, seed: u64, failures: &str) -> anyhow::Result<bool> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let codes = codes::Codes::read(&root.join("data/gnaf-vic-sample/Authority Code"))?;
    let sample = sample::Sample::read(&root.join("data"), &codes)?;
    let mut chosen: Vec<&sample::Address> = sample.addresses.iter().collect();
    if wanted < chosen.len() {
        chosen.shuffle(&mut StdRng::seed_from_u64(seed));
        chosen.truncate(wanted);
    }
    let mut questions = Vec::new();
    for address in chosen.iter().copied() {
        // Each address has its own stream, so that its variants don't depend on which others were chosen.
        let mut rng = StdRng::seed_from_u64(seed ^ fingerprint(&address.label));
        variants::write(address, &sample, &codes, &mut rng, &mut questions);
        impossible::write(address, &sample, &mut rng, &mut questions);
        habits::write(address, &sample, &mut rng, &mut questions);
        refused::write(address, &sample, &mut rng, &mut questions);
    }
    println!("{} addresses, {} questions, seed {seed}, {url}", chosen.len(), questions.len());
    let answers = ask::all(url, questions).await?;
    table::write_failures(&root.join(failures), &answers)?;
    println!("failures: {failures}");
    Ok(table::print(&answers))
}

/// FNV-1a: a number per label that is the same on every run.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
