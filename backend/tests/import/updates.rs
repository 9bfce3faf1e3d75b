//! A release after a release.

use crate::database::{Database, numbers};
use crate::sample::{FLAT, HOUSE, Sample};

#[test]
fn a_retired_address_disappears_and_so_does_a_vanished_one() {
    let (database, sample) = (Database::new(), Sample::new());
    database.import(sample.path()).success();
    sample.set("ADDRESS_DETAIL", HOUSE, "DATE_RETIRED", "2026-01-31");
    sample.remove("ADDRESS_DETAIL", FLAT);
    sample.remove("ADDRESS_DEFAULT_GEOCODE", FLAT);
    sample.remove("ADDRESS_MESH_BLOCK_2021", FLAT);
    let output = database.import(sample.path()).success();
    assert_eq!(numbers(&output, "address"), [450, 1, 0, 0, 0, 2], "{output}");
    assert_eq!(database.one(&format!("SELECT count(*) FROM address WHERE pid IN ('{HOUSE}', '{FLAT}')")), "0");
    assert_eq!(database.one("SELECT addresses FROM dataset"), "449");
    assert_eq!(database.one("SELECT rejected FROM dataset"), r#"{"retired": 1}"#);
}

#[test]
fn half_a_release_is_not_taken_for_one() {
    let (database, sample) = (Database::new(), Sample::new());
    database.import(sample.path()).success();
    let before = database.contents();
    sample.edit("ADDRESS_DETAIL", |text| {
        text.lines().take(226).flat_map(|line| [line, "\n"]).collect::<String>().into_bytes()
    });
    let error = database.import(sample.path()).failure();
    assert_eq!(error, "226 of the 451 addresses of gnaf:VIC would disappear; if that is right, add --allow-shrinking");
    assert_eq!(database.contents(), before);
    database.run(&["import", "--allow-shrinking", sample.path().to_str().unwrap()]).success();
    assert_eq!(database.one("SELECT count(*) FROM address"), "225");
}

#[test]
fn a_renamed_street_and_a_moved_address_reach_the_search_tables() {
    let (database, sample) = (Database::new(), Sample::new());
    database.import(sample.path()).success();
    let names =
        "SELECT string_agg(name || ' ' || coalesce(type, '') || ' ' || addresses, ',' ORDER BY name) FROM street_name
                 WHERE street_pid IN ('VIC1953679', 'VIC2036759')";
    assert_eq!(database.one(names), "DUKE STREET 1,TOORONGA ROAD 1");
    assert_eq!(database.one("SELECT count(*) FROM street_word WHERE name = 'TOORONGA'"), "1");
    sample.set("STREET_LOCALITY", "VIC2036759", "STREET_NAME", "QUOKKA'S REST");
    sample.set("ADDRESS_DETAIL", FLAT, "STREET_LOCALITY_PID", "VIC2036759");
    let output = database.import(sample.path()).success();
    assert_eq!(numbers(&output, "street"), [405, 0, 0, 0, 1, 0]);
    assert_eq!(numbers(&output, "address"), [451, 0, 0, 0, 1, 0]);
    assert_eq!(database.one(names), "DUKE STREET 0,QUOKKAS REST ROAD 2");
    assert_eq!(database.one("SELECT count(*) FROM street_word WHERE name = 'TOORONGA'"), "0");
    assert_eq!(database.one("SELECT addresses FROM street_word WHERE name = 'QUOKKAS REST'"), "2");
}

/// Refilling what changed must come to the same as filling everything.
#[test]
fn a_change_and_its_undoing_leave_no_trace() {
    let (database, sample) = (Database::new(), Sample::new());
    database.import(sample.path()).success();
    let without_times =
        |text: String| text.lines().filter(|line| !line.starts_with("dataset")).collect::<Vec<_>>().join("\n");
    let before = without_times(database.contents());
    sample.set("LOCALITY", "loc00a9769647d7", "LOCALITY_NAME", "KEW GARDENS");
    sample.set("ADDRESS_DETAIL", HOUSE, "POSTCODE", "3999");
    sample.set("ADDRESS_DETAIL", FLAT, "DATE_RETIRED", "2026-01-31");
    sample.remove("STREET_LOCALITY_ALIAS", "XSA00001");
    sample.remove("LOCALITY_NEIGHBOUR", "XLN00001");
    database.import(sample.path()).success();
    assert_ne!(without_times(database.contents()), before);
    database.import(Sample::new().path()).success();
    assert_eq!(without_times(database.contents()), before);
}

#[test]
fn an_import_leaves_other_sources_alone() {
    let (database, sample) = (Database::new(), Sample::new());
    let acton = crate::sample::data().join("addresses/gnaf_addresses_acton_act.psv");
    database.import(&acton).success();
    database.import(sample.path()).success();
    assert_eq!(
        database.one("SELECT string_agg(source || ' ' || addresses, ',' ORDER BY source) FROM dataset"),
        "core:gnaf_addresses_acton_act 82,gnaf:VIC 451"
    );
    assert_eq!(database.one("SELECT count(*) FROM address"), "533");
}
