//! Redis Cluster with a part of it away: what the other masters hold is shared as before.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::time::Duration;

use serde_json::json;
use support::gateway::plain;
use support::origin::pause;
use support::redis::Cluster;
use support::{Answer, Gateway, Origin, until};
use tokio::time::Instant;

/// Lines that such trouble is expected to leave.
const EXPECTED: [&str; 4] = ["Redis", "a breaker opened", "invalidation log", "written to the log"];

/// Two instances over a cluster, and an origin behind them.
struct Both {
    cluster: Cluster,
    one: Gateway,
    two: Gateway,
    _origin: Origin,
    asked: usize,
}

impl Both {
    async fn start() -> Self {
        let origin = Origin::start(|asked| async move {
            let body = format!("{} {}", asked.target, asked.number);
            Answer::json(body).with("cache-control", "max-age=600").with("cache-tag", "all")
        })
        .await;
        let cluster = Cluster::start().await;
        let redis = format!("redis: {{ mode: cluster, urls: [{}] }}\n", cluster.urls());
        // A purge that is heard of by chance is not heard of at once.
        let config = plain(&origin.place) + &redis + "invalidation: { poll: 2s }\n";
        let (one, two) = (Gateway::start(&config).await, Gateway::start(&config).await);
        for gateway in [&one, &two] {
            until("all masters are connected and the log is read", || async {
                let status = gateway.admin("GET", "/admin/v1/status", None).await.json();
                let masters = status["cache"]["second"]["redis"]["masters"].as_array().cloned().unwrap_or_default();
                masters.len() == 3
                    && masters.iter().all(|master| master["connected"] == true)
                    && status["invalidation"]["log"] == "read"
                    && status["invalidation"]["instances"] == 2
            })
            .await;
        }
        Self { cluster, one, two, _origin: origin, asked: 0 }
    }

    /// Whether what one instance fetches the other finds in Redis. Nobody fails, and nobody waits.
    async fn shares(&mut self) -> bool {
        self.asked += 1;
        let path = format!("/shared{}", self.asked);
        let first = self.one.client.get(&path).await;
        pause(20).await;
        let second = self.two.client.get(&path).await;
        for reply in [&first, &second] {
            assert_eq!(reply.status, 200, "{path}");
            assert!(reply.time < Duration::from_millis(400), "{path}: {:?}", reply.time);
        }
        second.header("x-cache") == "HIT"
    }

    /// How many of so many are shared, while the log is read and purges arrive all the time.
    async fn shared_of(&mut self, count: usize) -> usize {
        let mut shared = 0;
        for n in 0..count {
            shared += usize::from(self.shares().await);
            if n % 20 == 0 {
                let before = self.two.client.get("/purged").await.text();
                let receipt = self.one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["all"]}))).await;
                assert_eq!(receipt.json(), json!({"confirmed": true, "applied": 2, "instances": 2}), "number {n}");
                assert_ne!(self.two.client.get("/purged").await.text(), before);
                assert_eq!(self.two.metric("addrgate_invalidation_log_read").await, 1.0);
                assert_eq!(self.two.metric("addrgate_redis_connected").await, 1.0);
            }
        }
        shared
    }

    /// Ends once everything is shared, so often in a row that it can't be chance.
    async fn all_shared(&mut self) {
        let (mut row, begun) = (0, Instant::now());
        while row < 40 {
            row = if self.shares().await { row + 1 } else { 0 };
            assert!(begun.elapsed() < Duration::from_secs(40), "not shared again");
        }
    }

    /// The master that has the log, or the first one that does not.
    async fn master(&self, of_log: bool) -> usize {
        let slot: u16 = self.cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", "addrgate:{log}"]).await;
        let log = usize::from(slot > 5460) + usize::from(slot > 10922);
        if of_log { log } else { (log + 1) % 3 }
    }

    async fn stop(self) {
        self.one.stop(&EXPECTED).await;
        self.two.stop(&EXPECTED).await;
    }
}

/// A third of the keys, with room for chance, is not shared; the rest is.
fn a_third_is_missing(shared: usize, count: usize) {
    let share = shared as f64 / count as f64;
    assert!((0.5..=0.8).contains(&share), "{shared} of {count} shared");
}

#[tokio::test]
async fn a_dead_master_costs_its_own_keys_alone() {
    let mut both = Both::start().await;
    assert_eq!(both.shared_of(30).await, 30);
    let dead = both.master(false).await;
    // Its replica first, which nobody replaces it by then.
    both.cluster.nodes[dead + 3].kill();
    both.cluster.nodes[dead].kill();
    pause(300).await;
    for _ in 0..3 {
        let shared = both.shared_of(100).await;
        a_third_is_missing(shared, 100);
    }
    both.stop().await;
}

#[tokio::test]
async fn a_frozen_master_costs_its_own_keys_alone() {
    let mut both = Both::start().await;
    let frozen = both.master(false).await;
    both.cluster.nodes[frozen + 3].freeze();
    both.cluster.nodes[frozen].freeze();
    pause(1000).await;
    for _ in 0..3 {
        let shared = both.shared_of(80).await;
        a_third_is_missing(shared, 80);
    }
    both.cluster.nodes[frozen].thaw();
    both.all_shared().await;
    assert_eq!(both.shared_of(20).await, 20);
    both.stop().await;
}

#[tokio::test]
async fn where_a_replica_takes_over_from_a_master_that_hangs_its_keys_are_shared_again() {
    let mut both = Both::start().await;
    let frozen = both.master(false).await;
    both.cluster.nodes[frozen].freeze();
    pause(500).await;
    both.all_shared().await;
    assert_eq!(both.shared_of(20).await, 20);
    both.cluster.nodes[frozen].thaw();
    both.stop().await;
}

#[tokio::test]
async fn the_master_that_has_the_log_costs_the_log_until_it_is_replaced_and_the_others_nothing() {
    let mut both = Both::start().await;
    let dead = both.master(true).await;
    both.cluster.nodes[dead].kill();
    let mut shared = 0;
    for _ in 0..20 {
        shared += usize::from(both.shares().await);
    }
    assert!(shared >= 8, "{shared} of 20 while the log has no master");
    both.all_shared().await;
    until("the log is read and written again", || async {
        let receipt = both.one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["all"]}))).await;
        receipt.json() == json!({"confirmed": true, "applied": 2, "instances": 2})
    })
    .await;
    assert_eq!(both.shared_of(20).await, 20);
    both.stop().await;
}
