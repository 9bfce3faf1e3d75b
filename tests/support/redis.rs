//! Private Redis servers: one, a cluster, a master with Sentinel; and ways to hurt them.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::FromRedisValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{free_port, until};

/// A running server; gone when the value is.
pub struct Redis {
    pub port: u16,
    child: Child,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
}

impl Redis {
    /// One server that keeps nothing on disk.
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same with more settings.
    pub async fn with(settings: &[&str]) -> Self {
        for attempt in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let arguments: Vec<String> = settings.iter().map(|text| (*text).to_owned()).collect();
            let port = free_port();
            let mut child = spawn(port, &folder, &arguments, false);
            let mut up = false;
            for _ in 0..500 {
                up = ask::<String>(port, &["PING"]).await.is_ok()
                    || TcpStream::connect(("127.0.0.1", port)).await.is_ok();
                if up || child.try_wait().unwrap().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            if up || attempt == 5 {
                return Self { port, child, arguments, folder };
            }
        }
        unreachable!("the loop returns")
    }

    /// `redis://…`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it, as a power cut would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, with nothing in it.
    pub async fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder, &self.arguments, false);
        until("Redis is back", || async { ask::<String>(self.port, &["PING"]).await.is_ok() }).await;
    }

    /// Stops it where it stands; everything it has stays.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// A command's answer.
    pub async fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        ask(self.port, command).await.unwrap_or_else(|e| panic!("{command:?}: {e}"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, folder: &tempfile::TempDir, arguments: &[String], sentinel: bool) -> Child {
    let mut command = Command::new("redis-server");
    if !sentinel {
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(folder.path());
    }
    command.args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("redis-server is installed")
}

/// Asks one server, on a connection of its own.
pub async fn ask<T: FromRedisValue>(port: u16, command: &[&str]) -> redis::RedisResult<T> {
    ask_at(&format!("redis://127.0.0.1:{port}"), command).await
}

async fn ask_at<T: FromRedisValue>(url: &str, command: &[&str]) -> redis::RedisResult<T> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut asked = redis::cmd(command[0]);
    asked.arg(&command[1..]);
    asked.query_async(&mut connection).await
}

/// Three masters, each with a replica.
pub struct Cluster {
    /// Masters first; the replica of number n is number n + 3.
    pub nodes: Vec<Redis>,
}

impl Cluster {
    /// Formed and agreed; it notices a dead master within a second or so.
    pub async fn start() -> Self {
        let settings =
            ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no"];
        let mut nodes = Vec::new();
        for _ in 0..6 {
            // The cluster bus has the port beside, 10000 higher.
            nodes.push(Redis::with(&settings).await);
        }
        for (i, first, last) in [(0, "0", "5460"), (1, "5461", "10922"), (2, "10923", "16383")] {
            nodes[i].ask::<String>(&["CLUSTER", "ADDSLOTSRANGE", first, last]).await;
        }
        for node in &nodes[1..] {
            nodes[0].ask::<String>(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string()]).await;
        }
        until("all nodes know each other", || async {
            for node in &nodes {
                if node.ask::<String>(&["CLUSTER", "NODES"]).await.lines().count() < 6 {
                    return false;
                }
            }
            true
        })
        .await;
        for i in 0..3 {
            let master = nodes[i].ask::<String>(&["CLUSTER", "MYID"]).await;
            let replica = &nodes[i + 3];
            until("a replica follows its master", || async {
                ask::<String>(replica.port, &["CLUSTER", "REPLICATE", &master]).await.is_ok()
            })
            .await;
        }
        let cluster = Self { nodes };
        until("the cluster is up", || async { cluster.is_up().await }).await;
        until("the replicas are in step", || async {
            for replica in &cluster.nodes[3..] {
                if !replica.ask::<String>(&["INFO", "replication"]).await.contains("master_link_status:up") {
                    return false;
                }
            }
            true
        })
        .await;
        cluster
    }

    async fn is_up(&self) -> bool {
        for node in &self.nodes {
            let Ok(info) = ask::<String>(node.port, &["CLUSTER", "INFO"]).await else { continue };
            if !info.contains("cluster_state:ok") || !info.contains("cluster_slots_ok:16384") {
                return false;
            }
        }
        true
    }

    /// All nodes, for a configuration.
    pub fn urls(&self) -> String {
        self.nodes.iter().map(|node| format!("\"{}\"", node.url())).collect::<Vec<_>>().join(", ")
    }
}

/// A server that takes connections and says nothing, as one whose machine hangs.
pub struct Silent(std::net::TcpListener);

impl Silent {
    /// Until the value is gone.
    pub fn start() -> Self {
        Self(std::net::TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// `redis://…`
    pub fn url(&self) -> String {
        format!("redis://{}", self.0.local_addr().unwrap())
    }
}

/// A master, a replica and three sentinels, which want a password that the servers don't.
pub struct Sentinels {
    pub servers: Vec<Redis>,
    sentinels: Vec<(u16, Child, tempfile::TempDir)>,
}

impl Sentinels {
    /// They agree on the master, `mymaster`, and replace it within a second or so of its death.
    pub async fn start() -> Self {
        let master = Redis::start().await;
        let replica = Redis::with(&["--replicaof", "127.0.0.1", &master.port.to_string()]).await;
        until("the replica is in step", || async {
            replica.ask::<String>(&["INFO", "replication"]).await.contains("master_link_status:up")
        })
        .await;
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
            let file = folder.path().join("sentinel.conf");
            let config = format!(
                "port {port}\nbind 127.0.0.1\nrequirepass watch\nsentinel monitor mymaster 127.0.0.1 {} 2\n\
                 sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 3000\n",
                master.port
            );
            std::fs::write(&file, config).unwrap();
            let arguments = [file.display().to_string(), "--sentinel".to_owned()];
            let child = spawn(port, &folder, &arguments, true);
            sentinels.push((port, child, folder));
        }
        for (port, ..) in &sentinels {
            until("the sentinels know each other and the replica", || async {
                let known = ask_at::<String>(&watcher(*port), &["INFO", "sentinel"]).await.unwrap_or_default();
                known.contains("slaves=1,sentinels=3")
            })
            .await;
        }
        Self { servers: vec![master, replica], sentinels }
    }

    /// The sentinels, for a configuration.
    pub fn urls(&self) -> String {
        let urls = self.sentinels.iter().map(|(port, ..)| format!("{:?}", watcher(*port)));
        urls.collect::<Vec<_>>().join(", ")
    }
}

/// A sentinel's url.
fn watcher(port: u16) -> String {
    format!("redis://:watch@127.0.0.1:{port}")
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        for (_, child, _) in &mut self.sentinels {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A line to a server on which every answer is late.
pub struct SlowLine {
    pub port: u16,
    delay: Arc<AtomicU64>,
    running: JoinHandle<()>,
}

impl SlowLine {
    /// To the server on `port`, at first without delay.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let delay = Arc::new(AtomicU64::new(0));
        let late = Arc::clone(&delay);
        let running = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                client.set_nodelay(true).unwrap();
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
                let late = Arc::clone(&late);
                tokio::spawn(async move {
                    let mut piece = vec![0; 64 << 10];
                    while let Ok(n @ 1..) = from_server.read(&mut piece).await {
                        tokio::time::sleep(Duration::from_millis(late.load(Ordering::SeqCst))).await;
                        if to_client.write_all(&piece[..n]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { port: own, delay, running }
    }

    /// From now on every answer takes so much longer.
    pub fn delay(&self, milliseconds: u64) {
        self.delay.store(milliseconds, Ordering::SeqCst);
    }
}

impl Drop for SlowLine {
    fn drop(&mut self) {
        self.running.abort();
    }
}
