//! The column types of G-NAF's table scripts, as checks on text.

/// What a field may hold. An empty field is NULL and no business of these checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// varchar: at most so many characters.
    Text(usize),
    /// numeric without decimals: at most so many digits.
    Whole(usize),
    /// Degrees: a plain decimal number, at most three digits before the point and 15 after it.
    Degrees,
    /// `YYYY-MM-DD`.
    Date,
}

impl Kind {
    /// What a person is told to write there instead.
    pub(crate) fn expected(self) -> String {
        match self {
            Self::Text(most) => format!("at most {most} characters without control characters"),
            Self::Whole(most) => format!("a whole number of at most {most} digits"),
            Self::Degrees => "a decimal number of degrees".into(),
            Self::Date => "a date as YYYY-MM-DD".into(),
        }
    }

    /// Whether a field that isn't empty fits.
    pub(crate) fn fits(self, value: &str) -> bool {
        match self {
            Self::Text(most) => {
                (value.len() <= most || value.chars().count() <= most)
                    && !value.bytes().any(|byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
            }
            Self::Whole(most) => {
                let digits = value.strip_prefix('-').unwrap_or(value);
                (1..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
            }
            Self::Degrees => {
                let value = value.strip_prefix('-').unwrap_or(value);
                let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
                let digits = |text: &str, most| {
                    (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
                };
                digits(whole, 3) && digits(fraction, 15)
            }
            Self::Date => is_date(value.as_bytes()),
        }
    }
}

fn is_date(value: &[u8]) -> bool {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = value else { return false };
    if ![y1, y2, y3, y4, m1, m2, d1, d2].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let two = |tens: u8, ones: u8| u32::from(tens - b'0') * 10 + u32::from(ones - b'0');
    let year = two(y1, y2) * 100 + two(y3, y4);
    chrono::NaiveDate::from_ymd_opt(year as i32, two(m1, m2), two(d1, d2)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(Kind::Text(3), "ABC", true)]
    #[case(Kind::Text(3), "ÄÖÜ", true)]
    #[case(Kind::Text(3), "ABCD", false)]
    #[case(Kind::Text(9), "a\0b", false)]
    #[case(Kind::Text(9), "a\rb", false)]
    #[case(Kind::Whole(2), "-1", true)]
    #[case(Kind::Whole(2), "123", false)]
    #[case(Kind::Whole(2), "1A", false)]
    #[case(Kind::Whole(2), "-", false)]
    #[case(Kind::Degrees, "-37.09261137", true)]
    #[case(Kind::Degrees, "149", true)]
    #[case(Kind::Degrees, "1e5", false)]
    #[case(Kind::Degrees, "NaN", false)]
    #[case(Kind::Degrees, "1.", false)]
    #[case(Kind::Degrees, "1234.5", false)]
    #[case(Kind::Date, "2024-02-29", true)]
    #[case(Kind::Date, "2023-02-29", false)]
    #[case(Kind::Date, "29/02/2024", false)]
    fn fits(#[case] kind: Kind, #[case] value: &str, #[case] wanted: bool) {
        assert_eq!(kind.fits(value), wanted, "{kind:?} {value:?}");
    }
}
