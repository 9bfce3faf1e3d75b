//! What a filter is: the moments at which it sees a request, and what it can say.

use std::borrow::Cow;

use async_trait::async_trait;

use crate::cause::{Cause, Code};
use crate::http::head::Head;
use crate::http::response::Reply;
use crate::traffic::Mode;
use crate::verdict::Verdict;

/// What a filter says to one request.
#[derive(Debug, Clone, PartialEq)]
pub enum Flow {
    /// On to the next filter.
    Continue,
    /// The request is refused.
    Reply(Cause),
    /// The request ends here with an answer that is no refusal.
    Answer(Reply),
}

/// Which filter ended a request, and how.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop {
    /// By name, and why.
    Refused(&'static str, Cause),
    /// With this answer.
    Answered(Reply),
}

impl Flow {
    /// A refusal.
    #[must_use]
    pub fn refuse(code: Code, reason: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Flow::Reply(Cause::new(code, reason, message))
    }

    pub(crate) fn stop(self, by: &'static str) -> Result<(), Stop> {
        match self {
            Flow::Continue => Ok(()),
            Flow::Reply(cause) => Err(Stop::Refused(by, cause)),
            Flow::Answer(reply) => Err(Stop::Answered(reply)),
        }
    }
}

impl Mode {
    /// What becomes of a refusal: sent, or noted in the verdict.
    pub(crate) fn refuse(self, by: &'static str, cause: Cause, verdict: &mut Verdict) -> Flow {
        match self {
            Mode::Enforce => Flow::Reply(cause),
            Mode::Observe => {
                verdict.observed.push((by, cause.reason));
                Flow::Continue
            }
        }
    }
}

/// One filter. Three moments and no more; response shaping is not one of them.
#[async_trait]
pub trait Filter: Send + Sync {
    /// The name in logs, metrics and `explain`: the file's.
    fn name(&self) -> &'static str;

    /// Every request, before the cache. Never waits, so that the door can run it.
    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        let _ = (head, verdict);
        Flow::Continue
    }

    /// Only when the upstream is really needed, never on a hit. May wait; a client that leaves meanwhile drops the future.
    async fn forward(&self, verdict: &mut Verdict) -> Flow {
        let _ = verdict;
        Flow::Continue
    }

    /// Always, exactly once, also when the client hangs up: gives back what is held.
    fn finish(&self, verdict: &mut Verdict) {
        let _ = verdict;
    }
}
