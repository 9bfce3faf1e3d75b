//! Outlines and look-ups.

use std::path::{Path, PathBuf};

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
}

/// A square of a hundredth of a degree, in the Capital Territory.
fn square(east: f64) -> String {
    let (west, east, south, north) = (149.0 + east, 149.01 + east, -35.3, -35.29);
    format!(
        "{{\"type\":\"Polygon\",\"coordinates\":[[[{west},{south}],[{east},{south}],[{east},{north}],[{west},{north}],[{west},{south}]]]}}"
    )
}

/// A file of features, each with its properties and its outline.
fn outlines(folder: &Path, name: &str, features: &[(&str, String)]) -> PathBuf {
    let each = |(properties, outline): &(&str, String)| {
        format!("{{\"type\":\"Feature\",\"properties\":{{{properties}}},\"geometry\":{outline}}}")
    };
    let features: Vec<String> = features.iter().map(each).collect();
    let path = folder.join(name);
    std::fs::write(&path, format!("{{\"type\":\"FeatureCollection\",\"features\":[{}]}}", features.join(","))).unwrap();
    path
}

const SA1: &str = "SELECT string_agg(code || ' ' || vertices, ',' ORDER BY code) FROM area WHERE level = 'SA1' AND code LIKE '801011001%'";

/// What carries the code of a level above it was imported as that level.
#[rstest::rstest]
#[case::mesh_blocks_of_an_unknown_name(
    r#""tile_code_2021":"80000010000","sa1_code_2021":"80101100101","sa2_code_2021":"801011001""#
)]
#[case::destination_zones(r#""DZN_CODE21":"811000001","SA2_CODE21":"801011001","SA2_NAME21":"Acton","STE_CODE21":"8""#)]
#[case::urban_centres(r#""UCL_CODE_2021":"801001","UCL_NAME_2021":"Canberra","STATE_CODE_2021":"8""#)]
fn an_unknown_layer_is_named_and_left_alone(#[case] properties: &str) {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    let sa1 =
        r#""sa1_code_2021":"80101100101","sa2_code_2021":"801011001","sa2_name_2021":"Acton","state_code_2021":"8""#;
    outlines(folder.path(), "known.geojson", &[(sa1, square(0.0))]);
    database.import(folder.path()).success();
    let before = database.one(SA1);
    outlines(folder.path(), "strange.geojson", &[(properties, square(0.1)), (properties, square(0.2))]);
    let output = database.import(folder.path()).success();
    let first = properties.split('"').nth(1).unwrap();
    let line = output.lines().find(|line| line.starts_with("left alone ")).unwrap_or_else(|| panic!("{output}"));
    assert!(line.contains("strange.geojson") && line.contains(first) && line.contains("expected"), "{line}");
    assert_eq!(database.one(SA1), before);
    assert_eq!(database.one("SELECT string_agg(source, ',') FROM dataset"), "boundaries:known");
    // Beside others by name, too, and alone it is an error.
    let strange = folder.path().join("strange.geojson");
    let known = folder.path().join("known.geojson");
    database.run(&["import", known.to_str().unwrap(), strange.to_str().unwrap()]).success();
    let error = database.import(&strange).failure();
    assert!(error.contains("holds nothing that can be imported") && error.contains(first), "{error}");
}

/// Where the names alone don't tell, the codes do: those of a layer come once each.
#[test]
fn codes_that_come_twice_are_of_a_level_above() {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    let sa1 = r#""sa1_code_2021":"80101100101","block":"A""#;
    let other = r#""sa1_code_2021":"80101100102","block":"B""#;
    let features = [(sa1, square(0.0)), (other, square(0.1)), (sa1, square(0.2))];
    outlines(folder.path(), "blocks.geojson", &features);
    let error = database.import(folder.path()).failure();
    assert!(error.contains("sa1_code_2021 is 80101100101 in feature 3 and in one before it"), "{error}");
    outlines(folder.path(), "good.geojson", &features[..2]);
    let output = database.import(folder.path()).success();
    assert!(output.contains("left alone") && output.contains("blocks.geojson"), "{output}");
    assert_eq!(database.one(SA1), "80101100101 5,80101100102 5");
    assert_eq!(database.one("SELECT string_agg(source, ',') FROM dataset"), "boundaries:good");
}

/// The Bureau's names, in the forms of its GeoPackages and Shapefiles.
#[rstest::rstest]
#[case::geopackage("MB_CODE_2021", "MB_CATEGORY_2021", "SA1_CODE_2021", "SA2_CODE_2021", "SA2_NAME_2021")]
#[case::shapefile("MB_CODE21", "MB_CAT21", "SA1_CODE21", "SA2_CODE21", "SA2_NAME21")]
#[case::lower("mb_code_2021", "mb_category_2021", "sa1_code_2021", "sa2_code_2021", "sa2_name_2021")]
fn mesh_blocks_are_a_layer(
    #[case] mb: &str,
    #[case] category: &str,
    #[case] sa1: &str,
    #[case] sa2: &str,
    #[case] name: &str,
) {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    let fine =
        r#""sa1_code_2021":"80101100101","sa2_code_2021":"801011001","sa2_name_2021":"Acton","state_code_2021":"8""#;
    outlines(folder.path(), "sa1.geojson", &[(fine, square(0.0))]);
    let block = |code: &str, kind: &str| {
        format!(r#""{mb}":"{code}","{category}":"{kind}","{sa1}":"80101100101","{sa2}":"801011001","{name}":"Acton""#)
    };
    let (first, second) = (block("80000010000", "Residential"), block("80000020000", "Parkland"));
    outlines(folder.path(), "mb.geojson", &[(&first, square(0.0)), (&second, square(0.1))]);
    let output = database.import(folder.path()).success();
    assert_eq!(database.one(SA1), "80101100101 5", "{output}");
    let blocks = "SELECT string_agg(concat_ws(' ', code, category, sa1), ',' ORDER BY code) FROM mesh_block";
    assert_eq!(database.one(blocks), "80000010000 Residential 80101100101,80000020000 Parkland 80101100101");
    assert_eq!(database.one("SELECT count(*) FROM area_piece WHERE level = 'MB'"), "2");
    assert_eq!(database.one("SELECT name FROM area WHERE level = 'SA2' AND code = '801011001'"), "Acton");
}

#[rstest::rstest]
#[case::councils(
    r#""LGA_CODE24":"89399","LGA_NAME24":"Unincorporated ACT","STE_CODE21":"8""#,
    "LGA 89399 Unincorporated ACT ACT LGA 2024 7844"
)]
#[case::councils_before(
    r#""LGA_CODE19":"89399","LGA_NAME19":"Unincorporated ACT","STE_NAME16":"Australian Capital Territory""#,
    "LGA 89399 Unincorporated ACT ACT LGA 2019 4283"
)]
#[case::suburbs(
    r#""SAL_CODE_2021":"80001","SAL_NAME_2021":"Acton (ACT)","STATE_CODE_2021":"8""#,
    "LOCALITY 80001 Acton ACT SAL 2021 7844"
)]
#[case::postal_areas(r#""POA_CODE21":800,"POA_NAME21":"0800""#, "POA 0800 0800 POA 2021 7844")]
#[case::statistical_2016(
    r#""SA2_MAIN16":"801011001","SA2_5DIG16":"81001","SA2_NAME16":"Acton","STE_CODE16":8"#,
    "SA2 801011001 Acton ACT ASGS 2016 4283"
)]
#[case::without_a_name(r#""SA3_CODE21":"80101""#, "SA3 80101 80101 ACT ASGS 2021 7844")]
fn editions_are_read_from_the_names(#[case] properties: &str, #[case] wanted: &str) {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    database.import(&outlines(folder.path(), "x.geojson", &[(properties, square(0.0))])).success();
    let area = "SELECT concat_ws(' ', a.level, a.code, a.name, a.state, a.edition, d.srid)
                FROM area a JOIN dataset d USING (source) WHERE vertices IS NOT NULL";
    assert_eq!(database.one(area), wanted);
}

/// One code may be two areas in two editions: `SSC 10181` and `SAL 10181` are different suburbs.
#[rstest::rstest]
#[case::old_first([2016, 2021])]
#[case::new_first([2021, 2016])]
fn of_two_editions_the_newer_stands(#[case] order: [u16; 2]) {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    let newer = "SELECT string_agg(edition || ' ' || name, ',') FROM area";
    for year in order {
        // The older one is finer.
        let outline = if year == 2016 { square(0.0).replacen("]]]", "],[149.0,-35.3]]]", 1) } else { square(0.0) };
        let properties = format!(r#""SA2_CODE_{year}":"801011001","SA2_NAME_{year}":"Acton {year}""#);
        database.import(&outlines(folder.path(), &format!("of{year}.geojson"), &[(&properties, outline)])).success();
    }
    assert_eq!(database.one(newer), "ASGS 2021 Acton 2021");
    assert_eq!(database.one("SELECT count(*) FROM area_piece"), "1");
}

#[test]
fn outlines_that_are_none_are_skipped_and_counted() {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    let code = |last: u32| format!(r#""sa2_code_2021":"80101100{last}","sa2_name_2021":"Area {last}""#);
    let codes: Vec<String> = (1..=9).map(code).collect();
    let ring = |points: &str| format!("{{\"type\":\"Polygon\",\"coordinates\":[[{points}]]}}");
    let path = outlines(
        folder.path(),
        "sa2.geojson",
        &[
            (&codes[0], square(0.0)),
            (&codes[1], "null".into()),
            (&codes[2], square(0.0).replacen("149.01", "NaN", 1)),
            (&codes[3], square(0.0).replacen("-35.29", "-Infinity", 1)),
            (&codes[4], square(0.0).replacen("149.01", "null", 1)),
            (&codes[5], ring("")),
            (&codes[6], ring("[149.0,-35.3],[149.1,-35.3],[149.1,-35.2]")),
            (&codes[7], "{\"type\":\"Point\",\"coordinates\":[149.0,-35.3]}".into()),
            (&codes[8], ring("[-35.3,149.0],[-35.3,149.1],[-35.2,149.1],[-35.3,149.0]")),
            (r#""sa2_code_2021":"ZZ","sa2_name_2021":"Elsewhere""#, square(0.3)),
            (r#""sa2_name_2021":"Nameless""#, square(0.4)),
        ],
    );
    let output = database.import(&path).success();
    assert_eq!(numbers(&output, "area"), [11, 4, 6, 1, 0, 0], "{output}");
    assert!(
        output.contains(
            "a coordinate of its outline is no number (line 3 801011003; line 4 801011004; line 5 801011005)"
        ),
        "{output}"
    );
    assert!(output.contains("it has no outline (line 2 801011002)"), "{output}");
    assert_eq!(database.one("SELECT string_agg(code, ',') FROM area"), "801011001");
    // Nothing but such features is no data.
    let empty = outlines(folder.path(), "none.geojson", &[(&codes[1], "null".into()), (&codes[2], "null".into())]);
    let error = database.import(&empty).failure();
    assert_eq!(error, "none of the 2 rows of boundaries:none can be used, 2 of them because: it has no outline");
    assert_eq!(database.one("SELECT string_agg(source, ',') FROM dataset"), "boundaries:sa2");
}

#[test]
fn the_datum_of_outlines_is_what_the_file_says_and_else_an_assumption_that_is_told() {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    let properties = r#""sa2_code_2021":"801011001","sa2_name_2021":"Acton""#;
    let path = outlines(folder.path(), "sa2.geojson", &[(properties, square(0.0))]);
    let text = std::fs::read_to_string(&path).unwrap();
    let datum = || database.one("SELECT srid FROM dataset WHERE source = 'boundaries:sa2'");
    let assumed = database.import(&path);
    assert!(assumed.success().contains("GDA2020 (assumed)"));
    assert!(assumed.log().contains("nothing says in which datum this is"), "{}", assumed.log());
    for (crs, wanted) in
        [("urn:ogc:def:crs:EPSG::4283", "4283"), ("EPSG:7844", "7844"), ("urn:ogc:def:crs:EPSG::4283", "4283")]
    {
        let crs = format!(",\"crs\":{{\"type\":\"name\",\"properties\":{{\"name\":\"{crs}\"}}}}}}");
        std::fs::write(&path, format!("{}{crs}", text.trim_end_matches('}'))).unwrap();
        let told = database.import(&path);
        assert!(!told.success().contains("assumed") && !told.log().contains("assumed"), "{}", told.log());
        assert_eq!(datum(), wanted);
    }
    std::fs::write(&path, &text).unwrap();
    database.run(&["import", "--datum", "GDA94", path.to_str().unwrap()]).success();
    assert_eq!(datum(), "4283");
    let crs = r#"{"crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::3857"}},"#;
    std::fs::write(&path, text.replacen('{', crs, 1)).unwrap();
    let error = database.import(&path).failure();
    assert!(error.contains("its coordinates are in urn:ogc:def:crs:EPSG::3857"), "{error}");
}

#[test]
fn councils_wards_and_electorates_go_with_their_address() {
    let (database, sample) = (Database::new(), Sample::new());
    let tags = data().join("gnaf-vic-sample/flattened/ADDRESS_BOUNDARY_TAGS.psv");
    let early = database.import(&tags).failure();
    let wanted = "none of the 451 rows of tags:ADDRESS_BOUNDARY_TAGS can be used, 451 of them because: unknown address";
    assert_eq!(early, wanted, "no addresses yet");
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
