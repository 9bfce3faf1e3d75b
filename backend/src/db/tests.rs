//! Against a real server, named by TEST_DATABASE_URL (`make test` starts one).

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::*;

const ONE: &str = "-- one\nSELECT 1::int4";
const SLEEP: &str = "-- sleep\nSELECT pg_sleep($1::float8)::text";
const WRONG: &str = "-- wrong\nSELECT 1::int4 / $1::int4";
const MISSING: &str = "-- missing\nSELECT * FROM no_such_table";
const TIMEOUT: &str = "-- setting\nSELECT current_setting('statement_timeout')";
const WRITE: &str = "-- write\nCREATE TABLE should_not_be (a int)";
const BUSY: &str = "-- busy\nSELECT count(*) FROM pg_stat_activity
  WHERE application_name = $1::text AND state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()";

fn config() -> tokio_postgres::Config {
    let server = std::env::var("TEST_DATABASE_URL").expect("TEST_DATABASE_URL must name a PostgreSQL server");
    server.parse().unwrap()
}

fn open(config: tokio_postgres::Config, pool_size: u32, pool_waiters: usize) -> Database {
    Database::open(
        Server::new(config, None).unwrap(),
        &PoolArgs { pool_size, pool_waiters, connect_timeout: Duration::from_secs(2) },
    )
}

fn within(seconds: f64) -> Instant {
    Instant::now() + Duration::from_secs_f64(seconds)
}

/// Waits until `ready` says so.
async fn until(what: &str, ready: impl Fn() -> bool) {
    let waited = timeout(Duration::from_secs(10), async {
        while !ready() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what}");
}

async fn one(database: &Database) -> Result<i32, ApiError> {
    Ok(database.query(within(3.0), ONE, &[]).await?[0].get(0))
}

#[tokio::test]
async fn a_slow_statement_ends_before_its_deadline_and_spares_the_connection() {
    let database = open(config(), 1, 4);
    let begun = Instant::now();
    let error = database.query(within(0.5), SLEEP, &[&5.0]).await.unwrap_err();
    assert_eq!((error.status.as_u16(), error.code, error.retry_after), (503, "SERVICE_UNAVAILABLE", Some(1)));
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(one(&database).await, Ok(1));
    assert_eq!(database.pool.state().statistics.connections_created, 1);
}

#[tokio::test]
async fn the_session_knows_the_budget_of_each_statement() {
    let database = open(config(), 1, 4);
    for (seconds, setting) in [(2.5, "2350ms"), (30.0, "29s"), (30.0, "29s"), (0.95, "900ms")] {
        let rows = database.query(within(seconds), TIMEOUT, &[]).await.unwrap();
        assert_eq!(rows[0].get::<_, String>(0), setting);
    }
}

#[tokio::test]
async fn an_abandoned_statement_is_cancelled() {
    let mut config = config();
    config.application_name("abandoned");
    let database = open(config, 1, 4);
    let dropped = timeout(Duration::from_millis(200), database.query(within(20.0), SLEEP, &[&19.0])).await;
    assert!(dropped.is_err());
    // The next statement gets a new connection at once.
    let begun = Instant::now();
    assert_eq!(one(&database).await, Ok(1));
    assert!(begun.elapsed() < Duration::from_secs(1));
    let watcher = open(self::config(), 1, 4);
    for _ in 0..50 {
        let rows = watcher.query(within(2.0), BUSY, &[&"abandoned"]).await.unwrap();
        if rows[0].get::<_, i64>(0) == 0 {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("the abandoned statement goes on");
}

#[tokio::test]
async fn waiters_are_bounded_and_end_by_their_deadline() {
    let database = open(config(), 1, 1);
    let busy = tokio::spawn({
        let database = database.clone();
        async move { database.query(within(8.0), SLEEP, &[&3.0]).await.map(|_| ()) }
    });
    let taken = || database.state().connections == 1 && database.state().idle == 0;
    until("the one connection is taken", taken).await;
    let waiting = tokio::spawn({
        let database = database.clone();
        async move { database.query(within(1.0), ONE, &[]).await.map(|_| ()) }
    });
    until("the one place to wait is taken", || database.places.available_permits() == 0).await;
    assert_eq!(one(&database).await.unwrap_err().status, 503, "no place left");
    assert!(!waiting.is_finished(), "refused at once, not after a wait");
    assert_eq!(waiting.await.unwrap().unwrap_err().status, 503, "waited long enough");
    assert_eq!(busy.await.unwrap(), Ok(()));
    assert_eq!(one(&database).await, Ok(1));
}

#[tokio::test]
async fn what_is_wrong_with_a_statement_is_not_told_to_clients() {
    let database = open(config(), 1, 4);
    let error = database.query(within(2.0), WRONG, &[&0]).await.unwrap_err();
    assert_eq!((error.status.as_u16(), error.code), (500, "INTERNAL_ERROR"));
    assert!(!format!("{error:?}").contains("zero"));
    assert_eq!(database.query(within(2.0), MISSING, &[]).await.unwrap_err().status, 503);
    assert_eq!(database.query(within(2.0), WRITE, &[]).await.unwrap_err().status, 500, "sessions only read");
    assert_eq!(one(&database).await, Ok(1));
    assert_eq!(database.pool.state().statistics.connections_created, 1);
}

/// As a replica cancels statements for what the primary has changed, and a primary those that it can't put in an order.
#[tokio::test]
async fn a_statement_that_met_a_conflict_is_asked_again() {
    let (client, connection) = config().connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let name = format!("conflicting_{}", std::process::id());
    // A lock of the session outlives the failure, and tells that it was.
    let conflicts = format!(
        "CREATE FUNCTION {name}(once bool, code text) RETURNS int4 LANGUAGE plpgsql AS $$ BEGIN
           IF once AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) THEN RETURN 1; END IF;
           PERFORM pg_advisory_lock_shared(4001);
           RAISE EXCEPTION 'conflict' USING ERRCODE = code;
         END $$"
    );
    client.batch_execute(&conflicts).await.unwrap();
    let statement: &'static str = format!("-- conflict\nSELECT {name}($1::bool, $2::text)").leak();
    for code in ["40001", "40P01"] {
        let database = open(config(), 1, 4);
        let rows = database.query(within(3.0), statement, &[&true, &code]).await;
        assert_eq!(rows.map(|rows| rows[0].get::<_, i32>(0)), Ok(1), "{code}");
        let error = database.query(within(3.0), statement, &[&false, &code]).await.unwrap_err();
        assert_eq!((error.status.as_u16(), error.code), (503, "SERVICE_UNAVAILABLE"), "{code}: not for ever");
        assert_eq!(database.pool.state().statistics.connections_created, 1, "the connection is as good as before");
    }
    client.batch_execute(&format!("DROP FUNCTION {name}")).await.unwrap();
}

#[tokio::test]
async fn a_killed_connection_is_replaced_without_the_client_noticing() {
    let mut config = config();
    config.application_name("killed");
    let database = open(config, 3, 16);
    let (a, b, c) = tokio::join!(one(&database), one(&database), one(&database));
    assert_eq!((a, b, c), (Ok(1), Ok(1), Ok(1)));
    let killer = open(self::config(), 1, 4);
    let kill =
        "-- kill\nSELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'killed'";
    killer.query(within(2.0), kill, &[]).await.unwrap();
    for _ in 0..4 {
        assert_eq!(one(&database).await, Ok(1));
    }
}

#[tokio::test]
async fn a_server_that_refuses_or_never_answers_is_a_503_in_time() {
    let refusing = open("postgresql://a:b@127.0.0.1:1/c".parse().unwrap(), 2, 8);
    let begun = Instant::now();
    assert_eq!(refusing.query(within(2.0), ONE, &[]).await.unwrap_err().status, 503);
    assert!(begun.elapsed() < Duration::from_secs(1), "refused at once, not at the deadline");

    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgresql://a:b@{}/c", silent.local_addr().unwrap());
    let hanging = open(url.parse().unwrap(), 2, 8);
    let begun = Instant::now();
    assert_eq!(hanging.query(within(0.4), ONE, &[]).await.unwrap_err().status, 503);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// A way to the server that can be shut, as when a network fails: nothing is answered, nothing is refused.
struct Way {
    address: std::net::SocketAddr,
    shut: tokio::sync::watch::Sender<bool>,
}

impl Way {
    async fn open() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = config().get_ports()[0];
        let (shut, watched) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut watched = watched.clone();
                tokio::spawn(async move {
                    let mut server = tokio::net::TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                    loop {
                        watched.wait_for(|shut| !shut).await.unwrap();
                        tokio::select! {
                            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                            _ = watched.wait_for(|shut| *shut) => {}
                        }
                    }
                });
            }
        });
        Self { address, shut }
    }

    fn database(&self) -> Database {
        let mut through = tokio_postgres::Config::new();
        let given = config();
        through.host("127.0.0.1").port(self.address.port());
        through.user(given.get_user().unwrap()).dbname(given.get_dbname().unwrap());
        through.password(given.get_password().unwrap());
        open(through, 4, 64)
    }
}

#[tokio::test]
async fn while_the_server_is_away_statements_are_refused_at_once_until_a_probe_is_answered() {
    let way = Way::open().await;
    let database = way.database();
    assert_eq!(one(&database).await, Ok(1));
    way.shut.send(true).unwrap();
    // Those who came first wait for their deadlines, side by side.
    let begun = Instant::now();
    let waiting = (0..12).map(|_| database.query(within(0.6), ONE, &[]));
    for outcome in futures::future::join_all(waiting).await {
        assert_eq!(outcome.unwrap_err().status, 503);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(serde_json::to_value(database.breaker()).unwrap()["state"], "open");
    let begun = Instant::now();
    for _ in 0..50 {
        let error = one(&database).await.unwrap_err();
        assert_eq!((error.status.as_u16(), error.code), (503, "SERVICE_UNAVAILABLE"));
        assert!(error.retry_after >= Some(1));
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "none waits for its deadline: {:?}", begun.elapsed());
    // It comes back by itself: nobody asks.
    way.shut.send(false).unwrap();
    let begun = Instant::now();
    while serde_json::to_value(database.breaker()).unwrap()["state"] != "closed" {
        assert!(begun.elapsed() < Duration::from_secs(5), "still not closed");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(one(&database).await, Ok(1));
}

#[tokio::test]
async fn a_client_in_a_hurry_and_a_wrong_statement_shut_no_door() {
    let database = open(config(), 4, 64);
    for _ in 0..30 {
        assert_eq!(database.query(within(0.1), SLEEP, &[&1.0]).await.unwrap_err().status, 503);
    }
    for _ in 0..30 {
        assert_eq!(database.query(within(2.0), WRONG, &[&0]).await.unwrap_err().status, 500);
    }
    assert_eq!(one(&database).await, Ok(1));
    let breaker = serde_json::to_value(database.breaker()).unwrap();
    assert_eq!((&breaker["state"], &breaker["failure_rate"]), (&"closed".into(), &0.0.into()));
}
