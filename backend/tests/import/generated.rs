//! The generator's output through the importer.

use crate::database::{Database, numbers};

#[test]
fn generated_data_loads_without_a_rejected_row() {
    let database = Database::new();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("made");
    let data = crate::sample::data();
    let make = [
        "generate",
        "--addresses",
        "30000",
        "--seed",
        "4",
        "--out",
        out.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ];
    database.run(&make).success();
    let output = database.import(&out).success();
    assert_eq!(numbers(&output, "address"), [30_000, 0, 0, 30_000, 0, 0], "{output}");
    assert!(!output.contains("\nrejected "), "{output}");
    assert_eq!(
        database.one("SELECT count(*) FROM address WHERE source NOT LIKE 'generated:%' OR pid NOT LIKE 'GX%'"),
        "0"
    );
    assert_eq!(
        database.one("SELECT sum(addresses) FROM area_statistics WHERE level = 'SA1'"),
        database.one("SELECT count(*) FROM address WHERE NOT is_alias")
    );
    // The bulk path takes indexes and keys off and must put all of them back.
    let indexes = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relname = 'address'";
    let keys =
        "SELECT count(*) FROM pg_constraint WHERE conrelid = 'address'::regclass OR confrelid = 'address'::regclass";
    let fresh = Database::new();
    assert_eq!((database.one(indexes), database.one(keys)), (fresh.one(indexes), fresh.one(keys)));
    let again = database.run(&make).failure();
    assert!(again.ends_with("is not empty"), "{again}");
}
