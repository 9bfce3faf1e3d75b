//! Whatever happens to Redis: no failed request, no wrong body, a bounded delay, and full recovery.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::time::Duration;

use futures::StreamExt;
use serde_json::json;
use support::gateway::plain;
use support::origin::pause;
use support::redis::{Redis, Sentinels, SlowLine};
use support::{Answer, Gateway, Origin, program, until};
use tokio::time::Instant;

/// Lines that such trouble is expected to leave.
const EXPECTED: [&str; 5] =
    ["Redis", "a breaker opened", "invalidation log", "written to the log", "second tier is unusable"];

/// One cache operation's deadline, and what else a busy machine adds.
const BOUND: Duration = Duration::from_millis(400);

/// The body names the target, so that another's answer is noticed.
async fn origin() -> Origin {
    Origin::start(|asked| async move {
        let body = format!("{} {}", asked.target, asked.number);
        Answer::json(body).with("cache-control", "max-age=600").with("cache-tag", "all")
    })
    .await
}

async fn gateway(origin: &Origin, port: u16) -> Gateway {
    let redis = format!("redis: {{ urls: [\"redis://127.0.0.1:{port}\"], connect_time: 500ms }}\n");
    Gateway::start(&(plain(&origin.place) + &redis)).await
}

/// Two instances, each with Redis on its port, once they are connected.
async fn both(origin: &Origin, one: u16, two: u16) -> (Gateway, Gateway) {
    let (one, two) = (gateway(origin, one).await, gateway(origin, two).await);
    connected(&one).await;
    connected(&two).await;
    (one, two)
}

async fn connected(gateway: &Gateway) {
    until("Redis is connected and the log is read", || async {
        let status = gateway.admin("GET", "/admin/v1/status", None).await.json();
        let redis = &status["cache"]["second"]["redis"];
        redis["connected"] == true && redis["breaker"]["state"] == "closed" && status["invalidation"]["log"] == "read"
    })
    .await;
}

/// Asks for old keys and new ones; every answer must be right and in time. Gives the longest time.
async fn ask(gateway: &Gateway, name: &str, n: usize) -> Duration {
    let mut longest = Duration::ZERO;
    for i in 0..n {
        for path in [format!("/old{}", i % 10), format!("/{name}{i}")] {
            let reply = gateway.client.get(&path).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
            assert!(reply.text().starts_with(&format!("{path} ")), "{path}: {}", reply.text());
            longest = longest.max(reply.time);
        }
    }
    longest
}

/// The end of a test: all is as before, and nothing was logged but what such trouble leaves.
async fn end(one: Gateway, two: Gateway, name: &str) {
    recovered(&one, &two, name).await;
    one.stop(&EXPECTED).await;
    two.stop(&EXPECTED).await;
}

/// Both instances see each other's entries and purges again.
async fn recovered(one: &Gateway, two: &Gateway, name: &str) {
    connected(one).await;
    connected(two).await;
    let mut n = 0;
    let mut shared = async || {
        n += 1;
        let path = format!("/{name}-again{n}");
        let first = one.client.get(&path).await;
        pause(50).await;
        two.client.get(&path).await.text() == first.text()
    };
    let begun = Instant::now();
    while !shared().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{name}: entries are not shared again");
    }
    let old = two.client.get("/old0").await.text();
    let receipt = one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["all"]}))).await;
    assert_eq!(receipt.json()["confirmed"], true, "{name}");
    until("a purge reaches the other one", || async { two.client.get("/old0").await.text() != old }).await;
}

#[tokio::test]
async fn absent_at_the_start_it_is_found_when_it_comes() {
    let origin = origin().await;
    let mut redis = Redis::start().await;
    redis.kill();
    let (one, two) = (gateway(&origin, redis.port).await, gateway(&origin, redis.port).await);
    assert!(ask(&one, "absent", 50).await < BOUND);
    let receipt = one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["x"]}))).await;
    assert_eq!((receipt.status, &receipt.json()["confirmed"]), (202, &json!(false)));
    redis.restart().await;
    recovered(&one, &two, "absent").await;
    until("the purge is written after all", || async {
        redis.ask::<i64>(&["XLEN", "addrgate:{log}"]).await >= 2
            && one.admin("GET", "/admin/v1/status", None).await.json()["invalidation"]["pending"] == 0
    })
    .await;
    one.stop(&EXPECTED).await;
    two.stop(&EXPECTED).await;
}

#[tokio::test]
async fn killed_and_restarted_empty_nothing_is_lost_but_entries() {
    let origin = origin().await;
    let mut redis = Redis::start().await;
    let (one, two) = both(&origin, redis.port, redis.port).await;
    ask(&one, "before", 10).await;
    ask(&two, "before", 10).await;
    redis.kill();
    assert!(ask(&one, "killed", 100).await < BOUND);
    // What one instance purges meanwhile, the other learns when the log is back.
    let old = two.client.get("/old3").await.text();
    let receipt = one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["all"]}))).await;
    assert_eq!(receipt.status, 202);
    assert_ne!(one.client.get("/old3").await.text(), old, "applied where it arrived");
    redis.restart().await;
    until("the other one knows", || async { two.client.get("/old3").await.text() != old }).await;
    end(one, two, "killed").await;
}

#[tokio::test]
async fn frozen_it_costs_its_deadline_and_then_nothing() {
    let origin = origin().await;
    let redis = Redis::start().await;
    let (one, two) = both(&origin, redis.port, redis.port).await;
    ask(&one, "before", 10).await;
    redis.freeze();
    let begun = Instant::now();
    assert!(ask(&one, "frozen", 30).await < BOUND);
    // With its breaker open, the new keys cost no deadline any more.
    let opened = Instant::now();
    ask(&one, "open", 100).await;
    assert!(opened.elapsed() < Duration::from_secs(4), "{:?} for 100 new keys", opened.elapsed());
    tokio::time::sleep(Duration::from_secs(15).saturating_sub(begun.elapsed())).await;
    assert!(ask(&one, "still", 30).await < BOUND);
    redis.thaw();
    end(one, two, "frozen").await;
}

#[tokio::test]
async fn every_answer_late_it_is_done_without_and_purges_still_arrive() {
    let origin = origin().await;
    let redis = Redis::start().await;
    let line = SlowLine::to(redis.port).await;
    let (one, two) = both(&origin, line.port, line.port).await;
    ask(&one, "before", 10).await;
    ask(&two, "before", 10).await;
    line.delay(100);
    pause(300).await;
    assert!(ask(&one, "late", 50).await < BOUND);
    let old = two.client.get("/old1").await.text();
    let receipt = one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["all"]}))).await;
    assert_eq!(receipt.json()["confirmed"], true);
    let begun = Instant::now();
    until("the purge arrives", || async { two.client.get("/old1").await.text() != old }).await;
    assert!(begun.elapsed() < Duration::from_millis(400), "{:?}", begun.elapsed());
    line.delay(0);
    end(one, two, "late").await;
}

#[tokio::test]
async fn values_that_are_not_what_was_written_are_misses_and_are_deleted() {
    let origin = origin().await;
    let redis = Redis::start().await;
    let (one, two) = both(&origin, redis.port, redis.port).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut raw = client.get_multiplexed_async_connection().await.unwrap();
    let mut spoilt = Vec::new();
    for kind in ["random", "cut", "other", "future", "type", "bit"] {
        let before = redis.ask::<Vec<String>>(&["KEYS", "addrgate:e:*"]).await;
        one.client.get(&format!("/{kind}")).await;
        let new = async || {
            let keys = redis.ask::<Vec<String>>(&["KEYS", "addrgate:e:*"]).await;
            keys.into_iter().find(|key| !before.contains(key))
        };
        until("it is written", async || new().await.is_some()).await;
        let key = new().await.unwrap();
        let good: Vec<u8> = redis::cmd("GET").arg(&key).query_async(&mut raw).await.unwrap();
        let bad = match kind {
            "random" => (0..good.len()).map(|_| rand::random()).collect(),
            "cut" => good[..good.len() / 2].to_vec(),
            "other" => redis::cmd("GET").arg(before.first().unwrap()).query_async(&mut raw).await.unwrap(),
            "future" => [&b"AG\x00\x63"[..], &good[4..]].concat(),
            "bit" => {
                let mut bad = good.clone();
                let at = bad.len() - 3;
                bad[at] ^= 4;
                bad
            }
            _ => Vec::new(),
        };
        if kind == "type" {
            let _: i64 = redis::cmd("DEL").arg(&key).query_async(&mut raw).await.unwrap();
            let _: i64 = redis::cmd("LPUSH").arg(&key).arg("x").query_async(&mut raw).await.unwrap();
        } else {
            let _: String = redis::cmd("SET").arg(&key).arg(bad).query_async(&mut raw).await.unwrap();
        }
        spoilt.push((kind, key));
    }
    for (kind, key) in &spoilt {
        let reply = two.client.get(&format!("/{kind}")).await;
        assert_eq!((reply.status, reply.header("x-cache")), (200, "MISS"), "{kind}");
        assert!(reply.text().starts_with(&format!("/{kind} ")), "{kind}: {}", reply.text());
        until("a good value takes its place", || async {
            let value: redis::RedisResult<Vec<u8>> = redis::cmd("GET").arg(key).query_async(&mut raw.clone()).await;
            value.is_ok_and(|value| value.starts_with(b"AG\x00\x03"))
        })
        .await;
    }
    let wrong: f64 = ["version", "checksum", "identity", "type"]
        .map(|outcome| format!("addrgate_second_tier_total{{operation=\"get\",outcome=\"{outcome}\"}}"))
        .iter()
        .map(|name| async { two.metric(name).await })
        .collect::<futures::stream::FuturesUnordered<_>>()
        .collect::<Vec<_>>()
        .await
        .iter()
        .sum();
    assert_eq!(wrong, 6.0);
    end(one, two, "values").await;
}

#[tokio::test]
async fn a_log_trimmed_past_an_instance_that_was_cut_off_makes_what_it_keeps_stale() {
    let origin = origin().await;
    let redis = Redis::start().await;
    let line = SlowLine::to(redis.port).await;
    let (one, two) = both(&origin, redis.port, line.port).await;
    ask(&two, "before", 10).await;
    let old = two.client.get("/old5").await.text();
    line.delay(3_600_000);
    until("the other one is cut off", || async {
        two.admin("GET", "/admin/v1/status", None).await.json()["invalidation"]["log"] == "lost"
    })
    .await;
    one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["all"]}))).await;
    one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["something else"]}))).await;
    let _: i64 = redis.ask(&["XTRIM", "addrgate:{log}", "MAXLEN", "1"]).await;
    assert!(ask(&two, "cut-off", 20).await < BOUND);
    // The connection that hangs is given up, and the next one works.
    line.delay(0);
    until("what it kept is not fresh any more", || async { two.client.get("/old5").await.text() != old }).await;
    assert!(two.metric("addrgate_invalidation_log_gaps_total").await >= 1.0);
    end(one, two, "trimmed").await;
}

#[tokio::test]
async fn a_server_that_only_reads_is_not_connected_to_over_and_over() {
    let origin = origin().await;
    let redis = Redis::start().await;
    let (one, two) = both(&origin, redis.port, redis.port).await;
    // Of a master that is not there.
    let _: String = redis.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let connections = async || {
        let statistics = redis.ask::<String>(&["INFO", "stats"]).await;
        let line = statistics.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.and_then(|count| count.trim().parse::<u32>().ok()).unwrap()
    };
    let before = connections().await;
    ask(&one, "demoted", 10).await;
    pause(3000).await;
    let made = connections().await - before;
    assert!(made < 30, "{made} connections of two instances within three seconds");
    let _: String = redis.ask(&["REPLICAOF", "NO", "ONE"]).await;
    end(one, two, "demoted").await;
}

#[tokio::test]
async fn where_it_is_full_purges_are_written_all_the_same() {
    let origin = origin().await;
    let redis = Redis::start().await;
    let (one, two) = both(&origin, redis.port, redis.port).await;
    ask(&one, "before", 10).await;
    ask(&two, "before", 10).await;
    let _: String = redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    pause(300).await;
    ask(&one, "full", 20).await;
    // More than an instance is believed without saying again that it is there.
    pause(6000).await;
    let old = two.client.get("/old1").await.text();
    let receipt = one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["all"]}))).await;
    assert_eq!(receipt.json(), json!({"confirmed": true, "applied": 2, "instances": 2}));
    assert_ne!(two.client.get("/old1").await.text(), old);
    let _: String = redis.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    end(one, two, "full").await;
}

#[tokio::test]
async fn a_purge_is_heard_of_at_once_not_with_the_next_poll() {
    let origin = origin().await;
    let (redis, sentinels) = tokio::join!(Redis::start(), Sentinels::start());
    for (mode, urls) in [("standalone", format!("{:?}", redis.url())), ("sentinel", sentinels.urls())] {
        let redis =
            format!("redis: {{ mode: {mode}, master: mymaster, urls: [{urls}] }}\ninvalidation: {{ poll: 5s }}\n");
        let config = plain(&origin.place) + &redis;
        let (one, two) = (Gateway::start(&config).await, Gateway::start(&config).await);
        connected(&one).await;
        connected(&two).await;
        until("both are known", || async {
            one.admin("GET", "/admin/v1/status", None).await.json()["invalidation"]["instances"] == 2
        })
        .await;
        let mut times = Vec::new();
        for _ in 0..50 {
            let old = two.client.get("/old").await.text();
            let begun = Instant::now();
            let purge = one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["all"]})));
            let heard = async {
                while two.client.get("/old").await.text() == old {}
                begun.elapsed()
            };
            let (receipt, heard) = tokio::join!(purge, heard);
            assert_eq!(receipt.json(), json!({"confirmed": true, "applied": 2, "instances": 2}), "{mode}");
            times.push(heard);
        }
        times.sort();
        println!("{mode}: heard of after {:?} in the middle, {:?} at the 98th of a hundred", times[25], times[48]);
        assert!(times[49] < Duration::from_secs(1), "{mode}: {:?}", times[49]);
        one.stop(&EXPECTED).await;
        two.stop(&EXPECTED).await;
    }
}

#[tokio::test]
async fn an_instance_that_was_stopped_is_not_counted_any_more() {
    let origin = origin().await;
    let redis = Redis::start().await;
    let (one, two) = both(&origin, redis.port, redis.port).await;
    let purge = async || {
        let begun = Instant::now();
        let receipt = one.admin("POST", "/admin/v1/cache/purge", Some(json!({"tags": ["all"]}))).await.json();
        (receipt, begun.elapsed())
    };
    until("both are known", || async { purge().await.0["instances"] == 2 }).await;
    two.stop(&EXPECTED).await;
    let (receipt, time) = purge().await;
    assert_eq!(receipt, json!({"confirmed": true, "applied": 1, "instances": 1}));
    assert!(time < Duration::from_millis(400), "nobody is waited for: {time:?}");
    assert_eq!(redis.ask::<i64>(&["HLEN", "addrgate:{log}:read"]).await, 1);
    assert_eq!(redis.ask::<i64>(&["ZCARD", "addrgate:{log}:seen"]).await, 1);
    one.stop(&EXPECTED).await;
    assert_eq!(redis.ask::<i64>(&["EXISTS", "addrgate:{log}:read", "addrgate:{log}:seen"]).await, 0);
}

#[tokio::test]
async fn a_stop_gives_leased_tokens_back() {
    let origin = origin().await;
    let redis = Redis::start().await;
    let limits = "rate_limit: { address: [1000/1d], shared: true }\n";
    // What shared caches may store does not tell what is left of one client's limits.
    let private = plain(&origin.place)
        .replace("    forward: [accept-language]\n", "    forward: [accept-language]\n    cdn: private\n");
    let config = format!("{private}redis: {{ urls: [{:?}] }}\n{limits}", redis.url());
    // An idle client, and a busy one whose batches have grown.
    for (n, requests) in [1, 1, 1, 100, 1, 1].into_iter().enumerate() {
        let gateway = Gateway::start(&config).await;
        connected(&gateway).await;
        let mut before = None;
        for _ in 0..requests {
            let reply = gateway.client.get("/old").await;
            before = reply.header("x-ratelimit-remaining").parse::<u64>().ok();
        }
        let spent = [1, 2, 3, 103, 104, 105][n];
        // One comes back every 86 s.
        let remaining = 1000 - spent..=1003 - spent;
        assert!(before.is_some_and(|before| remaining.contains(&before)), "run {n}: {before:?}, {remaining:?}");
        gateway.stop(&EXPECTED).await;
    }
}

/// The rights that docs/operations.md lists.
fn documented_rights() -> Vec<String> {
    let page = std::fs::read_to_string(support::project("docs/operations.md")).unwrap();
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER addrgate")).unwrap();
    line.split(' ').map(str::to_owned).collect()
}

#[tokio::test]
async fn a_user_with_too_few_rights_is_told_once_in_redis_own_words() {
    let origin = origin().await;
    let redis = Redis::start().await;
    let command = async |words: &[&str]| redis.ask::<String>(words).await;
    let documented = documented_rights();
    command(&documented.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let user = format!("redis: {{ urls: [{:?}], username: addrgate, password: password }}\n", redis.url());
    let config = plain(&origin.place) + &user;
    let (one, two) = (Gateway::start(&config).await, Gateway::start(&config).await);
    connected(&one).await;
    connected(&two).await;
    let trouble = async || {
        let status = one.admin("GET", "/admin/v1/status", None).await.json();
        status["cache"]["second"]["redis"]["trouble"].as_str().map(str::to_lowercase)
    };
    let told = || one.process.lines().iter().filter(|line| line.contains("lacks rights")).count();
    // With what is documented everything works.
    assert_eq!(trouble().await, None);
    recovered(&one, &two, "documented").await;
    assert_eq!(told(), 0);
    for (n, (less, more, word)) in
        [("-xread", "+xread", "xread"), ("-set", "+set", "set"), ("-evalsha", "+evalsha", "evalsha")]
            .into_iter()
            .enumerate()
    {
        command(&["ACL", "SETUSER", "addrgate", less]).await;
        until("it is told", || async { trouble().await.is_some_and(|trouble| trouble.contains(word)) }).await;
        let words = trouble().await.unwrap();
        assert!(words.contains("noperm") || words.contains("can't run this command"), "{words}");
        if less == "-xread" {
            // The log is polled then.
            recovered(&one, &two, "polled").await;
        }
        // Longer than it takes to look again.
        pause(6000).await;
        assert_eq!(told(), n + 1, "once: {:?}", one.process.lines());
        let check = || {
            let file = one.folder.path().join("config.yaml");
            let output = std::process::Command::new(program("addrgate"))
                .args(["check", "--connect", "--config"])
                .arg(file)
                .env("LISTEN", "127.0.0.1:1")
                .output()
                .unwrap();
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (well, said) = check();
        assert!(!well && said.contains("redis: ") && said.to_lowercase().contains(word), "{said}");
        command(&["ACL", "SETUSER", "addrgate", more]).await;
        let (well, said) = check();
        assert!(well, "{said}");
        until("it is over", || async { trouble().await.is_none() }).await;
    }
    // No user at all, and a wrong password.
    command(&["ACL", "SETUSER", "addrgate", "resetpass", ">other"]).await;
    let _: i64 = redis.ask(&["CLIENT", "KILL", "USER", "addrgate"]).await;
    until("it is told", || async { trouble().await.is_some_and(|trouble| trouble.contains("pass")) }).await;
    command(&["ACL", "SETUSER", "addrgate", "resetpass", ">password"]).await;
    end(one, two, "rights").await;
}
