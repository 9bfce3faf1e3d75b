//! The official G-NAF files that are read: their columns in the published order, with type and NOT NULL, as in the release's
//! own table scripts; and what of each row goes into which staging table.

mod addresses;
mod file;
mod lookups;
mod places;

pub(crate) use self::file::{CONFIDENCE_COLUMN, Layout, Out, RETIRED_COLUMN};
use self::file::{Out::Field, must, text};
pub(crate) use self::lookups::{ADDRESS_TAGS, MESH_BLOCKS};

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
