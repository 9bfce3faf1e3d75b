//! One form for equal JSON values: members sorted, no white space, duplicate names refused (parsers disagree about which
//! of two counts, which is how one client's response would reach another). Numbers stay as the client wrote them, digit by
//! digit: what reads them next may tell `1.0` from `1`, and knows more digits than a double (RFC 8259 section 6).

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::Rule;

/// Why a body has no canonical form.
#[derive(Debug, PartialEq)]
pub(crate) enum Wrong {
    /// It begins with a byte-order mark, which JSON must not (RFC 8259 section 8.1).
    ByteOrderMark,
    /// Another encoding than UTF-8.
    NotUtf8,
    /// Not JSON; a sentence with line and column, without the client's text.
    Syntax(String),
    /// This member name came twice in one object (cut to 64 characters).
    Duplicate(String),
}

/// A value whose numbers are text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// The canonical bytes. Nesting is bounded by the parser (128).
pub(crate) fn canonical(body: &[u8], rules: &BTreeMap<String, Rule>) -> Result<Vec<u8>, Wrong> {
    let mut value = parse(utf8(body)?)?;
    for (path, rule) in rules {
        apply(&mut value, path, rule);
    }
    let mut out = Vec::with_capacity(body.len());
    value.write(&mut out).map_err(|_| Wrong::Syntax("The body can't be written as JSON.".to_owned()))?;
    Ok(out)
}

/// The text of a body, or how it is encoded instead.
fn utf8(body: &[u8]) -> Result<&str, Wrong> {
    match body {
        [0xef, 0xbb, 0xbf, ..] | [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, 0, 0xfe, 0xff, ..] => {
            Err(Wrong::ByteOrderMark)
        }
        // UTF-16 or UTF-32: JSON begins with a character of ASCII, which has no zero byte beside it in UTF-8.
        [0, ..] | [_, 0, ..] => Err(Wrong::NotUtf8),
        _ => std::str::from_utf8(body).map_err(|_| Wrong::NotUtf8),
    }
}

fn parse(text: &str) -> Result<Json, Wrong> {
    let (shape, numbers) = lift(text);
    let mut reading = Reading { numbers: numbers.into_iter(), duplicate: None };
    let mut parser = serde_json::Deserializer::from_slice(&shape);
    let parsed = Strict(&mut reading).deserialize(&mut parser).and_then(|value| parser.end().map(|()| value));
    match (parsed, reading.duplicate) {
        (_, Some(name)) => Err(Wrong::Duplicate(name)),
        (Ok(value), None) => Ok(value),
        (Err(e), None) => {
            Err(Wrong::Syntax(format!("The body is not JSON (line {}, column {}).", e.line(), e.column())))
        }
    }
}

/// Takes the numbers out, in order. serde_json hands out values, which lose digits: so it gets a `0`, and spaces up to the
/// number's length, in place of each. All the rest of the grammar, and whatever is no number, is its own to judge.
fn lift(text: &str) -> (Vec<u8>, Vec<&str>) {
    let (mut shape, mut numbers, mut at) = (text.as_bytes().to_vec(), Vec::new(), 0);
    while let Some(&byte) = shape.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(found) = memchr::memchr2(b'"', b'\\', &shape[at..]) {
                    at += found + 1;
                    if shape[at - 1] == b'"' {
                        break;
                    }
                    // What is escaped ends no string.
                    at = (at + 1).min(shape.len());
                }
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let end = at + shape[at..].iter().take_while(|byte| is_part(byte)).count();
                if is_number(&shape[at..end]) {
                    numbers.push(&text[at..end]);
                    shape[at] = b'0';
                    shape[at + 1..end].fill(b' ');
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    (shape, numbers)
}

/// The grammar of RFC 8259 section 6.
fn is_number(text: &[u8]) -> bool {
    fn digits(text: &[u8]) -> (usize, &[u8]) {
        let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count, &text[count..])
    }
    let whole = text.strip_prefix(b"-").unwrap_or(text);
    let (count, mut rest) = digits(whole);
    if count == 0 || count > 1 && whole[0] == b'0' {
        return false;
    }
    if let [b'.', fraction @ ..] = rest {
        let (count, after) = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = after;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let unsigned = exponent.strip_prefix(b"+").or(exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let (count, after) = digits(unsigned);
        return count > 0 && after.is_empty();
    }
    rest.is_empty()
}

/// Normalises the member at a dotted path, or removes it where it has its default.
fn apply(value: &mut Json, path: &str, rule: &Rule) {
    let Json::Object(members) = value else { return };
    match path.split_once('.') {
        Some((first, rest)) => {
            if let Some(inner) = members.get_mut(first) {
                apply(inner, rest, rule);
            }
        }
        None => {
            if members.get_mut(path).is_some_and(|member| !rule.value(member)) {
                members.remove(path);
            }
        }
    }
}

impl Json {
    fn write(&self, out: &mut Vec<u8>) -> serde_json::Result<()> {
        match self {
            Json::Null => out.extend_from_slice(b"null"),
            Json::Bool(true) => out.extend_from_slice(b"true"),
            Json::Bool(false) => out.extend_from_slice(b"false"),
            Json::Number(digits) => out.extend_from_slice(digits.as_bytes()),
            Json::Text(text) => serde_json::to_writer(out, text)?,
            Json::List(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.write(out)?;
                }
                out.push(b']');
            }
            Json::Object(members) => {
                out.push(b'{');
                for (at, (name, member)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    serde_json::to_writer(&mut *out, name)?;
                    out.push(b':');
                    member.write(out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }

    /// Whether a value of the configuration is the same, its numbers digit by digit.
    pub(crate) fn equals(&self, value: &Value) -> bool {
        match (self, value) {
            (Json::Null, Value::Null) => true,
            (Json::Bool(own), Value::Bool(other)) => own == other,
            (Json::Number(own), Value::Number(other)) => *own == other.to_string(),
            (Json::Text(own), Value::String(other)) => own == other,
            (Json::List(own), Value::Array(other)) => {
                own.len() == other.len() && own.iter().zip(other).all(|(own, other)| own.equals(other))
            }
            (Json::Object(own), Value::Object(other)) => {
                let same = |(name, own): (&String, &Json)| other.get(name).is_some_and(|other| own.equals(other));
                own.len() == other.len() && own.iter().all(same)
            }
            _ => false,
        }
    }
}

/// What is known while a text is read.
struct Reading<'a> {
    /// Those that are still to come.
    numbers: std::vec::IntoIter<&'a str>,
    /// The first member name that came twice in one object.
    duplicate: Option<String>,
}

/// Reads a value, sorting members and noting the first duplicate.
struct Strict<'a, 'n>(&'a mut Reading<'n>);

impl<'de> DeserializeSeed<'de> for Strict<'_, '_> {
    type Value = Json;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_, '_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Json, E> {
        Ok(Json::Bool(v))
    }
    /// Stands for the next number.
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Json, E> {
        let digits = self.0.numbers.next().ok_or_else(|| E::custom("not a number"))?;
        Ok(Json::Number(digits.to_owned()))
    }
    fn visit_str<E>(self, v: &str) -> Result<Json, E> {
        Ok(Json::Text(v.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict(&mut *self.0))? {
            items.push(item);
        }
        Ok(Json::List(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(Name(name)) = map.next_key()? {
            let value = map.next_value_seed(Strict(&mut *self.0))?;
            if members.contains_key(&name) {
                self.0.duplicate.get_or_insert_with(|| name.chars().take(64).collect());
            }
            members.insert(name, value);
        }
        Ok(Json::Object(members))
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
    #[case(" { \"a\" : { \"d\":1 , \"c\":2.50 } } \n", r#"{"a":{"c":2.50,"d":1}}"#)]
    #[case(r#"{"\u0061":"\u00e9"}"#, r#"{"a":"é"}"#)]
    #[case("3", "3")]
    #[case(r#"["\"1",1,"\\",-2,"a\\\"3",{"4":5}]"#, r#"["\"1",1,"\\",-2,"a\\\"3",{"4":5}]"#)]
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
    #[case("01")]
    #[case("-")]
    #[case("1.")]
    #[case(".5")]
    #[case("+1")]
    #[case("1e")]
    #[case("1-2")]
    #[case("[1 2]")]
    #[case("0x1")]
    #[case("nul1")]
    #[case("1true")]
    #[case("\"1")]
    #[case("\"\\")]
    fn not_json(#[case] body: &str) {
        assert!(matches!(plain(body), Err(Wrong::Syntax(_))), "{:?}", plain(body));
    }

    #[rstest]
    #[case("18446744073709551617")]
    #[case("18446744073709551619")]
    #[case("-0")]
    #[case("-0.0")]
    #[case("1")]
    #[case("1.0")]
    #[case("1e0")]
    #[case("1E+2")]
    #[case("1e400")]
    #[case("0.1000000000000000055511151231257827")]
    #[case("123456789012345678901234567890.123456789")]
    fn numbers_keep_their_digits(#[case] number: &str) {
        for (body, expected) in [
            (number.to_owned(), number.to_owned()),
            (format!("{{\"b\": [ {number} ], \"a\":{number}\n}}"), format!("{{\"a\":{number},\"b\":[{number}]}}")),
        ] {
            assert_eq!(plain(&body).unwrap(), expected);
        }
    }

    #[rstest]
    #[case(b"\xef\xbb\xbf{}", Wrong::ByteOrderMark)]
    #[case(b"\xff\xfe{\0}\0", Wrong::ByteOrderMark)]
    #[case(b"\xfe\xff\0{\0}", Wrong::ByteOrderMark)]
    #[case(b"{\0}\0", Wrong::NotUtf8)]
    #[case(b"\0{\0}", Wrong::NotUtf8)]
    #[case(b"{\"a\":\"caf\xe9\"}", Wrong::NotUtf8)]
    #[case(b"{\"a\":\"\x93\"}", Wrong::NotUtf8)]
    fn other_encodings_are_named(#[case] body: &[u8], #[case] wrong: Wrong) {
        assert_eq!(canonical(body, &BTreeMap::new()), Err(wrong));
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
        /// Nothing that serde_json refuses is accepted, and what it reads is what was sent.
        #[test]
        fn the_value_is_the_same(body in r#"[\[\]{}":,a0-9.eE\\ -]{0,40}"#) {
            let read = |text: &str| serde_json::from_str::<Value>(text).ok();
            match plain(&body) {
                Ok(once) => prop_assert!(read(&body) == read(&once), "{once}"),
                Err(Wrong::Syntax(_)) => prop_assert_eq!(read(&body), None),
                Err(_) => {}
            }
        }

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
