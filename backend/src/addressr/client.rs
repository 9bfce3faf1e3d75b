//! Asks an addressr instance: in budget, a few at a time, by the request's deadline. Its cache headers are not looked at: it
//! gives its errors a week of freshness.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use addrgate_filters::traffic::units::{Rate, Span};
use reqwest::{StatusCode, Url, header, redirect};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::error::ApiError;

/// Which instance, and how much it may be asked.
#[derive(Debug, clap::Args)]
pub(crate) struct AddressrArgs {
    /// Where the addressr instance is, with --source addressr, like https://addressr.example
    #[arg(long, value_name = "URL", env = "ADDRESS_SERVICE_ADDRESSR_URL")]
    pub(super) addressr_url: Option<Url>,
    /// Most calls to it in a time, as hosted instances are metered; a validation takes two
    #[arg(long, value_name = "CALLS/TIME", default_value = "1000/1h")]
    addressr_budget: Rate,
    /// Most calls to it at a time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    addressr_calls: u32,
}

/// The largest answer seen is 6 KiB.
const MOST_BYTES: usize = 256 << 10;
const CONNECT: Duration = Duration::from_secs(2);
/// How long a call waits for others to end.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is left of a rate: the generic cell rate algorithm (ITU-T I.371), so that the budget comes back call by call.
struct Budget {
    rate: Rate,
    /// When the whole budget will be there again, unless something is spent.
    full_at: Mutex<Instant>,
}

impl Budget {
    fn new(rate: Rate) -> Self {
        Self { rate, full_at: Mutex::new(Instant::now()) }
    }

    /// Spends one call, or says how long until there is one.
    fn spend(&self) -> Result<(), Duration> {
        let now = Instant::now();
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let Rate { count, per: Span(period) } = self.rate;
        // Rounded down, so that the whole budget fits into its time.
        let each = u64::try_from(period.as_nanos() / u128::from(count)).unwrap_or(u64::MAX);
        let next = (*full_at).max(now) + Duration::from_nanos(each);
        match next.checked_duration_since(now + period) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => {
                *full_at = next;
                Ok(())
            }
        }
    }

    fn left(&self) -> u64 {
        let full_at = *self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = full_at.saturating_duration_since(Instant::now()).as_secs_f64() / self.rate.per.0.as_secs_f64();
        (self.rate.count as f64 * (1.0 - spent) + 1e-6).floor().max(0.0) as u64
    }
}

/// The instance; cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    base: Url,
    http: reqwest::Client,
    budget: Arc<Budget>,
    places: Arc<Semaphore>,
    /// Whether the last call was answered.
    answers: Arc<AtomicBool>,
}

/// An answer, and the query of the page after it.
pub(super) struct Page<T> {
    pub(super) value: T,
    pub(super) next: Option<String>,
}

impl Client {
    pub(super) fn new(base: Url, args: &AddressrArgs) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("address-service/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .build()?;
        Ok(Self {
            base,
            http,
            budget: Arc::new(Budget::new(args.addressr_budget)),
            places: Arc::new(Semaphore::new(args.addressr_calls as usize)),
            answers: Arc::new(AtomicBool::new(true)),
        })
    }

    /// A page of the search, which knows of no text that it does not find: 404 means that something else answers.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub(super) async fn search<T: DeserializeOwned>(
        &self,
        deadline: Instant,
        query: &str,
    ) -> Result<Page<T>, ApiError> {
        match self.get(deadline, &["addresses"], Some(query)).await? {
            Some(page) => Ok(page),
            None => {
                self.answers.store(false, Ordering::Relaxed);
                Err(silent("status 404 for its search", "addresses"))
            }
        }
    }

    /// GET of a path below the base, with an encoded query; `None` when it says 404.
    ///
    /// # Errors
    /// `SERVICE_UNAVAILABLE`: at once when the budget is spent, soon when too many calls are under way, by `deadline` when it
    /// doesn't answer, and when it answers something else than expected.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        deadline: Instant,
        path: &[&str],
        query: Option<&str>,
    ) -> Result<Option<Page<T>>, ApiError> {
        let Ok(Ok(_place)) = timeout_at(deadline.min(Instant::now() + PATIENCE), self.places.acquire()).await else {
            return Err(ApiError::unavailable("Too many calls to the fallback source are under way", 1));
        };
        if let Err(wait) = self.budget.spend() {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            return Err(ApiError::unavailable("The budget of calls to the fallback source is spent", seconds));
        }
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => _ = segments.pop_if_empty().extend(path),
            Err(()) => return Err(ApiError::internal()),
        }
        url.set_query(query);
        let answer = match timeout_at(deadline, self.ask(url)).await {
            Ok(answer) => answer,
            Err(_) => Err("no response before the deadline".to_owned()),
        };
        self.answers.store(answer.is_ok(), Ordering::Relaxed);
        answer.map_err(|reason| silent(&reason, &path.join("/")))
    }

    async fn ask<T: DeserializeOwned>(&self, url: Url) -> Result<Option<Page<T>>, String> {
        let request = self.http.get(url).header(header::ACCEPT, "application/json");
        // Without the URL, in which the text of a person stands.
        let mut response = request.send().await.map_err(|error| error.without_url().to_string())?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(format!("status {}", status.as_u16())),
        }
        let links = response.headers().get_all(header::LINK).iter().filter_map(|link| link.to_str().ok());
        let next = links.filter_map(next_query).next();
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|error| error.without_url().to_string())? {
            body.extend_from_slice(&bytes);
            if body.len() > MOST_BYTES {
                return Err("a response of more than 256 KiB".into());
            }
        }
        let value = serde_json::from_slice(&body).map_err(|error| format!("not the expected JSON: {error}"))?;
        Ok(Some(Page { value, next }))
    }

    /// Whether the last call was answered.
    pub(super) fn answers(&self) -> bool {
        self.answers.load(Ordering::Relaxed)
    }

    /// Calls that may be made now, by the budget.
    pub(super) fn left(&self) -> u64 {
        self.budget.left()
    }

    /// Calls that may be under way at a time and are not.
    pub(super) fn free(&self) -> usize {
        self.places.available_permits()
    }
}

/// The query of the next page that a `Link` field names (RFC 8288). Only the query: the path is known, and another host
/// would get what was not meant for it.
fn next_query(links: &str) -> Option<String> {
    // Targets have no `<`, so that a link ends where the next one begins.
    links.split('<').skip(1).find_map(|link| {
        let (target, parameters) = link.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let Some((name, value)) = parameter.split_once('=') else { return false };
            let relations = value.trim().trim_end_matches(',').trim().trim_matches('"');
            name.trim().eq_ignore_ascii_case("rel") && relations.split(' ').any(|one| one.eq_ignore_ascii_case("next"))
        });
        is_next.then(|| target.split_once('?').map(|(_, query)| query.to_owned()))?
    })
}

fn silent(reason: &str, path: &str) -> ApiError {
    tracing::warn!(reason, path, "addressr did not respond");
    ApiError::unavailable("The fallback source does not respond", 2)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_budget_is_spent_at_once_or_bit_by_bit_and_never_exceeded() {
        let budget = Budget::new("10/1m".parse().unwrap());
        assert_eq!(budget.left(), 10);
        for _ in 0..10 {
            budget.spend().unwrap();
        }
        assert_eq!(budget.left(), 0);
        assert_eq!(budget.spend(), Err(Duration::from_secs(6)));
        advance(Duration::from_secs(6)).await;
        assert_eq!(budget.spend(), Ok(()));
        assert!(budget.spend().is_err());
        advance(Duration::from_secs(3_600)).await;
        let spent = (0..100).filter(|_| budget.spend().is_ok()).count();
        assert_eq!(spent, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_that_does_not_divide_its_time_is_there_whole() {
        let budget = Budget::new("7/1h".parse().unwrap());
        for left in (0..7).rev() {
            budget.spend().unwrap();
            assert_eq!(budget.left(), left);
        }
        assert!(budget.spend().is_err());
    }

    #[rstest]
    #[case("</addresses?q=a,b&page=2>; rel=\"next\"", Some("q=a,b&page=2"))]
    #[case("</addresses?q=a>; rel=self, <https://elsewhere/addresses?q=a&p=3>; rel=next, </>; rel=up", Some("q=a&p=3"))]
    #[case("</addresses?q=next>; rel=first", None)]
    #[case("</addresses>; rel=next", None)]
    #[case("<", None)]
    #[case("", None)]
    fn a_next_page_is_announced(#[case] link: &str, #[case] expected: Option<&str>) {
        assert_eq!(next_query(link).as_deref(), expected);
    }
}
