//! Filling an empty table without its indexes and foreign keys, which are built once afterwards: for a million addresses
//! that is several times faster than keeping them up row by row.

use std::collections::HashSet;

use tokio_postgres::{Row, Transaction};

/// Below this the ordinary way is as fast.
const WORTH_IT: i64 = 20_000;

const CONSTRAINTS: &str = include_str!("../sql/import/constraints.sql");
const INDEXES: &str = include_str!("../sql/import/indexes.sql");

/// The statements that restore what was taken off a table, in order.
#[derive(Default)]
pub(crate) struct Restore(Vec<String>);

/// The tables without rows. To be asked before anything is changed: what this transaction empties, others read until it ends.
///
/// # Errors
/// The server's.
pub(crate) async fn empty(transaction: &Transaction<'_>) -> anyhow::Result<HashSet<String>> {
    const ALL: &str = "SELECT oid::regclass::text FROM pg_class
      WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_table_is_visible(oid)";
    let mut empty = HashSet::new();
    for row in transaction.query(ALL, &[]).await? {
        let table: String = row.get(0);
        let occupied = transaction.query_one(&format!("SELECT EXISTS (SELECT FROM {table})"), &[]).await?;
        if !occupied.get::<_, bool>(0) {
            empty.insert(table);
        }
    }
    Ok(empty)
}

/// Takes constraints and indexes off `table` where it was `empty` and many rows are coming; nobody can be reading an empty
/// table's rows, so the exclusive lock hurts no one. A foreign key to or from a table that had rows stays, because to drop it
/// would lock that one, too.
///
/// # Errors
/// The server's.
pub(crate) async fn strip(
    transaction: &Transaction<'_>,
    empty: &HashSet<String>,
    table: &str,
    coming: i64,
) -> anyhow::Result<Restore> {
    if !empty.contains(table) || coming < WORTH_IT {
        return Ok(Restore::default());
    }
    settle(transaction).await?;
    let constraints = transaction.query(CONSTRAINTS, &[&format!("public.{table}")]).await?;
    let is_read =
        |row: &Row| row.get::<_, Option<String>>(3).is_some_and(|other| other != table && !empty.contains(&other));
    // Its primary key can't be dropped under such a foreign key.
    if constraints.iter().any(|row| is_read(row) && row.get::<_, &str>(0) != table) {
        return Ok(Restore::default());
    }
    let mut restore = Vec::new();
    // Foreign keys first, both ways, then the primary key that they stand on, then plain indexes.
    for row in constraints.iter().filter(|row| !is_read(row)) {
        let (owner, name, definition): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        transaction.batch_execute(&format!("ALTER TABLE {owner} DROP CONSTRAINT {name}")).await?;
        restore.push(format!("ALTER TABLE {owner} ADD CONSTRAINT {name} {definition}"));
    }
    for row in transaction.query(INDEXES, &[&format!("public.{table}")]).await? {
        let (name, definition): (String, String) = (row.get(0), row.get(1));
        transaction.batch_execute(&format!("DROP INDEX {name}")).await?;
        restore.push(definition);
    }
    restore.reverse();
    Ok(Restore(restore))
}

impl Restore {
    /// Builds everything again; a foreign key that doesn't hold fails here.
    ///
    /// # Errors
    /// The server's.
    pub(crate) async fn run(self, transaction: &Transaction<'_>) -> anyhow::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        settle(transaction).await?;
        for statement in self.0 {
            transaction.batch_execute(&statement).await?;
        }
        Ok(())
    }
}

/// Checks now what was put off: a table with checks pending can't be altered.
async fn settle(transaction: &Transaction<'_>) -> anyhow::Result<()> {
    transaction.batch_execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED").await?;
    Ok(())
}
