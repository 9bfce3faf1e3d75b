use proptest::prelude::*;
use rstest::rstest;
use serde_json::json;

use super::*;

const TEXT: Text = Text { max: 5, invalid: "INVALID", too_long: "LONG" };

fn fields(value: Value) -> Fields {
    let Value::Object(values) = value else { panic!("not an object") };
    Fields::from_object(values)
}

fn code<T: std::fmt::Debug>(outcome: Result<T, ApiError>) -> &'static str {
    outcome.unwrap_err().code
}

#[rstest]
#[case(json!({}), None)]
#[case(json!({"a": null}), None)]
#[case(json!({"a": "  "}), None)]
#[case(json!({"a": "\u{0}\u{7}"}), None)]
#[case(json!({"a": "\n\u{0}\r\n"}), None)]
#[case(json!({"a": " é\tx "}), Some("é x"))]
#[case(json!({"a": "\na\r\nb\n\u{7}"}), Some("a,,b"))]
#[case(json!({"a": "a\u{b}b\u{2028}c"}), Some("a,b,c"))]
fn text_is_trimmed_and_cleaned(#[case] body: Value, #[case] text: Option<&str>) {
    assert_eq!(fields(body).text("a", TEXT).unwrap().as_deref(), text);
}

#[rstest]
#[case(json!({"a": 1}), "INVALID")]
#[case(json!({"a": ["x"]}), "INVALID")]
#[case(json!({"a": {}}), "INVALID")]
#[case(json!({"a": "sixsix"}), "LONG")]
fn wrong_text_has_its_code(#[case] body: Value, #[case] expected: &str) {
    assert_eq!(code(fields(body).text("a", TEXT)), expected);
}

#[rstest]
#[case(json!({"a": 0}))]
#[case(json!({"a": 11}))]
#[case(json!({"a": 1.5}))]
#[case(json!({"a": "3"}))]
#[case(json!({"a": true}))]
#[case(json!({"a": [3]}))]
#[case(json!({"a": 1e300}))]
fn wrong_integers_are_refused(#[case] body: Value) {
    assert_eq!(code(fields(body).integer("a", 1..=10, "BAD")), "BAD");
}

#[rstest]
#[case("a=3", Some(3))]
#[case("a=", None)]
#[case("b=x", None)]
#[case("a=10", Some(10))]
fn integers_are_read_from_query_strings(#[case] query: &str, #[case] number: Option<i64>) {
    assert_eq!(query::parse(query).unwrap().integer("a", 1..=10, "BAD").unwrap(), number);
}

#[rstest]
#[case("a=11")]
#[case("a=1&a=2")]
#[case("a=x")]
#[case("a=NaN")]
#[case("a=inf")]
#[case("a=1%00")]
#[case("a=1;b=2")]
fn wrong_query_integers_are_refused(#[case] query: &str) {
    assert_eq!(code(query::parse(query).unwrap().integer("a", 1..=10, "BAD")), "BAD");
}

#[test]
fn flags_are_words_in_queries_and_booleans_in_json() {
    assert!(query::parse("a=TRUE").unwrap().flag("a", false, "F").unwrap());
    assert!(!query::parse("a=0").unwrap().flag("a", true, "F").unwrap());
    assert!(query::parse("").unwrap().flag("a", true, "F").unwrap());
    assert_eq!(code(query::parse("a=yes").unwrap().flag("a", true, "F")), "F");
    assert_eq!(code(fields(json!({"a": "true"})).flag("a", true, "F")), "F");
    assert_eq!(code(fields(json!({"a": 1})).flag("a", true, "F")), "F");
}

proptest! {
    #[test]
    fn no_query_string_breaks_the_reader(raw in "\\PC{0,60}") {
        if let Ok(fields) = query::parse(&raw) {
            let _ = fields.text("a", TEXT);
            let _ = fields.integer("a", 1..=10, "BAD");
            let _ = fields.flag("a", true, "F");
        }
    }

    #[test]
    fn no_body_breaks_the_reader(raw in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(fields) = json::parse(&raw) {
            let _ = fields.text("a", TEXT);
        }
    }

    #[test]
    fn what_was_encoded_is_read_back(text in "[a-zA-Z0-9 &=+%é😀]{1,5}") {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("a", &text).finish();
        let expected = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        prop_assert_eq!(query::parse(&query).unwrap().text("a", TEXT).unwrap(), expected);
    }
}
