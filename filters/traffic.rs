//! The algorithms that hold traffic within what upstreams bear, and the units they count in. They know no request.

mod answered;
pub mod breaker;
pub mod budget;
mod class;
pub mod degrade;
pub(crate) mod gcra;
pub mod leases;
mod mode;
pub mod queue;
pub mod units;

pub use answered::Answered;
pub use class::Class;
pub use mode::Mode;
