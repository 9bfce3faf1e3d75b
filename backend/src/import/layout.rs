//! The official G-NAF files that are read: their columns in the published order, with type and NOT NULL, as in the release's
//! own table scripts; and what of each row goes into which staging table.

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
use Out::{Field, Joined};

/// `Authority Code/Authority_Code_<TABLE>_AUT_psv.psv`, all of one shape; code lengths differ, 15 is the longest but one.
pub(crate) const AUTHORITY: Layout = Layout {
    table: "_AUT",
    columns: &[must(text("CODE", 50)), must(text("NAME", 100)), text("DESCRIPTION", 500)],
    into: "raw_code",
    out: &[Field("CODE"), Field("NAME"), Field("DESCRIPTION")],
    required: false,
};

/// `Standard/<ST>_<TABLE>_psv.psv`, in the order in which they are read.
pub(crate) const STANDARD: &[Layout] = &[
    Layout {
        table: "LOCALITY",
        columns: &[
            must(text("LOCALITY_PID", 15)),
            CREATED,
            RETIRED,
            must(text("LOCALITY_NAME", 100)),
            text("PRIMARY_POSTCODE", 4),
            must(text("LOCALITY_CLASS_CODE", 1)),
            must(text("STATE_PID", 15)),
            text("GNAF_LOCALITY_PID", 15),
            must(whole("GNAF_RELIABILITY_CODE", 1)),
        ],
        into: "raw_locality",
        out: &[Field("LOCALITY_PID"), Field("LOCALITY_NAME"), Field("LOCALITY_CLASS_CODE")],
        required: true,
    },
    Layout {
        table: "LOCALITY_POINT",
        columns: &[
            must(text("LOCALITY_POINT_PID", 15)),
            CREATED,
            RETIRED,
            must(text("LOCALITY_PID", 15)),
            whole("PLANIMETRIC_ACCURACY", 12),
            LONGITUDE,
            LATITUDE,
        ],
        into: "raw_locality_point",
        out: &[Field("LOCALITY_POINT_PID"), Field("LOCALITY_PID"), Field("LONGITUDE"), Field("LATITUDE")],
        required: false,
    },
    Layout {
        table: "LOCALITY_ALIAS",
        columns: &[
            must(text("LOCALITY_ALIAS_PID", 15)),
            CREATED,
            RETIRED,
            must(text("LOCALITY_PID", 15)),
            must(text("NAME", 100)),
            text("POSTCODE", 4),
            must(text("ALIAS_TYPE_CODE", 10)),
            must(text("STATE_PID", 15)),
        ],
        into: "raw_locality_alias",
        out: &[Field("LOCALITY_ALIAS_PID"), Field("LOCALITY_PID"), Field("NAME"), Field("ALIAS_TYPE_CODE")],
        required: false,
    },
    Layout {
        table: "LOCALITY_NEIGHBOUR",
        columns: &[
            must(text("LOCALITY_NEIGHBOUR_PID", 15)),
            CREATED,
            RETIRED,
            must(text("LOCALITY_PID", 15)),
            must(text("NEIGHBOUR_LOCALITY_PID", 15)),
        ],
        into: "raw_locality_neighbour",
        out: &[Field("LOCALITY_PID"), Field("NEIGHBOUR_LOCALITY_PID")],
        required: false,
    },
    Layout {
        table: "STREET_LOCALITY",
        columns: &[
            must(text("STREET_LOCALITY_PID", 15)),
            CREATED,
            RETIRED,
            must(text("STREET_CLASS_CODE", 1)),
            must(text("STREET_NAME", 100)),
            text("STREET_TYPE_CODE", 15),
            text("STREET_SUFFIX_CODE", 15),
            must(text("LOCALITY_PID", 15)),
            text("GNAF_STREET_PID", 15),
            whole("GNAF_STREET_CONFIDENCE", 1),
            must(whole("GNAF_RELIABILITY_CODE", 1)),
        ],
        into: "raw_street",
        out: &[
            Field("STREET_LOCALITY_PID"),
            Field("LOCALITY_PID"),
            Field("STREET_NAME"),
            Field("STREET_TYPE_CODE"),
            Field("STREET_SUFFIX_CODE"),
            Field("STREET_CLASS_CODE"),
        ],
        required: true,
    },
    Layout {
        table: "STREET_LOCALITY_POINT",
        columns: &[
            must(text("STREET_LOCALITY_POINT_PID", 15)),
            CREATED,
            RETIRED,
            must(text("STREET_LOCALITY_PID", 15)),
            whole("BOUNDARY_EXTENT", 7),
            whole("PLANIMETRIC_ACCURACY", 12),
            LONGITUDE,
            LATITUDE,
        ],
        into: "raw_street_point",
        out: &[Field("STREET_LOCALITY_POINT_PID"), Field("STREET_LOCALITY_PID"), Field("LONGITUDE"), Field("LATITUDE")],
        required: false,
    },
    Layout {
        table: "STREET_LOCALITY_ALIAS",
        columns: &[
            must(text("STREET_LOCALITY_ALIAS_PID", 15)),
            CREATED,
            RETIRED,
            must(text("STREET_LOCALITY_PID", 15)),
            must(text("STREET_NAME", 100)),
            text("STREET_TYPE_CODE", 15),
            text("STREET_SUFFIX_CODE", 15),
            must(text("ALIAS_TYPE_CODE", 10)),
        ],
        into: "raw_street_alias",
        out: &[
            Field("STREET_LOCALITY_ALIAS_PID"),
            Field("STREET_LOCALITY_PID"),
            Field("STREET_NAME"),
            Field("STREET_TYPE_CODE"),
            Field("STREET_SUFFIX_CODE"),
            Field("ALIAS_TYPE_CODE"),
        ],
        required: false,
    },
    Layout {
        table: "ADDRESS_DETAIL",
        columns: &[
            must(text("ADDRESS_DETAIL_PID", 15)),
            CREATED,
            date("DATE_LAST_MODIFIED"),
            RETIRED,
            text("BUILDING_NAME", 100),
            text("LOT_NUMBER_PREFIX", 2),
            text("LOT_NUMBER", 5),
            text("LOT_NUMBER_SUFFIX", 2),
            text("FLAT_TYPE_CODE", 7),
            text("FLAT_NUMBER_PREFIX", 2),
            whole("FLAT_NUMBER", 5),
            text("FLAT_NUMBER_SUFFIX", 2),
            text("LEVEL_TYPE_CODE", 4),
            text("LEVEL_NUMBER_PREFIX", 2),
            whole("LEVEL_NUMBER", 3),
            text("LEVEL_NUMBER_SUFFIX", 2),
            text("NUMBER_FIRST_PREFIX", 3),
            whole("NUMBER_FIRST", 6),
            text("NUMBER_FIRST_SUFFIX", 2),
            text("NUMBER_LAST_PREFIX", 3),
            whole("NUMBER_LAST", 6),
            text("NUMBER_LAST_SUFFIX", 2),
            text("STREET_LOCALITY_PID", 15),
            text("LOCATION_DESCRIPTION", 45),
            must(text("LOCALITY_PID", 15)),
            text("ALIAS_PRINCIPAL", 1),
            text("POSTCODE", 4),
            text("PRIVATE_STREET", 75),
            text("LEGAL_PARCEL_ID", 20),
            whole(CONFIDENCE_COLUMN, 1),
            must(text("ADDRESS_SITE_PID", 15)),
            must(whole("LEVEL_GEOCODED_CODE", 2)),
            text("PROPERTY_PID", 15),
            text("GNAF_PROPERTY_PID", 15),
            text("PRIMARY_SECONDARY", 1),
        ],
        into: "raw_address",
        out: &[
            Field("ADDRESS_DETAIL_PID"),
            Field("BUILDING_NAME"),
            Joined(["LOT_NUMBER_PREFIX", "LOT_NUMBER", "LOT_NUMBER_SUFFIX"]),
            Field("FLAT_TYPE_CODE"),
            Joined(["FLAT_NUMBER_PREFIX", "FLAT_NUMBER", "FLAT_NUMBER_SUFFIX"]),
            Field("LEVEL_TYPE_CODE"),
            Joined(["LEVEL_NUMBER_PREFIX", "LEVEL_NUMBER", "LEVEL_NUMBER_SUFFIX"]),
            Joined(["NUMBER_FIRST_PREFIX", "NUMBER_FIRST", "NUMBER_FIRST_SUFFIX"]),
            Joined(["NUMBER_LAST_PREFIX", "NUMBER_LAST", "NUMBER_LAST_SUFFIX"]),
            Field("STREET_LOCALITY_PID"),
            Field("LOCALITY_PID"),
            Field("POSTCODE"),
            Field("PRIVATE_STREET"),
            Field("LOCATION_DESCRIPTION"),
            Field("LEGAL_PARCEL_ID"),
            Field(CONFIDENCE_COLUMN),
            Field("ALIAS_PRINCIPAL"),
            Field("PRIMARY_SECONDARY"),
            Field("ADDRESS_SITE_PID"),
        ],
        required: true,
    },
    Layout {
        table: "ADDRESS_DEFAULT_GEOCODE",
        columns: &[
            must(text("ADDRESS_DEFAULT_GEOCODE_PID", 15)),
            CREATED,
            RETIRED,
            must(text("ADDRESS_DETAIL_PID", 15)),
            must(text("GEOCODE_TYPE_CODE", 4)),
            LONGITUDE,
            LATITUDE,
        ],
        into: "raw_geocode",
        out: &[
            Field("ADDRESS_DEFAULT_GEOCODE_PID"),
            Field("ADDRESS_DETAIL_PID"),
            Field("GEOCODE_TYPE_CODE"),
            Field("LONGITUDE"),
            Field("LATITUDE"),
        ],
        required: true,
    },
    Layout {
        table: "ADDRESS_SITE_GEOCODE",
        columns: &[
            must(text("ADDRESS_SITE_GEOCODE_PID", 15)),
            CREATED,
            RETIRED,
            text("ADDRESS_SITE_PID", 15),
            text("GEOCODE_SITE_NAME", 46),
            text("GEOCODE_SITE_DESCRIPTION", 45),
            text("GEOCODE_TYPE_CODE", 4),
            must(whole("RELIABILITY_CODE", 1)),
            whole("BOUNDARY_EXTENT", 7),
            whole("PLANIMETRIC_ACCURACY", 12),
            whole("ELEVATION", 7),
            LONGITUDE,
            LATITUDE,
        ],
        into: "raw_site_geocode",
        out: &[Field("ADDRESS_SITE_PID"), Field("GEOCODE_TYPE_CODE"), Field("RELIABILITY_CODE")],
        required: false,
    },
    Layout {
        table: "MB_2021",
        columns: &[must(text("MB_2021_PID", 15)), CREATED, RETIRED, must(text("MB_2021_CODE", 15))],
        into: "raw_mesh_block",
        out: &[Field("MB_2021_PID"), Field("MB_2021_CODE")],
        required: false,
    },
    Layout {
        table: "ADDRESS_MESH_BLOCK_2021",
        columns: &[
            must(text("ADDRESS_MESH_BLOCK_2021_PID", 15)),
            CREATED,
            RETIRED,
            must(text("ADDRESS_DETAIL_PID", 15)),
            must(text("MB_MATCH_CODE", 15)),
            must(text("MB_2021_PID", 15)),
        ],
        into: "raw_address_mesh_block",
        out: &[Field("ADDRESS_MESH_BLOCK_2021_PID"), Field("ADDRESS_DETAIL_PID"), Field("MB_2021_PID")],
        required: false,
    },
    Layout {
        table: "ADDRESS_ALIAS",
        columns: &[
            must(text("ADDRESS_ALIAS_PID", 15)),
            CREATED,
            RETIRED,
            must(text("PRINCIPAL_PID", 15)),
            must(text("ALIAS_PID", 15)),
            must(text("ALIAS_TYPE_CODE", 10)),
            text("ALIAS_COMMENT", 200),
        ],
        into: "raw_address_alias",
        out: &[Field("PRINCIPAL_PID"), Field("ALIAS_PID"), Field("ALIAS_TYPE_CODE")],
        required: false,
    },
    Layout {
        table: "PRIMARY_SECONDARY",
        columns: &[
            must(text("PRIMARY_SECONDARY_PID", 15)),
            must(text("PRIMARY_PID", 15)),
            must(text("SECONDARY_PID", 15)),
            CREATED,
            RETIRED,
            must(whole("PS_JOIN_TYPE_CODE", 2)),
            text("PS_JOIN_COMMENT", 500),
        ],
        into: "raw_secondary",
        out: &[Field("PRIMARY_PID"), Field("SECONDARY_PID")],
        required: false,
    },
];

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

/// Mesh blocks 2021 with the areas above them, as the denormalised tables of a G-NAF loader have them.
pub(crate) const MESH_BLOCKS: Layout = Layout {
    table: "MB_LOOKUP",
    columns: &[
        must(text("MB21_CODE", 15)),
        text("MB_CAT", 50),
        must(text("SA1_21CODE", 11)),
        must(text("SA2_21CODE", 9)),
        must(text("SA2_21NAME", 100)),
        must(text("SA3_21CODE", 5)),
        must(text("SA3_21NAME", 100)),
        must(text("SA4_21CODE", 3)),
        must(text("SA4_21NAME", 100)),
        must(text("GCC_21CODE", 5)),
        must(text("GCC_21NAME", 100)),
        must(text("STATE", 3)),
    ],
    into: "raw_mesh_block_area",
    out: &[
        Field("MB21_CODE"),
        Field("MB_CAT"),
        Field("SA1_21CODE"),
        Field("SA2_21CODE"),
        Field("SA2_21NAME"),
        Field("SA3_21CODE"),
        Field("SA3_21NAME"),
        Field("SA4_21CODE"),
        Field("SA4_21NAME"),
        Field("GCC_21CODE"),
        Field("GCC_21NAME"),
        Field("STATE"),
    ],
    required: false,
};

/// Council, ward and electorates per address, in the same family of tables.
pub(crate) const ADDRESS_TAGS: Layout = Layout {
    table: "ADDRESS_BOUNDARY_TAGS",
    columns: &[
        must(text("ADDRESS_DETAIL_PID", 15)),
        text("LGA_NAME", 100),
        text("LGA_PID", 15),
        text("WARD_NAME", 100),
        text("STATE_ELECTORATE", 100),
        text("COMMONWEALTH_ELECTORATE", 100),
        text("MB_2021_CODE", 15),
        text("MB_CATEGORY", 50),
        text("SA1_2021_CODE", 11),
        text("SA2_2021_CODE", 9),
        text("SA2_2021_NAME", 100),
        text("SA3_2021_CODE", 5),
        text("SA3_2021_NAME", 100),
        text("SA4_2021_CODE", 3),
        text("SA4_2021_NAME", 100),
        text("GCCSA_2021_CODE", 5),
        text("GCCSA_2021_NAME", 100),
    ],
    into: "raw_address_area",
    out: &[
        Field("ADDRESS_DETAIL_PID"),
        Field("LGA_NAME"),
        Field("WARD_NAME"),
        Field("STATE_ELECTORATE"),
        Field("COMMONWEALTH_ELECTORATE"),
    ],
    required: false,
};
