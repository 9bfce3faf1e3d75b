//! The official G-NAF files that are read: their columns in the published order, with type and NOT NULL, as in the release's
//! own table scripts; and what of each row goes into which staging table.

mod addresses;
mod lookups;
mod places;

pub(crate) use self::lookups::{ADDRESS_TAGS, MESH_BLOCKS};
use super::kind::Kind;

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

const fn text(name: &'static str, most: usize) -> Column {
    Column { name, kind: Kind::Text(most), required: false }
}
const fn whole(name: &'static str, digits: usize) -> Column {
    Column { name, kind: Kind::Whole(digits), required: false }
}
const fn degrees(name: &'static str) -> Column {
    Column { name, kind: Kind::Degrees, required: false }
}
const fn date(name: &'static str) -> Column {
    Column { name, kind: Kind::Date, required: false }
}
const fn must(column: Column) -> Column {
    Column { required: true, ..column }
}
const CREATED: Column = must(date("DATE_CREATED"));
/// Set: the row is history. Such rows are skipped and counted.
pub(crate) const RETIRED_COLUMN: &str = "DATE_RETIRED";
const RETIRED: Column = date(RETIRED_COLUMN);
const LONGITUDE: Column = degrees("LONGITUDE");
const LATITUDE: Column = degrees("LATITUDE");
use Out::Field;

/// `Authority Code/Authority_Code_<TABLE>_AUT_psv.psv`, all of one shape; code lengths differ, 15 is the longest but one.
pub(crate) const AUTHORITY: Layout = Layout {
    table: "_AUT",
    columns: &[must(text("CODE", 50)), must(text("NAME", 100)), text("DESCRIPTION", 500)],
    into: "raw_code",
    out: &[Field("CODE"), Field("NAME"), Field("DESCRIPTION")],
    required: false,
};

/// `Standard/<ST>_<TABLE>_psv.psv`, in the order in which they are read: parents before what hangs on them.
pub(crate) fn standard() -> impl Iterator<Item = &'static Layout> {
    places::LAYOUTS.iter().chain(addresses::LAYOUTS)
}

/// -1 means that no contributor currently knows the address; such rows are skipped and counted.
pub(crate) const CONFIDENCE_COLUMN: &str = "CONFIDENCE";

/// Tables of a release that the service has no use for; their presence is normal.
pub(crate) const UNREAD: &[&str] = &[
    "STATE",
    "ADDRESS_SITE",
    "ADDRESS_FEATURE",
    "MB_2011",
    "MB_2016",
    "ADDRESS_MESH_BLOCK_2011",
    "ADDRESS_MESH_BLOCK_2016",
];
