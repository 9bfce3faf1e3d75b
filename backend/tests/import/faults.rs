//! What stops an import, and what doesn't.

use crate::database::{Database, numbers};
use crate::sample::{FLAT, HOUSE, Sample};

#[rstest::rstest]
#[case::text_in_a_number(
    "ADDRESS_DETAIL",
    HOUSE,
    "NUMBER_FIRST",
    "12x",
    ":18: column 18 (NUMBER_FIRST): found \"12x\", expected a whole number of at most 6 digits"
)]
#[case::too_long(
    "ADDRESS_DETAIL",
    HOUSE,
    "POSTCODE",
    "31466",
    ":27: column 27 (POSTCODE): found \"31466\", expected at most 4 characters"
)]
#[case::no_date(
    "ADDRESS_DETAIL",
    HOUSE,
    "DATE_CREATED",
    "17/10/2012",
    ":2: column 2 (DATE_CREATED): found \"17/10/2012\", expected a date as YYYY-MM-DD"
)]
#[case::missing(
    "ADDRESS_DETAIL",
    HOUSE,
    "LOCALITY_PID",
    "",
    ":25: column 25 (LOCALITY_PID): found \"\", expected a value"
)]
#[case::no_number(
    "ADDRESS_DEFAULT_GEOCODE",
    HOUSE,
    "LATITUDE",
    "NaN",
    ":7: column 7 (LATITUDE): found \"NaN\", expected a decimal number"
)]
#[case::a_field_more(
    "LOCALITY",
    "loc00a9769647d7",
    "LOCALITY_NAME",
    "KEW|KEW",
    ": found 10 fields, expected 9 as in the header"
)]
fn a_malformed_file_stops_the_import_and_names_the_place(
    #[case] table: &str,
    #[case] key: &str,
    #[case] column: &str,
    #[case] value: &str,
    #[case] wanted: &str,
) {
    let (database, sample) = (Database::new(), Sample::new());
    database.import(sample.path()).success();
    let before = database.contents();
    let line = sample.line_of(table, key);
    // Something else that would change, to see that nothing does.
    sample.remove("ADDRESS_DETAIL", FLAT);
    let line = if table == "ADDRESS_DETAIL" && line > 2 { line - 1 } else { line };
    sample.set(table, key, column, value);
    let error = database.import(sample.path()).failure();
    let place = format!("{}:{line}{wanted}", sample.table(table).display());
    assert!(error.contains(&place), "{error}\nlacks\n{place}");
    assert_eq!(database.contents(), before);
}

#[test]
fn a_moved_column_is_found_in_the_header() {
    let (database, sample) = (Database::new(), Sample::new());
    sample.edit("ADDRESS_DETAIL", |text| {
        text.replacen("LOT_NUMBER|LOT_NUMBER_SUFFIX", "LOT_NUMBER_SUFFIX|LOT_NUMBER", 1).into_bytes()
    });
    let error = database.import(sample.path()).failure();
    assert!(
        error.ends_with(":1:7: column 7 (LOT_NUMBER): found \"LOT_NUMBER_SUFFIX\", expected \"LOT_NUMBER\""),
        "{error}"
    );
}

#[test]
fn bytes_that_are_not_utf8_are_named() {
    let (database, sample) = (Database::new(), Sample::new());
    sample.edit("STREET_LOCALITY", |text| {
        let mut bytes = text.into_bytes();
        let at = bytes.windows(6).position(|window| window == b"|BENT|").unwrap();
        bytes[at + 2] = 0xe9;
        bytes
    });
    let error = database.import(sample.path()).failure();
    assert!(error.contains("VIC_STREET_LOCALITY_psv.psv:2:5: column 5 (STREET_NAME): found the byte 0xe9"), "{error}");
}

#[test]
fn rows_that_can_not_be_used_are_counted_by_reason() {
    let (database, sample) = (Database::new(), Sample::new());
    let keys: Vec<String> = std::fs::read_to_string(sample.table("ADDRESS_DETAIL"))
        .unwrap()
        .lines()
        .skip(3)
        .take(8)
        .map(|line| line.split('|').next().unwrap().to_owned())
        .collect();
    sample.set("ADDRESS_DETAIL", &keys[0], "LOCALITY_PID", "loc999999999999");
    sample.set("ADDRESS_DETAIL", &keys[1], "STREET_LOCALITY_PID", "VIC0");
    sample.set("ADDRESS_DETAIL", &keys[2], "POSTCODE", "31A6");
    sample.set("ADDRESS_DETAIL", &keys[3], "FLAT_TYPE_CODE", "PALACE");
    sample.set("ADDRESS_DETAIL", &keys[4], "CONFIDENCE", "-1");
    sample.remove("ADDRESS_DEFAULT_GEOCODE", &keys[5]);
    sample.set("ADDRESS_DEFAULT_GEOCODE", &keys[6], "LONGITUDE", "2.35000000");
    sample.add("ADDRESS_DEFAULT_GEOCODE", "X9|2026-02-01||GAVIC000000000|FCS|145.0|-37.9");
    let line = sample.line_of("ADDRESS_DETAIL", &keys[2]);
    let output = database.import(sample.path()).success();
    assert_eq!(numbers(&output, "address"), [451, 1, 6, 444, 0, 0], "{output}");
    let example = format!("postcode is not four digits (line {line} {})", keys[2]);
    assert!(output.contains(&example), "{output}\nlacks {example}");
    let counted: serde_json::Value = serde_json::from_str(&database.one("SELECT rejected FROM dataset")).unwrap();
    let wanted = serde_json::json!({
        "unknown locality": 1, "unknown street": 1, "postcode is not four digits": 1, "unknown flat type": 1,
        "no coordinates": 1, "outside of Australia": 1, "unknown address": 1,
        "no current source (confidence -1)": 1,
    });
    assert_eq!(counted.as_object().unwrap().get("its address is not used"), None, "{counted}");
    assert_eq!(counted, wanted);
}

#[test]
fn a_row_given_twice_is_loaded_once_and_told() {
    let (database, sample) = (Database::new(), Sample::new());
    for table in ["ADDRESS_DETAIL", "LOCALITY", "STREET_LOCALITY"] {
        sample.edit(table, |text| format!("{text}{}\n", text.lines().nth(1).unwrap()).into_bytes());
    }
    let output = database.import(sample.path()).success();
    for (table, counts) in
        [("address", [452, 0, 1, 451, 0, 0]), ("locality", [267, 0, 1, 266, 0, 0]), ("street", [406, 0, 1, 405, 0, 0])]
    {
        assert_eq!(numbers(&output, table), counts, "{output}");
    }
}

#[test]
fn two_imports_at_once_are_kept_apart() {
    let (database, sample) = (Database::new(), Sample::new());
    let lock = "SELECT pg_advisory_lock(7017844561907904623)"; // "addrimpo"
    let error = database.holding(lock, || database.import(sample.path()).failure());
    assert_eq!(error, "another import into this database is running");
    database.import(sample.path()).success();
}

#[test]
fn a_database_without_schema_says_what_to_do() {
    let database = Database::empty();
    let error = database.import(Sample::new().path()).failure();
    assert!(error.contains("run `address-service migrate` first"), "{error}");
}

#[test]
fn a_server_that_is_away_is_named() {
    let run = |url: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_address-service"));
        command.args(arguments).env("DATABASE_URL", url).output().unwrap()
    };
    // Port 1 is reserved and nothing listens there.
    let output = run("postgresql://somebody:secret-word@127.0.0.1:1/nowhere", &["migrate"]);
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(log.contains("cannot connect to PostgreSQL at 127.0.0.1:1"), "{log}");
    assert!(!log.contains("secret-word"), "{log}");
}

#[test]
fn a_path_with_nothing_in_it_is_an_error_and_none_at_all_is_wrong_usage() {
    let database = Database::new();
    let folder = tempfile::tempdir().unwrap();
    let error = database.import(folder.path()).failure();
    assert!(error.contains("holds nothing that can be imported"), "{error}");
    assert_eq!(database.run(&["import"]).code(), Some(64));
}

/// The last statement but one of the publishing transaction fails.
#[test]
fn a_failure_while_publishing_takes_everything_back() {
    let (database, sample) = (Database::new(), Sample::new());
    database.import(sample.path()).success();
    let before = database.contents();
    let fail = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$;
                CREATE TRIGGER fail BEFORE INSERT ON street_word EXECUTE FUNCTION fail()";
    database.holding(fail, || ());
    sample.set("STREET_LOCALITY", "VIC2036759", "STREET_NAME", "QUOKKA");
    sample.set("ADDRESS_DETAIL", FLAT, "DATE_RETIRED", "2026-01-31");
    let error = database.import(sample.path()).failure();
    assert!(error.contains("the disk is full"), "{error}");
    assert_eq!(database.contents(), before);
}

/// Whether the end of the transaction was a good one only the server can tell.
#[rstest::rstest]
#[case::an_answer("RAISE 'the disk is full'", "the data could not be published, nothing has changed: ")]
#[case::no_answer("PERFORM pg_terminate_backend(pg_backend_pid())", "it may be, or nothing has changed")]
fn a_failure_at_the_very_end_says_what_is_known(#[case] fault: &str, #[case] wanted: &str) {
    let (database, sample) = (Database::new(), Sample::new());
    database.import(sample.path()).success();
    let before = database.contents();
    let fail = format!(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {fault}; RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER fail AFTER UPDATE ON dataset DEFERRABLE INITIALLY DEFERRED
           FOR EACH ROW EXECUTE FUNCTION fail()"
    );
    database.holding(&fail, || ());
    sample.set("ADDRESS_DETAIL", FLAT, "DATE_RETIRED", "2026-01-31");
    let error = database.import(sample.path()).failure();
    assert!(error.contains(wanted), "{error}");
    assert_eq!(database.contents(), before);
}

/// To import again would change nothing, so that nothing would be made up for.
#[test]
fn what_fails_after_publishing_spares_the_rest_and_says_that_the_data_is_published() {
    let (database, sample) = (Database::new(), Sample::new());
    database.import(sample.path()).success();
    let counted = "SELECT count(*) FROM purge_outbox WHERE reason = 'area_statistics'";
    let staging = "SELECT count(*) FROM pg_namespace WHERE nspname = 'import_staging'";
    assert_eq!((database.one(counted), database.one(staging)), ("1".into(), "0".into()));
    let fail = "CREATE FUNCTION fail(name text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
                  IF current_query() LIKE 'VACUUM%' THEN RAISE 'no room'; END IF; RETURN name; END $$;
                CREATE INDEX failing ON street_word (fail(name))";
    database.holding(fail, || ());
    sample.set("ADDRESS_DETAIL", FLAT, "DATE_RETIRED", "2026-01-31");
    let error = database.import(sample.path()).failure();
    assert!(
        error.starts_with("the data is published, but not all is vacuumed") && error.contains("no room"),
        "{error}"
    );
    assert_eq!((database.one(counted), database.one(staging)), ("2".into(), "0".into()));
    assert_eq!(database.one("SELECT count(*) FROM address"), "450");

    let fail = "DROP INDEX failing;
                CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
                  IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE object_identity = 'import_staging') THEN
                    RAISE 'not now'; END IF; END $$;
                CREATE EVENT TRIGGER refuse ON sql_drop EXECUTE FUNCTION refuse()";
    database.holding(fail, || ());
    sample.set("ADDRESS_DETAIL", HOUSE, "DATE_RETIRED", "2026-01-31");
    let error = database.import(sample.path()).failure();
    assert!(error.starts_with("the data is published, but the schema") && error.contains("not now"), "{error}");
    assert_eq!((database.one(counted), database.one(staging)), ("3".into(), "1".into()));
    assert_eq!(database.one("SELECT count(*) FROM address"), "449");
}

#[test]
fn a_cut_off_gzip_file_stops_the_import() {
    let (database, folder) = (Database::new(), tempfile::tempdir().unwrap());
    let whole = std::fs::read(crate::sample::data().join("addresses/gnaf_addresses_demo.psv.gz")).unwrap();
    let path = folder.path().join("demo.psv.gz");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = database.import(&path).failure();
    assert!(error.contains("demo.psv.gz, line ") && error.ends_with("incomplete deflate stream"), "{error}");
    assert_eq!(database.one("SELECT count(*) FROM dataset"), "0");
}
