//! Addresses drawn from the database, spread evenly over it.

use anyhow::Context;
use tokio_postgres::NoTls;

/// What requests are worded from.
pub(crate) struct Drawn {
    pub(crate) unit: String,
    pub(crate) number: String,
    pub(crate) street: String,
    pub(crate) street_type: String,
    pub(crate) locality: String,
    pub(crate) state: String,
    pub(crate) postcode: String,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
}

const DRAW: &str = "
    SELECT coalesce(a.flat_number, ''), a.number_first, s.name, coalesce(s.type, ''), l.name, l.state,
           coalesce(a.postcode, ''), ST_Y(a.point::geometry), ST_X(a.point::geometry)
    FROM (SELECT pid FROM address TABLESAMPLE BERNOULLI (5) REPEATABLE (1) LIMIT 200000) drawn
    JOIN address a USING (pid) JOIN street s ON s.pid = a.street_pid JOIN locality l ON l.pid = a.locality_pid
    WHERE a.number_first IS NOT NULL
    ORDER BY md5(a.pid) LIMIT $1";

/// `count` addresses, the same on every run over the same data.
pub(crate) async fn addresses(database: &str, count: usize) -> anyhow::Result<Vec<Drawn>> {
    let (client, connection) = tokio_postgres::connect(database, NoTls).await.context("the database")?;
    let connection = tokio::spawn(connection);
    let rows = client.query(DRAW, &[&i64::try_from(count)?]).await?;
    drop(client);
    connection.await??;
    anyhow::ensure!(!rows.is_empty(), "the database holds no addresses");
    Ok(rows
        .iter()
        .map(|row| Drawn {
            unit: row.get(0),
            number: row.get(1),
            street: row.get(2),
            street_type: row.get(3),
            locality: row.get(4),
            state: row.get(5),
            postcode: row.get(6),
            latitude: row.get(7),
            longitude: row.get(8),
        })
        .collect())
}
