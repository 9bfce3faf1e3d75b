//! Whether a stored answer serves this request as it is (RFC 9111 sections 4 and 5.2.1).

use std::time::{Duration, SystemTime};

use super::directives::{MAX_DELTA, RequestDirectives};

/// The times of a stored answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When it was made: its age is the time since.
    pub made: SystemTime,
    /// When it stops being fresh.
    pub fresh_until: SystemTime,
}

impl Times {
    /// Its current age (RFC 9111 section 4.2.3).
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.made).unwrap_or_default()
    }

    /// Whether it is fresh.
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        now < self.fresh_until
    }
}

/// How a stored answer may serve a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// As it is.
    Fresh,
    /// As it is: it is stale, and the request accepts that (`max-stale`).
    StaleAccepted,
    /// It is stale; the windows decide what may be done with it.
    Stale,
    /// It is not fresh enough for this request's wish: validate it, and do not serve it stale.
    Unwanted,
}

/// Decides. `None` stands for a request whose directives are not honoured; `max-stale` is only where the answer lets it
/// ([`Windows::on_request`](super::freshness::Windows)).
pub fn decide(times: &Times, on_request: bool, wish: Option<&RequestDirectives>, now: SystemTime) -> Reuse {
    let seconds = |value: u32| Duration::from_secs(value.into());
    let Some(wish) = wish else {
        return if times.is_fresh(now) { Reuse::Fresh } else { Reuse::Stale };
    };
    let too_old = wish.max_age.is_some_and(|limit| times.age(now) > seconds(limit));
    let remaining = times.fresh_until.duration_since(now).unwrap_or_default();
    let too_short = wish.min_fresh.is_some_and(|needed| remaining < seconds(needed));
    let stale_for = now.duration_since(times.fresh_until).unwrap_or_default();
    let accepted =
        wish.max_stale.is_some_and(|limit| on_request && (limit == MAX_DELTA || stale_for <= seconds(limit)));
    match times.is_fresh(now) {
        _ if wish.no_cache => Reuse::Unwanted,
        // `max-age=0, max-stale` accepts any age (RFC 9111 section 5.2.1.1).
        true if (too_old && !accepted) || too_short => Reuse::Unwanted,
        true => Reuse::Fresh,
        false if accepted => Reuse::StaleAccepted,
        // Who wants some freshness to be left wants nothing stale.
        false if too_old || wish.min_fresh.is_some() => Reuse::Unwanted,
        false => Reuse::Stale,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// Made at 1000, fresh until 1100.
    fn at(now: u64, line: &str, on_request: bool) -> Reuse {
        let time = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let times = Times { made: time(1000), fresh_until: time(1100) };
        decide(&times, on_request, Some(&RequestDirectives::read([line.as_bytes()])), time(now))
    }

    #[rstest]
    #[case(1050, "", Reuse::Fresh)]
    #[case(1100, "", Reuse::Stale)]
    #[case(1050, "no-cache", Reuse::Unwanted)]
    #[case(1150, "no-cache", Reuse::Unwanted)]
    #[case(1050, "max-age=0", Reuse::Unwanted)]
    #[case(1050, "max-age=49", Reuse::Unwanted)]
    #[case(1050, "max-age=50", Reuse::Fresh)]
    #[case(1050, "min-fresh=50", Reuse::Fresh)]
    #[case(1050, "min-fresh=51", Reuse::Unwanted)]
    #[case(1150, "max-stale", Reuse::StaleAccepted)]
    #[case(1150, "max-stale=50", Reuse::StaleAccepted)]
    #[case(1150, "max-stale=49", Reuse::Stale)]
    #[case(1050, "no-store", Reuse::Fresh)]
    #[case(1050, "only-if-cached", Reuse::Fresh)]
    #[case(1150, "max-age=10", Reuse::Unwanted)]
    #[case(1150, "min-fresh=0", Reuse::Unwanted)]
    #[case(1150, "min-fresh=10", Reuse::Unwanted)]
    #[case(1150, "min-fresh=10, max-stale", Reuse::StaleAccepted)]
    fn wishes(#[case] now: u64, #[case] line: &str, #[case] expected: Reuse) {
        assert_eq!(at(now, line, true), expected);
    }

    #[test]
    fn must_revalidate_beats_max_stale() {
        assert_eq!(at(1150, "max-stale", false), Reuse::Stale);
    }

    proptest! {
        #[test]
        fn nothing_stale_is_ever_fresh(now in 0_u64..3000, line in "(no-cache|max-age=[0-9]{1,4}|min-fresh=[0-9]{1,4}|no-store)?") {
            let reuse = at(now, &line, true);
            prop_assert!(reuse != Reuse::Fresh || now < 1100);
            prop_assert!(reuse != Reuse::StaleAccepted);
        }
    }
}
