//! Reads the tree into types; every error knows its place and names the nearest known word.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::{Node, Value};

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct Error {
    pub(in crate::config) message: String,
    pub(in crate::config) at: Option<(u64, u64)>,
}

impl Error {
    pub(super) fn new(message: impl Into<String>, at: Option<(u64, u64)>) -> Self {
        Self { message: message.into(), at }
    }

    /// Gives the place of a node to an error that has none yet: the innermost node wins.
    fn or_at(mut self, node: &Node) -> Self {
        self.at = self.at.or(Some((node.line, node.column)));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string(), None)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(unknown("key", field, expected))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(unknown("value", variant, expected))
    }
}

fn unknown(what: &str, found: &str, expected: &[&str]) -> String {
    let near = expected
        .iter()
        .map(|word| (strsim::damerau_levenshtein(found, word), word))
        .filter(|(distance, word)| *distance <= 1.max(word.len() / 2))
        .min();
    match near {
        Some((_, word)) => format!("unknown {what} `{found}`; did you mean `{word}`?"),
        None => format!("unknown {what} `{found}`; known here: {}", expected.join(", ")),
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Node {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl Node {
    /// A text out of variables read as a number or a truth value; any other value as it is.
    fn scalar<'de, V: Visitor<'de>>(&'de self, visitor: V) -> Result<V::Value, Error> {
        let Value::Expanded(text) = &self.value else { return self.any(visitor) };
        match (text.parse::<u64>(), text.parse::<i64>(), text.parse::<f64>(), text.parse::<bool>()) {
            (Ok(number), ..) => visitor.visit_u64(number),
            (_, Ok(number), ..) => visitor.visit_i64(number),
            (_, _, Ok(number), _) => visitor.visit_f64(number),
            (.., Ok(flag)) => visitor.visit_bool(flag),
            _ => visitor.visit_str(text),
        }
    }

    fn any<'de, V: Visitor<'de>>(&'de self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(v) => visitor.visit_bool(*v),
            Value::Int(v) => visitor.visit_i64(*v),
            Value::Uint(v) => visitor.visit_u64(*v),
            Value::Float(v) => visitor.visit_f64(*v),
            Value::Text(v) | Value::Expanded(v) => visitor.visit_borrowed_str(v),
            Value::List(items) => visitor.visit_seq(SeqDeserializer::new(items.iter())),
            Value::Map(members) => {
                visitor.visit_map(MapDeserializer::new(members.iter().map(|(key, value)| (key, value))))
            }
        }
    }
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.any(visitor).map_err(|e| e.or_at(self))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|e| e.or_at(self))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.scalar(visitor).map_err(|e| e.or_at(self))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.scalar(visitor).map_err(|e| e.or_at(self))
    }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self).map_err(|e| e.or_at(self))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value {
            // `cache:` with nothing below it: all defaults.
            Value::Null => visitor.visit_map(MapDeserializer::new(std::iter::empty::<(&Node, &Node)>())),
            _ => self.any(visitor),
        }
        .map_err(|e| e.or_at(self))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value {
            Value::Text(text) | Value::Expanded(text) => visitor.visit_enum(StrDeserializer::<Error>::new(text)),
            Value::Map(members) => visitor.visit_enum(MapAccessDeserializer::new(MapDeserializer::new(
                members.iter().map(|(key, value)| (key, value)),
            ))),
            _ => Err(de::Error::custom("expected one of the known words")),
        }
        .map_err(|e: Error| e.or_at(self))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        port: u16,
        #[serde(default)]
        on: bool,
        #[serde(default)]
        kind: Option<Kind>,
        #[serde(default)]
        inner: Option<Box<Settings>>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Fast,
        Slow,
    }

    fn read(text: &str) -> Result<Settings, Error> {
        let mut tree = Node::parse(text)?;
        tree.expand(&|text: &str| Ok(text.strip_prefix('$').map(str::to_owned)), &mut Vec::new());
        Settings::deserialize(&tree)
    }

    #[rstest]
    #[case("port: 1\npoort: 2\n", (2, 1), "unknown key `poort`; did you mean `port`?")]
    #[case("port: 1\ninner:\n  port: 2\n  zzzzzz: 2\n", (4, 3), "unknown key `zzzzzz`; known here: port, on, kind, inner")]
    #[case("port: 1\nkind: fasst\n", (2, 7), "unknown value `fasst`; did you mean `fast`?")]
    #[case("on: true\nport: many\n", (2, 7), "invalid type: string \"many\", expected u16")]
    #[case("port: 70000\n", (1, 7), "invalid value: integer `70000`, expected u16")]
    #[case("inner:\n  on: true\nport: 1\n", (2, 3), "missing field `port`")]
    #[case("port: 1\non: 1\n", (2, 5), "invalid type: integer `1`, expected a boolean")]
    fn errors_know_their_place(#[case] text: &str, #[case] at: (u64, u64), #[case] message: &str) {
        assert_eq!(read(text).unwrap_err(), Error::new(message, Some(at)));
    }

    #[test]
    fn variables_may_be_any_scalar() {
        let settings = read("port: $8080\non: \"$true\"\nkind: $slow\n").unwrap();
        assert_eq!(settings, Settings { port: 8080, on: true, kind: Some(Kind::Slow), inner: None });
        assert_eq!(read("port: $x\n").unwrap_err().at, Some((1, 7)));
    }
}
