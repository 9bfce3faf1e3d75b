//! What is loaded: under which name, replaced by what, and taken away.

use std::path::{Path, PathBuf};

use crate::database::{Database, numbers};
use crate::sample::{Sample, data};

const HEADER: &str =
    "ADDRESS_LABEL|NUMBER_FIRST|STREET_NAME|STREET_TYPE|LOCALITY_NAME|STATE|POSTCODE|LONGITUDE|LATITUDE";

/// A flat file of these house numbers of one street.
fn flat(folder: &Path, name: &str, numbers: impl Iterator<Item = u32>) -> PathBuf {
    let row =
        |number| format!("{number} HIGH STREET, HORSHAM VIC 3400|{number}|HIGH|STREET|HORSHAM|VIC|3400|142.2|-36.7\n");
    let path = folder.join(name);
    std::fs::write(&path, format!("{HEADER}\n{}", numbers.map(row).collect::<String>())).unwrap();
    path
}

const LOADED: &str = "SELECT string_agg(source || ' ' || addresses, ',' ORDER BY source) FROM dataset";
const PLACES: &str = "SELECT (SELECT count(*) FROM locality) || ' ' || (SELECT count(*) FROM street)";

#[test]
fn the_same_addresses_under_another_name_replace_those_before() {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    database.import(&flat(folder.path(), "february.psv", 1..=100)).success();
    // Nine tenths of the one are nine tenths of the other.
    let output = database.import(&flat(folder.path(), "may.psv", 11..=110)).success();
    assert_eq!(numbers(&output, "address"), [100, 0, 0, 10, 90, 10], "{output}");
    assert!(
        output.contains("core:february") && output.contains("replaced by core:may, which holds its addresses"),
        "{output}"
    );
    assert_eq!(database.one(LOADED), "core:may 100");
    assert_eq!(database.one(PLACES), "1 1");
    assert_eq!(database.one("SELECT addresses FROM street_word"), "100");
}

#[rstest::rstest]
#[case::a_part(1..=10)]
#[case::all_of_few(1..=79)]
fn a_part_of_another_source_is_no_new_edition(#[case] numbers: std::ops::RangeInclusive<u32>) {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    database.import(&flat(folder.path(), "all.psv", 1..=100)).success();
    let before = database.contents();
    let count = numbers.clone().count();
    let part = flat(folder.path(), "part.psv", numbers);
    let error = database.import(&part).failure();
    let wanted = format!(
        "none of the {count} rows of core:part can be used, {count} of them because: held by core:all; \
         if core:part replaces core:all, add --replaces core:all"
    );
    assert_eq!(error, wanted);
    assert_eq!(database.contents(), before);
    // A release that is half as large is refused as it is under the same name, unless that is right.
    let replacing =
        |more: &[&str]| database.run(&[&["import", "--replaces", "core:all", part.to_str().unwrap()], more].concat());
    if count < 50 {
        assert!(replacing(&[]).success().contains("replaced as --replaces says"));
    }
}

#[test]
fn a_source_is_replaced_by_name() {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    database.import(&flat(folder.path(), "old.psv", 1..=200)).success();
    let new = flat(folder.path(), "new.psv", 150..=250);
    let new = new.to_str().unwrap();
    let error = database.run(&["import", "--replaces", "core:older", new]).failure();
    assert_eq!(error, "no source \"core:older\" is loaded; these are: core:old");
    let error = database.run(&["import", "--replaces", "core:old", new]).failure();
    assert!(error.contains("149 of the 200 addresses of core:old would disappear"), "{error}");
    database.run(&["import", "--replaces", "core:old", "--allow-shrinking", new]).success();
    assert_eq!(database.one(LOADED), "core:new 101");
    assert_eq!(database.one(PLACES), "1 1");
    // Its own name changes nothing.
    let output = database.run(&["import", "--replaces", "core:new", new]).success();
    assert!(output.contains("nothing has changed"), "{output}");
}

/// What a source brought goes; what others brought stays as if it had never been there.
#[test]
fn a_removed_source_leaves_no_trace() {
    let (database, folder, sample) = (Database::new(), tempfile::tempdir().unwrap(), Sample::new());
    database.import(sample.path()).success();
    database.import(&data().join("boundaries/asgs2021_ste.geojson.gz")).success();
    let times = |text: String| text.lines().filter(|line| !line.starts_with("dataset")).collect::<Vec<_>>().join("\n");
    let before = times(database.contents());
    database.import(&flat(folder.path(), "demo.psv", 1..=30)).success();
    database.import(&data().join("boundaries/asgs2021_act_sa3.geojson.gz")).success();
    database.import(&data().join("gnaf-vic-sample/flattened/ADDRESS_BOUNDARY_TAGS.psv")).success();

    let listed = database.run(&["sources"]).success();
    let line = |source: &str| {
        let line = listed.lines().find(|line| line.starts_with(source)).unwrap_or_else(|| panic!("{listed}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("gnaf:VIC ")[1..4], ["February", "2026", "GDA2020"]);
    assert_eq!(line("core:demo ").iter().rev().take(4).rev().collect::<Vec<_>>(), ["30", "0", "0", "0"]);
    assert_eq!(line("boundaries:asgs2021_act_sa3 ").iter().rev().nth(2).unwrap(), "11", "and the SA4 around them");
    assert_eq!(line("tags:ADDRESS_BOUNDARY_TAGS ").last().unwrap(), "451");

    assert_eq!(database.run(&["remove"]).code(), Some(64));
    let error = database.run(&["remove", "core:demo", "core:other"]).failure();
    assert!(error.starts_with("no source \"core:other\" is loaded"), "{error}");
    let purged = "SELECT count(*) FROM purge_outbox WHERE tags IS NULL";
    let everything = database.one(purged);
    let last = database.one("SELECT max(id) FROM purge_outbox");
    let output = database.run(&["remove", "core:demo"]).success();
    assert_eq!(numbers(&output, "address")[5], 30, "{output}");
    assert_eq!(database.one(purged), everything, "only what it touches is purged");
    let tags = format!(
        "SELECT string_agg(DISTINCT tag, ',') FROM purge_outbox, unnest(tags) tag WHERE id > {last} AND tag LIKE 'number:3%'"
    );
    assert_eq!(database.one(&tags), "number:3,number:30");
    database.run(&["remove", "boundaries:asgs2021_act_sa3", "tags:ADDRESS_BOUNDARY_TAGS"]).success();
    assert_eq!(
        database.one("SELECT string_agg(source, ',' ORDER BY source) FROM dataset"),
        "boundaries:asgs2021_ste,gnaf:VIC"
    );
    assert_eq!(times(database.contents()), before);
    database.run(&["remove", "gnaf:VIC"]).success();
    assert_eq!(database.one("SELECT count(*) FROM address") + &database.one(PLACES), "00 0");
}

/// What looks like data and is not taken says why.
#[test]
fn files_that_are_not_taken_are_told_with_the_reason() {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    flat(folder.path(), "core.psv", 1..=3);
    for (name, text) in [
        ("ASGS_2021.gpkg", ""),
        ("core.csv", &*HEADER.replace('|', ",")),
        ("half.psv", "ADDRESS_LABEL|LOCALITY_NAME|STATE|LONGITUDE\n"),
        ("VIC_SUBURB_psv.psv", "A|B\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let finished = database.import(folder.path());
    let (output, log) = (finished.success(), finished.log());
    for (name, reason) in [
        ("ASGS_2021.gpkg", "a GeoPackage is not read; ogr2ogr"),
        ("core.csv", "separated by commas"),
        ("half.psv", "lacks the column LATITUDE"),
        ("VIC_SUBURB_psv.psv", "SUBURB is no table of a release"),
    ] {
        for told in [&output, &log] {
            assert!(told.lines().any(|line| line.contains(name) && line.contains(reason)), "{name}: {told}");
        }
    }
}
