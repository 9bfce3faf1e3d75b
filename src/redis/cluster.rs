//! Redis Cluster: each master has a connection and a breaker of its own, so that one that is dead, slow or cut off costs
//! its own keys and nothing else.
//!
//! The library's own client for clusters lets every command wait while it reads anew which master has which keys, and
//! while it does so for each server that does not answer; see docs/decisions/0016. Here that is read beside the commands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use addrgate_filters::traffic::breaker::{self, Breaker};
use arc_swap::ArcSwap;
use futures::future::select_ok;
use redis::{Value, cmd};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::command::{Command, Failed};
use super::connect::Seeds;
use super::node::Node;

/// Hash slots of a cluster.
const SLOTS: u16 = 16_384;

/// How often the masters are looked up anew while all is well, while it is not, and at most.
const CALM: Duration = Duration::from_secs(10);
const TROUBLED: Duration = Duration::from_secs(1);
const LEAST: Duration = Duration::from_millis(100);

/// The longest time for a server to say which master has which keys.
const TELLING: Duration = Duration::from_secs(1);

/// Redirections that one command follows.
const REDIRECTIONS: usize = 3;

/// A Redis Cluster: one connection and one breaker for each master.
pub(super) struct Cluster {
    seeds: Seeds,
    breaker: breaker::Config,
    prefix: String,
    masters: ArcSwap<Masters>,
    /// Why the masters can't be looked up.
    trouble: ArcSwap<Option<String>>,
    /// Told when the masters should be looked up anew.
    again: Arc<Notify>,
}

/// Which master has which keys.
#[derive(Default)]
struct Masters {
    /// By `host:port`.
    nodes: BTreeMap<String, Arc<Node>>,
    /// The last slot of each range, and whose it is; `None` where it is nobody's. In order.
    ranges: Vec<(u16, Option<Arc<Node>>)>,
}

/// A range of slots, first and last, and its master's host and port; without a host it is the one that was asked.
type Range = (u16, u16, Option<String>, u16);

impl Cluster {
    /// Nothing is known before [`Cluster::keep`] runs.
    pub(super) fn new(seeds: Seeds, breaker: breaker::Config, prefix: &str) -> Self {
        let (masters, trouble) = (ArcSwap::default(), ArcSwap::default());
        Self { seeds, breaker, prefix: prefix.to_owned(), masters, trouble, again: Arc::default() }
    }

    /// The master that has a key.
    pub(super) fn node(&self, key: &str) -> Option<Arc<Node>> {
        let (masters, slot) = (self.masters.load(), slot(key.as_bytes()));
        let at = masters.ranges.partition_point(|(last, _)| *last < slot);
        masters.ranges.get(at)?.1.clone()
    }

    /// Why the masters can't be looked up, in Redis' own words.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.load().as_ref().clone()
    }

    /// All masters.
    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        self.masters.load().nodes.values().cloned().collect()
    }

    /// Asks the master that should have the key, and those that it names where the key has moved.
    pub(super) async fn ask<T: redis::FromRedisValue>(&self, node: &Node, command: Command<'_>) -> Result<T, Failed> {
        let mut answer = node.ask(command, false).await;
        for _ in 0..REDIRECTIONS {
            let Err(Failed::Error(error)) = &answer else { break };
            let Some((place, _)) = error.redirect_node() else { break };
            // A slot on its way answers ASK; one that has arrived, MOVED.
            let asking = error.code() == Some("ASK");
            if !asking {
                self.again.notify_one();
            }
            let next = self.masters.load().nodes.get(place).cloned();
            let Some(next) = next else { break };
            answer = next.ask(command, asking).await;
        }
        answer
    }

    /// Keeps up with the masters, for as long as it is polled.
    pub(super) async fn keep(&self) {
        let mut keepers = JoinSet::new();
        let mut running = HashMap::new();
        // Said once per loss, not once per try.
        let mut told = false;
        loop {
            match self.look_up().await {
                Ok(ranges) => {
                    self.adopt(ranges, &mut keepers, &mut running);
                    self.trouble.store(Arc::default());
                    told = false;
                }
                Err(error) => {
                    self.trouble.store(Arc::new(Some(error.clone())));
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(error, "no server of the Redis cluster can be reached; trying again");
                    }
                }
            }
            let calm = !told && self.nodes().iter().all(|node| node.is_connected() && !node.breaker.refuses());
            tokio::select! {
                () = sleep(if calm { CALM } else { TROUBLED }) => {}
                () = self.again.notified() => {}
            }
            sleep(LEAST).await;
        }
    }

    /// Whether all masters can be reached by a user with all rights; the error says which not, and why.
    pub(super) async fn check(&self) -> Result<(), String> {
        let masters: BTreeSet<(String, u16)> =
            self.look_up().await?.into_iter().filter_map(|(_, _, host, port)| Some((host?, port))).collect();
        for (host, port) in masters {
            self.seeds.to(&host, port)?.check(&self.prefix).await?;
        }
        Ok(())
    }

    /// Asks whoever is connected, else those that the configuration names.
    async fn look_up(&self) -> Result<Vec<Range>, String> {
        let mut slots = cmd("CLUSTER");
        slots.arg("SLOTS");
        let mut nodes = self.nodes();
        nodes.sort_by_key(|node| node.breaker.refuses());
        for node in nodes {
            if node.is_connected()
                && let Ok(Ok(value)) = timeout(TELLING, node.ask::<Value>((&slots).into(), false)).await
            {
                let ranges = named(parse(&value), node.connector.host());
                // A server that was taken out of the cluster knows of none.
                if !ranges.is_empty() {
                    return Ok(ranges);
                }
            }
        }
        let slots = &slots;
        let asked = self.seeds.all().map(|connector| {
            Box::pin(async move {
                let connector = connector?;
                let host = connector.host().to_owned();
                let link = connector.connect().await?;
                let told = timeout(TELLING, link.ask::<Value>(slots.into())).await;
                let value = told.map_err(|_elapsed| "no reply to CLUSTER SLOTS".to_owned())?;
                let ranges = named(parse(&value.map_err(|e| e.to_string())?), &host);
                if ranges.is_empty() { Err(format!("{host} knows of no cluster")) } else { Ok(ranges) }
            })
        });
        // Whoever answers first; one that hangs holds up nobody.
        Ok(select_ok(asked).await?.0)
    }

    /// Masters that are new get a connection, those that are none any more lose it.
    fn adopt(&self, told: Vec<Range>, keepers: &mut JoinSet<()>, running: &mut HashMap<String, AbortHandle>) {
        let old = self.masters.load_full();
        let mut masters = Masters::default();
        let mut next = 0;
        for (first, last, host, port) in told {
            let Some(host) = host.filter(|_| first >= next && last < SLOTS && first <= last) else { continue };
            let place = format!("{host}:{port}");
            let known = masters.nodes.get(&place).or_else(|| old.nodes.get(&place)).cloned();
            let node = match known.map_or_else(|| self.make(&host, port), Ok) {
                Ok(node) => node,
                Err(error) => {
                    tracing::warn!(error, server = place, "a server of the Redis cluster can't be used");
                    continue;
                }
            };
            if first > next {
                masters.ranges.push((first - 1, None));
            }
            masters.ranges.push((last, Some(Arc::clone(&node))));
            masters.nodes.insert(place, node);
            next = last + 1;
        }
        running.retain(|place, keeper| {
            let stays = masters.nodes.contains_key(place);
            if !stays {
                keeper.abort();
            }
            stays
        });
        for (place, node) in &masters.nodes {
            running.entry(place.clone()).or_insert_with(|| keepers.spawn(Arc::clone(node).keep()));
        }
        self.masters.store(Arc::new(masters));
        // Those that were aborted.
        while keepers.try_join_next().is_some() {}
    }

    fn make(&self, host: &str, port: u16) -> Result<Arc<Node>, String> {
        let breaker = Breaker::new(&format!("redis@{host}:{port}"), &self.breaker);
        Ok(Node::new(self.seeds.to(host, port)?, breaker, &self.prefix, Arc::clone(&self.again)))
    }
}

/// The answer to `CLUSTER SLOTS`: per range its first and last slot, and then its servers, the master first. What is odd is
/// left out: those keys have no server then.
fn parse(value: &Value) -> Vec<Range> {
    let Value::Array(ranges) = value else { return Vec::new() };
    let range = |range: &Value| {
        let Value::Array(parts) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &parts[..] else { return None };
        let [host, Value::Int(port), ..] = &master[..] else { return None };
        let host = match host {
            Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
            Value::SimpleString(host) => host.clone(),
            Value::Nil => String::new(),
            _ => return None,
        };
        // An unknown one; and one that knows itself only as what it listens on.
        let host = match host.as_str() {
            "?" => return None,
            "" | "0.0.0.0" | "::" => None,
            _ => Some(host),
        };
        Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, host, u16::try_from(*port).ok()?))
    };
    let mut ranges: Vec<Range> = ranges.iter().filter_map(range).collect();
    ranges.sort_unstable();
    ranges
}

/// The ranges with the host that told them where none is named.
fn named(ranges: Vec<Range>, asked: &str) -> Vec<Range> {
    let name = |(first, last, host, port): Range| (first, last, host.or_else(|| Some(asked.to_owned())), port);
    let mut ranges: Vec<Range> = ranges.into_iter().map(name).collect();
    ranges.sort_unstable();
    ranges
}

/// The hash slot of a key: of what stands in its first braces, if something does.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        rest.iter().position(|byte| *byte == b'}').filter(|length| *length > 0).map(|length| &rest[..length])
    });
    crc16::State::<crc16::XMODEM>::calculate(tag.unwrap_or(key)) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(host: &str, port: i64) -> Value {
        Value::Array(vec![Value::BulkString(host.into()), Value::Int(port), Value::BulkString("id".into())])
    }

    fn range(first: i64, last: i64, servers: &[Value]) -> Value {
        Value::Array([&[Value::Int(first), Value::Int(last)], servers].concat())
    }

    #[test]
    fn slots_are_those_that_redis_says() {
        // By CLUSTER KEYSLOT.
        for (key, expected) in
            [("foo", 12182), ("addrgate:{log}", 10591), ("addrgate:{log}:seen", 10591), ("{}x", 10595)]
        {
            assert_eq!(slot(key.as_bytes()), expected, "{key}");
        }
        assert_eq!(slot(b"a{b}c"), slot(b"b"));
        assert_eq!(slot(b"a{b}{c}"), slot(b"b"));
        assert_ne!(slot(b"a{}b"), slot(b""));
    }

    #[test]
    fn masters_are_the_first_of_each_range() {
        let told = Value::Array(vec![
            range(5461, 10922, &[server("10.0.0.2", 7001), server("10.0.0.5", 7004)]),
            range(0, 5460, &[server("", 7000)]),
            range(10923, 16000, &[server("?", 7002)]),
            range(16001, 16383, &[]),
            Value::Nil,
        ]);
        let ranges = named(parse(&told), "asked");
        let expected = [(0, 5460, Some("asked".to_owned()), 7000), (5461, 10922, Some("10.0.0.2".to_owned()), 7001)];
        assert_eq!(ranges, expected);
        assert_eq!(parse(&Value::Okay), []);
    }
}
