//! Look-up tables that come beside a release.

use super::file::Out::Field;
use super::file::{Layout, must, text};

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
