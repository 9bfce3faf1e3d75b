//! Copies of the built-in data, to be bent.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The project's data.
pub(crate) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data")
}

/// A copy of the Victorian sample, in a folder named like a release.
pub(crate) struct Sample {
    _folder: TempDir,
    root: PathBuf,
}

impl Sample {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("G-NAF FEBRUARY 2026");
        for part in ["Standard", "Authority Code"] {
            fs::create_dir_all(root.join(part)).unwrap();
            for entry in fs::read_dir(data().join("gnaf-vic-sample").join(part)).unwrap() {
                let from = entry.unwrap().path();
                fs::copy(&from, root.join(part).join(from.file_name().unwrap())).unwrap();
            }
        }
        Self { _folder: folder, root }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    pub(crate) fn table(&self, table: &str) -> PathBuf {
        self.root.join(format!("Standard/VIC_{table}_psv.psv"))
    }

    /// Rewrites one file.
    pub(crate) fn edit(&self, table: &str, change: impl FnOnce(String) -> Vec<u8>) {
        let path = self.table(table);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, change(text)).unwrap();
    }

    /// Sets one field of the row whose first field, or any other, is `key`.
    #[track_caller]
    pub(crate) fn set(&self, table: &str, key: &str, column: &str, value: &str) {
        self.edit(table, |text| {
            let index = text.lines().next().unwrap().split('|').position(|name| name == column).unwrap();
            let mut hits = 0;
            let mut lines = String::new();
            for line in text.lines() {
                let mut fields: Vec<&str> = line.split('|').collect();
                if fields.contains(&key) {
                    hits += 1;
                    fields[index] = value;
                }
                lines += &fields.join("|");
                lines.push('\n');
            }
            assert_eq!(hits, 1, "{key} in {table}");
            lines.into_bytes()
        });
    }

    /// Removes the rows that hold `key`.
    pub(crate) fn remove(&self, table: &str, key: &str) {
        self.edit(table, |text| {
            let kept = text.lines().filter(|line| !line.split('|').any(|field| field == key));
            kept.flat_map(|line| [line, "\n"]).collect::<String>().into_bytes()
        });
    }

    /// Adds a row at the end.
    pub(crate) fn add(&self, table: &str, row: &str) {
        self.edit(table, |text| format!("{text}{row}\n").into_bytes());
    }

    /// The number (from 1) of the line that holds `key`.
    pub(crate) fn line_of(&self, table: &str, key: &str) -> usize {
        let text = fs::read_to_string(self.table(table)).unwrap();
        1 + text.lines().position(|line| line.split('|').any(|field| field == key)).unwrap()
    }
}

/// A house with a number, a street and a mesh block.
pub(crate) const HOUSE: &str = "GAVIC411441273";
/// A flat of another building.
pub(crate) const FLAT: &str = "GAVIC411087566";
