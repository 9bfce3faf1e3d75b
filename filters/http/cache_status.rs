//! Says where an answer came from: `Cache-Status` (RFC 9211), `X-Cache`, `Age`.
//!
//! Called by name, not a filter of the list: it shapes answers and refuses nothing. It has no settings.

use std::fmt::{self, Display, Formatter};

/// Why an answer was fetched; the words of RFC 9211 section 2.2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Forward {
    /// The route does not cache, or the key is known not to be worth it.
    Bypass,
    /// The method is not cached.
    Method,
    /// Nothing is kept under the key.
    #[default]
    UriMiss,
    /// Something is, but for other selecting fields.
    VaryMiss,
    /// The request's directives asked for it.
    Request,
    /// What is kept was stale.
    Stale,
}

impl Forward {
    /// The token.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

/// How the cache took part in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered from what is kept, in this tier (`L1`, `L2`).
    Hit(&'static str),
    /// Answered from what is kept though stale, for this reason.
    Stale(&'static str),
    /// Fetched.
    Forwarded(Forward),
    /// Fetched, with the answer that another request was already waiting for.
    Collapsed,
    /// Validated: the upstream said 304 and what was kept is used.
    Revalidated,
}

/// One member of `Cache-Status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// How the cache took part.
    pub outcome: Outcome,
    /// Freshness left in seconds, negative when stale; `None` where nothing is kept.
    pub ttl: Option<i64>,
    /// The upstream's status where it was asked.
    pub forwarded_status: Option<u16>,
    /// The answer was kept.
    pub stored: bool,
    /// Why not, or another remark; a token.
    pub detail: Option<&'static str>,
}

impl Status {
    /// An answer from what is kept.
    #[must_use]
    pub fn hit(tier: &'static str, ttl: i64) -> Self {
        Self { outcome: Outcome::Hit(tier), ttl: Some(ttl), forwarded_status: None, stored: false, detail: None }
    }

    /// An answer from the upstream.
    #[must_use]
    pub fn forwarded(why: Forward, status: u16) -> Self {
        let outcome = Outcome::Forwarded(why);
        Self { outcome, ttl: None, forwarded_status: Some(status), stored: false, detail: None }
    }

    /// The short word of `X-Cache`, and of the access log.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.outcome {
            Outcome::Hit(_) => "HIT",
            Outcome::Stale(_) => "STALE",
            Outcome::Forwarded(Forward::Bypass | Forward::Method) => "BYPASS",
            Outcome::Forwarded(_) => "MISS",
            Outcome::Collapsed => "COLLAPSED",
            Outcome::Revalidated => "REVALIDATED",
        }
    }
}

impl Display for Status {
    /// The member, as it stands in the field.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("addrgate")?;
        let own_detail = match self.outcome {
            Outcome::Hit(tier) => {
                f.write_str("; hit")?;
                Some(tier)
            }
            Outcome::Stale(reason) => {
                f.write_str("; hit")?;
                Some(reason)
            }
            Outcome::Forwarded(why) => {
                write!(f, "; fwd={}", why.as_str())?;
                None
            }
            Outcome::Collapsed => {
                f.write_str("; fwd=uri-miss; collapsed")?;
                None
            }
            Outcome::Revalidated => {
                f.write_str("; fwd=stale")?;
                None
            }
        };
        if let Some(status) = self.forwarded_status {
            write!(f, "; fwd-status={status}")?;
        }
        if self.stored {
            f.write_str("; stored")?;
        }
        if let Some(ttl) = self.ttl {
            write!(f, "; ttl={ttl}")?;
        }
        match self.detail.or(own_detail) {
            Some(detail) => write!(f, "; detail={detail}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sfv::{List, Parser};

    use super::*;

    fn with(outcome: Outcome) -> Status {
        Status { outcome, ttl: None, forwarded_status: None, stored: false, detail: None }
    }

    #[rstest]
    #[case(Status::hit("L1", 42), "addrgate; hit; ttl=42; detail=L1", "HIT")]
    #[case(Status { ttl: Some(-7), ..with(Outcome::Stale("updating")) }, "addrgate; hit; ttl=-7; detail=updating", "STALE")]
    #[case(
        Status { stored: true, ttl: Some(60), ..Status::forwarded(Forward::UriMiss, 200) },
        "addrgate; fwd=uri-miss; fwd-status=200; stored; ttl=60",
        "MISS"
    )]
    #[case(
        Status { detail: Some("no-store"), ..Status::forwarded(Forward::UriMiss, 200) },
        "addrgate; fwd=uri-miss; fwd-status=200; detail=no-store",
        "MISS"
    )]
    #[case(Status::forwarded(Forward::Method, 201), "addrgate; fwd=method; fwd-status=201", "BYPASS")]
    #[case(with(Outcome::Collapsed), "addrgate; fwd=uri-miss; collapsed", "COLLAPSED")]
    #[case(
        Status { forwarded_status: Some(304), ttl: Some(9), ..with(Outcome::Revalidated) },
        "addrgate; fwd=stale; fwd-status=304; ttl=9",
        "REVALIDATED"
    )]
    fn members(#[case] status: Status, #[case] text: &str, #[case] word: &str) {
        assert_eq!(status.to_string(), text);
        assert_eq!(status.word(), word);
        let list: List = Parser::new(text).parse().unwrap();
        assert_eq!(list.len(), 1, "a structured-field list of one member");
    }
}
