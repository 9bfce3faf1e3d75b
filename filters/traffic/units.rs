//! Values of the configuration that carry a unit. A bare number is refused everywhere: `timeout: 5` never says whether
//! it means seconds or milliseconds, and the reader of a config file should not have to know.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A length of time: `250ms`, `5s`, `10m`, `2h`, `7d`. At most 10 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(pub Duration);

impl Span {
    /// For defaults in code.
    #[must_use]
    pub const fn secs(n: u64) -> Self {
        Self(Duration::from_secs(n))
    }

    /// For defaults in code.
    #[must_use]
    pub const fn millis(n: u64) -> Self {
        Self(Duration::from_millis(n))
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text).ok_or_else(|| format!("`{text}` is not a duration; {}", Self::FORM))?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "" => return Err(format!("`{text}` has no unit; {}", Self::FORM)),
            _ => return Err(format!("`{unit}` is not a unit of time; {}", Self::FORM)),
        };
        let total = number.checked_mul(millis).filter(|ms| *ms <= 315_360_000_000);
        total.map(|ms| Self(Duration::from_millis(ms))).ok_or_else(|| format!("`{text}` is longer than 10 years"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
            if ms >= size && ms.is_multiple_of(size) {
                return write!(f, "{}{unit}", ms / size);
            }
        }
        write!(f, "{ms}ms")
    }
}

/// A number of bytes: `512B`, `64KiB`, `1MiB`, `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Size(pub u64);

impl Size {
    /// For defaults in code.
    #[must_use]
    pub const fn kib(n: u64) -> Self {
        Self(n * 1024)
    }

    /// As a length in memory; sizes beyond the address space saturate.
    #[must_use]
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Whether nothing at all is allowed.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text).ok_or_else(|| format!("`{text}` is not a size; {}", Self::FORM))?;
        let factor = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "" => return Err(format!("`{text}` has no unit; {}", Self::FORM)),
            _ => return Err(format!("`{unit}` is not a unit of size; {}", Self::FORM)),
        };
        number.checked_mul(factor).map(Self).ok_or_else(|| format!("`{text}` is too large"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return write!(f, "{}{unit}", self.0 / size);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// So many in so long: `1000/15m`, `100/1m`, `50/s` is refused (write `50/1s`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many; at least 1.
    pub count: u64,
    /// In which time; more than zero.
    pub per: Span,
}

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a rate; {}", Self::FORM);
        let (count, per) = text.split_once('/').ok_or_else(wrong)?;
        let count: u64 = count.trim().parse().map_err(|_| wrong())?;
        let per: Span = per.trim().parse().map_err(|_| wrong())?;
        if count == 0 || per.0.is_zero() {
            return Err(format!("`{text}` is not a rate: both sides must be more than zero"));
        }
        Ok(Self { count, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per)
    }
}

/// A share of a whole: `50%`, `0.5%`, `12.25%`; 0 to 100, in steps of a hundredth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percent(u32);

impl Percent {
    /// For defaults in code; more than 100 is 100.
    #[must_use]
    pub const fn of(n: u32) -> Self {
        Self(if n > 100 { 10_000 } else { n * 100 })
    }

    /// From 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Whether `part` of `whole` is at least this share; exact.
    #[must_use]
    pub fn is_reached(self, part: usize, whole: usize) -> bool {
        part as u128 * 10_000 >= whole as u128 * u128::from(self.0)
    }
}

impl FromStr for Percent {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a share; {}", Self::FORM);
        let number = text.strip_suffix('%').ok_or_else(wrong)?.trim_end();
        let (whole, hundredths) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse());
        let whole: u32 = digits(whole).ok_or_else(wrong)?.map_err(|_| wrong())?;
        let part: u32 = match (hundredths.len(), digits(hundredths)) {
            (1, Some(Ok(tenths))) => tenths * 10,
            (2, Some(Ok(hundredths))) => hundredths,
            _ => return Err(wrong()),
        };
        let total = whole.checked_mul(100).and_then(|n: u32| n.checked_add(part)).filter(|n| *n <= 10_000);
        total.map(Self).ok_or_else(|| format!("`{text}` is more than the whole"))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part.is_multiple_of(10) => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

/// A value that must not be shown: prints, logs and serialises as `***`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// The value itself; the caller must not print it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The name of a header field, such as `Cache-Control`; it prints in small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldName(pub HeaderName);

impl FromStr for FieldName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| format!("`{text}` is not a field name"))
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Splits `250ms` into 250 and `ms`.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

struct Text<T>(&'static str, std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for Text<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! written_as_text {
    ($type:ident, $form:literal, $pattern:literal) => {
        impl $type {
            /// How the value is written, for messages.
            const FORM: &str = $form;
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(Self::FORM, std::marker::PhantomData))
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $form })
            }
        }
    };
}

written_as_text!(
    Span,
    "a duration with its unit, such as `250ms`, `5s`, `10m`, `2h` or `7d`",
    r"^\d+ ?(ms|s|m|h|d)$|^\$\{"
);
written_as_text!(Size, "a size with its unit, such as `512B`, `64KiB` or `1MiB`", r"^\d+ ?(B|KiB|MiB|GiB)$|^\$\{");
written_as_text!(Rate, "a rate, such as `1000/15m`", r"^\d+ */ *\d+ ?(ms|s|m|h|d)$|^\$\{");
written_as_text!(Percent, "a share with its sign, such as `50%` or `0.5%`", r"^\d+(\.\d{1,2})? ?%$|^\$\{");
written_as_text!(FieldName, "the name of a field, such as `CDN-Cache-Control`", r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$|^\$\{");
written_as_text!(Secret, "a secret text, better taken from a file or the environment", "");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("250ms", 250)]
    #[case("5s", 5_000)]
    #[case("10 m", 600_000)]
    #[case("2h", 7_200_000)]
    #[case("7d", 604_800_000)]
    fn durations(#[case] text: &str, #[case] millis: u128) {
        assert_eq!(text.parse::<Span>().unwrap().0.as_millis(), millis);
    }

    #[rstest]
    #[case("5")]
    #[case("")]
    #[case("s")]
    #[case("-1s")]
    #[case("1.5s")]
    #[case("5 seconds")]
    #[case("99999999999999999d")]
    #[case("4000d")]
    fn wrong_durations(#[case] text: &str) {
        assert!(text.parse::<Span>().is_err());
    }

    #[test]
    fn sizes_and_rates() {
        assert_eq!("64KiB".parse::<Size>().unwrap().0, 65_536);
        assert!("64KB".parse::<Size>().is_err(), "decimal units are refused, not guessed");
        assert_eq!("1000/15m".parse::<Rate>().unwrap(), Rate { count: 1000, per: Span::secs(900) });
        assert!("0/1s".parse::<Rate>().is_err());
        assert!("10/s".parse::<Rate>().is_err());
    }

    #[rstest]
    #[case("50%", 1, 2, true)]
    #[case("50 %", 49, 100, false)]
    #[case("0.5%", 1, 200, true)]
    #[case("12.25%", 12, 100, false)]
    #[case("0%", 0, 5, true)]
    #[case("100%", 4, 5, false)]
    fn shares(#[case] text: &str, #[case] part: usize, #[case] whole: usize, #[case] reached: bool) {
        assert_eq!(text.parse::<Percent>().unwrap().is_reached(part, whole), reached);
    }

    #[rstest]
    #[case("50")]
    #[case("101%")]
    #[case("100.01%")]
    #[case("-1%")]
    #[case("+1%")]
    #[case(".5%")]
    #[case("1.%")]
    #[case("1.234%")]
    #[case("99999999999%")]
    #[case("%")]
    fn wrong_shares(#[case] text: &str) {
        assert!(text.parse::<Percent>().is_err());
    }

    #[test]
    fn a_bare_number_is_refused_with_the_right_form() {
        let error = serde_json::from_str::<Span>("5").unwrap_err().to_string();
        assert!(error.contains("duration with its unit"), "{error}");
    }

    #[rstest]
    #[case("CDN-Cache-Control", Some("cdn-cache-control"))]
    #[case("no name", None)]
    #[case("", None)]
    fn field_names(#[case] text: &str, #[case] printed: Option<&str>) {
        assert_eq!(text.parse::<FieldName>().ok().map(|name| name.to_string()).as_deref(), printed);
    }

    #[test]
    fn secrets_never_print() {
        let secret: Secret = "hunter2".parse().unwrap();
        let shown = format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("hunter2"));
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(ms in 0u64..315_360_000_000, bytes in any::<u64>(), share in 0u32..=10_000) {
            prop_assert_eq!(Percent(share).to_string().parse::<Percent>().unwrap(), Percent(share));
            let span = Span::millis(ms);
            prop_assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
            prop_assert_eq!(Size(bytes).to_string().parse::<Size>().unwrap(), Size(bytes));
        }
    }
}
