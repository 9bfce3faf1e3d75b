//! Settings of warming, and the requests that it and purges name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// As written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// How many of the most asked requests are remembered and asked again. Needs a restart.
    pub(crate) keys: usize,
    /// Requests of our own at a time.
    pub(crate) at_once: usize,
    /// What is asked at the start, besides.
    pub(crate) targets: Vec<Target>,
}

impl Default for Config {
    fn default() -> Self {
        Self { keys: 1_000, at_once: 4, targets: Vec::new() }
    }
}

/// A request to warm with, or to purge: a path with its query, or a whole request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Target {
    /// GET.
    Url(String),
    /// Any.
    Request(Request),
}

/// A whole request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// Path and query, or with the host where the route's key has it.
    pub(crate) url: String,
    /// The method.
    #[serde(default = "get")]
    pub(crate) method: String,
    /// The body of a body-keyed one: its JSON, or that as text, whose numbers are then as they are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<Value>,
}

fn get() -> String {
    "GET".to_owned()
}

/// The text of a body.
pub(crate) fn text(body: &Value) -> String {
    body.as_str().map_or_else(|| body.to_string(), str::to_owned)
}

impl Target {
    /// Method, URL and body.
    pub(crate) fn parts(&self) -> (&str, &str, Option<&Value>) {
        match self {
            Self::Url(url) => ("GET", url, None),
            Self::Request(Request { url, method, body }) => (method, url, body.as_ref()),
        }
    }
}
