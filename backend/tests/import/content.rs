//! What ends up in the database from the built-in data.

use crate::database::{Database, numbers};
use crate::sample::{FLAT, Sample, data};

#[test]
fn the_whole_of_the_built_in_data_loads_and_loading_it_again_changes_nothing() {
    let database = Database::new();
    let first = database.import(&data()).success();
    assert_eq!(numbers(&first, "address"), [44_729, 0, 0, 44_729, 0, 0], "{first}");
    assert_eq!(database.one("SELECT sum(addresses) FROM dataset"), "44729");
    let before = database.contents();
    let second = database.import(&data()).success();
    assert!(second.contains("nothing has changed: this data was loaded already"), "{second}");
    assert_eq!(database.contents(), before);
    assert_eq!(database.one("SELECT to_regnamespace('import_staging')"), "", "staging is removed");
}

#[test]
fn an_official_row_keeps_what_was_published() {
    let database = Database::new();
    database.import(Sample::new().path()).success();
    let row = database
        .rows(&format!(
            "SELECT to_jsonb(a) - 'point' || jsonb_build_object('street', s.name, 'type', s.type, 'locality', l.name,
               'longitude', ST_X(a.point::geometry), 'latitude', ST_Y(a.point::geometry)) AS all
             FROM address a JOIN street s ON s.pid = a.street_pid JOIN locality l ON l.pid = a.locality_pid
             WHERE a.pid = '{FLAT}'"
        ))
        .remove(0)
        .get::<_, serde_json::Value>(0);
    let wanted = serde_json::json!({
        "pid": FLAT, "source": "gnaf:VIC", "building_name": null, "lot_number": null, "flat_type": "FLAT",
        "flat_number": "14", "level_type": null, "level_number": null, "number_first": "5", "number_last": null,
        "street_pid": "VIC1953679", "locality_pid": "loc1b5a0e70afd4", "postcode": "3162", "private_street": null,
        "location_description": null, "legal_parcel_id": "14\\PS349838", "confidence": 2, "is_alias": false,
        "primary_secondary": "S", "mesh_block": "20192490000", "geocode_type": "FCS", "reliability": 2,
        "street": "DUKE", "type": "STREET", "locality": "CAULFIELD SOUTH",
        "longitude": 145.01510717, "latitude": -37.89180933,
    });
    assert_eq!(row, wanted);
    let dataset =
        database.one("SELECT concat_ws(' ', source, release, release_date, srid, addresses, rejected) FROM dataset");
    assert_eq!(dataset, "gnaf:VIC February 2026 2026-02-01 7844 451 {}");
}

#[test]
fn windows_line_ends_byte_order_marks_and_gzip_make_no_difference() {
    let (database, sample) = (Database::new(), Sample::new());
    database.import(sample.path()).success();
    for table in ["ADDRESS_DETAIL", "LOCALITY", "STREET_LOCALITY", "ADDRESS_DEFAULT_GEOCODE"] {
        sample.edit(table, |text| format!("\u{feff}{}", text.replace('\n', "\r\n")).into_bytes());
    }
    let packed = std::process::Command::new("gzip").arg(sample.table("ADDRESS_SITE_GEOCODE")).status().unwrap();
    assert!(packed.success());
    let output = database.import(sample.path()).success();
    assert_eq!(numbers(&output, "address_site_geocode"), [828, 0, 0]);
    assert!(output.contains("nothing has changed"), "{output}");
}

#[test]
fn alias_addresses_are_kept_and_linked() {
    let (database, sample) = (Database::new(), Sample::new());
    sample.add(
        "ADDRESS_DETAIL",
        "GAVIC999999991|2026-02-01||||||||||||||||5|A||||VIC1953679||loc1b5a0e70afd4|A|3162|||0|411236384|7|||",
    );
    sample.add("ADDRESS_DEFAULT_GEOCODE", "X1|2026-02-01||GAVIC999999991|FCS|145.01510717|-37.89180933");
    std::fs::write(
        sample.table("ADDRESS_ALIAS"),
        format!(
            "ADDRESS_ALIAS_PID|DATE_CREATED|DATE_RETIRED|PRINCIPAL_PID|ALIAS_PID|ALIAS_TYPE_CODE|ALIAS_COMMENT\n\
             X1|2026-02-01||{FLAT}|GAVIC999999991|SYN|\nX2|2026-02-01||{FLAT}|GAVIC000000000|SYN|\n"
        ),
    )
    .unwrap();
    let output = database.import(sample.path()).success();
    assert_eq!(numbers(&output, "address_alias"), [2, 0, 1, 1, 0, 0], "{output}");
    assert!(output.contains("ADDRESS_ALIAS: unknown address (line 3"), "{output}");
    assert_eq!(
        database.one("SELECT concat_ws(' ', number_first, is_alias) FROM address WHERE pid = 'GAVIC999999991'"),
        "5A t"
    );
    assert_eq!(database.one("SELECT alias_pid || kind FROM address_alias"), "GAVIC999999991SYN");
}
