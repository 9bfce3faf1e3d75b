//! How long an answer is fresh (RFC 9111 section 4.2.1), how old it was on arrival (section 4.2.3), and how far beyond
//! its freshness it may be used (section 4.2.4, RFC 5861).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

use super::{Config, date, directives::ResponseDirectives, directives::delta, list};

/// When an exchange with the upstream took place, by our clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// The request was sent (`request_time` of RFC 9111).
    pub requested: SystemTime,
    /// The response head arrived (`response_time`).
    pub received: SystemTime,
}

/// Which rule gave a lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `s-maxage`
    SharedMaxAge,
    /// `max-age`
    MaxAge,
    /// `Expires` minus `Date`
    Expires,
    /// The setting for this status.
    Setting,
    /// A fraction of the time since `Last-Modified`.
    Heuristic,
    /// `no-cache`: stored to be validated.
    NoCache,
}

/// The lifetime that the answer itself names, if any. With a targeted field, `Expires` is ignored as `Cache-Control` is
/// (RFC 9213 section 2.2).
pub fn explicit(
    directives: &ResponseDirectives,
    targeted: bool,
    headers: &HeaderMap,
    received: SystemTime,
) -> Option<(Duration, Source)> {
    let seconds = |value: u32| Duration::from_secs(value.into());
    if let Some(value) = directives.s_maxage {
        return Some((seconds(value), Source::SharedMaxAge));
    }
    if let Some(value) = directives.max_age {
        return Some((seconds(value), Source::MaxAge));
    }
    if targeted {
        return None;
    }
    let mut lines = headers.get_all(header::EXPIRES).iter();
    let expires = lines.next()?;
    // An invalid date means "already expired" (RFC 9111 section 5.3), and so does a field that disagrees with itself.
    let expires = if lines.all(|other| other == expires) { date::parse(expires.as_bytes()) } else { None };
    let lifetime = expires.and_then(|time| time.duration_since(sent(headers).unwrap_or(received)).ok());
    Some((lifetime.unwrap_or_default(), Source::Expires))
}

/// The heuristic lifetime (RFC 9111 section 4.2.2): the policy's fraction of the time since the last modification.
pub fn heuristic(policy: &Config, headers: &HeaderMap, received: SystemTime) -> Option<(Duration, Source)> {
    let rule = policy.heuristic?;
    let modified = date::parse(headers.get(header::LAST_MODIFIED)?.as_bytes())?;
    let unchanged = sent(headers).unwrap_or(received).duration_since(modified).ok()?;
    Some((unchanged.mul_f64(rule.fraction).min(rule.max.0), Source::Heuristic))
}

/// `corrected_initial_age` of RFC 9111 section 4.2.3. The apparent age is taken in whole seconds, the unit of `Date`,
/// so that an answer made in this very second is not held to be older than it is.
pub fn initial_age(headers: &HeaderMap, exchange: &Exchange) -> Duration {
    let apparent = sent(headers).and_then(|date| exchange.received.duration_since(date).ok()).unwrap_or_default();
    let delay = exchange.received.duration_since(exchange.requested).unwrap_or_default();
    (age_value(headers) + delay).max(Duration::from_secs(apparent.as_secs()))
}

/// `Age`: the first member of the first line (RFC 9111 section 5.1), without parameters; what is no delta-seconds is
/// ignored.
fn age_value(headers: &HeaderMap) -> Duration {
    let first = headers.get(header::AGE).and_then(|line| list::members(line.as_bytes()).next());
    let value = first.map(|member| member.split(|b| *b == b';').next().unwrap_or(member).trim_ascii());
    Duration::from_secs(value.and_then(delta).unwrap_or(0).into())
}

/// `Date`, when there is a valid one.
fn sent(headers: &HeaderMap) -> Option<SystemTime> {
    date::parse(headers.get(header::DATE)?.as_bytes())
}

/// How long a stale answer may stand in for a fresh one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Windows {
    /// While it is refreshed behind the reply.
    pub while_revalidate: Duration,
    /// When the upstream can't answer.
    pub if_error: Duration,
    /// A client may ask for it with `max-stale`.
    pub on_request: bool,
}

impl Windows {
    /// So many times as long; what must not be used stale still must not.
    #[must_use]
    pub fn stretched(self, times: u32) -> Self {
        // As long as Pingora can count.
        let longer = |window: Duration| window.saturating_mul(times).min(Duration::from_secs(u32::MAX.into()));
        Self { while_revalidate: longer(self.while_revalidate), if_error: longer(self.if_error), ..self }
    }
}

/// The windows the answer names, else those of the policy; none where a directive forbids stale use.
pub fn windows(policy: &Config, directives: &ResponseDirectives) -> Windows {
    if directives.forbids_stale() {
        return Windows::default();
    }
    let seconds = |value: Option<u32>| value.map(|value| Duration::from_secs(value.into()));
    Windows {
        while_revalidate: seconds(directives.stale_while_revalidate).unwrap_or(policy.stale_while_revalidate.0),
        if_error: seconds(directives.stale_if_error).unwrap_or(policy.stale_if_error.0),
        on_request: true,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::traffic::units::Span;

    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn headers(fields: &[(&str, String)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        map
    }

    fn date(offset: i64) -> String {
        httpdate::fmt_http_date(at(NOW.checked_add_signed(offset).unwrap()))
    }

    fn lifetime(fields: &[(&str, String)]) -> Option<(u64, Source)> {
        let headers = headers(fields);
        let directives = ResponseDirectives::read(headers.get_all("cache-control").iter().map(|line| line.as_bytes()));
        explicit(&directives, false, &headers, at(NOW)).map(|(lifetime, source)| (lifetime.as_secs(), source))
    }

    #[rstest]
    #[case("max-age=1, s-maxage=3600", Some((3600, Source::SharedMaxAge)))]
    #[case("max-age=3600, s-maxage=1", Some((1, Source::SharedMaxAge)))]
    #[case("max-age=60", Some((60, Source::MaxAge)))]
    #[case("max-age=0", Some((0, Source::MaxAge)))]
    #[case("public", Some((3600, Source::Expires)))]
    fn order_of_sources(#[case] control: &str, #[case] expected: Option<(u64, Source)>) {
        let fields = [("cache-control", control.to_owned()), ("expires", date(3600)), ("date", date(0))];
        assert_eq!(lifetime(&fields), expected);
    }

    #[rstest]
    #[case(date(100), Some(date(40)), 60)]
    #[case(date(100), Some(date(200)), 0)]
    #[case(date(100), Some("foo".to_owned()), 100)]
    #[case(date(100), None, 100)]
    #[case("0".to_owned(), Some(date(0)), 0)]
    fn expires_minus_date(#[case] value: String, #[case] sent: Option<String>, #[case] expected: u64) {
        let mut fields = vec![("expires", value)];
        fields.extend(sent.map(|sent| ("date", sent)));
        assert_eq!(lifetime(&fields), Some((expected, Source::Expires)));
    }

    #[test]
    fn two_different_expires_are_expired() {
        assert_eq!(lifetime(&[("expires", date(9)), ("expires", date(10))]), Some((0, Source::Expires)));
        assert_eq!(lifetime(&[("expires", date(9)), ("expires", date(9))]), Some((9, Source::Expires)));
        assert_eq!(lifetime(&[]), None);
    }

    #[rstest]
    #[case(&["7200"], 7200)]
    #[case(&["abc"], 0)]
    #[case(&["-7200"], 0)]
    #[case(&["7200.0"], 0)]
    #[case(&["7200, 0"], 7200)]
    #[case(&["0, 7200"], 0)]
    #[case(&["7200", "0"], 7200)]
    #[case(&["0", "7200"], 0)]
    #[case(&["7200;foo=bar"], 7200)]
    #[case(&["2147483649"], 2_147_483_648)]
    fn ages(#[case] lines: &[&str], #[case] expected: u64) {
        let fields: Vec<_> = lines.iter().map(|line| ("age", (*line).to_owned())).collect();
        let exchange = Exchange { requested: at(NOW), received: at(NOW) };
        assert_eq!(initial_age(&headers(&fields), &exchange).as_secs(), expected);
    }

    #[test]
    fn age_counts_delay_and_the_other_clock() {
        let exchange = Exchange { requested: at(NOW - 5), received: at(NOW) };
        assert_eq!(initial_age(&headers(&[("age", "10".into())]), &exchange).as_secs(), 15);
        assert_eq!(initial_age(&headers(&[("date", date(-100)), ("age", "10".into())]), &exchange).as_secs(), 100);
        assert_eq!(initial_age(&headers(&[("date", date(100))]), &exchange).as_secs(), 5);
        let late = Exchange { requested: at(NOW), received: at(NOW) + Duration::from_millis(900) };
        let shown = initial_age(&headers(&[("date", date(0))]), &late);
        assert_eq!(shown, Duration::from_millis(900), "the delay, not a second for the fraction that Date lacks");
    }

    #[test]
    fn stale_use() {
        let policy = Config { stale_while_revalidate: Span::secs(1), stale_if_error: Span::secs(2), ..Config::bare() };
        let of = |control: &str| windows(&policy, &ResponseDirectives::read([control.as_bytes()]));
        let pair = |windows: Windows| (windows.while_revalidate.as_secs(), windows.if_error.as_secs());
        assert_eq!(pair(of("max-age=1")), (1, 2));
        assert_eq!(pair(of("stale-while-revalidate=7, stale-if-error=0")), (7, 0));
        for control in ["must-revalidate", "proxy-revalidate", "s-maxage=1", "no-cache"] {
            assert_eq!(of(&format!("{control}, stale-if-error=9")), Windows::default());
        }
        assert!(of("no-cache=\"a\"").on_request);
        assert_eq!(pair(of("stale-while-revalidate=7").stretched(4)), (28, 8));
        assert_eq!(of("must-revalidate").stretched(1000), Windows::default());
    }

    proptest! {
        #[test]
        fn age_never_understates_what_the_answer_says(age in 0_u32..1_000_000, late in 0_u64..100, skew in -1000_i64..1000) {
            let exchange = Exchange { requested: at(NOW - late), received: at(NOW) };
            let got = initial_age(&headers(&[("age", age.to_string()), ("date", date(skew))]), &exchange).as_secs();
            prop_assert!(got >= u64::from(age) + late);
            prop_assert!(got >= u64::try_from(-skew).unwrap_or(0));
        }
    }
}
