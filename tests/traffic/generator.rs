//! Requests at a rate that does not depend on how they are answered (an open loop), and what came of each.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::support::Client;

/// What came of one request.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it was sent, counted from the beginning.
    pub at: Duration,
    pub took: Duration,
    /// 0: no answer.
    pub status: u16,
    /// `X-Cache`.
    pub cache: String,
    /// `error.details.reason`, where it was refused.
    pub reason: String,
}

impl Seen {
    pub fn is_served(&self) -> bool {
        self.status == 200
    }

    /// Whether it was answered out of the cache, whoever had fetched it.
    pub fn is_hit(&self) -> bool {
        self.is_served() && !matches!(self.cache.as_str(), "MISS" | "")
    }

    pub fn end(&self) -> Duration {
        self.at + self.took
    }
}

/// One request, timed.
pub async fn ask(client: &Client, path: &str, begin: Instant) -> Seen {
    let sent = Instant::now();
    let (mut status, mut cache, mut reason) = (0, String::new(), String::new());
    if let Ok(answer) = client.request("GET", path).send().await {
        status = answer.status().as_u16();
        let field = answer.headers().get("x-cache").and_then(|value| value.to_str().ok());
        cache = field.unwrap_or_default().to_owned();
        match answer.bytes().await {
            Ok(body) if status != 200 => {
                let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
                reason = body["error"]["details"]["reason"].as_str().unwrap_or_default().to_owned();
            }
            Ok(_) => {}
            Err(_) => status = 0,
        }
    }
    Seen { at: sent - begin, took: sent.elapsed(), status, cache, reason }
}

/// So many requests a second for so long; number n asks for `path(n)`.
pub async fn offer(client: &Client, rate: f64, time: Duration, path: impl Fn(u64) -> String) -> Vec<Seen> {
    offer_as(rate, time, |n| (client.clone(), path(n))).await
}

/// The same from several clients.
pub async fn offer_as(rate: f64, time: Duration, request: impl Fn(u64) -> (Client, String)) -> Vec<Seen> {
    let begin = Instant::now();
    let total = (rate * time.as_secs_f64()) as u64;
    let mut all = JoinSet::new();
    for number in 0..total {
        let due = begin + Duration::from_secs_f64(number as f64 / rate);
        // What is late is sent at once; a sleep is no finer than a millisecond.
        if due > Instant::now() + Duration::from_millis(1) {
            sleep_until(due).await;
        } else if number % 16 == 0 {
            tokio::task::yield_now().await;
        }
        let (client, path) = request(number);
        all.spawn(async move { ask(&client, &path, begin).await });
    }
    let mut seen = all.join_all().await;
    seen.sort_by_key(|seen| seen.at);
    seen
}

/// So many at once.
pub async fn at_once(client: &Client, count: u64, path: impl Fn(u64) -> String) -> Vec<Seen> {
    let begin = Instant::now();
    let mut all = JoinSet::new();
    for number in 0..count {
        let (client, path) = (client.clone(), path(number));
        all.spawn(async move { ask(&client, &path, begin).await });
    }
    all.join_all().await
}

/// The share (0 to 1) of values that are such; not a number of none.
pub fn share<'a>(seen: impl IntoIterator<Item = &'a Seen>, such: impl Fn(&Seen) -> bool) -> f64 {
    let (mut all, mut those) = (0, 0);
    for seen in seen {
        all += 1;
        those += i32::from(such(seen));
    }
    f64::from(those) / f64::from(all)
}

/// Milliseconds within which a share (0 to 1) of the requests was answered; not a number of none.
pub fn quantile<'a>(seen: impl IntoIterator<Item = &'a Seen>, share: f64) -> f64 {
    let mut times: Vec<f64> = seen.into_iter().map(|seen| seen.took.as_secs_f64() * 1000.0).collect();
    times.sort_by(f64::total_cmp);
    let at = ((times.len() as f64 * share).ceil() as usize).max(1) - 1;
    times.get(at).copied().unwrap_or(f64::NAN)
}

/// Served requests per second in the worst whole window, by when they ended.
pub fn worst_goodput(seen: &[Seen], window: Duration, time: Duration) -> f64 {
    let windows = time.as_secs() / window.as_secs();
    let served = |from: Duration| {
        let ends = seen.iter().filter(|seen| seen.is_served()).map(Seen::end);
        ends.filter(|end| (from..from + window).contains(end)).count() as f64 / window.as_secs_f64()
    };
    (0..windows).map(|n| served(window * n as u32)).fold(f64::INFINITY, f64::min)
}
