//! One form for equal JSON values: members sorted, no white space, duplicate names refused (parsers disagree about which
//! of two counts, which is how one client's answer would reach another).

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::Rule;

/// Why a body has no canonical form.
#[derive(Debug, PartialEq)]
pub(super) enum Wrong {
    /// Not JSON; a sentence with line and column, without the client's text.
    Syntax(String),
    /// This member name came twice in one object (cut to 64 characters).
    Duplicate(String),
}

/// The canonical bytes. Nesting is bounded by the parser (128).
pub(super) fn canonical(body: &[u8], rules: &BTreeMap<String, Rule>) -> Result<Vec<u8>, Wrong> {
    let mut duplicate = None;
    let mut parser = serde_json::Deserializer::from_slice(body);
    let parsed = Strict(&mut duplicate).deserialize(&mut parser).and_then(|value| parser.end().map(|()| value));
    let mut value = match (parsed, duplicate) {
        (_, Some(name)) => return Err(Wrong::Duplicate(name)),
        (Ok(value), None) => value,
        (Err(e), None) => {
            return Err(Wrong::Syntax(format!("The body is not JSON (line {}, column {}).", e.line(), e.column())));
        }
    };
    for (path, rule) in rules {
        apply(&mut value, path, rule);
    }
    serde_json::to_vec(&value).map_err(|_| Wrong::Syntax("The body can't be written as JSON.".to_owned()))
}

/// Normalises the member at a dotted path, or removes it where it has its default.
fn apply(value: &mut Value, path: &str, rule: &Rule) {
    let Value::Object(members) = value else { return };
    match path.split_once('.') {
        Some((first, rest)) => {
            if let Some(inner) = members.get_mut(first) {
                apply(inner, rest, rule);
            }
        }
        None => {
            if members.get_mut(path).is_some_and(|member| !rule.value(member)) {
                members.shift_remove(path);
            }
        }
    }
}

/// Reads a value, sorting members and noting the first duplicate.
struct Strict<'a>(&'a mut Option<String>);

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict(&mut *self.0))? {
            items.push(item);
        }
        Ok(items.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(Name(name)) = map.next_key()? {
            let value = map.next_value_seed(Strict(&mut *self.0))?;
            if members.contains_key(&name) {
                self.0.get_or_insert_with(|| name.chars().take(64).collect());
            }
            members.insert(name, value);
        }
        Ok(Value::Object(Map::from_iter(members)))
    }
}

#[derive(Deserialize)]
struct Name(String);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn plain(body: &str) -> Result<String, Wrong> {
        canonical(body.as_bytes(), &BTreeMap::new()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[rstest]
    #[case(r#"{"b":1,"a":[true,null,"x"]}"#, r#"{"a":[true,null,"x"],"b":1}"#)]
    #[case(" { \"a\" : { \"d\":1 , \"c\":2.50 } } \n", r#"{"a":{"c":2.5,"d":1}}"#)]
    #[case(r#"{"\u0061":"\u00e9"}"#, r#"{"a":"é"}"#)]
    #[case("3", "3")]
    fn one_form(#[case] body: &str, #[case] expected: &str) {
        assert_eq!(plain(body).unwrap(), expected);
    }

    #[rstest]
    #[case("")]
    #[case("{")]
    #[case("{} {}")]
    #[case(r#"{"a":"\ud800"}"#)]
    #[case("{'a':1}")]
    #[case("NaN")]
    #[case("\u{feff}{}")]
    fn not_json(#[case] body: &str) {
        assert!(matches!(plain(body), Err(Wrong::Syntax(_))), "{:?}", plain(body));
    }

    #[test]
    fn deep_nesting_is_refused_not_overflowed() {
        assert!(matches!(plain(&"[".repeat(100_000)), Err(Wrong::Syntax(_))));
    }

    #[rstest]
    #[case(r#"{"a":1,"a":2}"#, "a")]
    #[case(r#"{"x":[{"b":1,"\u0062":1}]}"#, "b")]
    fn duplicates_are_refused(#[case] body: &str, #[case] name: &str) {
        assert_eq!(plain(body), Err(Wrong::Duplicate(name.to_owned())));
    }

    #[test]
    fn rules_reach_members_by_path() {
        let rules = BTreeMap::from([
            ("address".to_owned(), Rule { fold: true, ..Rule::default() }),
            ("coordinates.latitude".to_owned(), Rule { decimals: Some(3), ..Rule::default() }),
            ("strictMode".to_owned(), Rule { default: Some(json!(false)), ..Rule::default() }),
        ]);
        let body = br#"{"strictMode":false,"address":" 6  Collins ST","coordinates":{"latitude":-37.12345}}"#;
        let out = canonical(body, &rules).unwrap();
        assert_eq!(out, br#"{"address":"6 collins st","coordinates":{"latitude":-37.123}}"#);
    }

    proptest! {
        #[test]
        fn canonical_is_a_fixed_point_and_never_panics(body in r#"[\[\]{}":,a-c0-9.eE\\u -]{0,60}"#) {
            if let Ok(once) = plain(&body) {
                prop_assert_eq!(plain(&once).unwrap(), once);
            }
        }

        #[test]
        fn member_order_does_not_matter(pairs in proptest::collection::btree_map("[a-z]{1,4}", 0i64..99, 0..6)) {
            let write = |pairs: Vec<(&String, &i64)>| {
                let inner: Vec<_> = pairs.iter().map(|(k, v)| format!("\"{k}\":{v}")).collect();
                format!("{{{}}}", inner.join(","))
            };
            let forward = write(pairs.iter().collect());
            let backward = write(pairs.iter().rev().collect());
            prop_assert_eq!(plain(&forward).unwrap(), plain(&backward).unwrap());
        }
    }
}
