//! How long answers are kept. (The decisions of RFC 9111 follow here.)

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Span;

/// Lifetimes of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long an answer is fresh where the upstream does not say.
    pub fresh: Span,
    /// How long it may be served stale while it is fetched anew.
    pub stale_while_revalidate: Span,
    /// How long it may be served stale where the upstream fails.
    pub stale_if_error: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self { fresh: Span::secs(0), stale_while_revalidate: Span::secs(0), stale_if_error: Span::secs(0) }
    }
}
