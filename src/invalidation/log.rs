//! The log in Redis: a stream that every instance reads, and the list of instances with how far each has read.
//!
//! All keys lie in one slot. The stream is read by polling, on the connection that everybody shares: a blocking read would
//! need one of its own in every mode, and a poll that fails is how the loss of the log is noticed. The script also says
//! whether the entry that was read last is still there: if not, entries may have been missed (the log was trimmed past
//! this instance, or Redis lost it), and everything up to then counts as stale.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use redis::Script;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::table::{Clock, Name, Purge, Target};
use super::{Invalidation, Ordering};
use crate::redis::{Failed, Redis};
use crate::telemetry::METRICS;

static APPEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("append.lua")));
static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("read.lua")));
static ANNOUNCE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("announce.lua")));

/// The longest time for one call; a log that needs longer counts as lost.
const DEADLINE: Duration = Duration::from_secs(1);

/// Entries that one read brings at most.
const PAGE: usize = 500;

/// Names in one entry at most; a larger purge becomes several entries.
const NAMES: usize = 100;

/// How often an instance says that it is there, and how long it is believed.
const HEARTBEAT: Duration = Duration::from_secs(1);
const BELIEVED: Duration = Duration::from_secs(5);

/// How many of its own purges an instance remembers, to write them again where the log has lost them.
const OWN: usize = 1_000;

/// The log.
pub(super) struct Log {
    redis: Arc<Redis>,
    stream: String,
    seen: String,
    read: String,
    instance: String,
    length: usize,
    own: Mutex<VecDeque<Purge>>,
}

/// What one read brings.
struct Page {
    /// The entry read last was there.
    connected: bool,
    entries: Vec<(Clock, Option<Purge>)>,
}

impl Log {
    /// Not read yet.
    pub(super) fn new(redis: Arc<Redis>, length: usize) -> Self {
        let [stream, seen, read] = ["{log}", "{log}:seen", "{log}:read"].map(|key| redis.key(key));
        let instance = addrgate_filters::request_id::RequestId::new().as_str().to_owned();
        Self { redis, stream, seen, read, instance, length, own: Mutex::default() }
    }

    /// Writes a purge; gives the id of its last entry.
    ///
    /// # Errors
    /// When that can't be confirmed. It may have been written all the same; a purge that is written twice does no harm.
    pub(super) async fn append(&self, purge: &Purge) -> Result<Clock, Failed> {
        self.remember(purge);
        let mut last = Clock::default();
        for part in parts(purge) {
            let mut script = APPEND.key(&self.stream);
            script.arg(self.length).arg(if purge.soft { "soft" } else { "hard" }).arg(part);
            let id: String = self.redis.ask_within((&script).into(), DEADLINE).await?;
            last = parse_id(&id).unwrap_or(last);
        }
        Ok(last)
    }

    fn remember(&self, purge: &Purge) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if own.len() >= OWN {
            own.pop_front();
        }
        own.push_back(purge.clone());
    }

    /// The entries after `last`; with `None` all that there are.
    async fn read(&self, last: Option<Clock>) -> Result<Page, Failed> {
        let mut script = READ.key(&self.stream);
        script.arg(last.map_or(String::new(), |last| format!("{}-{}", last.ms, last.seq))).arg(PAGE);
        type Entries = Vec<(String, Vec<Vec<u8>>)>;
        let (there, entries): (i64, Entries) = self.redis.ask_within((&script).into(), DEADLINE).await?;
        // What can't be understood purges everything: a newer version may have meant anything.
        let entries = entries.iter().filter_map(|(id, fields)| Some((parse_id(id)?, parse(fields)))).collect();
        Ok(Page { connected: there > 0, entries })
    }

    /// Says how far this instance has read; gives how far each has.
    async fn announce(&self, last: Clock) -> Result<Vec<Clock>, Failed> {
        let mut script = ANNOUNCE.key(&self.seen);
        script.key(&self.read).arg(&self.instance).arg(format!("{}-{}", last.ms, last.seq));
        script.arg(u64::try_from(BELIEVED.as_millis()).unwrap_or(u64::MAX));
        let read: Vec<String> = self.redis.ask_within((&script).into(), DEADLINE).await?;
        Ok(read.iter().filter_map(|id| parse_id(id)).collect())
    }

    /// How many other instances have read up to `id`, and how many there are.
    pub(super) async fn heard(&self, id: Clock) -> Result<(usize, usize), Failed> {
        let mut command = redis::cmd("HGETALL");
        let read: Vec<(String, String)> = self.redis.ask_within(command.arg(&self.read).into(), DEADLINE).await?;
        let others = || read.iter().filter(|(instance, _)| *instance != self.instance);
        let heard = others().filter(|(_, read)| parse_id(read).is_some_and(|read| read >= id)).count();
        Ok((heard, others().count()))
    }
}

/// What the entries of one purge say: nothing for everything, else names.
fn parts(purge: &Purge) -> Vec<Vec<u8>> {
    match &purge.target {
        Target::All => vec![Vec::new()],
        Target::Names(names) => names.chunks(NAMES).map(|part| part.iter().flat_map(|name| name.0).collect()).collect(),
    }
}

/// An entry's purge; `None` for one that only marks a beginning.
fn parse(fields: &[Vec<u8>]) -> Option<Purge> {
    let field = |name: &[u8]| fields.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| pair[1].as_slice());
    let kind = field(b"kind").unwrap_or_default();
    if kind == b"begin" {
        return None;
    }
    let names = field(b"names").filter(|names| names.len().is_multiple_of(16));
    let known = matches!(kind, b"soft" | b"hard");
    let target = match names.filter(|_| known) {
        Some([]) | None => Target::All,
        Some(names) => {
            Target::Names(names.chunks_exact(16).filter_map(|name| Some(Name(name.try_into().ok()?))).collect())
        }
    };
    Some(Purge { target, soft: kind != b"hard" })
}

fn parse_id(id: &str) -> Option<Clock> {
    let (ms, seq) = id.split_once('-')?;
    Some(Clock { ms: ms.parse().ok()?, seq: seq.parse().ok()?, local: 0 })
}

/// Reads the log for as long as the process runs.
pub(crate) struct Reader(pub(crate) Arc<Invalidation>);

#[async_trait]
impl BackgroundService for Reader {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let Some(log) = &self.0.log else { return };
        tokio::select! {
            () = self.0.follow(log) => {}
            _ = shutdown.wait_for(|stopping| *stopping) => {}
        }
    }
}

impl Invalidation {
    async fn follow(&self, log: &Log) {
        let mut last = None;
        let mut announced: Option<(Clock, Instant)> = None;
        let mut turn = interval(self.config.poll.0);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            let done = self.catch_up(log, &mut last).await;
            let done = match done {
                Ok(()) => self.catch_out(log).await,
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                self.lost(&error);
                continue;
            }
            self.found();
            let Some(read) = last else { continue };
            let due = announced.is_none_or(|(what, when)| what != read || when.elapsed() >= HEARTBEAT);
            if due && let Ok(all) = log.announce(read).await {
                announced = Some((read, Instant::now()));
                self.instances.store(all.len().max(1), Ordering::Relaxed);
            }
        }
    }

    /// Applies what is new.
    async fn catch_up(&self, log: &Log, last: &mut Option<Clock>) -> Result<(), Failed> {
        loop {
            let page = log.read(*last).await?;
            let mut known = None;
            if !page.connected {
                known = last.take();
                match known {
                    // The first look: what the log has forgotten already can't be known.
                    None => self.begin(&page),
                    Some(_) => {
                        tracing::warn!("entries of the invalidation log were missed; everything kept counts as stale");
                        METRICS.log_gaps.inc();
                        self.table.distrust();
                        self.write_again(log);
                    }
                }
            }
            let full = page.entries.len() >= PAGE;
            for (id, purge) in page.entries {
                match purge {
                    Some(purge) if known.is_none_or(|known| id > known) => {
                        self.apply(&purge, Some(id));
                    }
                    _ => self.table.pass(id),
                }
                *last = Some(id);
            }
            if !full {
                return Ok(());
            }
        }
    }

    /// Where the log does not begin with its beginning, it was trimmed: what is older than its first entry is not trusted.
    fn begin(&self, page: &Page) {
        if let Some((id, Some(_))) = page.entries.first() {
            self.table.floor(*id);
        }
    }

    /// Writes what could not be written before.
    async fn catch_out(&self, log: &Log) -> Result<(), Failed> {
        loop {
            let Some(purge) = self.pending().front().cloned() else { return Ok(()) };
            log.append(&purge).await?;
            let mut pending = self.pending();
            if pending.front() == Some(&purge) {
                pending.pop_front();
            }
            METRICS.purges_pending.set(i64::try_from(pending.len()).unwrap_or(i64::MAX));
        }
    }

    /// A log that lost entries may have lost ours before others read them.
    fn write_again(&self, log: &Log) {
        let own = std::mem::take(&mut *log.own.lock().unwrap_or_else(PoisonError::into_inner));
        for purge in own {
            self.put_off(purge);
        }
    }

    fn lost(&self, error: &Failed) {
        if self.lost.load().is_none() {
            tracing::warn!(%error, "the invalidation log can't be read; answers in memory are trusted for a short time only");
            self.lost.store(Arc::new(Some(SystemTime::now())));
        }
        METRICS.log_read.set(0);
    }

    fn found(&self) {
        self.known.store(true, Ordering::Release);
        if self.lost.load().is_some() {
            self.lost.store(Arc::new(None));
            tracing::info!("the invalidation log is read");
        }
        METRICS.log_read.set(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &[u8])]) -> Vec<Vec<u8>> {
        pairs.iter().flat_map(|(name, value)| [name.as_bytes().to_vec(), value.to_vec()]).collect()
    }

    #[test]
    fn an_entry_says_what_was_purged() {
        let names = Target::Names((0..250_u8).map(|n| Name([n; 16])).collect());
        let purge = Purge { target: names.clone(), soft: false };
        let parts = parts(&purge);
        assert_eq!(parts.len(), 3);
        let read: Vec<Name> = parts
            .iter()
            .filter_map(|part| parse(&fields(&[("kind", b"hard"), ("names", part)])))
            .flat_map(|purge| match purge.target {
                Target::Names(names) => names,
                Target::All => panic!("not all"),
            })
            .collect();
        assert_eq!(Target::Names(read), names);
        let all = Purge { target: Target::All, soft: true };
        assert_eq!(parse(&fields(&[("kind", b"soft"), ("names", &super::parts(&all)[0])])), Some(all));
        assert_eq!(parse(&fields(&[("kind", b"begin")])), None);
    }

    #[test]
    fn what_is_not_understood_makes_everything_stale() {
        let everything = Some(Purge { target: Target::All, soft: true });
        for odd in [
            fields(&[]),
            fields(&[("kind", b"new"), ("names", &[0; 16])]),
            fields(&[("kind", b"soft"), ("names", &[0; 15])]),
        ] {
            assert_eq!(parse(&odd), everything, "{odd:?}");
        }
        assert_eq!(parse_id("12-3"), Some(Clock { ms: 12, seq: 3, local: 0 }));
        assert_eq!(parse_id("12"), None);
    }
}
