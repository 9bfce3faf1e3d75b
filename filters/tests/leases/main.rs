//! Token leases against a real Redis: the script's arithmetic, and what several instances together allow.
//!
//! Each test starts a server of its own on a socket in a folder of its own. Instances are simulated: each has its accounts
//! and its task that asks Redis, as the gateway has.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "also of what stands outside the test functions")]

mod server;

use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::traffic::leases::{OnError, SCRIPT};
use tokio::task::JoinSet;
use tokio::time::Instant;

use server::{Instance, Redis};

const MINUTE: u64 = 60_000_000;

/// Runs the script: tokens leased, microseconds until the whole budget is there, and until one token is.
async fn lease(redis: &Redis, key: &str, arguments: [u64; 5]) -> (u64, u64, u64) {
    let mut connection = redis.connect().await;
    let script = redis::Script::new(SCRIPT);
    let mut call = script.key(key);
    for argument in arguments {
        call.arg(argument);
    }
    call.invoke_async(&mut connection).await.unwrap()
}

async fn get(redis: &Redis, command: &str, key: &str) -> Option<i64> {
    redis::cmd(command).arg(key).query_async(&mut redis.connect().await).await.unwrap()
}

#[tokio::test]
async fn the_script_leases_what_is_there_and_tells_when_there_is_more() {
    let redis = Redis::start().await;
    let (period, count) = (100 * MINUTE, 100);
    let (granted, full_in, wait) = lease(&redis, "a", [period, count, 0, 10, 4]).await;
    assert_eq!((granted, full_in, wait), (10, 10 * MINUTE, 0));
    let ttl = get(&redis, "PTTL", "a").await.unwrap();
    assert!((599_000..=600_000).contains(&ttl), "kept until it means nothing: {ttl}");
    // A quarter of what is left, however much is wanted.
    assert_eq!(lease(&redis, "a", [period, count, 0, 90, 4]).await.0, 22);
    assert_eq!(lease(&redis, "a", [period, count, 0, 90, 4]).await.0, 17);
    let mut rest = 0;
    for _ in 0..100 {
        rest += lease(&redis, "a", [period, count, 0, 90, 4]).await.0;
    }
    assert_eq!(rest, 51, "to the last");
    let (granted, full_in, wait) = lease(&redis, "a", [period, count, 0, 10, 4]).await;
    assert_eq!(granted, 0);
    assert!((99 * MINUTE..=100 * MINUTE).contains(&full_in) && (MINUTE * 9 / 10..=MINUTE).contains(&wait), "{wait}");
    // What is given back can be leased; more than ever was leased can't be given back.
    assert_eq!(lease(&redis, "a", [period, count, 3, 5, 1]).await.0, 3);
    let (granted, full_in, _) = lease(&redis, "a", [period, count, 5000, 0, 4]).await;
    assert_eq!((granted, full_in), (0, 0));
    assert_eq!(get(&redis, "EXISTS", "a").await, Some(0), "a full budget needs no key");
}

#[tokio::test]
async fn the_script_keeps_microseconds_and_is_not_led_astray_by_what_it_finds() {
    let redis = Redis::start().await;
    let set = async |value: &str| {
        let () = redis::cmd("SET").arg("a").arg(value).query_async(&mut redis.connect().await).await.unwrap();
    };
    lease(&redis, "a", [7 * MINUTE, 1_000_003, 0, 1, 4]).await;
    let tat: String = redis::cmd("GET").arg("a").query_async(&mut redis.connect().await).await.unwrap();
    assert!(tat.len() == 16 && tat.bytes().all(|b| b.is_ascii_digit()), "{tat}");
    // Another server's clock may be ahead: the budget is empty then, but comes back within its period.
    set("99999999999999999").await;
    let (granted, full_in, wait) = lease(&redis, "a", [MINUTE, 60, 0, 10, 4]).await;
    assert_eq!((granted, full_in, wait), (0, MINUTE, MINUTE / 60));
    for garbage in ["", "abc", "nan", "-inf", "-5", "0x"] {
        set(garbage).await;
        assert_eq!(lease(&redis, "a", [MINUTE, 60, 0, 10, 4]).await.0, 10, "{garbage}");
    }
    // Budgets smaller than the share, and periods that no interval divides.
    for (count, expected) in [(1, vec![1, 0]), (2, vec![1, 1, 0]), (3, vec![1, 1, 1, 0])] {
        let key = format!("small-{count}");
        for granted in expected {
            assert_eq!(lease(&redis, &key, [60 * MINUTE, count, 0, 2, 4]).await.0, granted, "of {count}");
        }
    }
    for count in [7, 9, 11, 13, 49, 97] {
        let mut all = 0;
        for _ in 0..count + 5 {
            all += lease(&redis, &format!("odd-{count}"), [1000 * MINUTE, count, 0, 1, 1]).await.0;
        }
        assert_eq!(all, count, "divisions lose nothing");
    }
}

/// Asks `requests` times at once through each instance; how many were allowed in all.
async fn flood(instances: &[Arc<Instance>], client: &str, requests: usize) -> usize {
    let mut asked = JoinSet::new();
    for instance in instances {
        for _ in 0..requests {
            let (instance, client) = (Arc::clone(instance), client.to_owned());
            asked.spawn(async move { instance.allows(&client).await });
        }
    }
    asked.join_all().await.into_iter().filter(|allowed| *allowed).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_at_once_over_two_instances_get_the_budget() {
    let redis = Redis::start().await;
    let instances = redis.instances(2, &["100/15m"], OnError::Deny).await;
    for round in 0..5 {
        let client = format!("flood-{round}");
        // One of the instances has been used before.
        let first = usize::from(instances[0].allows(&client).await);
        let allowed = first + flood(&instances, &client, 1000).await;
        assert!((98..=102).contains(&allowed), "{allowed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lasting_flood_gets_the_limit_within_two_in_a_hundred() {
    let redis = Redis::start().await;
    let instances = redis.instances(2, &["400/2s"], OnError::Deny).await;
    let begin = Instant::now();
    let mut floods = JoinSet::new();
    for n in 0..8 {
        let instance = Arc::clone(&instances[n % 2]);
        floods.spawn(async move {
            let (mut allowed, mut asked, mut answered) = (0_u32, Duration::ZERO, Duration::ZERO);
            while answered < Duration::from_secs(6) {
                asked = begin.elapsed();
                allowed += u32::from(instance.allows("lasting").await);
                answered = begin.elapsed();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            (allowed, asked, answered)
        });
    }
    let floods = floods.join_all().await;
    let allowed = f64::from(floods.iter().map(|(allowed, ..)| allowed).sum::<u32>());
    let promised = |by: Duration| 400.0 + 200.0 * by.as_secs_f64();
    // What came back after the last of them asked, nobody could have; what came back before it was answered, it could.
    let least = 0.98 * promised(floods.iter().map(|(_, asked, _)| *asked).max().unwrap());
    let most = 1.02 * promised(floods.iter().map(|(.., answered)| *answered).max().unwrap());
    assert!((least..=most).contains(&allowed), "{allowed}, not from {least} to {most}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_keys_at_half_their_limit_are_never_refused() {
    let redis = Redis::start().await;
    let instances = redis.instances(2, &["8/10m"], OnError::Deny).await;
    let mut asked = JoinSet::new();
    for worker in 0..50 {
        let instances = instances.clone();
        asked.spawn(async move {
            let mut refused = 0;
            for turn in 0..4 {
                for key in 0..200 {
                    let client = format!("half-{worker}-{key}");
                    refused += usize::from(!instances[turn % 2].allows(&client).await);
                }
            }
            refused
        });
    }
    assert_eq!(asked.join_all().await.iter().sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_in_flight_and_still_not_more_than_half_beyond() {
    for (budget, before, moment) in [(100, 0, 0), (100, 1, 0), (100, 60, 0), (100, 95, 0), (2000, 0, 5), (2000, 0, 15)]
    {
        let mut redis = Redis::start().await;
        let limit = format!("{budget}/15m");
        let instances = redis.instances(2, &[&limit], OnError::Local).await;
        let mut allowed = 0;
        for n in 0..before {
            allowed += usize::from(instances[n % 2].allows("killed").await);
        }
        let flooding = tokio::spawn({
            let instances = instances.clone();
            async move { flood(&instances, "killed", 2 * budget).await }
        });
        tokio::time::sleep(Duration::from_millis(moment)).await;
        redis.kill().await;
        allowed += flooding.await.unwrap();
        allowed += flood(&instances, "killed", budget).await;
        let most = budget * 3 / 2;
        assert!((before..=most).contains(&allowed), "{allowed} of {budget}, killed after {before} and {moment} ms");
        assert!(allowed >= budget / 10, "a share is allowed: {allowed} of {budget}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_idles_with_one_instance_comes_back_to_the_others() {
    let redis = Redis::start().await;
    let instances = redis.instances(2, &["100/15m"], OnError::Deny).await;
    for _ in 0..40 {
        assert!(instances[0].allows("idle").await);
    }
    let early = flood(&instances[1..], "idle", 200).await;
    assert!((40..=60).contains(&early), "the rest, but for what the other holds: {early}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let late = flood(&instances[1..], "idle", 200).await;
    assert!((98..=102).contains(&(40 + early + late)), "{early}, later {late}");
}

#[tokio::test]
async fn what_remains_is_told_over_all_instances() {
    let redis = Redis::start().await;
    let instances = redis.instances(1, &["100/15m"], OnError::Deny).await;
    for remaining in (60..100).rev() {
        let verdict = instances[0].ask("told").await.unwrap();
        assert_eq!(verdict.limit.unwrap().remaining, remaining);
    }
    let other = redis.instances(1, &["100/15m"], OnError::Deny).await;
    let remaining = other[0].ask("told").await.unwrap().limit.unwrap().remaining;
    assert!((45..60).contains(&remaining), "but for what the first holds: {remaining}");
}
