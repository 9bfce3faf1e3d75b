//! Settings of the cache.

use addrgate_filters::traffic::units::{Size, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Memory of the cache. Needs a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Memory for answers.
    pub(crate) memory: Size,
    /// The largest body that is kept.
    pub(crate) entry: Size,
    /// Without effect: a request waits for a fetch to its own deadline. Taken until the next version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wait: Option<Span>,
    /// With Redis: one instance at a time fetches an answer, and the others wait for it so long at most. Left out: each
    /// instance fetches for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease: Option<Span>,
}

impl Default for Config {
    fn default() -> Self {
        Self { memory: Size::kib(256 << 10), entry: Size::kib(1 << 10), wait: None, lease: None }
    }
}
