//! One limit over two instances, through a real Redis: exact, also while Redis dies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::time::Duration;

use support::redis::Redis;
use support::{Answer, Client, Gateway, Origin, until};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The digest of `key`, which the gateway's client sends.
const DIGEST: &str = "sha256:2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";

async fn two(redis: &Redis, limit: &str) -> (Origin, [Gateway; 2]) {
    let origin = Origin::start(|_| async { Answer::json("ok") }).await;
    let config = format!(
        "version: 1
server: {{ listen: [\"{{listen}}\"], threads: 2 }}
admin: {{ listen: \"{{admin}}\", token: \"{{token}}\" }}
log: {{ access: false }}
redis: {{ urls: [\"{}\"] }}
rate_limit: {{ client: [{limit}], shared: true }}
clients: {{ web: {{ keys: [\"{DIGEST}\"] }} }}
upstreams: {{ origin: {{ addresses: [\"{}\"], health: {{ interval: 60s }} }} }}
routes: [{{ name: all, paths: [/**], cache: {{}} }}]
",
        redis.url(),
        origin.place
    );
    let gateways = [Gateway::start(&config).await, Gateway::start(&config).await];
    for gateway in &gateways {
        until("both instances know each other", || async {
            gateway.admin("GET", "/admin/v1/status", None).await.json()["invalidation"]["instances"] == 2
        })
        .await;
    }
    // The number of instances is told once a second.
    support::origin::pause(1100).await;
    (origin, gateways)
}

/// So many requests to each, from many connections at once; how many were admitted. Nothing but 200 and 429 may come.
async fn flood(gateways: &[Gateway; 2], connections: usize, each: usize) -> usize {
    let mut all = JoinSet::new();
    for gateway in gateways {
        for _ in 0..connections {
            let client: Client = gateway.client.clone();
            all.spawn(async move {
                let mut admitted = 0;
                for _ in 0..each {
                    let reply = client.get("/a").await;
                    assert!(matches!(reply.status, 200 | 429), "{}: {}", reply.status, reply.text());
                    admitted += usize::from(reply.status == 200);
                }
                admitted
            });
        }
    }
    all.join_all().await.iter().sum()
}

#[tokio::test]
async fn two_thousand_at_once_on_two_instances_get_exactly_the_budget() {
    let redis = Redis::start().await;
    let (_origin, gateways) = two(&redis, "100/15m").await;
    let admitted = flood(&gateways, 50, 20).await;
    assert!((98..=102).contains(&admitted), "{admitted} of 2000");
    for key in redis.ask::<Vec<String>>(&["KEYS", "addrgate:l:*"]).await {
        assert!(redis.ask::<i64>(&["PTTL", &key]).await > 0, "{key} never expires");
    }
    for gateway in gateways {
        gateway.stop(&[]).await;
    }
}

#[tokio::test]
async fn redis_killed_in_the_middle_never_admits_more_than_a_fifth_on_top() {
    let mut redis = Redis::start().await;
    let (_origin, gateways) = two(&redis, "1000/15m").await;
    let before = flood(&gateways, 10, 20).await;
    assert_eq!(before, 400);
    redis.kill();
    let after = flood(&gateways, 20, 60).await;
    assert!(before + after <= 1200, "{before} + {after}");
    assert!(after >= 200, "the local share is served: {after}");
    for gateway in gateways {
        gateway.stop(&["Redis", "invalidation log"]).await;
    }
}

#[tokio::test]
async fn a_sustained_flood_is_admitted_at_the_limits_rate() {
    let redis = Redis::start().await;
    let (_origin, gateways) = two(&redis, "300/1s").await;
    // The first budget, then the rate.
    flood(&gateways, 10, 60).await;
    let begun = Instant::now();
    let mut admitted = 0;
    while begun.elapsed() < Duration::from_secs(4) {
        admitted += flood(&gateways, 10, 10).await;
    }
    let rate = admitted as f64 / begun.elapsed().as_secs_f64();
    // The budget that was spent at the start may have come back in part between two rounds.
    assert!((270.0..=330.0).contains(&rate), "{rate} a second");
    for gateway in gateways {
        gateway.stop(&[]).await;
    }
}
