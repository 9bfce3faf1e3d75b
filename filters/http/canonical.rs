//! The canonical form of queries and JSON bodies: what means the same is written the same.

mod json;
mod rule;

pub use rule::Rule;

pub(crate) use json::{Wrong, canonical as json};
pub(crate) use rule::query;
