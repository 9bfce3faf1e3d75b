//! What stops an import: a file that is not what it claims to be, with the place where that shows.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place in a file, what stands there, and what should.
#[derive(Debug, thiserror::Error)]
pub(crate) struct Malformed {
    /// The file as named on the command line or found below it.
    pub(crate) file: PathBuf,
    /// Counted from 1; the header is line 1.
    pub(crate) line: u64,
    /// Number (from 1) and name of the column, where one field is to blame.
    pub(crate) column: Option<(usize, String)>,
    pub(crate) found: String,
    pub(crate) expected: String,
}

impl Malformed {
    /// A fault of a whole line.
    pub(crate) fn line(file: &Path, line: u64, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, column: None, found: found.into(), expected: expected.into() }
    }

    /// A fault of one field; `index` counts from 0.
    pub(crate) fn field(
        file: &Path,
        line: u64,
        index: usize,
        name: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self { column: Some((index + 1, name.to_owned())), ..Self::line(file, line, found, expected) }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.file.display(), self.line)?;
        if let Some((number, name)) = &self.column {
            write!(out, ":{number}: column {number} ({name})")?;
        }
        write!(out, ": found {}, expected {}", self.found, self.expected)
    }
}

/// A field's value for a message: quoted, control characters escaped, and not longer than a line of a terminal.
pub(crate) fn shown(value: &[u8]) -> String {
    const LONGEST: usize = 60;
    let text = String::from_utf8_lossy(value);
    let mut cut: String = text.chars().take(LONGEST).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}
