//! What changes write into the outbox, without anyone to drain it.

use tokio_postgres::{Client, NoTls};

use crate::support::Database;

struct Outbox {
    database: Database,
    client: Client,
}

const CHANGE: &str = "UPDATE address SET postcode = '0999' WHERE pid = (SELECT min(pid) FROM address)";

impl Outbox {
    async fn new() -> Self {
        let database = Database::copy().await;
        let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        // The import of the sample has left its purge of everything.
        client.batch_execute("DELETE FROM purge_outbox").await.unwrap();
        Self { database, client }
    }

    async fn run(&self, sql: &str) {
        self.client.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// What is written, oldest first: tags joined by spaces, or `everything`, and the reason.
    async fn rows(&self) -> Vec<(String, String)> {
        let rows = self
            .client
            .query(
                "SELECT coalesce(array_to_string(tags, ' '), 'everything'), reason FROM purge_outbox ORDER BY id",
                &[],
            )
            .await
            .unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    async fn text(&self, sql: &str) -> String {
        self.client.query_one(&format!("SELECT ({sql})::text"), &[]).await.unwrap().get(0)
    }
}

#[tokio::test]
async fn a_change_writes_its_tags_and_an_undone_one_none() {
    let outbox = Outbox::new().await;
    outbox.run(&format!("BEGIN; {CHANGE}; ROLLBACK")).await;
    outbox.run("UPDATE address SET postcode = '0999' WHERE pid = 'no such'").await;
    assert_eq!(outbox.rows().await, []);
    outbox.run(CHANGE).await;
    let [(tags, reason)] = outbox.rows().await.try_into().unwrap();
    assert_eq!(reason, "address");
    let tags: Vec<&str> = tags.split(' ').collect();
    let pid = outbox.text("SELECT min(pid) FROM address").await;
    let locality = outbox.text("SELECT locality_pid FROM address ORDER BY pid LIMIT 1").await;
    let number = outbox.text("SELECT number_first FROM address ORDER BY pid LIMIT 1").await;
    for wanted in [format!("pid:{pid}"), format!("locality:{locality}"), format!("number:{number}"), "wide".to_owned()]
    {
        assert!(tags.contains(&wanted.as_str()), "{wanted} in {tags:?}");
    }
    assert_eq!(tags.iter().filter(|tag| tag.starts_with("cell:")).count(), 3, "{tags:?}");
}

#[tokio::test]
async fn every_served_table_writes_on_insert_update_delete_and_truncate() {
    let outbox = Outbox::new().await;
    outbox
        .run(
            "INSERT INTO address_alias SELECT min(pid), max(pid), 'SYN', 'test' FROM address;
             INSERT INTO address_secondary SELECT min(pid), max(pid), 'test' FROM address;
             INSERT INTO locality_neighbour SELECT min(pid), max(pid), 'test' FROM locality",
        )
        .await;
    for table in [
        "address",
        "address_alias",
        "address_area",
        "address_secondary",
        "area",
        "area_piece",
        "code",
        "dataset",
        "locality",
        "locality_name",
        "locality_neighbour",
        "locality_postcode",
        "mesh_block",
        "street",
        "street_name",
        "street_word",
    ] {
        let column = outbox
            .text(&format!("SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum = 1"))
            .await;
        for change in [
            format!("UPDATE {table} SET {column} = {column} WHERE ctid = (SELECT min(ctid) FROM {table})"),
            format!(
                "CREATE TEMP TABLE one AS SELECT * FROM {table} ORDER BY ctid LIMIT 1;
                 DELETE FROM {table} WHERE ctid = (SELECT min(ctid) FROM {table});
                 DELETE FROM purge_outbox; SELECT set_config('addrgate.purges_everything', '', true);
                 INSERT INTO {table} SELECT * FROM one"
            ),
            format!("DELETE FROM {table} WHERE ctid = (SELECT min(ctid) FROM {table})"),
            format!("TRUNCATE {table} CASCADE"),
        ] {
            outbox.run(&format!("BEGIN; DELETE FROM purge_outbox; {change}")).await;
            assert_ne!(outbox.rows().await, [], "{change}");
            outbox.run("ROLLBACK").await;
        }
    }
}

#[tokio::test]
async fn a_large_change_is_one_purge_of_everything() {
    let outbox = Outbox::new().await;
    outbox.run("UPDATE address SET postcode = '0999' WHERE pid IN (SELECT pid FROM address LIMIT 2000)").await;
    outbox.run("UPDATE address SET postcode = '0999'").await;
    let rows = outbox.rows().await;
    assert_eq!(rows.iter().map(|(tags, _)| tags.as_str()).collect::<Vec<_>>(), ["everything"; 2], "{rows:?}");
}

#[tokio::test]
async fn what_nobody_drains_becomes_one_purge_of_everything() {
    let outbox = Outbox::new().await;
    outbox
        .run(&format!(
            "DO $$ BEGIN FOR i IN 1..10020 LOOP {CHANGE}; IF i % 100 = 0 THEN COMMIT; END IF; END LOOP; END $$"
        ))
        .await;
    let rows = outbox.rows().await;
    assert!(rows.len() < 100, "{}", rows.len());
    assert_eq!(rows[0], ("everything".into(), "more than 10000 changes were waiting".into()));
}

#[tokio::test]
async fn an_import_writes_one_row_and_silences_nobody_else() {
    let outbox = Outbox::new().await;
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("new.psv");
    let header = "ADDRESS_LABEL|LOCALITY_NAME|STATE|POSTCODE|LONGITUDE|LATITUDE|NUMBER_FIRST|STREET_NAME|STREET_TYPE\n";
    let rows: String = (1..=3_000)
        .map(|n| format!("{n} QUOKKA STREET, HORSHAM VIC 3400|HORSHAM|VIC|3400|142.2|-36.7|{n}|QUOKKA|STREET\n"))
        .collect();
    std::fs::write(&path, format!("{header}{rows}")).unwrap();
    crate::support::database::administer(&outbox.database.url(), &["import", path.to_str().unwrap()]);
    let rows = outbox.rows().await;
    assert_eq!(rows[0], ("everything".into(), "import of core:new".into()), "{rows:?}");
    assert_eq!(rows[1..], [("statistics wide".into(), "area_statistics".into())]);
    // The same again changes nothing, and nothing is purged.
    crate::support::database::administer(&outbox.database.url(), &["import", path.to_str().unwrap()]);
    assert_eq!(outbox.rows().await.len(), 2);

    outbox.run("DELETE FROM purge_outbox").await;
    let silenced =
        "SELECT purge_everything('x'); UPDATE address SET postcode = '0998' WHERE pid = (SELECT min(pid) FROM address)";
    outbox.run(&format!("BEGIN; {silenced}; COMMIT")).await;
    outbox.run(CHANGE).await;
    outbox.run(&format!("BEGIN; SAVEPOINT a; {silenced}; ROLLBACK TO a; {CHANGE}; COMMIT")).await;
    outbox.run(&format!("SET addrgate.purges_everything = 'on'; {CHANGE}")).await;
    let rows = outbox.rows().await;
    let reasons: Vec<&str> = rows.iter().map(|(_, reason)| reason.as_str()).collect();
    assert_eq!(reasons, ["x", "address", "address", "address"]);
}

/// Who may only edit addresses can do so, and can't purge at will.
#[tokio::test]
async fn an_editor_needs_no_rights_on_the_outbox() {
    let outbox = Outbox::new().await;
    let role = format!("editor_{}", std::process::id());
    outbox
        .run(&format!("CREATE ROLE {role}; GRANT SELECT, UPDATE ON address TO {role}; SET ROLE {role}; {CHANGE}"))
        .await;
    let refused = outbox.client.batch_execute("SELECT purge_everything('no')").await;
    assert!(refused.is_err());
    outbox.run(&format!("RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")).await;
    assert_eq!(outbox.rows().await.len(), 1);
}
