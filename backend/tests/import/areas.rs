//! Outlines and look-ups.

use crate::database::{Database, numbers};
use crate::sample::{HOUSE, Sample, data};

/// The Territory's SA2s come coarse in one file and in full detail in another.
#[rstest::rstest]
#[case::coarse_first(&["asgs2021_sa2", "asgs2021_act_sa2"])]
#[case::fine_first(&["asgs2021_act_sa2", "asgs2021_sa2"])]
fn the_finer_outline_wins_whatever_the_order(#[case] order: &[&str]) {
    let database = Database::new();
    for name in order {
        database.import(&data().join(format!("boundaries/{name}.geojson.gz"))).success();
    }
    assert_eq!(
        database.one("SELECT source || ' ' || name FROM area WHERE level = 'SA2' AND code = '801051049'"),
        "boundaries:asgs2021_act_sa2 Acton"
    );
    assert_eq!(database.one("SELECT count(*) FROM area WHERE level = 'SA2'"), "2454");
    assert_eq!(database.one("SELECT count(*) FROM area WHERE level = 'SA2' AND source LIKE '%act%'"), "134");
    let point = "ST_SetSRID(ST_MakePoint(149.1185, -35.2813), 7844)";
    assert_eq!(
        database.one(&format!("SELECT code FROM area_piece WHERE level = 'SA2' AND ST_Intersects(geom, {point})")),
        "801051049"
    );
    // Pieces of both would be there twice.
    assert_eq!(database.one("SELECT count(*) FROM (SELECT level, code FROM area_piece GROUP BY 1, 2) x"), "2454");
}

#[test]
fn outlines_of_2016_are_moved_from_gda94() {
    let database = Database::new();
    database.import(&data().join("boundaries/locality_ssc2016.geojson.gz")).success();
    assert_eq!(database.one("SELECT release || ' ' || srid FROM dataset"), "SSC 2016 4283");
    assert_eq!(database.one("SELECT max(ST_NPoints(geom)) <= 97 FROM area_piece"), "true", "large ones are cut up");
    assert_eq!(database.one("SELECT count(*) FROM area WHERE postcode !~ '^[0-9]{4}$'"), "0");
}

#[test]
fn broken_geojson_is_named_with_line_and_character() {
    let database = Database::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("broken.geojson");
    std::fs::write(
        &path,
        "{\"type\":\"FeatureCollection\",\"features\":[\n{\"type\":\"Feature\",\"properties\":{},\n\"geometry\":]}\n",
    )
    .unwrap();
    let error = database.import(&path).failure();
    assert!(error.contains("broken.geojson:3"), "{error}");
    std::fs::write(&path, "{\"type\":\"FeatureCollection\",\"features\":[{\"type\":\"Feature\",\"properties\":{\"colour\":\"red\"},\"geometry\":null}]}").unwrap();
    let error = database.import(&path).failure();
    assert!(error.contains("feature 1: none of the properties that name a known kind of area"), "{error}");
}

#[test]
fn councils_wards_and_electorates_go_with_their_address() {
    let (database, sample) = (Database::new(), Sample::new());
    let tags = data().join("gnaf-vic-sample/flattened/ADDRESS_BOUNDARY_TAGS.psv");
    let early = database.import(&tags).success();
    assert_eq!(numbers(&early, "address_area"), [451, 0, 451, 0, 0, 0], "no addresses yet: {early}");
    database.import(sample.path()).success();
    let output = database.import(&tags).success();
    assert_eq!(numbers(&output, "address_area"), [451, 0, 0, 451, 0, 0], "{output}");
    let of_house = format!(
        "SELECT concat_ws(', ', lga_name, ward_name, state_electorate, commonwealth_electorate)
      FROM address_area WHERE address_pid = '{HOUSE}'"
    );
    assert_eq!(database.one(&of_house), "Stonnington, Wattletree Ward, MALVERN, KOOYONG");
    sample.set("ADDRESS_DETAIL", HOUSE, "DATE_RETIRED", "2026-01-31");
    database.import(sample.path()).success();
    assert_eq!(database.one("SELECT count(*) FROM address_area"), "450");
}

#[test]
fn mesh_blocks_tie_addresses_to_areas_and_areas_to_counts() {
    let (database, sample) = (Database::new(), Sample::new());
    database.import(&data().join("gnaf-vic-sample/flattened/ABS_2021_MB_LOOKUP.psv")).success();
    database.import(sample.path()).success();
    assert_eq!(
        database.one("SELECT name || ' ' || gccsa FROM area WHERE level = 'SA2' AND code = '208021178'"),
        "Caulfield - South 2GMEL"
    );
    assert_eq!(database.one("SELECT sum(addresses) FROM area_statistics WHERE level = 'SA4'"), "451");
    assert_eq!(
        database.one(
            "SELECT count(*) FROM area_statistics WHERE houses + units + business + buildings + other <> addresses"
        ),
        "0"
    );
    assert_eq!(database.run(&["refresh"]).code(), Some(0));
}
