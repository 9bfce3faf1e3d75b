//! RFC 9111 in one place: what may be kept, for how long, for whom, and when a kept answer serves a request.
//!
//! Pure functions on `http` types and times; no framework, no clock. Each part cites the section it implements.
//!
//! ```yaml
//! cache:
//!   lifetimes:
//!     targets: [CDN-Cache-Control]      # targeted fields (RFC 9213) that stand in for Cache-Control, strongest first
//!     default: { 200: 5m }              # where the answer names no lifetime of its own
//!     errors: own                       # 4xx and 5xx: only with a lifetime in `default`; or explicit: as they ask for
//!     max: 7d                           # cap on every lifetime
//!     jitter: 0.1                       # lifetimes shortened by up to this fraction, so that entries don't expire together
//!     stale_while_revalidate: 30s       # where the answer names no window of its own
//!     stale_if_error: 1d
//!     keep: 1h                          # how long a stale answer is kept to be validated, or for wider windows (`degrade`)
//!     fallback: 1m                      # cap on the lifetime of what a route's fallback answered
//!     heuristic: { fraction: 0.1, max: 1d }  # left out: no lifetime is guessed
//!     set_cookie: never                 # or always: responses that set cookies, whatever else they say
//!     request_directives: false         # whether Cache-Control of requests is honoured
//!     parts: false                      # whether a Range reaches the upstream, and the part it sends is kept
//! ```

use std::{collections::BTreeMap, time::Duration};

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::traffic::units::{FieldName, Span};

pub mod conditional;
pub mod date;
pub mod directives;
pub mod downstream;
pub mod fields;
pub mod freshness;
pub mod invalidation;
pub mod list;
pub mod part;
pub mod reuse;
pub mod storing;
pub mod targeted;
pub mod vary;

/// How long the answers of a route are kept, as written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Targeted fields (RFC 9213) in order of strength. The first that an answer carries in valid form replaces its
    /// `Cache-Control` and `Expires`.
    pub targets: Vec<FieldName>,
    /// Lifetimes by status for answers that name none; for errors also the cap on what they name.
    pub default: BTreeMap<u16, Span>,
    /// Which errors (status 400 and above) are kept.
    pub errors: Errors,
    /// Cap on every lifetime.
    pub max: Span,
    /// Lifetimes are shortened by a random part of this fraction, 0 to 0.5.
    pub jitter: f64,
    /// How long a stale answer is served while it is refreshed behind the reply, where the answer names no window.
    pub stale_while_revalidate: Span,
    /// How long a stale answer is served when the upstream can't answer, where the answer names no window.
    pub stale_if_error: Span,
    /// How long a stale answer is kept at least, where it has a validator, to be validated instead of fetched, or a window,
    /// which `degrade` can widen.
    pub keep: Span,
    /// Cap on the lifetime of answers that the route's fallback gave, so that they don't outlive the outage for long.
    pub fallback: Span,
    /// Guesses a lifetime from `Last-Modified`. Left out: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heuristic: Option<Heuristic>,
    /// Whether answers that set cookies are kept.
    pub set_cookie: SetCookie,
    /// Whether the `Cache-Control` of requests is honoured. A client that may send `no-cache` reaches the upstream at will,
    /// so turn it on only where all clients are trusted to.
    pub request_directives: bool,
    /// Whether a `Range` for what is not kept reaches the upstream, and the part that it sends is kept for requests that
    /// ask for no more of it. Otherwise the whole is fetched and the part cut out of it, which is better for small answers.
    pub parts: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            targets: vec![FieldName(HeaderName::from_static("cdn-cache-control"))],
            default: BTreeMap::new(),
            errors: Errors::default(),
            max: Span::secs(7 * 86_400),
            jitter: 0.1,
            stale_while_revalidate: Span::secs(30),
            stale_if_error: Span::secs(86_400),
            keep: Span::secs(3600),
            fallback: Span::secs(60),
            heuristic: None,
            set_cookie: SetCookie::default(),
            request_directives: false,
            parts: false,
        }
    }
}

/// The heuristic of RFC 9111 section 4.2.2.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Heuristic {
    /// The fraction of the time since `Last-Modified`, 0 to 1; 0.1 is usual.
    pub fraction: f64,
    /// The longest lifetime guessed.
    pub max: Span,
}

/// Which errors are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Errors {
    /// Those with a lifetime in `default`, never longer than that.
    #[default]
    Own,
    /// Those that name a lifetime themselves, too (RFC 9111 section 3).
    Explicit,
}

/// Whether responses with `Set-Cookie` are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SetCookie {
    /// Never, `public` or not: a cookie is one client's.
    #[default]
    Never,
    /// As any other response (RFC 9111 section 7.3 leaves that to the origin).
    Always,
}

impl Config {
    /// Whether it makes sense; the error is a sentence that names the setting.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(status) =
            self.default.keys().find(|status| !(200..600).contains(*status) || matches!(status, 206 | 304))
        {
            return Err(format!("`default`: responses with status {status} are never stored"));
        }
        let fraction = self.heuristic.map_or(0.0, |heuristic| heuristic.fraction);
        for (name, value, max) in [("jitter", self.jitter, 0.5), ("heuristic.fraction", fraction, 1.0)] {
            if !(0.0..=max).contains(&value) {
                return Err(format!("`{name}` must be from 0 to {max}"));
            }
        }
        Ok(())
    }

    /// The configured lifetime for a status.
    fn by_status(&self, status: u16) -> Option<Duration> {
        self.default.get(&status).map(|lifetime| lifetime.0)
    }

    /// The bare RFC: no lifetimes or windows of the gateway's own.
    #[cfg(test)]
    fn bare() -> Self {
        Self {
            targets: Vec::new(),
            errors: Errors::Explicit,
            jitter: 0.0,
            stale_while_revalidate: Span::default(),
            stale_if_error: Span::default(),
            keep: Span::default(),
            set_cookie: SetCookie::Always,
            max: Span::secs(directives::MAX_DELTA.into()),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_default_settings_make_sense() {
        let config = Config::default();
        assert_eq!(config.check(), Ok(()));
        assert_eq!(config.targets, [FieldName(HeaderName::from_static("cdn-cache-control"))]);
        assert!(config.errors == Errors::Own && config.heuristic.is_none());
    }

    #[rstest]
    #[case(r#"{"jitter": 0.6}"#, "jitter")]
    #[case(r#"{"jitter": -0.1}"#, "jitter")]
    #[case(r#"{"heuristic": {"fraction": 2.0, "max": "1d"}}"#, "heuristic.fraction")]
    #[case(r#"{"targets": ["no name"]}"#, "no name")]
    #[case(r#"{"default": {"206": "5m"}}"#, "206")]
    #[case(r#"{"default": {"100": "5m"}}"#, "100")]
    fn nonsense_is_refused(#[case] json: &str, #[case] named: &str) {
        let config = serde_json::from_str::<Config>(json);
        let message = config.map_err(|error| error.to_string()).and_then(|config| config.check()).unwrap_err();
        assert!(message.contains(named), "{message}");
    }
}
