//! HTTP dates as a cache reads them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads the three formats of RFC 9110 section 5.6.7 (IMF-fixdate, RFC 850, asctime), case-insensitively
/// (RFC 9111 section 4.2). The day name is not compared with the date, as no decision depends on it. Anything else,
/// a zone other than GMT and a year before 1970 included, is `None`: an invalid date means "already expired" to its reader.
pub fn parse(value: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let civil = imf_fixdate(text).or_else(|| rfc850(text)).or_else(|| asctime(text))?;
    civil.seconds().map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds))
}

struct Civil {
    year: u32,
    month: u32,
    day: u32,
    clock: u32,
}

impl Civil {
    /// Seconds since 1970-01-01T00:00:00Z by the days-from-civil formula; `None` for a day that does not exist.
    fn seconds(&self) -> Option<u64> {
        let leap = self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let length = match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if !(1970..=9999).contains(&self.year) || self.day == 0 || self.day > length {
            return None;
        }
        let year = u64::from(if self.month <= 2 { self.year - 1 } else { self.year });
        let month = u64::from((self.month + 9) % 12);
        let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + u64::from(self.day) - 1;
        // 719468 days lie between 0000-03-01 and 1970-01-01.
        Some((days - 719_468) * 86_400 + u64::from(self.clock))
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(text: &str) -> Option<Civil> {
    let (name, rest) = text.split_once(", ")?;
    is_day(name, false).then_some(())?;
    let mut parts = rest.split(' ');
    let civil = Civil {
        day: digits(parts.next()?, 2)?,
        month: month(parts.next()?)?,
        year: digits(parts.next()?, 4)?,
        clock: clock(parts.next()?)?,
    };
    ends_with_gmt(parts).then_some(civil)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(text: &str) -> Option<Civil> {
    let (name, rest) = text.split_once(", ")?;
    is_day(name, true).then_some(())?;
    let mut parts = rest.split(' ');
    let mut date = parts.next()?.split('-');
    let (day, month, year) = (digits(date.next()?, 2)?, month(date.next()?)?, digits(date.next()?, 2)?);
    if date.next().is_some() {
        return None;
    }
    let clock = clock(parts.next()?)?;
    // A two-digit year more than 50 years ahead is in the past (RFC 9110 section 5.6.7). Fixed at 1970..=2069, which
    // agrees with that rule until 2019 + 50 and keeps the function free of a clock.
    let year = if year < 70 { 2000 + year } else { 1900 + year };
    ends_with_gmt(parts).then_some(Civil { year, month, day, clock })
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &str) -> Option<Civil> {
    let (name, rest) = text.split_once(' ')?;
    is_day(name, false).then_some(())?;
    let (month_name, rest) = rest.split_once(' ')?;
    let (day, rest) = match rest.strip_prefix(' ') {
        Some(rest) => rest.split_once(' ').and_then(|(day, rest)| Some((digits(day, 1)?, rest)))?,
        None => rest.split_once(' ').and_then(|(day, rest)| Some((digits(day, 2)?, rest)))?,
    };
    let (time, year) = rest.split_once(' ')?;
    Some(Civil { year: digits(year, 4)?, month: month(month_name)?, day, clock: clock(time)? })
}

fn ends_with_gmt<'a>(mut parts: impl Iterator<Item = &'a str>) -> bool {
    parts.next().is_some_and(|zone| zone.eq_ignore_ascii_case("GMT")) && parts.next().is_none()
}

fn is_day(name: &str, long: bool) -> bool {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    DAYS.iter().any(|day| name.eq_ignore_ascii_case(if long { day } else { &day[..3] }))
}

fn month(name: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    (1..).zip(MONTHS).find_map(|(number, month)| name.eq_ignore_ascii_case(month).then_some(number))
}

fn clock(text: &str) -> Option<u32> {
    let mut parts = text.split(':');
    let (hour, minute, second) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    // 60 is a leap second.
    (parts.next().is_none() && hour < 24 && minute < 60 && second <= 60)
        .then_some(hour * 3600 + minute * 60 + second.min(59))
}

fn digits(text: &str, length: usize) -> Option<u32> {
    (text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777))]
    #[case("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777))]
    #[case("Sun Nov  6 08:49:37 1994", Some(784_111_777))]
    #[case("Sun Nov 16 08:49:37 1994", Some(784_975_777))]
    #[case("SUN, 06 NOV 1994 08:49:37 gmt", Some(784_111_777))]
    #[case("Mon, 06 Nov 1994 08:49:37 GMT", Some(784_111_777))]
    #[case("Thu, 01 Jan 1970 00:00:00 GMT", Some(0))]
    #[case("Thu, 29 Feb 2024 23:59:60 GMT", Some(1_709_251_199))]
    #[case("Wed, 29 Feb 2023 00:00:00 GMT", None)]
    #[case("Thu, 18 Aug 2050 02:01:18 UTC", None)]
    #[case("Thu, 18 Aug 50 02:01:18 GMT", None)]
    #[case("Thu 18 Aug 2050 02:01:18 GMT", None)]
    #[case("Thu, 18  Aug  2050 02:01:18 GMT", None)]
    #[case("Thu, 18-Aug-2050 02:01:18 GMT", None)]
    #[case("Thu, 18 Aug 2050 02.01.18 GMT", None)]
    #[case("Thu, 18 Aug 2050 2:01:18 GMT", None)]
    #[case("Wed, 31 Dec 1969 23:59:59 GMT", None)]
    #[case("0", None)]
    #[case("", None)]
    fn reads(#[case] text: &str, #[case] expected: Option<u64>) {
        assert_eq!(parse(text.as_bytes()), expected.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)));
    }

    proptest! {
        #[test]
        fn agrees_with_httpdate(seconds in 0_u64..253_402_300_799) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            prop_assert_eq!(parse(httpdate::fmt_http_date(time).as_bytes()), Some(time));
        }

        #[test]
        fn takes_any_bytes(value in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = parse(&value);
        }
    }
}
