//! One file of a release, and the columns that several have.

use crate::import::kind::Kind;

/// One column of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

/// A value that goes to the staging table, in that table's column order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Out {
    /// The field as it is.
    Field(&'static str),
    /// Prefix, number and suffix joined without spaces, as an address displays them.
    Joined([&'static str; 3]),
}

/// One file of a release.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Table name as in the file's name.
    pub(crate) table: &'static str,
    pub(crate) columns: &'static [Column],
    /// Staging table.
    pub(crate) into: &'static str,
    pub(crate) out: &'static [Out],
    /// Whether a release without this file is not one.
    pub(crate) required: bool,
}

impl Layout {
    /// Whether rows of other files hang on these. Skipped rows of such a file are staged too, so that what hangs on them is
    /// counted as skipped and not as an error.
    pub(crate) fn is_parent(&self) -> bool {
        matches!(self.into, "raw_locality" | "raw_street" | "raw_address")
    }
}

pub(super) const fn text(name: &'static str, most: usize) -> Column {
    Column { name, kind: Kind::Text(most), required: false }
}
pub(super) const fn whole(name: &'static str, digits: usize) -> Column {
    Column { name, kind: Kind::Whole(digits), required: false }
}
pub(super) const fn degrees(name: &'static str) -> Column {
    Column { name, kind: Kind::Degrees, required: false }
}
pub(super) const fn date(name: &'static str) -> Column {
    Column { name, kind: Kind::Date, required: false }
}
pub(super) const fn must(column: Column) -> Column {
    Column { required: true, ..column }
}
pub(super) const CREATED: Column = must(date("DATE_CREATED"));
/// Set: the row is history. Such rows are skipped and counted.
pub(crate) const RETIRED_COLUMN: &str = "DATE_RETIRED";
pub(super) const RETIRED: Column = date(RETIRED_COLUMN);
pub(super) const LONGITUDE: Column = degrees("LONGITUDE");
pub(super) const LATITUDE: Column = degrees("LATITUDE");

/// -1 means that no contributor currently knows the address; such rows are skipped and counted.
pub(crate) const CONFIDENCE_COLUMN: &str = "CONFIDENCE";
