//! Finds what a path holds, by the files' exact names where the release fixes them and by their header rows otherwise.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::layer::Layer;
use super::layout::{self, Layout, UNREAD};
use super::malformed::Malformed;
use super::outlines::{self, NotTaken};
use super::progress::Meter;
use super::psv::Reader;
use super::release::STATEMENT;
use super::unknown;

/// States and territories as G-NAF's file names spell them; OT is the Other Territories.
pub(crate) const STATES: [&str; 9] = ["ACT", "NSW", "NT", "OT", "QLD", "SA", "TAS", "VIC", "WA"];
/// Folders below one path; more is a whole disk given by mistake.
const MOST_ENTRIES: usize = 100_000;
const DEEPEST: usize = 16;

/// A file of a kind that is known by its header row or its name's ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    /// Addresses with G-NAF CORE's column names.
    Flat,
    /// Mesh blocks with the statistical areas above them.
    MeshBlocks,
    /// Council, ward and electorates per address.
    AddressTags,
}

/// Everything there is to import, each part in reading order.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Authority files: the code table's kind (`street_type`) and the file.
    pub(crate) codes: Vec<(String, PathBuf)>,
    /// Per state: the files of `Standard/`.
    pub(crate) states: BTreeMap<&'static str, BTreeMap<&'static str, PathBuf>>,
    /// The other files.
    pub(crate) files: Vec<(Sort, PathBuf)>,
    /// Outlines of areas.
    pub(crate) outlines: Vec<(PathBuf, Layer)>,
    /// Looked at and not known, with the reason.
    pub(crate) unknown: Vec<(PathBuf, String)>,
}

impl Found {
    /// # Errors
    /// When a path can't be read, a folder was named that holds nothing to import, no path does, or a state is there twice
    /// or incomplete.
    pub(crate) fn below(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut found = Self::default();
        let mut entries = 0;
        for path in paths {
            let before = found.len();
            let looked_at = found.unknown.len();
            found.walk(path, DEEPEST, &mut entries)?;
            // One file among others, as a shell's `*.geojson` names them, is left alone like those in a folder.
            if found.len() == before && (path.is_dir() || paths.len() == 1) {
                let reasons = found.unknown.get(looked_at..).unwrap_or_default();
                bail!(
                    "{} holds nothing that can be imported (see docs/data.md for what can){}",
                    path.display(),
                    unknown::listed(reasons)
                );
            }
        }
        if found.len() == 0 {
            bail!(
                "none of the paths can be imported (see docs/data.md for what can){}",
                unknown::listed(&found.unknown)
            );
        }
        found.codes.sort();
        found.files.sort();
        found.outlines.sort_by(|a, b| a.0.cmp(&b.0));
        found.check_states()?;
        Ok(found)
    }

    fn len(&self) -> usize {
        let tables = self.states.values().map(BTreeMap::len).sum::<usize>();
        self.codes.len() + self.files.len() + self.outlines.len() + tables
    }

    fn walk(&mut self, path: &Path, depth: usize, entries: &mut usize) -> anyhow::Result<()> {
        *entries += 1;
        if *entries > MOST_ENTRIES {
            bail!("more than {MOST_ENTRIES} files below {}: name the folder of the data", path.display());
        }
        let what = std::fs::metadata(path).with_context(|| format!("cannot open {}", path.display()))?;
        if !what.is_dir() {
            return self.take(path);
        }
        if depth == 0 {
            bail!("{} lies more than {DEEPEST} folders deep", path.display());
        }
        let listing = std::fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))?;
        let mut inside = listing.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
        inside.sort();
        for entry in inside {
            let hidden = entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden {
                self.walk(&entry, depth - 1, entries)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, path: &Path) -> anyhow::Result<()> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name == STATEMENT {
            return Ok(());
        }
        let plain = name.strip_suffix(".gz").unwrap_or(name);
        let lower = plain.to_ascii_lowercase();
        if let Some(kind) = authority(plain) {
            self.codes.push((kind, path.to_owned()));
        } else if let Some((state, table)) = standard(plain) {
            let layout = layout::standard().find(|layout| layout.table == table);
            if layout.is_none() && !UNREAD.contains(&table) {
                self.unknown.push((path.to_owned(), format!("{table} is no table of a release")));
                return Ok(());
            }
            let files = self.states.entry(state).or_default();
            if let Some(layout) = layout
                && let Some(other) = files.insert(layout.table, path.to_owned())
            {
                bail!("two files for {state} {table}: {} and {}", other.display(), path.display());
            }
        } else if lower.ends_with(".geojson") || lower.ends_with(".json") {
            match outlines::layer(path) {
                Ok(layer) => self.outlines.push((path.to_owned(), layer)),
                Err(error) => match error.downcast::<NotTaken>() {
                    Ok(NotTaken(reason)) => self.unknown.push((path.to_owned(), reason)),
                    // Much is JSON that has nothing to do with us.
                    Err(error) if lower.ends_with(".json") && error.is::<Malformed>() => {
                        self.unknown.push((path.to_owned(), "it is no GeoJSON feature collection".into()));
                    }
                    Err(error) => return Err(error),
                },
            }
        } else if lower.ends_with(".psv") {
            let reader = Reader::open(path, Meter::silent())?;
            match by_header(&reader) {
                Some(sort) => self.files.push((sort, path.to_owned())),
                None => self.unknown.push((path.to_owned(), unknown::header(reader.header()))),
            }
        } else {
            self.unknown.push((path.to_owned(), unknown::reason(path, &lower)));
        }
        Ok(())
    }

    fn check_states(&self) -> anyhow::Result<()> {
        for (state, files) in &self.states {
            for Layout { table, .. } in layout::standard().filter(|layout| layout.required) {
                if !files.contains_key(table) {
                    bail!("{state} is incomplete: {state}_{table}_psv.psv is missing");
                }
            }
        }
        Ok(())
    }
}

/// `Authority_Code_STREET_TYPE_AUT_psv.psv` -> `street_type`.
fn authority(name: &str) -> Option<String> {
    let table = name.strip_prefix("Authority_Code_")?.strip_suffix("_AUT_psv.psv")?;
    Some(table.to_ascii_lowercase())
}

/// `VIC_STREET_LOCALITY_psv.psv` -> (`VIC`, `STREET_LOCALITY`). The whole name must fit: `LOCALITY` is also the end of
/// `STREET_LOCALITY`.
fn standard(name: &str) -> Option<(&'static str, &str)> {
    let (state, table) = name.strip_suffix("_psv.psv")?.split_once('_')?;
    let state = STATES.into_iter().find(|known| *known == state)?;
    Some((state, table))
}

/// The columns by which a file is known, and what it then is.
pub(crate) const HEADERS: [(Sort, &str, &[&str]); 3] = [
    (Sort::Flat, "flat addresses", &["ADDRESS_LABEL", "LOCALITY_NAME", "STATE", "LONGITUDE", "LATITUDE"]),
    (Sort::MeshBlocks, "mesh blocks", &["MB21_CODE", "SA1_21CODE"]),
    (Sort::AddressTags, "areas per address", &["ADDRESS_DETAIL_PID", "LGA_NAME", "WARD_NAME"]),
];

fn by_header(reader: &Reader) -> Option<Sort> {
    let has = |names: &[&str]| names.iter().all(|name| reader.header().iter().any(|column| column == name));
    HEADERS.iter().find(|(_, _, columns)| has(columns)).map(|(sort, ..)| *sort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("VIC_LOCALITY_psv.psv", Some(("VIC", "LOCALITY")))]
    #[case("VIC_STREET_LOCALITY_psv.psv", Some(("VIC", "STREET_LOCALITY")))]
    #[case("vic_LOCALITY_psv.psv", None)]
    #[case("VIC_LOCALITY_psv.psv.bak", None)]
    #[case("XVIC_LOCALITY_psv.psv", None)]
    fn names(#[case] name: &str, #[case] wanted: Option<(&'static str, &'static str)>) {
        assert_eq!(standard(name), wanted);
    }

    #[test]
    fn the_sample_is_recognised_as_a_whole() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data");
        let found = Found::below(&[data]).unwrap();
        assert_eq!(found.codes.len(), 15);
        assert_eq!(found.states.keys().copied().collect::<Vec<_>>(), ["VIC"]);
        assert_eq!(found.states["VIC"].len(), 13, "{:?}", found.states);
        let count = |sort| found.files.iter().filter(|(found, _)| *found == sort).count();
        assert_eq!([Sort::Flat, Sort::MeshBlocks, Sort::AddressTags].map(count), [2, 1, 1]);
        let mut levels: Vec<&str> = found.outlines.iter().map(|(_, layer)| layer.kind.level).collect();
        levels.sort_unstable();
        assert_eq!(levels, ["GCCSA", "LGA", "LOCALITY", "POA", "SA1", "SA2", "SA2", "SA3", "SA3", "SA4", "STE"]);
    }

    #[test]
    fn an_incomplete_state_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("WA_LOCALITY_psv.psv"), "LOCALITY_PID\n").unwrap();
        let error = Found::below(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "WA is incomplete: WA_STREET_LOCALITY_psv.psv is missing");
    }
}
