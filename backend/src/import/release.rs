//! Which release a file belongs to, and in which datum its coordinates are.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use chrono::{Datelike, Months, NaiveDate};

use super::malformed::{Malformed, shown};
use super::progress::Meter;
use super::psv::Reader;

/// The two datums G-NAF is published in. They differ by about 1.8 m.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Datum {
    /// EPSG:4283.
    Gda94,
    /// EPSG:7844.
    Gda2020,
}

impl Datum {
    /// EPSG code.
    pub(crate) fn srid(self) -> i32 {
        match self {
            Self::Gda94 => 4283,
            Self::Gda2020 => 7844,
        }
    }
}

impl std::str::FromStr for Datum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_uppercase().as_str() {
            "GDA94" | "EPSG:4283" => Ok(Self::Gda94),
            "GDA2020" | "EPSG:7844" => Ok(Self::Gda2020),
            _ => Err(format!("{text:?} is no datum; write GDA94 or GDA2020")),
        }
    }
}

/// A release's name as people say it, `February 2026`, or another text where the month isn't known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) name: String,
    /// First day of the month.
    pub(crate) date: Option<NaiveDate>,
    /// Made by `address-service generate`.
    pub(crate) generated: bool,
}

const GENERATED: &str = " GENERATED";

impl Release {
    /// Reads `February 2026` in any case; other texts are kept as they are, without a date.
    pub(crate) fn named(text: &str) -> Self {
        let upper = text.trim().to_ascii_uppercase();
        let (month_year, generated) = match upper.strip_suffix(GENERATED) {
            Some(rest) => (rest.to_owned(), true),
            None => (upper, false),
        };
        let date = NaiveDate::parse_from_str(&format!("1 {month_year}"), "%d %B %Y").ok();
        let name = date.map_or_else(|| text.trim().to_owned(), |date| date.format("%B %Y").to_string());
        Self { name, date, generated }
    }

    /// From a folder name like `G-NAF FEBRUARY 2026`; None for any other folder.
    pub(crate) fn of_folder(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let release = Self::named(upper.strip_prefix("G-NAF ")?);
        release.date.is_some().then_some(release)
    }

    /// The folder name a release of that month is published under.
    pub(crate) fn folder(date: NaiveDate, generated: bool) -> String {
        let month = date.format("%B %Y").to_string().to_uppercase();
        format!("G-NAF {month}{}", if generated { GENERATED } else { "" })
    }

    /// Whether the date is believable: G-NAF exists since 2004, and nobody publishes ahead by more than a year.
    fn check(&self, now: NaiveDate) -> anyhow::Result<()> {
        if let Some(date) = self.date {
            let latest = now.checked_add_months(Months::new(12)).unwrap_or(now);
            if date.year() < 2004 || date > latest {
                bail!("the release {:?} is not believable", self.name);
            }
        }
        Ok(())
    }
}

/// What is known of one file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edition {
    pub(crate) release: Release,
    pub(crate) datum: Datum,
    /// Nothing says which datum it is.
    pub(crate) assumed: bool,
}

/// Settles release and datum: the command line first, then a `RELEASES.psv` near the file, then the folder names above it.
#[derive(Debug, Default)]
pub(crate) struct Editions {
    pub(crate) release: Option<String>,
    pub(crate) datum: Option<Datum>,
    stated: Vec<(PathBuf, Release, Datum)>,
    read: Vec<PathBuf>,
}

/// Beside data whose names don't tell: `PATH|RELEASE|DATUM`, paths relative to this file.
pub(crate) const STATEMENT: &str = "RELEASES.psv";
const STATEMENT_HEADER: [&str; 3] = ["PATH", "RELEASE", "DATUM"];
/// How far above a file a statement is looked for.
const LEVELS: usize = 4;

impl Editions {
    /// The command line's part.
    pub(crate) fn new(release: Option<String>, datum: Option<Datum>) -> Self {
        Self { release, datum, ..Self::default() }
    }

    /// # Errors
    /// When a `RELEASES.psv` is malformed, or the release is from a time that can't be.
    pub(crate) fn of(&mut self, path: &Path) -> anyhow::Result<Edition> {
        let datum = self.datum_of(path)?;
        let folders = || path.ancestors().skip(1).filter_map(|folder| folder.file_name()?.to_str());
        let release = match (&self.release, self.statement_about(path)) {
            (Some(name), _) => Release::named(name),
            (None, Some((_, release, _))) => release.clone(),
            (None, None) => folders().find_map(Release::of_folder).unwrap_or_else(|| Release::named("unknown")),
        };
        release.check(chrono::Utc::now().date_naive()).with_context(|| path.display().to_string())?;
        // What we generate is in GDA2020.
        let assumed = datum.is_none() && !release.generated;
        Ok(Edition { release, datum: datum.unwrap_or(Datum::Gda2020), assumed })
    }

    /// The datum of the command line, of a statement, or named by the file or the nearest folder above it; none when nothing
    /// says which.
    ///
    /// # Errors
    /// When a `RELEASES.psv` is malformed.
    pub(crate) fn datum_of(&mut self, path: &Path) -> anyhow::Result<Option<Datum>> {
        for folder in path.ancestors().skip(1).take(LEVELS) {
            self.read_statement(folder)?;
        }
        let named = |part: &Path| {
            let name = part.file_name()?.to_str()?.to_ascii_lowercase();
            match (name.contains("gda94"), name.contains("gda2020")) {
                (true, false) => Some(Datum::Gda94),
                (false, true) => Some(Datum::Gda2020),
                _ => None,
            }
        };
        let stated = self.statement_about(path).map(|(_, _, datum)| *datum);
        Ok(self.datum.or(stated).or_else(|| path.ancestors().find_map(named)))
    }

    fn statement_about(&self, path: &Path) -> Option<&(PathBuf, Release, Datum)> {
        let about = self.stated.iter().filter(|(below, ..)| path.starts_with(below));
        about.max_by_key(|(below, ..)| below.components().count())
    }

    fn read_statement(&mut self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(STATEMENT);
        if self.read.contains(&path) {
            return Ok(());
        }
        self.read.push(path.clone());
        if !path.is_file() {
            return Ok(());
        }
        let mut rows = Reader::open(&path, Meter::silent())?;
        if rows.header() != STATEMENT_HEADER {
            let found = shown(rows.header().join("|").as_bytes());
            return Err(Malformed::line(&path, 1, found, STATEMENT_HEADER.join("|")).into());
        }
        while rows.next()? {
            let datum = rows.field(2).parse().map_err(|_| rows.fault(2, "GDA94 or GDA2020"))?;
            self.stated.push((folder.join(rows.field(0)), Release::named(rows.field(1)), datum));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("G-NAF FEBRUARY 2026", Some(("February 2026", false)))]
    #[case("G-NAF NOVEMBER 2025 GENERATED", Some(("November 2025", true)))]
    #[case("G-NAF", None)]
    #[case("G-NAF SMARCH 2026", None)]
    #[case("Standard", None)]
    fn folder_names(#[case] folder: &str, #[case] wanted: Option<(&str, bool)>) {
        let found = Release::of_folder(folder);
        assert_eq!(found.as_ref().map(|release| (release.name.as_str(), release.generated)), wanted);
        if let Some(release) = found {
            assert_eq!(Release::folder(release.date.unwrap(), release.generated), folder);
        }
    }

    #[test]
    fn the_nearest_statement_wins_and_the_command_line_over_it() {
        let root = tempfile::tempdir().unwrap();
        let flat = root.path().join("addresses/demo.psv.gz");
        let vic = root.path().join("G-NAF MAY 2025/Standard/VIC_LOCALITY_psv.psv");
        std::fs::write(
            root.path().join(STATEMENT),
            "PATH|RELEASE|DATUM\naddresses|unknown|GDA2020\naddresses/demo.psv.gz|February 2023|GDA94\n",
        )
        .unwrap();
        let mut editions = Editions::default();
        let edition = editions.of(&flat).unwrap();
        assert_eq!((edition.release.name.as_str(), edition.datum), ("February 2023", Datum::Gda94));
        let edition = editions.of(&vic).unwrap();
        assert_eq!((edition.release.name.as_str(), edition.datum), ("May 2025", Datum::Gda2020));
        let mut editions = Editions::new(Some("August 2024".into()), Some(Datum::Gda2020));
        let edition = editions.of(&flat).unwrap();
        assert_eq!((edition.release.date, edition.datum), (NaiveDate::from_ymd_opt(2024, 8, 1), Datum::Gda2020));
    }

    #[rstest::rstest]
    #[case("g-naf_feb26_allstates_gda94_psv_1023/Standard/VIC_LOCALITY_psv.psv", Datum::Gda94, false)]
    #[case("G-NAF FEBRUARY 2026/Standard GDA2020/VIC_LOCALITY_psv.psv", Datum::Gda2020, false)]
    #[case("gda94/GNAF_CORE_GDA2020.psv", Datum::Gda2020, false)]
    #[case("G-NAF FEBRUARY 2026/Standard/VIC_LOCALITY_psv.psv", Datum::Gda2020, true)]
    #[case("G-NAF FEBRUARY 2026 GENERATED/Standard/VIC_LOCALITY_psv.psv", Datum::Gda2020, false)]
    fn a_datum_that_nothing_names_is_assumed(#[case] path: &str, #[case] datum: Datum, #[case] assumed: bool) {
        let edition = Editions::default().of(Path::new(path)).unwrap();
        assert_eq!((edition.datum, edition.assumed), (datum, assumed));
    }
}
