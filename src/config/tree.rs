//! The YAML document as a tree that knows its positions, and a deserialiser over it.
//!
//! Variables are replaced between the two: on scalars, after parsing, so that a value can never change the structure. Only
//! this file knows which YAML library is used.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

mod mistakes;
mod read;

pub(super) use mistakes::Reading;
pub(super) use read::Error;

/// A node with its place in the file; lines and columns count from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) line: u64,
    pub(super) column: u64,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(String),
    /// A text that came out of variables: it may be read as any scalar.
    Expanded(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// Parses one document.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        // Only `true` and `false`: a client called `no` is a client.
        let options = serde_saphyr::options! { strict_booleans: true };
        let node: Spanned<Value> = serde_saphyr::from_str_with_options(text, options).map_err(|e| {
            let at = e.location().map(|place| (place.line(), place.column()));
            Error::new(first_line(&e.without_snippet().to_string()), at)
        })?;
        Ok(node.into())
    }

    /// Replaces variables in every scalar; `expand` gives `None` where the text holds none. Where it can't, that is noted.
    fn expand(&mut self, expand: &impl Fn(&str) -> Result<Option<String>, String>, errors: &mut Vec<Error>) {
        match &mut self.value {
            Value::Text(text) => match expand(text) {
                Ok(None) => {}
                Ok(Some(new)) => self.value = Value::Expanded(new),
                Err(message) => errors.push(Error::new(message, Some((self.line, self.column)))),
            },
            Value::List(items) => items.iter_mut().for_each(|item| item.expand(expand, errors)),
            Value::Map(members) => members.iter_mut().for_each(|(_, member)| member.expand(expand, errors)),
            _ => {}
        }
    }

    /// Where the value at a path stands (`["routes", "3", "upstream"]`), or the deepest part of the path that exists.
    pub(super) fn place(&self, path: &[&str]) -> (u64, u64) {
        let inner = path.split_first().and_then(|(first, rest)| {
            let next = match &self.value {
                Value::Map(members) => members.iter().find(|(key, _)| key.value.is(first)).map(|(_, value)| value),
                Value::List(items) => first.parse().ok().and_then(|i: usize| items.get(i)),
                _ => None,
            };
            next.map(|next| next.place(rest))
        });
        inner.unwrap_or((self.line, self.column))
    }
}

impl Value {
    fn is(&self, name: &str) -> bool {
        matches!(self, Value::Text(text) | Value::Expanded(text) if text == name)
    }
}

/// The parser's first line; what follows repeats the source.
fn first_line(message: &str) -> String {
    message.lines().next().unwrap_or("not YAML").trim().to_owned()
}

impl From<Spanned<Value>> for Node {
    fn from(spanned: Spanned<Value>) -> Self {
        Self { value: spanned.value, line: spanned.referenced.line(), column: spanned.referenced.column() }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Build)
    }
}

struct Build;

impl<'de> Visitor<'de> for Build {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(u64::try_from(v).map_or(Value::Int(v), Value::Uint))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Uint(v))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Value::Float(v))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::Text(v.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element::<Spanned<Value>>()? {
            items.push(item.into());
        }
        Ok(Value::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members: Vec<(Node, Node)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<Spanned<Value>, Spanned<Value>>()? {
            let key = Node::from(key);
            if members.iter().any(|(other, _)| other.value == key.value) {
                return Err(de::Error::custom("a key appears twice in one mapping"));
            }
            members.push((key, value.into()));
        }
        Ok(Value::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_kept() {
        let tree = Node::parse("a:\n  - x\n  - b: 1\n    c: two\n").unwrap();
        assert_eq!(tree.place(&["a", "1", "c"]), (4, 8));
        assert_eq!(tree.place(&["a", "0"]), (2, 5));
        assert_eq!(tree.place(&["a", "1", "nothing"]), (3, 5));
    }

    #[test]
    fn syntax_errors_have_a_place() {
        for text in ["a: [1, 2\nb: 3\n", "a: 1\na: 2\n", "a: b: c\n"] {
            let error = Node::parse(text).unwrap_err();
            assert!(error.at.is_some(), "{text:?}: {error:?}");
        }
    }

    #[test]
    fn bombs_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let many = vec![format!("*a{}", i - 1); 10].join(", ");
            text += &format!("a{i}: &a{i} [{many}]\n");
        }
        assert!(Node::parse(&text).is_err());
    }
}
