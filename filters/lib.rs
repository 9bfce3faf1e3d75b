//! Request filters of addrgate: one file each, all of one shape.

pub mod cache_policy;
pub mod head;
pub mod units;
