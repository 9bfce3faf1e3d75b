//! Flat files: identifiers, words for codes, datums.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::database::{Database, numbers};

fn file(text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("GNAF_CORE.psv");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

const HEADER: &str = "ADDRESS_LABEL|FLAT_TYPE|FLAT_NUMBER|NUMBER_FIRST|STREET_NAME|STREET_TYPE|LOCALITY_NAME|STATE|POSTCODE|LONGITUDE|LATITUDE";

#[test]
fn rows_without_identifiers_get_stable_ones_that_are_not_like_real_ones() {
    let database = Database::new();
    let row = "SUITE 2, 1A HIGH STREET, HORSHAM VIC 3400|SUITE|2|1A|HIGH|STREET|HORSHAM|VIC|3400|142.2|-36.7";
    let (_folder, path) = file(&format!("{HEADER}\n{row}\n"));
    database.import(&path).success();
    let first = database.one("SELECT pid || ' ' || flat_type || ' ' || number_first FROM address");
    assert!(first.starts_with("GXVIC") && first.ends_with(" SE 1A") && first.len() == 15 + 6, "{first}");
    // Another row before it, other columns: the same identifier.
    let (_folder, path) = file(&format!(
        "{HEADER}\n3 HIGH STREET, HORSHAM VIC 3400|||3|HIGH|STREET|HORSHAM|VIC|3400|142.2|-36.7\n{row}\n"
    ));
    let output = database.import(&path).success();
    assert_eq!(numbers(&output, "address"), [2, 0, 0, 1, 0, 0], "{output}");
    assert_eq!(database.one("SELECT count(*) FROM locality"), "1");
    assert_eq!(database.one("SELECT addresses FROM street_name"), "2");
}

#[test]
fn what_a_row_lacks_is_counted() {
    let database = Database::new();
    let good = "1 HIGH STREET, HORSHAM VIC 3400|||1|HIGH|STREET|HORSHAM|VIC|3400|142.2|-36.7";
    let (_folder, path) = file(&format!(
        "{HEADER}\n{good}\n{good}\n\
         2 X|PALACE|1|2|HIGH|STREET|HORSHAM|VIC|3400|142.2|-36.7\n\
         3 X|||3|HIGH|STREET|HORSHAM|XYZ|3400|142.2|-36.7\n\
         4 X|||4|HIGH|STREET|HORSHAM|VIC|3400||\n\
         5 X|||5|HIGH|STREET|HORSHAM|VIC|3400|2.3|48.8\n\
         |||6|HIGH|STREET|HORSHAM|VIC|3400|142.2|-36.7\n\
         7 X|||7|HIGH|STREET||VIC|3400|142.2|-36.7\n"
    ));
    let output = database.import(&path).success();
    assert_eq!(numbers(&output, "address"), [8, 0, 7, 1, 0, 0], "{output}");
    let counted: serde_json::Value = serde_json::from_str(&database.one("SELECT rejected FROM dataset")).unwrap();
    let wanted = serde_json::json!({
        "given twice": 1, "unknown flat type": 1, "unknown state": 1, "no coordinates": 1, "outside of Australia": 1,
        "neither an identifier nor a label": 1, "no locality": 1,
    });
    assert_eq!(counted, wanted);
}

#[test]
fn an_unknown_column_is_named() {
    let database = Database::new();
    let (_folder, path) = file(&format!("{HEADER}|COLOUR\n"));
    let error = database.import(&path).failure();
    assert!(
        error.ends_with("GNAF_CORE.psv:1:12: column 12 (COLOUR): found \"COLOUR\", expected a column of G-NAF CORE"),
        "{error}"
    );
}

#[test]
fn gda94_is_moved_to_gda2020() {
    let row = "1 HIGH STREET, HORSHAM VIC 3400|||1|HIGH|STREET|HORSHAM|VIC|3400|142.2|-36.7";
    let (_folder, path) = file(&format!("{HEADER}\n{row}\n"));
    let metres = |datum: &str| {
        let database = Database::new();
        database.run(&["import", "--datum", datum, "--release", "August 2024", path.to_str().unwrap()]).success();
        assert_eq!(database.one("SELECT release || ' ' || release_date FROM dataset"), "August 2024 2024-08-01");
        let distance = "SELECT ST_Distance(point, ST_Point(142.2, -36.7, 7844)::geography) FROM address";
        database.one(distance).parse::<f64>().unwrap()
    };
    assert_eq!(metres("GDA2020"), 0.0);
    let moved = metres("GDA94");
    assert!((1.4..2.0).contains(&moved), "{moved} m");
}

#[test]
fn the_statistical_areas_of_a_flat_file_are_known() {
    let database = Database::new();
    database.import(&crate::sample::data().join("addresses/gnaf_addresses_acton_act.psv")).success();
    assert_eq!(database.one("SELECT count(*) FROM address a JOIN mesh_block m ON m.code = a.mesh_block"), "82");
    assert_eq!(database.one("SELECT name FROM area WHERE level = 'SA2' AND code = '801051049'"), "Acton");
    assert_eq!(database.one("SELECT srid FROM dataset"), "4283", "RELEASES.psv says so");
}

#[test]
fn an_identifier_that_an_official_release_holds_stays_its() {
    let (database, sample) = (Database::new(), crate::sample::Sample::new());
    let copy = |name: &str| {
        let (folder, path) = file(&format!(
            "ADDRESS_DETAIL_PID|{HEADER}\n{}|9 X ROAD, KEW VIC 3101|||9|X|ROAD|KEW|VIC|3101|145.0|-37.8\n",
            crate::sample::HOUSE
        ));
        let renamed: &Path = &folder.path().join(name);
        std::fs::rename(path, renamed).unwrap();
        (renamed.to_owned(), folder)
    };
    let (path, _folder) = copy("early.psv");
    database.import(&path).success();
    database.import(sample.path()).success();
    assert_eq!(database.one(&format!("SELECT source FROM address WHERE pid = '{}'", crate::sample::HOUSE)), "gnaf:VIC");
    assert_eq!(database.one("SELECT addresses FROM dataset WHERE source = 'core:early'"), "0", "counted anew");
    let made_up = "SELECT (SELECT count(*) FROM locality WHERE source LIKE 'core:%')
                        + (SELECT count(*) FROM street WHERE source LIKE 'core:%') + (SELECT count(*) FROM street_word WHERE name = 'X')";
    assert_eq!(database.one(made_up), "0", "a street without an address is none");
    let before = database.contents();
    let (path, _folder) = copy("late.psv");
    let error = database.import(&path).failure();
    assert!(
        error.starts_with("none of the 1 rows of core:late can be used, 1 of them because: held by gnaf:VIC"),
        "{error}"
    );
    assert_eq!(database.contents(), before);
}

/// A row that can be used brings its own places, and only these.
#[test]
fn what_another_source_holds_brings_no_places() {
    let (database, sample) = (Database::new(), crate::sample::Sample::new());
    database.import(sample.path()).success();
    let (_folder, path) = file(&format!(
        "ADDRESS_DETAIL_PID|{HEADER}\n{}|9 X ROAD, KEW VIC 3101|||9|X|ROAD|KEW|VIC|3101|145.0|-37.8\n\
         |9 Y ROAD, HORSHAM VIC 3400|||9|Y|ROAD|HORSHAM|VIC|3400|142.2|-36.7\n",
        crate::sample::HOUSE
    ));
    let output = database.import(&path).success();
    assert_eq!(numbers(&output, "address"), [2, 0, 1, 1, 0, 0], "{output}");
    let places = "SELECT string_agg(name, ',' ORDER BY name) FROM (SELECT name, source FROM locality UNION ALL SELECT name, source FROM street) p
                  WHERE source LIKE 'core:%'";
    assert_eq!(database.one(places), "HORSHAM,Y");
}

#[test]
fn coordinates_that_are_no_numbers_are_counted() {
    let database = Database::new();
    let (_folder, path) = file(&format!(
        "{HEADER}\n1 HIGH STREET, HORSHAM VIC 3400|||1|HIGH|STREET|HORSHAM|VIC|3400|142.2|-36.7\n\
         2 HIGH STREET, HORSHAM VIC 3400|||2|HIGH|STREET|HORSHAM|VIC|3400|NaN|nan\n"
    ));
    let finished = database.import(&path);
    let output = finished.success();
    assert_eq!(numbers(&output, "address"), [2, 0, 1, 1, 0, 0], "{output}");
    assert!(output.contains("no coordinates (line 3 "), "{output}");
    assert!(
        output.contains("GDA2020 (assumed)") && finished.log().contains("it is assumed"),
        "{output}{}",
        finished.log()
    );
}

#[test]
fn coverage_counts_addresses_without_a_postcode_and_no_aliases() {
    let database = Database::new();
    let (_folder, path) = file(&format!(
        "{HEADER}|ALIAS_PRINCIPAL\n\
         1 HIGH STREET, HORSHAM VIC 3400|||1|HIGH|STREET|HORSHAM|VIC|3400|142.2|-36.7|P\n\
         2 HIGH STREET, HORSHAM VIC|||2|HIGH|STREET|HORSHAM|VIC||142.2|-36.7|P\n\
         3 HIGH STREET, HORSHAM VIC 3401|||3|HIGH|STREET|HORSHAM|VIC|3401|142.2|-36.7|A\n\
         4 LOW ROAD, DIMBOOLA VIC|||4|LOW|ROAD|DIMBOOLA|VIC||142.0|-36.4|P\n"
    ));
    database.import(&path).success();
    let row = database.rows(include_str!("../../src/sql/coverage.sql")).remove(0);
    let counted: (i64, i64, i64) = (row.get("localities"), row.get("postcodes"), row.get("addresses"));
    assert_eq!(counted, (2, 1, 3));
}
