//! Why a file is not taken, in words that tell what to do.

use std::path::{Path, PathBuf};

use super::find::HEADERS;
use super::layout;
use super::progress::Meter;
use super::psv::Reader;

/// Endings of files of other formats that hold such data, and what to do with them.
const FORMATS: &[(&str, &str)] = &[
    (".gpkg", "a GeoPackage is not read; ogr2ogr writes its layers as GeoJSON, see docs/data.md"),
    (".shp", "a Shapefile is not read; ogr2ogr writes it as GeoJSON, see docs/data.md"),
    (".gdb", "a geodatabase is not read; ogr2ogr writes its layers as GeoJSON, see docs/data.md"),
    (".tab", "a MapInfo table is not read; ogr2ogr writes it as GeoJSON, see docs/data.md"),
    (".mif", "a MapInfo table is not read; ogr2ogr writes it as GeoJSON, see docs/data.md"),
    (".kml", "KML is not read; ogr2ogr writes it as GeoJSON, see docs/data.md"),
    (".kmz", "KML is not read; ogr2ogr writes it as GeoJSON, see docs/data.md"),
    (".fgb", "FlatGeobuf is not read; ogr2ogr writes it as GeoJSON, see docs/data.md"),
    (".geojsonl", "one GeoJSON feature per line is not read; ogr2ogr -f GeoJSON writes a feature collection"),
    (".geojsons", "one GeoJSON feature per line is not read; ogr2ogr -f GeoJSON writes a feature collection"),
    (".topojson", "TopoJSON is not read; convert it to GeoJSON"),
    (".zip", "archives are not read; unpack it, or let ogr2ogr read a zipped Shapefile, see docs/data.md"),
    (".7z", "archives are not read; unpack it"),
    (".tar", "archives are not read; unpack it"),
    (".tgz", "archives are not read; unpack it"),
    (".parquet", "Parquet is not read; write it as pipe-separated text (.psv)"),
    (".xlsx", "spreadsheets are not read; write it as pipe-separated text (.psv)"),
    (".xls", "spreadsheets are not read; write it as pipe-separated text (.psv)"),
];
/// Endings of text that may hold a table.
const TABLES: &[&str] = &[".csv", ".tsv", ".txt", ".dat"];

/// Why a file whose name begins like no table of ours is not taken; `lower` is its name in lower case, without `.gz`.
pub(super) fn reason(path: &Path, lower: &str) -> String {
    if let Some((_, reason)) = FORMATS.iter().find(|(ending, _)| lower.ends_with(ending)) {
        return (*reason).to_owned();
    }
    let plain = "its name says nothing that is known".to_owned();
    if !TABLES.iter().any(|ending| lower.ends_with(ending)) {
        return plain;
    }
    let Ok(reader) = Reader::open(path, Meter::silent()) else { return plain };
    let Some(line) = reader.header().first() else { return plain };
    if reader.header().len() > 1 {
        let known = header(reader.header());
        return format!("it is pipe-separated but isn't named .psv; besides, {known}");
    }
    for (separator, name) in [(',', "comma"), ('\t', "tab"), (';', "semicolon")] {
        let columns: Vec<String> = line.split(separator).map(|name| name.trim_matches('"').to_owned()).collect();
        if columns.len() > 1 && likeness(&columns).is_some() {
            return format!("its columns are separated by {name}s; only pipe-separated files (.psv) are read");
        }
    }
    plain
}

/// Why a file with this header row is not taken.
pub(super) fn header(columns: &[String]) -> String {
    if let Some(what) = likeness(columns) {
        return what;
    }
    let found: String = columns.join(", ").chars().take(300).collect();
    format!("its header row is that of no file that is known: {found}")
}

/// What a header row comes nearest to, where it comes near anything.
fn likeness(columns: &[String]) -> Option<String> {
    let has = |name: &str| columns.iter().any(|column| column.eq_ignore_ascii_case(name));
    let table = layout::standard().find(|layout| layout.columns.iter().all(|column| has(column.name)));
    if let Some(layout) = table {
        return Some(format!(
            "it has the columns of {0}, but a release names that file <STATE>_{0}_psv.psv",
            layout.table
        ));
    }
    let lacking = |names: &[&'static str]| names.iter().filter(|name| !has(name)).copied().collect::<Vec<_>>();
    let nearest = HEADERS.iter().filter(|(_, _, names)| lacking(names).len() * 2 <= names.len());
    let (_, what, names) = nearest.min_by_key(|(_, _, names)| lacking(names).len())?;
    Some(match lacking(names).as_slice() {
        [] => format!("it looks like {what}, but for the case of its column names, which are upper case"),
        lacking => format!("it looks like {what}, but lacks the column {}", lacking.join(", ")),
    })
}

/// Reasons for an error message, where there are any: the first three.
pub(super) fn listed(unknown: &[(PathBuf, String)]) -> String {
    let each = unknown.iter().take(3).map(|(path, reason)| format!("; {}: {reason}", path.display()));
    each.collect::<String>() + if unknown.len() > 3 { "; ..." } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("ADDRESS_LABEL|LOCALITY_NAME|STATE|LONGITUDE", "looks like flat addresses, but lacks the column LATITUDE")]
    #[case("address_label|locality_name|state|longitude|latitude", "looks like flat addresses, but for the case")]
    #[case("MB21_CODE|MB_CAT", "looks like mesh blocks, but lacks the column SA1_21CODE")]
    #[case("COLOUR|TASTE", "that of no file that is known: COLOUR, TASTE")]
    #[case(
        "LOCALITY_NEIGHBOUR_PID|DATE_CREATED|DATE_RETIRED|LOCALITY_PID|NEIGHBOUR_LOCALITY_PID",
        "<STATE>_LOCALITY_NEIGHBOUR_psv.psv"
    )]
    fn a_header_row_that_is_nearly_known_says_what_it_lacks(#[case] columns: &str, #[case] wanted: &str) {
        let columns: Vec<String> = columns.split('|').map(str::to_owned).collect();
        let reason = header(&columns);
        assert!(reason.contains(wanted), "{reason}");
    }

    #[rstest::rstest]
    #[case("sa2.gpkg", "", "GeoPackage")]
    #[case("SA2_2021_AUST.zip", "", "archives")]
    #[case("core.csv", "ADDRESS_LABEL,LOCALITY_NAME,STATE,LONGITUDE,LATITUDE\n", "separated by commas")]
    #[case("core.txt", "ADDRESS_LABEL|LOCALITY_NAME|STATE|LONGITUDE|LATITUDE\n", "isn't named .psv")]
    #[case("notes.txt", "Dear reader, this is prose\n", "says nothing")]
    #[case("README.md", "# Data\n", "says nothing")]
    fn a_file_that_looks_like_data_says_why_it_is_not_taken(
        #[case] name: &str,
        #[case] text: &str,
        #[case] wanted: &str,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let reason = reason(&path, &name.to_ascii_lowercase());
        assert!(reason.contains(wanted), "{reason}");
    }
}
