//! Targeted cache control (RFC 9213): a structured-field dictionary that replaces `Cache-Control` for the caches it names.

use http::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use super::directives::{MAX_DELTA, ResponseDirectives};
use crate::traffic::units::FieldName;

/// The directives of the first field in `targets` that this response carries in a valid, non-empty form.
///
/// RFC 9213 section 2.2: such a field is used alone, `Cache-Control` and `Expires` are then ignored. A field that
/// is empty or no structured dictionary is treated as absent (section 2.1), and so is a member of an unexpected type.
pub fn read(headers: &HeaderMap, targets: &[FieldName]) -> Option<ResponseDirectives> {
    targets.iter().find_map(|target| read_field(headers, &target.0))
}

fn read_field(headers: &HeaderMap, target: &HeaderName) -> Option<ResponseDirectives> {
    let mut lines = headers.get_all(target).iter();
    let mut text = lines.next()?.as_bytes().to_vec();
    for line in lines {
        text.extend_from_slice(b", ");
        text.extend_from_slice(line.as_bytes());
    }
    let dictionary: Dictionary = Parser::new(&text).parse().ok()?;
    if dictionary.is_empty() {
        return None;
    }
    let mut found = ResponseDirectives::default();
    for (name, member) in &dictionary {
        let ListEntry::Item(item) = member else { continue };
        let name = name.as_str().as_bytes();
        match &item.bare_item {
            BareItem::Boolean(true) => found.set_flag(name, None),
            BareItem::String(fields) => found.set_flag(name, Some(fields.as_str().as_bytes())),
            BareItem::Integer(seconds) => {
                // A negative number is no delta-seconds: nothing is fresh by it.
                let seconds = u32::try_from(i64::from(*seconds).clamp(0, i64::from(MAX_DELTA))).unwrap_or(0);
                found.set_seconds(name, seconds);
            }
            _ => {}
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::http::cache_policy::directives::Scope;

    const CDN: HeaderName = HeaderName::from_static("cdn-cache-control");
    const OWN: HeaderName = HeaderName::from_static("addrgate-cache-control");

    fn parsed(lines: &[&str]) -> Option<ResponseDirectives> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(CDN, line.parse().unwrap());
        }
        read(&headers, &[FieldName(OWN), FieldName(CDN)])
    }

    #[rstest]
    #[case(&["max-age=3600"], Some(3600))]
    #[case(&["foobar, max-age=3600"], Some(3600))]
    #[case(&["foobar", "max-age=3600"], Some(3600))]
    #[case(&["max-age=1, max-age=9"], Some(9))]
    #[case(&["max-age=99999999999"], Some(MAX_DELTA))]
    #[case(&["max-age=-5"], Some(0))]
    #[case(&["max-age=\"10000\""], None)]
    #[case(&["max-age=10.5"], None)]
    #[case(&["max-age;x=1"], None)]
    fn lifetimes(#[case] lines: &[&str], #[case] expected: Option<u32>) {
        assert_eq!(parsed(lines).unwrap().max_age, expected);
    }

    #[rstest]
    #[case(&[])]
    #[case(&[""])]
    #[case(&["max-age=10000, &&&&&"])]
    #[case(&["MaX-aGe=3600"])]
    #[case(&["max-age =100"])]
    #[case(&["max-age= 100"])]
    fn invalid_is_absent(#[case] lines: &[&str]) {
        assert_eq!(parsed(lines), None);
    }

    #[test]
    fn flags_and_order_of_targets() {
        let found = parsed(&["private, no-cache, no-store, must-revalidate"]).unwrap();
        assert_eq!((found.private, found.no_cache), (Scope::Response, Scope::Response));
        assert!(found.no_store && found.must_revalidate);
        assert_eq!(parsed(&["no-store=?0"]).map(|found| found.no_store), Some(false));
        assert_eq!(
            parsed(&["private=\"a\""]).map(|found| found.private),
            Some(Scope::Fields(vec![HeaderName::from_static("a")]))
        );

        let mut headers = HeaderMap::new();
        headers.insert(CDN, "max-age=1".parse().unwrap());
        headers.insert(OWN, "max-age=2".parse().unwrap());
        assert_eq!(read(&headers, &[FieldName(OWN), FieldName(CDN)]).unwrap().max_age, Some(2));
        assert_eq!(read(&headers, &[FieldName(CDN), FieldName(OWN)]).unwrap().max_age, Some(1));
        assert_eq!(read(&headers, &[]), None);
    }

    proptest! {
        #[test]
        fn takes_any_value(value in "[ -~]{0,60}") {
            let _ = parsed(&[&value]);
        }
    }
}
