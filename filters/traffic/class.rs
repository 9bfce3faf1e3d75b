//! Priority classes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a request matters, in rising order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Nobody waits for it.
    Background,
    /// Batches.
    Low,
    /// Most.
    #[default]
    Normal,
    /// People are waiting.
    High,
    /// The service is lost without it.
    Critical,
}

impl Class {
    /// All, in rising order.
    pub const ALL: [Class; 5] = [Class::Background, Class::Low, Class::Normal, Class::High, Class::Critical];

    /// The name in configuration, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Background => "background",
            Class::Low => "low",
            Class::Normal => "normal",
            Class::High => "high",
            Class::Critical => "critical",
        }
    }
}
