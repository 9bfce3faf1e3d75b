//! The outcome of a call, as breaker and queue learn of it.

/// What came of asking an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// A response that says nothing against the upstream: any status below 500 but 429.
    Ok,
    /// A 429: it serves, but wants fewer requests, maybe of one client alone. It lowers the limit of the queue and says
    /// nothing to the breaker.
    Throttled,
    /// A 503: it has too much to do, or can't do anything.
    Overloaded,
    /// No answer in time.
    TimedOut,
    /// No connection, a broken or unusable answer, another 5xx.
    Failed,
}
