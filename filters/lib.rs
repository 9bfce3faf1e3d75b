//! Request filters of addrgate, and what they are made of.
//!
//! - [`http`]: the semantics of HTTP, and [`traffic`]: the algorithms that hold traffic within bounds; neither knows a filter.
//! - [`verdict`]: what is known of one request; [`filter`]: what a filter is; [`cause`]: why one refuses.
//! - The filters, one file each, all of one shape: its doc with its YAML, its `Config`, its state, `impl Filter`, its tests.
//!   What others need of a filter (settings, findings) is in the files below it, which know no [`verdict::Verdict`].
//! - [`chain`]: all filters in order. Adding one is its file, one field and one line there, and a block in `config.yaml`.
//! - [`reply`]: the one place where a refusal becomes a response.

pub mod address;
pub mod breaker;
pub mod cache_key;
pub mod cause;
pub mod chain;
pub mod client;
pub mod cors;
pub mod degrade;
pub mod edge;
pub mod filter;
pub mod http;
pub mod per_upstream;
pub mod priority;
pub mod queue;
pub mod rate_limit;
pub mod reply;
pub mod request_body;
pub mod request_id;
pub mod rollout;
pub mod route;
pub mod traffic;
pub mod verdict;

pub use chain::Filters;
pub use filter::{Filter, Flow, Stop};
pub use traffic::Mode;
