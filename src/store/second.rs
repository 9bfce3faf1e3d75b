//! The second tier: Redis, shared by all instances.
//!
//! A lookup is one round trip within the deadline, and whatever goes wrong is a miss. Writes go behind the reply, through a
//! bounded queue; what does not fit in is not written. Only digests of ours get into keys.
//!
//! With a lease, one instance at a time fetches an answer: the others look for what it writes, and fetch themselves when
//! it gives up or takes too long.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use redis::{Script, cmd};
use tokio::sync::{Semaphore, mpsc};

use super::entry::Entry;
use super::envelope::{self, Value};
use super::id::Id;
use crate::redis::{Failed, Redis};
use crate::telemetry::METRICS;

static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("release.lua")));

/// Writes that wait.
const QUEUE: usize = 4096;

/// Writes under way.
const AT_ONCE: usize = 32;

/// How often is looked for what another instance fetches.
pub(super) const LOOK: Duration = Duration::from_millis(20);

enum Job {
    Keep(Arc<Entry>, Option<Lease>),
    Release { key: String, token: String },
}

/// See the module.
pub(crate) struct Second {
    redis: Arc<Redis>,
    largest: usize,
    jobs: mpsc::Sender<Job>,
    lease: Option<Duration>,
}

/// What the writer's task works on.
pub(crate) struct Writer {
    redis: Arc<Redis>,
    jobs: Mutex<Option<mpsc::Receiver<Job>>>,
}

/// The right to fetch for all instances. Dropped, it is given back.
#[derive(Debug)]
pub(crate) struct Lease {
    key: String,
    token: String,
    jobs: mpsc::Sender<Job>,
}

impl Second {
    /// With bodies of at most `largest` bytes, and, if any, leases of that time.
    pub(crate) fn new(redis: Arc<Redis>, largest: usize, lease: Option<Duration>) -> (Self, Writer) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let writer = Writer { redis: Arc::clone(&redis), jobs: Mutex::new(Some(receiver)) };
        (Self { redis, largest, jobs: sender, lease }, writer)
    }

    /// What lies under the key of `id`.
    pub(super) async fn get(&self, id: &Id) -> Option<Value> {
        let key = key(&self.redis, id);
        let answer = self.redis.ask::<Option<Vec<u8>>>(&key, &*cmd("GET").arg(&key)).await;
        let (found, outcome) = match answer {
            Ok(None) => (None, "miss"),
            Ok(Some(bytes)) => match envelope::read(id, &bytes, self.largest) {
                Ok(value) => (Some(value), "hit"),
                Err(wrong) => {
                    tracing::warn!(wrong = wrong.as_str(), "an entry of the second tier is unusable; it is deleted");
                    self.delete(&key).await;
                    (None, wrong.as_str())
                }
            },
            Err(Failed::Error(e)) if e.code() == Some("WRONGTYPE") => {
                self.delete(&key).await;
                (None, "type")
            }
            Err(failed) => (None, failed.as_str()),
        };
        METRICS.second.with_label_values(&["get", outcome]).inc();
        found
    }

    /// Before anything can be written in its place.
    async fn delete(&self, key: &str) {
        // What can't be deleted is found unusable again.
        let _gone = self.redis.ask::<()>(key, &*cmd("UNLINK").arg(key)).await;
    }

    /// Writes an answer behind the reply, and then gives the lease back.
    pub(super) fn keep(&self, entry: Arc<Entry>, lease: Option<Lease>) {
        self.queue(Job::Keep(entry, lease));
    }

    /// Writes an answer and waits for it.
    pub(super) async fn keep_now(&self, entry: &Entry) {
        write(&self.redis, entry).await;
    }

    /// Takes the lease of an entry, if leases are wanted; `Err` where another instance has it.
    pub(super) async fn lease(&self, id: &Id) -> Result<Option<Lease>, ()> {
        let Some(time) = self.lease else { return Ok(None) };
        let key = format!("{}:lease", key(&self.redis, id));
        let token = addrgate_filters::http::request_id::RequestId::new().as_str().to_owned();
        let mut command = cmd("SET");
        command.arg(&key).arg(&token).arg("NX").arg("PX").arg(millis(time));
        match self.redis.ask::<Option<String>>(&key, &command).await {
            Ok(Some(_)) => Ok(Some(Lease { key, token, jobs: self.jobs.clone() })),
            Ok(None) => Err(()),
            // Without Redis every instance is on its own.
            Err(_) => Ok(None),
        }
    }

    /// How long another instance's fetch is waited for at most: as long as a lease lasts.
    pub(super) fn patience(&self) -> Duration {
        self.lease.unwrap_or_default()
    }

    /// For status.
    pub(crate) fn status(&self) -> serde_json::Value {
        serde_json::json!({"redis": self.redis.status(), "queued": QUEUE - self.jobs.capacity()})
    }

    fn queue(&self, job: Job) {
        if self.jobs.try_send(job).is_err() {
            METRICS.second.with_label_values(&["put", "full"]).inc();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let release = Job::Release { key: std::mem::take(&mut self.key), token: std::mem::take(&mut self.token) };
        // What is not given back expires.
        let _full = self.jobs.try_send(release);
    }
}

#[async_trait]
impl BackgroundService for Writer {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut jobs) = jobs else { return };
        let places = Arc::new(Semaphore::new(AT_ONCE));
        loop {
            let job = tokio::select! {
                job = jobs.recv() => job,
                _ = shutdown.wait_for(|stopping| *stopping) => None,
            };
            let (Some(job), Ok(place)) = (job, Arc::clone(&places).acquire_owned().await) else { return };
            let redis = Arc::clone(&self.redis);
            tokio::spawn(async move {
                work(&redis, job).await;
                drop(place);
            });
        }
    }
}

async fn work(redis: &Redis, job: Job) {
    match job {
        Job::Keep(entry, lease) => {
            write(redis, &entry).await;
            drop(lease);
        }
        Job::Release { key, token } => {
            let mut script = RELEASE.key(&key);
            script.arg(token);
            // What is not given back expires.
            let _expires = redis.ask::<()>(&key, &script).await;
        }
    }
}

async fn write(redis: &Redis, entry: &Entry) {
    let until = entry.kept.until();
    let left = until.duration_since(SystemTime::now()).unwrap_or_default();
    if left < Duration::from_millis(1) {
        return;
    }
    let put = async |id: &Id, bytes: Vec<u8>| {
        let mut command = cmd("SET");
        let key = key(redis, id);
        command.arg(&key).arg(bytes).arg("PX").arg(millis(left));
        let outcome = match redis.ask::<()>(&key, &command).await {
            Ok(()) => "kept",
            Err(failed) => failed.as_str(),
        };
        METRICS.second.with_label_values(&["put", outcome]).inc();
    };
    if let Some(fields) = &entry.kept.vary {
        put(&Id::primary(entry.id.key), envelope::varies(&entry.id.key, fields, until)).await;
    }
    put(&entry.id, envelope::answer(entry)).await;
}

fn key(redis: &Redis, id: &Id) -> String {
    match id.variance {
        None => redis.key(&format!("e:{}", id.key)),
        Some(variance) => redis.key(&format!("e:{}:{}", id.key, hex(&variance))),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
