//! Filling an empty table without its indexes and foreign keys, which are built once afterwards: for a million addresses
//! that is several times faster than keeping them up row by row.

use tokio_postgres::Transaction;

/// Below this the ordinary way is as fast.
const WORTH_IT: i64 = 20_000;

const CONSTRAINTS: &str = include_str!("../sql/import/constraints.sql");
const INDEXES: &str = include_str!("../sql/import/indexes.sql");

/// The statements that restore what was taken off a table, in order.
#[derive(Default)]
pub(crate) struct Restore(Vec<String>);

/// Takes constraints and indexes off `table` where it is empty and many rows are coming; nobody can be reading an empty table's
/// rows, so the exclusive lock hurts no one.
///
/// # Errors
/// The server's.
pub(crate) async fn strip(transaction: &Transaction<'_>, table: &str, coming: i64) -> anyhow::Result<Restore> {
    let occupied: bool =
        transaction.query_one(&format!("SELECT EXISTS (SELECT FROM public.{table})"), &[]).await?.get(0);
    if occupied || coming < WORTH_IT {
        return Ok(Restore::default());
    }
    settle(transaction).await?;
    let mut restore = Vec::new();
    // Foreign keys first, both ways, then the primary key that they stand on, then plain indexes.
    for row in transaction.query(CONSTRAINTS, &[&format!("public.{table}")]).await? {
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
