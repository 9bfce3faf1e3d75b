//! The semantics of HTTP: pure functions and borrowed views, which know no filter and no upstream.

pub mod authority;
pub mod body;
pub mod cache_policy;
pub mod cache_status;
pub mod canonical;
pub mod head;
pub mod meta;
pub mod proxy_protocol;
pub mod request_id;
pub mod response;
pub mod target;
