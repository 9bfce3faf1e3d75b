//! Normal forms of single values, for query parameters and JSON members alike.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json::Json;
use crate::http::target;

/// How one value is normalised before it enters the key and goes upstream.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Letter case folded, white space trimmed and collapsed, line breaks made commas: `" Collins  ST"` is `"collins st"`.
    pub fold: bool,
    /// Rounded to so many decimals, 0 to 15. 6 decimals of a degree are 0.1 m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimals: Option<u8>,
    /// Left out where the value equals this one, so that `limit=10` and no limit share an entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
}

/// What ends a line (Unicode Standard Annex 14, BK, CR, LF and NL): the address service reads the same.
const LINE_BREAKS: [char; 7] = ['\n', '\u{b}', '\u{c}', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// U+FFFD, which nobody means.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

impl Rule {
    /// The normal form of a text, or `None` where it is the default.
    fn text<'a>(&self, value: &'a str) -> Option<Cow<'a, str>> {
        let mut value = Cow::Borrowed(value);
        if self.fold {
            value = fold(&value).into();
        }
        if let Some(number) = self.decimals.and_then(|n| round(value.parse().ok()?, n)) {
            value = number.to_string().into();
        }
        let is_default = match &self.default {
            None => false,
            Some(Value::String(default)) => *default == value,
            Some(default) => default.to_string() == value,
        };
        (!is_default).then_some(value)
    }

    /// The same for a JSON value; false where it is the default.
    pub(crate) fn value(&self, value: &mut Json) -> bool {
        match value {
            Json::Text(text) if self.fold => *text = fold(text),
            Json::Number(digits) => {
                // 151 and 151.0 are the same place.
                if let Some(rounded) = self.decimals.and_then(|n| round(digits.parse().ok()?, n)) {
                    *digits = rounded.to_string();
                }
            }
            _ => {}
        }
        !self.default.as_ref().is_some_and(|default| value.equals(default))
    }
}

fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split(LINE_BREAKS) {
        for (at, word) in line.split_whitespace().enumerate() {
            if !out.is_empty() {
                // The end of a line is the end of a part of the address.
                out.push(if at == 0 && !out.ends_with(',') { ',' } else { ' ' });
            }
            out.extend(word.chars().flat_map(char::to_lowercase));
        }
    }
    out
}

/// `None` for what can't be rounded: NaN, infinities, and numbers with more digits than a double has (2^53), which would lose
/// some of those that the client sent.
fn round(number: f64, decimals: u8) -> Option<f64> {
    let factor = 10f64.powi(i32::from(decimals.min(15)));
    let scaled = number * factor;
    // Negative zero is zero.
    (scaled.abs() <= 9_007_199_254_740_992.0).then(|| scaled.round() / factor + 0.0)
}

/// Appends the listed parameters in canonical form, sorted by name; equal names keep their order.
pub(crate) fn query(raw: &str, rules: &BTreeMap<String, Rule>, out: &mut String) -> Result<(), &'static str> {
    // Checked first, so that nothing is accepted here that would be refused without rules.
    target::query(raw, &mut String::new())?;
    let mut kept: Vec<(&str, String)> = Vec::with_capacity(rules.len());
    for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
        // The parser puts this in place of bytes that are not UTF-8; the answer would be one for another text.
        if name.contains(REPLACEMENT) || value.contains(REPLACEMENT) {
            return Err("not_utf8");
        }
        if let Some((name, rule)) = rules.get_key_value(name.as_ref())
            && let Some(value) = rule.text(&value)
        {
            kept.push((name, value.into_owned()));
        }
    }
    kept.sort_by_key(|(name, _)| *name);
    for (i, (name, value)) in kept.iter().enumerate() {
        if i > 0 {
            out.push('&');
        }
        name.bytes().for_each(|b| target::push(b, out));
        out.push('=');
        value.bytes().for_each(|b| target::push(b, out));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(" 6  COLLINS St ", "6 collins st")]
    #[case("\tÉcole\u{a0}Rd", "école rd")]
    #[case("", "")]
    #[case("\r\n24 Firebrace St\r\n Horsham,\n\nVIC\n", "24 firebrace st,horsham, vic")]
    #[case("24 Firebrace St\u{b}Horsham\u{2028}VIC\u{85}\t3400", "24 firebrace st,horsham,vic,3400")]
    fn folding(#[case] raw: &str, #[case] folded: &str) {
        assert_eq!(fold(raw), folded);
        assert_eq!(fold(folded), folded);
    }

    #[rstest]
    #[case("-37.81362819", "-37.813628")]
    #[case("-37.8136280", "-37.813628")]
    #[case("145", "145")]
    #[case("145.0000001", "145")]
    #[case("-0.0000001", "0")]
    #[case("NaN", "NaN")]
    #[case("abc", "abc")]
    #[case("1e400", "1e400")]
    #[case("18446744073709551617", "18446744073709551617")]
    #[case("18446744073709551617.0000001", "18446744073709551617.0000001")]
    fn rounding(#[case] raw: &str, #[case] rounded: &str) {
        let rule = Rule { decimals: Some(6), ..Rule::default() };
        assert_eq!(rule.text(raw).unwrap(), rounded);
        if raw.parse::<f64>().is_ok_and(|number| !number.is_nan()) {
            let mut number = Json::Number(raw.to_owned());
            assert!(rule.value(&mut number));
            assert_eq!(number, Json::Number(rounded.to_owned()));
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        let rules = BTreeMap::from([("q".to_owned(), Rule { fold: true, ..Rule::default() })]);
        for raw in ["q=%ff%fe", "q=%C3%28", "x=%80", "q=%EF%BF%BD"] {
            assert_eq!(query(raw, &rules, &mut String::new()), Err("not_utf8"), "{raw}");
        }
    }

    #[test]
    fn defaults_vanish() {
        let number = Rule { default: Some(json!(10)), ..Rule::default() };
        assert_eq!(number.text("10"), None);
        assert!(!number.value(&mut Json::Number("10".to_owned())));
        let flag = Rule { default: Some(json!(false)), ..Rule::default() };
        assert_eq!((flag.text("false"), flag.text("true").as_deref()), (None, Some("true")));
        assert!(flag.value(&mut Json::Bool(true)) && !flag.value(&mut Json::Bool(false)));
    }

    #[test]
    fn whole_numbers_stay_whole() {
        let rule = Rule { decimals: Some(6), ..Rule::default() };
        for same in ["151", "151.0", "151.00000001", "1.51e2"] {
            let mut value = Json::Number(same.to_owned());
            assert!(rule.value(&mut value));
            assert_eq!(value, Json::Number("151".to_owned()));
        }
    }
}
