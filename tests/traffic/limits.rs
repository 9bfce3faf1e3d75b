//! One limit over two instances.

use std::time::Duration;

use addrgate_filters::client::digest_of;

use super::generator::{Seen, at_once as ask_at_once, offer_as, share};
use super::profile;
use super::support::origin::pause;
use super::support::redis::Redis;
use super::support::{Answer, Client, Gateway, Origin, until};
use super::{Report, Scale};

/// Two gateways with the profile over one Redis, `demo-small` with this limit.
struct Two {
    _origin: Origin,
    gateways: [Gateway; 2],
}

impl Two {
    async fn start(redis: &Redis, text: &str) -> Self {
        let origin = Origin::start(|_| async { Answer::json("{}") }).await;
        let url = redis.url();
        let start = async || profile::with(&origin.place, text, &[("REDIS_URL", &url)]).await;
        let gateways = [start().await, start().await];
        for gateway in &gateways {
            until("both instances know each other", || async {
                gateway.admin("GET", "/admin/v1/status", None).await.json()["invalidation"]["instances"] == 2
            })
            .await;
            gateway.client.with_key("demo-batch").get("/a").await;
        }
        // The number of instances is told once a second.
        pause(1100).await;
        Self { _origin: origin, gateways }
    }

    fn clients(&self) -> [Client; 2] {
        self.gateways.each_ref().map(|gateway| gateway.client.with_key("demo-small"))
    }

    /// So many requests at once, half of them on each; nothing but 200 and 429 may come.
    async fn burst(&self, count: u64) -> usize {
        let [one, two] = self.clients();
        let path = |_| "/a".to_owned();
        let (one, two) = tokio::join!(ask_at_once(&one, count / 2, path), ask_at_once(&two, count / 2, path));
        let seen: Vec<Seen> = one.into_iter().chain(two).collect();
        let odd = seen.iter().find(|seen| !matches!(seen.status, 200 | 429));
        assert!(odd.is_none(), "{odd:?}");
        seen.iter().filter(|seen| seen.is_served()).count()
    }

    async fn stop(self, expected: &[&str]) {
        for gateway in self.gateways {
            gateway.stop(expected).await;
        }
    }
}

fn limited(limit: &str) -> String {
    profile::text().replace("client: [100/15m]", &format!("client: [{limit}]"))
}

/// 2,000 at once against a budget of 100.
pub async fn at_once(_: Scale) -> Report {
    let redis = Redis::start().await;
    let two = Two::start(&redis, &profile::text()).await;
    let admitted = two.burst(2000).await as f64;
    let mut report = Report::default();
    report.at_least("admitted of 2,000 at a budget of 100", admitted, 98.0);
    report.at_most("the same", admitted, 102.0);
    for key in redis.ask::<Vec<String>>(&["KEYS", "traffic:l:*"]).await {
        assert!(redis.ask::<i64>(&["PTTL", &key]).await > 0, "{key} never expires");
    }
    two.stop(&[]).await;
    report
}

/// Five times the limit, for some time.
pub async fn flood(scale: Scale) -> Report {
    let redis = Redis::start().await;
    let two = Two::start(&redis, &limited("300/1s")).await;
    let clients = two.clients();
    let time = Duration::from_secs(scale.pick(6, 30));
    let seen = offer_as(1500.0, time, |n| (clients[n as usize % 2].clone(), "/a".to_owned())).await;
    // The budget of the beginning is spent by then.
    let later = seen.iter().filter(|seen| seen.at >= Duration::from_secs(2) && seen.is_served()).count() as f64;
    let rate = later / (time.as_secs_f64() - 2.0) / 300.0;
    let mut report = Report::default();
    report.at_least("admitted, in the limit", rate, scale.pick(0.9, 0.98));
    report.at_most("the same", rate, scale.pick(1.1, 1.02));
    report.at_most("neither 200 nor 429", share(&seen, |seen| !matches!(seen.status, 200 | 429)), 0.0);
    two.stop(&[]).await;
    report
}

/// 400 of 1,000 are spent when Redis dies; then far more is asked than is left.
pub async fn redis_killed(_: Scale) -> Report {
    let mut redis = Redis::start().await;
    let two = Two::start(&redis, &limited("1000/15m")).await;
    let before = two.burst(400).await;
    let flood = two.burst(2400);
    let (after, ()) = tokio::join!(flood, async {
        pause(5).await;
        redis.kill();
    });
    let after = after + two.burst(1000).await;
    let mut report = Report::default();
    report.at_least("admitted of the first 400", before as f64, 400.0);
    report.at_most("admitted in all, in the limit", (before + after) as f64 / 1000.0, 1.5);
    report.at_least("the same: what was left is served", (before + after) as f64 / 1000.0, 0.8);
    two.stop(&["Redis", "a breaker opened", "invalidation log", "second tier"]).await;
    report
}

/// Each key is asked with at half its limit, on either instance in turn.
pub async fn many_keys(scale: Scale) -> Report {
    let keys = scale.pick(1_000, 10_000);
    let period = scale.pick(6, 60);
    let name = |n: u64| format!("many-{n}");
    let clients: String = (0..keys)
        .map(|n| format!("  {}: {{ keys: [\"{}\"], limits: [12/{period}s] }}\n", name(n), digest_of(&name(n))))
        .collect();
    let text = profile::text().replace("\nclients:\n", &format!("\nclients:\n{clients}"));
    let redis = Redis::start().await;
    let two = Two::start(&redis, &text).await;
    let rate = keys as f64 * 6.0 / f64::from(period);
    let seen = offer_as(rate, Duration::from_secs(u64::from(period as u32) * 3 / 2), |n| {
        // Rounds of odd length, so that a key meets either instance.
        let gateway = &two.gateways[((n + n / keys) % 2) as usize];
        (gateway.client.with_key(&name(n % keys)), "/a".to_owned())
    })
    .await;
    let mut report = Report::default();
    report.tell("requests", seen.len() as f64);
    report.at_most("refused with 429", seen.iter().filter(|seen| seen.status == 429).count() as f64, 0.0);
    report.at_most("neither 200 nor 429", share(&seen, |seen| !matches!(seen.status, 200 | 429)), 0.0);
    two.stop(&[]).await;
    report
}
