//! Whether a limit is enforced.

/// Whether a filter acts or only counts what it would have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Refusals are sent.
    #[default]
    Enforce,
    /// Refusals are counted and logged (`observed`), and the request goes on: the safe way to tune a limit.
    Observe,
}
