//! The purge API of the gateways: `POST /admin/v1/cache/purge` on their admin listeners.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::Value;

const PATH: &str = "/admin/v1/cache/purge";
const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(10);
/// A longer answer is not one of ours.
const MOST_BYTES: usize = 64 << 10;

/// Where changes of data are purged. The token comes from the environment or a file, never from an argument.
#[derive(Debug, clap::Args)]
pub(crate) struct PurgeArgs {
    /// Admin listener of a gateway, like http://127.0.0.1:9901, to purge what changes in the database. Of several (repeat
    /// it, or separate them by commas) one is enough, as it tells the others; they are tried in turn
    #[arg(long, value_name = "URL", env = "ADDRESS_SERVICE_PURGE_URL", value_delimiter = ',')]
    purge_url: Vec<Url>,
    /// File with the gateways' admin token; without it, the variable `ADDRGATE_ADMIN_TOKEN` is used
    #[arg(long, value_name = "FILE", env = "ADDRESS_SERVICE_PURGE_TOKEN_FILE")]
    purge_token_file: Option<PathBuf>,
}

impl PurgeArgs {
    /// The gateways, if any are named.
    ///
    /// # Errors
    /// When a URL is not one of HTTP, or there is no token.
    pub(crate) fn gateways(&self) -> anyhow::Result<Option<Gateways>> {
        if self.purge_url.is_empty() {
            return Ok(None);
        }
        for url in &self.purge_url {
            if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
                bail!("--purge-url {url} must begin with http:// or https:// and name a host");
            }
        }
        let token = match (&self.purge_token_file, std::env::var("ADDRGATE_ADMIN_TOKEN")) {
            (Some(file), _) => Token::File(file.clone()),
            (None, Ok(token)) if !token.trim().is_empty() => Token::Value(token.trim().to_owned()),
            _ => bail!("--purge-url needs a token: give --purge-token-file FILE or set ADDRGATE_ADMIN_TOKEN"),
        };
        // So that a wrong path shows at once.
        token.read()?;
        let client = reqwest::Client::builder()
            .user_agent(concat!("address-service/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .context("the HTTP client can't be made")?;
        Ok(Some(Gateways { urls: self.purge_url.clone(), token, client, first: AtomicUsize::new(0) }))
    }
}

enum Token {
    Value(String),
    /// Read for each call, so that a new token needs no restart.
    File(PathBuf),
}

impl Token {
    fn read(&self) -> anyhow::Result<String> {
        match self {
            Self::Value(token) => Ok(token.clone()),
            Self::File(file) => {
                let token = std::fs::read_to_string(file)
                    .with_context(|| format!("the admin token can't be read from {}", file.display()))?;
                Ok(token.trim().to_owned())
            }
        }
    }
}

/// The gateways that may be asked.
pub(crate) struct Gateways {
    urls: Vec<Url>,
    token: Token,
    client: reqwest::Client,
    /// The one that answered last is asked first.
    first: AtomicUsize,
}

/// The part of the answer that counts.
#[derive(Deserialize)]
struct Answer {
    confirmed: bool,
}

impl Gateways {
    /// Asks one after the other until one has confirmed.
    ///
    /// # Errors
    /// What each of them said.
    pub(super) async fn purge(&self, request: &Value) -> Result<(), String> {
        let token = self.token.read().map_err(|error| format!("{error:#}"))?;
        let first = self.first.load(Ordering::Relaxed);
        let mut reasons = Vec::new();
        for at in (first..first + self.urls.len()).map(|at| at % self.urls.len()) {
            let Some(url) = self.urls.get(at) else { continue };
            match self.ask(url, &token, request).await {
                Ok(()) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok(());
                }
                Err(reason) => reasons.push(format!("{}:{} {reason}", url.host_str().unwrap_or_default(), port(url))),
            }
        }
        Err(reasons.join("; "))
    }

    async fn ask(&self, url: &Url, token: &str, request: &Value) -> Result<(), String> {
        let mut url = url.clone();
        url.set_path(&format!("{}{PATH}", url.path().trim_end_matches('/')));
        let response = self.client.post(url).bearer_auth(token).json(request).send().await;
        let mut response = response.map_err(|error| describe(&error))?;
        match response.status() {
            StatusCode::OK | StatusCode::ACCEPTED => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(format!("responded {}: is the admin token right?", response.status().as_u16()));
            }
            status => return Err(format!("responded {}", status.as_u16())),
        }
        let mut body = Vec::new();
        while let Some(bytes) = response.chunk().await.map_err(|error| describe(&error))? {
            body.extend_from_slice(&bytes);
            if body.len() > MOST_BYTES {
                return Err("responded with more than 64 KiB".into());
            }
        }
        match serde_json::from_slice::<Answer>(&body) {
            Ok(Answer { confirmed: true }) if response.status() == StatusCode::OK => Ok(()),
            Ok(_) => Err("has purged its own cache and could not tell the others".into()),
            Err(_) => Err("responded with something that is not the purge API's".into()),
        }
    }
}

fn port(url: &Url) -> String {
    url.port_or_known_default().map(|port| port.to_string()).unwrap_or_default()
}

/// The error and its causes, without the URL: reqwest puts the useful part in the sources.
fn describe(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let mut text = if error.is_timeout() { "timed out".to_owned() } else { "can't be reached".to_owned() };
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
