//! Flat address files with the column names of G-NAF CORE, any subset in any order, plus the statistical areas that some
//! files add. Localities and streets are named in each row, so they get identifiers made from their names.

use std::collections::HashMap;
use std::path::Path;

use super::codes::Codes;
use super::copy::Rows;
use super::feed::{Tally, check_field};
use super::find::STATES;
use super::kind::Kind;
use super::malformed::{Malformed, shown};
use super::pid;
use super::progress::Meter;
use super::psv::Reader;

/// Lengths are ours where the product doesn't publish any: generous, but bounded.
const COLUMNS: &[(&str, Kind)] = &[
    ("ADDRESS_DETAIL_PID", Kind::Text(15)),
    ("DATE_CREATED", Kind::Date),
    ("ADDRESS_LABEL", Kind::Text(400)),
    ("ADDRESS_SITE_NAME", Kind::Text(100)),
    ("BUILDING_NAME", Kind::Text(100)),
    ("FLAT_TYPE", Kind::Text(50)),
    ("FLAT_NUMBER", Kind::Text(10)),
    ("LEVEL_TYPE", Kind::Text(50)),
    ("LEVEL_NUMBER", Kind::Text(10)),
    ("NUMBER_FIRST", Kind::Text(11)),
    ("NUMBER_LAST", Kind::Text(11)),
    ("LOT_NUMBER", Kind::Text(11)),
    ("STREET_NAME", Kind::Text(100)),
    ("STREET_TYPE", Kind::Text(15)),
    ("STREET_SUFFIX", Kind::Text(15)),
    ("LOCALITY_NAME", Kind::Text(100)),
    ("STATE", Kind::Text(3)),
    ("POSTCODE", Kind::Text(4)),
    ("LEGAL_PARCEL_ID", Kind::Text(20)),
    ("MB_CODE", Kind::Text(15)),
    ("ALIAS_PRINCIPAL", Kind::Text(9)),
    ("PRINCIPAL_PID", Kind::Text(15)),
    ("PRIMARY_SECONDARY", Kind::Text(9)),
    ("PRIMARY_PID", Kind::Text(15)),
    ("GEOCODE_TYPE", Kind::Text(50)),
    ("LONGITUDE", Kind::Degrees),
    ("LATITUDE", Kind::Degrees),
    ("MB_2021_CODE", Kind::Text(15)),
    ("SA1_2021_CODE", Kind::Text(11)),
    ("SA2_2021_CODE", Kind::Text(9)),
    ("SA2_2021_NAME", Kind::Text(100)),
];
const REPORT_EVERY: u64 = 4096;
/// What data frames write for a coordinate they don't have.
const NOT_A_NUMBER: &str = "NAN";

/// Streams the rows of a flat file into `raw_flat`.
///
/// # Errors
/// [`Malformed`] for a column that isn't known or a field that doesn't fit.
pub(crate) fn feed(path: &Path, source: &str, meter: &Meter, rows: &mut Rows) -> anyhow::Result<Tally> {
    let mut reader = Reader::open(path, meter.clone())?;
    let columns = columns(&reader)?;
    let kinds: Vec<Kind> = reader.header().iter().filter_map(|name| kind(name)).collect();
    let codes = Codes::built_in();
    let mut tally = Tally::default();
    while reader.next()? {
        tally.rows += 1;
        if tally.rows.is_multiple_of(REPORT_EVERY) {
            meter.rows(tally.rows);
        }
        for (index, kind) in kinds.iter().enumerate() {
            if !(*kind == Kind::Degrees && reader.field(index).eq_ignore_ascii_case(NOT_A_NUMBER)) {
                check_field(&reader, index, *kind, false)?;
            }
        }
        row(&Row { reader: &reader, columns: &columns }, source, &codes, rows);
        rows.end()?;
    }
    meter.done();
    Ok(tally)
}

fn kind(name: &str) -> Option<Kind> {
    COLUMNS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
}

/// Where each known column is in this file.
fn columns(reader: &Reader) -> Result<HashMap<&'static str, usize>, Malformed> {
    let mut places = HashMap::new();
    for (index, name) in reader.header().iter().enumerate() {
        let fault = |expected| Malformed::field(reader.path(), 1, index, name, shown(name.as_bytes()), expected);
        let Some((known, _)) = COLUMNS.iter().find(|(known, _)| known == name) else {
            return Err(fault("a column of G-NAF CORE"));
        };
        if places.insert(*known, index).is_some() {
            return Err(fault("each column once"));
        }
    }
    Ok(places)
}

struct Row<'a> {
    reader: &'a Reader,
    columns: &'a HashMap<&'static str, usize>,
}

impl Row<'_> {
    /// A field in upper case without blanks around it; empty where the file has no such column.
    fn get(&self, name: &str) -> String {
        self.columns.get(name).map(|index| self.reader.field(*index).trim().to_uppercase()).unwrap_or_default()
    }
}

/// Column order is that of `raw_flat` in sql/import/staging.sql.
fn row(row: &Row<'_>, source: &str, codes: &Codes, rows: &mut Rows) {
    let mut problem = "";
    let mut code = |kind, column, unknown| {
        let word = row.get(column);
        if word.is_empty() {
            return word;
        }
        codes.code(kind, &word).map(str::to_owned).unwrap_or_else(|| {
            problem = unknown;
            word
        })
    };
    let flat_type = code("flat_type", "FLAT_TYPE", "unknown flat type");
    let level_type = code("level_type", "LEVEL_TYPE", "unknown level type");
    let street_type = code("street_type", "STREET_TYPE", "unknown street type");
    let street_suffix = code("street_suffix", "STREET_SUFFIX", "unknown street suffix");
    let geocode_type = code("geocode_type", "GEOCODE_TYPE", "unknown geocode type");
    let (label, state, locality, street) =
        (row.get("ADDRESS_LABEL"), row.get("STATE"), row.get("LOCALITY_NAME"), row.get("STREET_NAME"));
    let mut pid = row.get("ADDRESS_DETAIL_PID");
    if !STATES.contains(&state.as_str()) {
        problem = "unknown state";
    } else if locality.is_empty() {
        problem = "no locality";
    } else if pid.is_empty() && label.is_empty() {
        problem = "neither an identifier nor a label";
    }
    if pid.is_empty() {
        pid = pid::address(&state, &label);
    }
    let locality_pid = pid::locality(source, &state, &locality);
    let street_pid = match street.as_str() {
        "" => String::new(),
        name => pid::street(&locality_pid, name, &street_type, &street_suffix),
    };
    let mesh_block = match row.get("MB_2021_CODE") {
        code if code.is_empty() => row.get("MB_CODE"),
        code => code,
    };
    rows.text(source);
    rows.number(row.reader.line());
    rows.text(problem);
    rows.text(&pid);
    rows.text(&label);
    for name in ["BUILDING_NAME", "LOT_NUMBER"] {
        rows.text(&row.get(name));
    }
    rows.text(&flat_type);
    rows.text(&row.get("FLAT_NUMBER"));
    rows.text(&level_type);
    for name in ["LEVEL_NUMBER", "NUMBER_FIRST", "NUMBER_LAST"] {
        rows.text(&row.get(name));
    }
    rows.text(&locality_pid);
    rows.text(&locality);
    rows.text(&state);
    rows.text(&street_pid);
    rows.text(&street);
    rows.text(&street_type);
    rows.text(&street_suffix);
    for name in ["POSTCODE", "LEGAL_PARCEL_ID"] {
        rows.text(&row.get(name));
    }
    rows.truth(row.get("ALIAS_PRINCIPAL").starts_with('A'));
    rows.text(&row.get("PRINCIPAL_PID"));
    rows.text(row.get("PRIMARY_SECONDARY").get(..1).unwrap_or_default());
    rows.text(&row.get("PRIMARY_PID"));
    rows.text(&geocode_type);
    for name in ["LONGITUDE", "LATITUDE"] {
        rows.text(Some(row.get(name)).filter(|degrees| degrees != NOT_A_NUMBER).as_deref().unwrap_or_default());
    }
    rows.text(&mesh_block);
    for name in ["SA1_2021_CODE", "SA2_2021_CODE"] {
        rows.text(&row.get(name));
    }
    // Area names are published in mixed case and kept so.
    let sa2_name = row.columns.get("SA2_2021_NAME").map_or("", |index| row.reader.field(*index));
    rows.text(sa2_name);
}
