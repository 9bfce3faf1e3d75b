//! A Redis of a test's own, and instances that share it.

use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::client::Client;
use addrgate_filters::http::head::{Head, Headers};
use addrgate_filters::rate_limit::{Accounts, Config, RateLimit};
use addrgate_filters::traffic::leases::{Asks, OnError, SCRIPT};
use addrgate_filters::verdict::Verdict;
use addrgate_filters::{Filter, Flow};
use redis::aio::MultiplexedConnection;

/// As long as a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Stopped, and its folder deleted, when it goes out of scope.
pub(crate) struct Redis {
    server: Child,
    folder: tempfile::TempDir,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _already_gone = self.server.kill();
        let _already_gone = self.server.wait();
    }
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let redis = Self { server, folder };
        tokio::time::timeout(PATIENCE, async {
            while redis.try_connect().await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("redis-server listens");
        redis
    }

    async fn try_connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let socket = self.folder.path().join("redis.sock");
        redis::Client::open(format!("unix://{}", socket.display()))?.get_multiplexed_async_connection().await
    }

    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        self.try_connect().await.unwrap()
    }

    pub(crate) async fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// So many instances with these limits per client, each with its task that asks.
    pub(crate) async fn instances(&self, count: usize, limits: &[&str], on_error: OnError) -> Vec<Arc<Instance>> {
        let mut instances = Vec::new();
        for _ in 0..count {
            let accounts = Arc::new(Accounts::default());
            accounts.leases().set_instances(count as u64);
            let client = limits.iter().map(|limit| limit.parse().unwrap()).collect();
            // A test machine is busier than any other.
            let wait = "1s".parse().unwrap();
            let config = Config { client, shared: true, on_error, wait, ..Config::default() };
            let filter = RateLimit::new(&config).unwrap().over(Arc::clone(&accounts));
            tokio::spawn(answer(accounts.leases().asks().unwrap(), self.connect().await));
            instances.push(Arc::new(Instance(filter)));
        }
        instances
    }
}

/// What the gateway's task does.
async fn answer(mut asks: Asks, connection: MultiplexedConnection) {
    loop {
        let ask = asks.next().await;
        let mut connection = connection.clone();
        tokio::spawn(async move {
            let script = redis::Script::new(SCRIPT);
            let mut call = script.key(ask.key());
            for argument in ask.arguments() {
                call.arg(argument);
            }
            let answered = tokio::time::timeout(Duration::from_millis(900), call.invoke_async(&mut connection)).await;
            if let Ok(Ok(leased)) = answered {
                ask.leased(leased);
            }
        });
    }
}

/// One gateway's limits.
pub(crate) struct Instance(RateLimit);

impl Instance {
    /// A request of this client, as the door makes it; the verdict where it is allowed.
    pub(crate) async fn ask(&self, client: &str) -> Option<Verdict> {
        let client = Client { name: client.into(), ..Client::default() };
        let address = Some(IpAddr::from([192, 0, 2, 1]));
        let mut verdict = Verdict { client: Some(Arc::new(client)), address, ..Verdict::default() };
        let head = Head::new("GET", "/", Headers::Raw(&[]));
        if self.0.request(&head, &mut verdict) != Flow::Continue || self.0.settle(&mut verdict).await != Flow::Continue
        {
            return None;
        }
        Some(verdict)
    }

    pub(crate) async fn allows(&self, client: &str) -> bool {
        self.ask(client).await.is_some()
    }
}
