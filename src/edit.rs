//! Changing the fields of a head.
//!
//! Beside the fields Pingora keeps a second map with the case of their names, so that each change is made twice, and parses
//! each name. For the fields that every answer carries that was an eighth of what a miss costs in the program. So an answer
//! loses that map with its first change: well-known names go out as they are usually written, others in lower case, as they
//! do from the cache.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};

/// Changes the fields of an answer; status and reason stay.
pub(crate) fn edit<R>(answer: &mut ResponseHeader, change: impl FnOnce(&mut HeaderMap) -> R) -> Result<R> {
    let reason = answer.get_reason_phrase().filter(|reason| answer.status.canonical_reason() != Some(reason));
    let reason = reason.map(str::to_owned);
    let empty = ResponseHeader::from(http::Response::new(()).into_parts().0);
    let mut parts = Parts::from(std::mem::replace(answer, empty));
    let done = change(&mut parts.headers);
    *answer = parts.into();
    if reason.is_some() {
        answer.set_reason_phrase(reason.as_deref())?;
    }
    Ok(done)
}

/// Puts a field in place of what has its name, which is a valid one in lower case.
pub(crate) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<()> {
    let (name, value) = field(name, value)?;
    headers.insert(name, value);
    Ok(())
}

/// Adds one more line.
pub(crate) fn add(headers: &mut HeaderMap, name: &'static str, value: &str) -> Result<()> {
    let (name, value) = field(name, value)?;
    headers.append(name, value);
    Ok(())
}

fn field(name: &'static str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let value = valid(value).ok_or_else(|| Error::explain(ErrorType::InvalidHTTPHeader, "a field of our own"))?;
    Ok((parsed(name), value))
}

/// Texts in every answer, or every request to the upstream, which need not be parsed, nor copied.
macro_rules! common {
    ($kind:ident, $text:expr, $($common:literal)*) => {
        match $text {
            $($common => Some(const { $kind::from_static($common) }),)*
            _ => None,
        }
    };
}

/// The name of a field of our own.
pub(crate) fn parsed(name: &'static str) -> HeaderName {
    let common = common!(HeaderName, name, "x-request-id" "x-correlation-id" "x-response-time" "x-content-type-options"
        "cache-status" "x-cache" "x-ratelimit-limit" "x-ratelimit-remaining" "x-ratelimit-reset" "age" "vary" "accept" "host"
        "x-request-timeout" "accept-encoding");
    common.unwrap_or_else(|| HeaderName::from_static(name))
}

/// Its value; `None` with control characters in it.
pub(crate) fn valid(value: &str) -> Option<HeaderValue> {
    let common = common!(HeaderValue, value, "nosniff" "HIT" "MISS" "BYPASS" "Accept-Encoding" "0ms" "1ms"
        "application/json" "Origin" "identity");
    common.or_else(|| HeaderValue::from_str(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_case_of_names_stays() {
        let mut answer = ResponseHeader::build(404, None).unwrap();
        answer.set_reason_phrase(Some("Nothing Here")).unwrap();
        for (name, value) in [("content-TYPE", "a/b"), ("X-One", "1"), ("X-One", "2"), ("x-Two", "3")] {
            answer.append_header(name, value).unwrap();
        }
        edit(&mut answer, |headers| {
            headers.remove("x-two");
            set(headers, "x-three", "4")?;
            add(headers, "x-one", "5")
        })
        .unwrap()
        .unwrap();
        let mut wire = Vec::new();
        answer.header_to_h1_wire(&mut wire);
        let text = String::from_utf8(wire).unwrap();
        assert_eq!(text, "Content-Type: a/b\r\nx-one: 1\r\nx-one: 2\r\nx-one: 5\r\nx-three: 4\r\n");
        assert_eq!((answer.status.as_u16(), answer.get_reason_phrase()), (404, Some("Nothing Here")));
        assert!(edit(&mut answer, |headers| set(headers, "x-bad", "a\r\nb")).unwrap().is_err());
    }
}
