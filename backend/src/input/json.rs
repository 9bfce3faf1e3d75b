//! JSON bodies, strictly: one object, no key twice (RFC 8259 section 4 leaves that open; two readers that differ on it
//! are how caches get poisoned).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Fields;
use crate::error::ApiError;

/// The object in `bytes`. Nesting is bounded by the parser (128 levels), size by the caller.
///
/// # Errors
/// `INVALID_JSON`, which names another encoding than UTF-8; NaN, lone surrogates and numbers beyond a double are not JSON either.
pub(crate) fn parse(bytes: &[u8]) -> Result<Fields, ApiError> {
    if let Some(message) = encoding(bytes) {
        return Err(ApiError::bad_request("INVALID_JSON", message));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Unique.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    match value {
        Ok(Value::Object(values)) => Ok(Fields::from_object(values)),
        Ok(_) => Err(ApiError::bad_request("INVALID_JSON", "The body must be a JSON object")),
        Err(error) => {
            let place = format!("The body is not valid JSON (line {}, column {})", error.line(), error.column());
            Err(ApiError::bad_request("INVALID_JSON", place))
        }
    }
}

/// What is wrong with the encoding (RFC 8259 section 8.1).
fn encoding(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xef, 0xbb, 0xbf, ..] | [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, 0, 0xfe, 0xff, ..] => {
            Some("The body begins with a byte-order mark. Send JSON in UTF-8 without one.")
        }
        // UTF-16 or UTF-32: JSON begins with a character of ASCII, which has no zero byte beside it in UTF-8.
        [0, ..] | [_, 0, ..] => Some("The body is not UTF-8. Send JSON in UTF-8."),
        _ if std::str::from_utf8(bytes).is_err() => Some("The body is not UTF-8. Send JSON in UTF-8."),
        _ => None,
    }
}

/// Reads any value, refusing an object that has a key twice.
#[derive(Clone, Copy)]
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key came twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(b"" as &[u8])]
    #[case(b"{")]
    #[case(b"[]")]
    #[case(b"null")]
    #[case(b"\"x\"")]
    #[case(b"{} {}")]
    #[case(b"{\"a\":NaN}")]
    #[case(b"{\"a\":1e999}")]
    #[case(b"{\"a\":\"\\ud800\"}")]
    #[case(b"{\"a\":\"\xff\"}")]
    #[case(b"{\"a\":1,\"a\":1}")]
    #[case(b"{\"b\":[{\"a\":1,\"\\u0061\":2}]}")]
    #[case(b"\xef\xbb\xbf{}")]
    fn what_is_not_one_plain_object_is_refused(#[case] body: &[u8]) {
        assert_eq!(parse(body).unwrap_err().code, "INVALID_JSON");
    }

    #[rstest]
    #[case(b"\xef\xbb\xbf{}" as &[u8], "byte-order mark")]
    #[case(b"\xff\xfe{\0}\0", "byte-order mark")]
    #[case(b"{\0}\0", "UTF-8")]
    #[case(b"{\"a\":\"caf\xe9\"}", "UTF-8")]
    fn another_encoding_is_named(#[case] body: &[u8], #[case] named: &str) {
        let error = parse(body).unwrap_err();
        assert!(error.code == "INVALID_JSON" && error.message.contains(named), "{}", error.message);
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(parse(deep.as_bytes()).unwrap_err().code, "INVALID_JSON");
    }

    #[test]
    fn ordinary_objects_are_read() {
        let fields = parse(br#" {"a": {"latitude": -35.5}, "b": [1, "x", null, true]} "#).unwrap();
        assert!(fields.has("a") && fields.has("b") && !fields.has("c"));
    }
}
