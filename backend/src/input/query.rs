//! Query strings, as the URL Standard reads them: a `%` that begins no escape is one. What is not UTF-8 is refused rather than
//! guessed.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::Fields;
use crate::error::ApiError;

const MOST_PARAMETERS: usize = 100;

/// The parameters of a query string (without its `?`).
///
/// # Errors
/// `INVALID_QUERY_STRING` for text that is not UTF-8, or more than 100 parameters.
pub(crate) fn parse(raw: &str) -> Result<Fields, ApiError> {
    let mut values = Map::new();
    let mut repeated = Vec::new();
    for (count, pair) in raw.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if count == MOST_PARAMETERS {
            return Err(wrong("The query string has too many parameters"));
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        if values.contains_key(&name) {
            repeated.push(name);
        } else {
            values.insert(name, Value::String(value));
        }
    }
    Ok(Fields { values, repeated, textual: true })
}

fn decode(raw: &str) -> Result<String, ApiError> {
    match percent_decode_str(&raw.replace('+', " ")).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(wrong("The query string is not UTF-8")),
    }
}

fn wrong(message: &'static str) -> ApiError {
    ApiError::bad_request("INVALID_QUERY_STRING", message)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("q=%ff")]
    #[case("q=100%%ff")]
    #[case("%c3=1")]
    #[case("q=%ed%a0%80")]
    fn undecodable_queries_are_refused(#[case] raw: &str) {
        assert_eq!(parse(raw).unwrap_err().code, "INVALID_QUERY_STRING");
    }

    #[rstest]
    #[case("q=100%", "100%")]
    #[case("q=%4", "%4")]
    #[case("q=%zz|{}", "%zz|{}")]
    #[case("q=%%41", "%A")]
    #[case("q=100%25", "100%")]
    fn a_lone_percent_sign_is_one(#[case] raw: &str, #[case] expected: &str) {
        assert_eq!(parse(raw).unwrap().values["q"], expected);
    }

    #[test]
    fn parameters_are_bounded() {
        assert!(parse(&"a=1&".repeat(100)).is_ok());
        assert!(parse(&"a=1&".repeat(101)).is_err());
    }
}
