//! What Redis is asked, and why there may be no response.

use redis::{Cmd, ScriptInvocation};

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) enum Command<'a> {
    /// One command on one key.
    Plain(&'a Cmd),
    /// A script whose keys lie in one slot.
    Script(&'a ScriptInvocation<'a>),
}

impl<'a> From<&'a Cmd> for Command<'a> {
    fn from(command: &'a Cmd) -> Self {
        Self::Plain(command)
    }
}

impl<'a> From<&'a mut Cmd> for Command<'a> {
    fn from(command: &'a mut Cmd) -> Self {
        Self::Plain(command)
    }
}

impl<'a> From<&'a ScriptInvocation<'a>> for Command<'a> {
    fn from(script: &'a ScriptInvocation<'a>) -> Self {
        Self::Script(script)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// Nothing is connected.
    #[error("Redis is not connected")]
    Away,
    /// A connection could not be made.
    #[error("Redis can't be reached: {0}")]
    Unreachable(String),
    /// Its breaker is open.
    #[error("Redis fails too often and is not asked now")]
    Refused,
    /// Not in time.
    #[error("Redis did not reply in time")]
    Late,
    /// Redis answered with an error, or the connection broke.
    #[error("{0}")]
    Error(#[from] redis::RedisError),
}

impl Failed {
    /// In a word, for metrics.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Away | Self::Unreachable(_) => "away",
            Self::Refused => "breaker",
            Self::Late => "timeout",
            Self::Error(_) => "error",
        }
    }
}
