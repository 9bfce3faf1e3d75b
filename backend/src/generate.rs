//! `address-service generate`: a data set of any size in the official G-NAF layout, for scale tests. Real localities, areas
//! and street names; made-up streets and numbers, under identifiers that can't be taken for real ones. The same seed gives
//! the same bytes.

mod gazetteer;
mod locality;
mod plan;
mod site;
mod street;
mod writer;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use self::gazetteer::Gazetteer;
use self::locality::Region;
use self::plan::Share;
use self::writer::{Areas, Files};
use crate::import::codes::BUILT_IN;
use crate::import::find::STATES;
use crate::import::release::Release;

/// What to make.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Rows of ADDRESS_DETAIL, over all states
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=20_000_000))]
    addresses: u64,
    /// Another seed gives other addresses
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// An empty or new folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The release that the folder's name tells
    #[arg(long, default_value = "February 2026")]
    release: String,
    /// The project's data: names and areas are drawn from its gazetteer, boundaries and addresses
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

/// Writes the data set.
///
/// # Errors
/// When the built-in data isn't where `--data` says, or the output can't be written or isn't empty.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let release = Release::named(&options.release);
    let date = release.date.with_context(|| format!("{:?} is not a month and a year", options.release))?;
    let out = &options.out;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    if out.read_dir()?.next().is_some() {
        bail!("{} is not empty", out.display());
    }
    let gazetteer = Gazetteer::read(&options.data)?;
    let shares = plan::shares(&gazetteer.places, options.addresses, &mut rng(options.seed, 0));
    let root = out.join("G-NAF").join(Release::folder(date, true));
    codes(&root)?;
    let mut areas = Areas::create(&root.join("Mesh Blocks"))?;
    let mut streets = 0;
    for state in STATES {
        let here: Vec<&Share> = shares.iter().filter(|share| gazetteer.places[share.place].state == state).collect();
        if here.is_empty() {
            continue;
        }
        let mut files = Files::create(&root.join("Standard"), state, date)?;
        for share in here {
            let place = &gazetteer.places[share.place];
            let region = Region { gazetteer: &gazetteer, place, share };
            // A stream of its own per locality: what is made there doesn't depend on what else is.
            locality::write(&region, &mut rng(options.seed, place.code), &mut files, &mut areas)?;
        }
        streets += files.counters.streets;
        tracing::info!(state, localities = files.counters.localities, addresses = files.counters.addresses, "written");
        files.finish()?;
    }
    areas.finish()?;
    writeln!(
        std::io::stdout().lock(),
        "{} addresses on {streets} streets in {} localities below {}",
        options.addresses,
        shares.len(),
        out.display()
    )
    .context("cannot print the result")
}

fn rng(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// The authority files, as built in.
fn codes(root: &std::path::Path) -> anyhow::Result<()> {
    let folder = root.join("Authority Code");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (kind, text) in BUILT_IN {
        let path = folder.join(format!("Authority_Code_{}_AUT_psv.psv", kind.to_uppercase()));
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    fn made(addresses: u64, seed: u64) -> BTreeMap<PathBuf, Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            addresses,
            seed,
            out: folder.path().to_owned(),
            release: "February 2026".into(),
            data: Path::new(env!("CARGO_MANIFEST_DIR")).join("../data"),
        };
        run(&options).unwrap();
        let mut files = BTreeMap::new();
        let mut left = vec![folder.path().to_owned()];
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
            } else {
                files.insert(path.strip_prefix(folder.path()).unwrap().to_owned(), std::fs::read(&path).unwrap());
            }
        }
        files
    }

    fn rows(files: &BTreeMap<PathBuf, Vec<u8>>, table: &str) -> Vec<Vec<String>> {
        let of_table = |path: &&PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.split_once('_').is_some_and(|(_, rest)| rest == format!("{table}_psv.psv"))
        };
        files
            .iter()
            .filter(|(path, _)| of_table(path))
            .flat_map(|(_, bytes)| std::str::from_utf8(bytes).unwrap().lines().skip(1))
            .map(|line| line.split('|').map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert!(made(3_000, 7) == made(3_000, 7));
        assert!(made(3_000, 7) != made(3_000, 8));
    }

    #[test]
    fn the_numbers_are_those_asked_for_and_the_shares_those_observed() {
        let files = made(40_000, 1);
        let addresses = rows(&files, "ADDRESS_DETAIL");
        assert_eq!(addresses.len(), 40_000);
        let share = |test: &dyn Fn(&Vec<String>) -> bool| {
            addresses.iter().filter(|row| test(row)).count() as f64 / addresses.len() as f64
        };
        let flats = share(&|row| !row[8].is_empty());
        let levels = share(&|row| !row[12].is_empty());
        let ranges = share(&|row| !row[20].is_empty());
        let lots = share(&|row| row[17].is_empty());
        assert!((0.24..0.32).contains(&flats), "flats {flats}");
        assert!((0.002..0.008).contains(&levels), "levels {levels}");
        assert!((0.05..0.085).contains(&ranges), "ranges {ranges}");
        assert!((0.0003..0.003).contains(&lots), "lots {lots}");
        let streets = rows(&files, "STREET_LOCALITY").len();
        let per_street = addresses.len() / streets;
        assert!((50..=110).contains(&per_street), "{per_street} addresses per street");
        let states: std::collections::BTreeSet<_> = addresses.iter().map(|row| row[0][..5].to_owned()).collect();
        assert_eq!(states.len(), 9, "{states:?}");
    }

    #[test]
    fn identifiers_are_unique_and_made_up() {
        let addresses = rows(&made(5_000, 3), "ADDRESS_DETAIL");
        let mut seen = std::collections::HashSet::new();
        for row in &addresses {
            assert!(row[0].starts_with("GX") && row[0].len() == 15, "{}", row[0]);
            assert!(seen.insert(&row[0]), "{} twice", row[0]);
        }
    }
}
