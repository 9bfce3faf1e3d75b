//! What the filter finds for a response.

/// What the answer to a request must say about origins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allowed {
    /// `Access-Control-Allow-Origin`.
    pub origin: Option<Box<str>>,
    /// Whether that depends on who asks, so that `Vary` must say so.
    pub varies: bool,
}
