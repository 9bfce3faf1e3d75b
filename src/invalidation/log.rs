//! The log in Redis: a stream that every instance reads, and the list of instances with how far each has read.
//!
//! All keys lie in one slot. A blocking read on a connection of its own ([`Ear`]) says when there is something new. What it
//! is, is read by a script, on the connection that everybody shares, which also says whether the entry that was read last is
//! still there: if not, entries may have been missed (the log was trimmed past this instance, or Redis lost it), and
//! everything up to then counts as stale.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{Script, Value, cmd};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::table::{Clock, Name, Purge, Target};
use crate::redis::{Failed, Link, Redis};

static APPEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("append.lua")));
static READ: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("read.lua")));
static ANNOUNCE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("announce.lua")));

/// The longest time for one call; a log that needs longer counts as lost.
const DEADLINE: Duration = Duration::from_secs(1);

/// Entries that one read brings at most.
const PAGE: usize = 500;

/// Names in one entry at most; a larger purge becomes several entries.
const NAMES: usize = 100;

/// The longest time for which one blocking read waits.
const BLOCK: Duration = Duration::from_secs(1);

/// How long an instance is believed to be there.
const BELIEVED: Duration = Duration::from_secs(5);

/// The log.
pub(super) struct Log {
    redis: Arc<Redis>,
    stream: String,
    seen: String,
    read: String,
    instance: String,
    length: usize,
    /// Whether this instance has left: then it says no more that it is there.
    left: Mutex<bool>,
}

/// A connection on which is waited for what is new.
pub(super) struct Ear(Link);

/// What one read brings.
pub(super) struct Page {
    /// The entry read last was there.
    pub(super) connected: bool,
    pub(super) entries: Vec<(Clock, Option<Purge>)>,
}

impl Page {
    /// There is more.
    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= PAGE
    }
}

impl Log {
    /// Not read yet.
    pub(super) fn new(redis: Arc<Redis>, length: usize) -> Self {
        let [stream, seen, read] = ["{log}", "{log}:seen", "{log}:read"].map(|key| redis.key(key));
        let instance = addrgate_filters::http::request_id::RequestId::new().as_str().to_owned();
        Self { redis, stream, seen, read, instance, length, left: Mutex::default() }
    }

    /// Writes a purge; gives the id of its last entry.
    ///
    /// # Errors
    /// When that can't be confirmed. It may have been written all the same; a purge that is written twice does no harm.
    pub(super) async fn append(&self, purge: &Purge) -> Result<Clock, Failed> {
        let mut last = Clock::default();
        for part in parts(purge) {
            let mut script = APPEND.key(&self.stream);
            script.arg(self.length).arg(if purge.soft { "soft" } else { "hard" }).arg(part);
            let id: String = self.redis.ask_within(&self.stream, &script, DEADLINE).await?;
            last = parse_id(&id).unwrap_or(last);
        }
        Ok(last)
    }

    /// The entries after `last`; with `None` all that there are.
    pub(super) async fn read(&self, last: Option<Clock>) -> Result<Page, Failed> {
        let mut script = READ.key(&self.stream);
        script.arg(last.map_or(String::new(), Clock::id)).arg(PAGE);
        type Entries = Vec<(String, Vec<Vec<u8>>)>;
        let (there, entries): (i64, Entries) = self.redis.ask_within(&self.stream, &script, DEADLINE).await?;
        // What can't be understood purges everything: a newer version may have meant anything.
        let entries = entries.iter().filter_map(|(id, fields)| Some((parse_id(id)?, parse(fields)))).collect();
        Ok(Page { connected: there > 0, entries })
    }

    /// Says how far this instance has read; gives how far each has.
    pub(super) async fn announce(&self, last: Clock) -> Result<Vec<Clock>, Failed> {
        let left = self.left.lock().await;
        if *left {
            return Ok(Vec::new());
        }
        let mut script = ANNOUNCE.key(&self.seen);
        script.key(&self.read).arg(&self.instance).arg(last.id());
        script.arg(millis(BELIEVED));
        let read: Vec<String> = self.redis.ask_within(&self.stream, &script, DEADLINE).await?;
        Ok(read.iter().filter_map(|id| parse_id(id)).collect())
    }

    /// Says that this instance is not there any more.
    pub(super) async fn leave(&self) -> Result<(), Failed> {
        *self.left.lock().await = true;
        for (command, key) in [("HDEL", &self.read), ("ZREM", &self.seen)] {
            self.redis.ask_within::<()>(key, &*cmd(command).arg(key).arg(&self.instance), DEADLINE).await?;
        }
        Ok(())
    }

    /// A connection for [`Log::wait`].
    pub(super) async fn ear(&self) -> Result<Ear, Failed> {
        Ok(Ear(self.redis.dedicated(&self.stream).await?))
    }

    /// Waits until there is an entry after `last`, at most for [`BLOCK`]. Says whether there is one.
    pub(super) async fn wait(&self, Ear(link): &Ear, last: Clock) -> Result<bool, Failed> {
        let mut command = cmd("XREAD");
        command.arg("COUNT").arg(1).arg("BLOCK").arg(millis(BLOCK)).arg("STREAMS").arg(&self.stream).arg(last.id());
        let answer = timeout(BLOCK + DEADLINE, link.ask::<Value>((&command).into())).await;
        Ok(answer.map_err(|_elapsed| Failed::Late)?? != Value::Nil)
    }

    /// How many other instances have read up to `id`, and how many there are.
    pub(super) async fn heard(&self, id: Clock) -> Result<(usize, usize), Failed> {
        let mut command = cmd("HGETALL");
        let read: Vec<(String, String)> =
            self.redis.ask_within(&self.read, &*command.arg(&self.read), DEADLINE).await?;
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

impl Clock {
    /// The entry's id.
    fn id(self) -> String {
        format!("{}-{}", self.ms, self.seq)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn parse_id(id: &str) -> Option<Clock> {
    let (ms, seq) = id.split_once('-')?;
    Some(Clock { ms: ms.parse().ok()?, seq: seq.parse().ok()?, local: 0 })
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
