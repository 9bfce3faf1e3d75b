//! Fields of which a response has one (RFC 9110 section 5.3). An upstream that sends one twice is read by different parsers
//! differently, so the gateway makes it one, or refuses the response where that would be a guess about where a body ends or
//! which resource is meant.

use addrgate_filters::http::cache_policy::list;
use addrgate_filters::reply::{Cause, Code};
use http::header::{self, HeaderMap, HeaderName};

use super::answer::SOON;

/// Where these differ the response is refused.
const DECISIVE: [HeaderName; 3] = [header::CONTENT_RANGE, header::LOCATION, header::CONTENT_LOCATION];

/// Where these differ the first counts, by which the gateway judges the response.
const DESCRIPTIVE: [HeaderName; 4] = [header::CONTENT_TYPE, header::DATE, header::LAST_MODIFIED, header::RETRY_AFTER];

/// Makes one of each.
///
/// # Errors
/// Where they contradict each other.
pub(crate) fn make_single(headers: &mut HeaderMap) -> Result<(), Cause> {
    if headers.contains_key(header::CONTENT_LENGTH) {
        // Pingora has framed the body by the same rule (RFC 9112 section 6.3), and refused what differs.
        let length = length(headers).ok_or_else(contradiction)?;
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    for name in &DECISIVE {
        if is_repeated(headers, name) && !take_first(headers, name) {
            return Err(contradiction());
        }
    }
    for name in &DESCRIPTIVE {
        if is_repeated(headers, name) {
            take_first(headers, name);
        }
    }
    // Of two validators nobody knows which one the upstream will confirm.
    let is_list = || headers.get(header::ETAG).is_some_and(|tag| list::members(tag.as_bytes()).nth(1).is_some());
    let drop_tag = match is_repeated(headers, &header::ETAG) {
        true => !take_first(headers, &header::ETAG),
        false => is_list(),
    };
    if drop_tag {
        headers.remove(header::ETAG);
    }
    Ok(())
}

/// The one number that all members of all lines are.
fn length(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all(header::CONTENT_LENGTH).iter();
    let mut numbers = lines.flat_map(|line| list::members(line.as_bytes())).map(|member| {
        let is_number = member.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(member).ok().filter(|_| is_number)?.parse::<u64>().ok()
    });
    let first = numbers.next()??;
    numbers.all(|number| number == Some(first)).then_some(first)
}

fn is_repeated(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().nth(1).is_some()
}

/// Leaves the first line. Says whether all were equal.
fn take_first(headers: &mut HeaderMap, name: &HeaderName) -> bool {
    let Some(first) = headers.get(name).cloned() else { return true };
    let equal = headers.get_all(name).iter().all(|line| *line == first);
    headers.insert(name, first);
    equal
}

fn contradiction() -> Cause {
    let message = "The upstream service sent header fields that contradict each other.";
    Cause::new(Code::BadGateway, "upstream_invalid", message).retry_after(SOON)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("content-length", &["7", "7"], Some("7"))]
    #[case("content-length", &["7, 7"], Some("7"))]
    #[case("content-length", &["007"], Some("7"))]
    #[case("content-length", &["7, 8"], None)]
    #[case("content-length", &["+7"], None)]
    #[case("content-length", &[""], None)]
    #[case("content-range", &["bytes 0-1/2", "bytes 0-1/2"], Some("bytes 0-1/2"))]
    #[case("content-range", &["bytes 0-1/2", "bytes 0-1/3"], None)]
    #[case("location", &["/a", "/a"], Some("/a"))]
    #[case("location", &["/a", "/b"], None)]
    #[case("content-type", &["application/json", "text/html"], Some("application/json"))]
    #[case("date", &["a", "b"], Some("a"))]
    #[case("etag", &["\"a\"", "\"a\""], Some("\"a\""))]
    #[case("etag", &["\"a\"", "\"b\""], Some(""))]
    #[case("etag", &["\"a\", \"b\""], Some(""))]
    #[case("etag", &["\"a,b\""], Some("\"a,b\""))]
    #[case("set-cookie", &["a", "b"], Some("a | b"))]
    fn one_of_each(#[case] name: &'static str, #[case] lines: &[&str], #[case] expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }
        let made = make_single(&mut headers);
        assert_eq!(made.is_ok(), expected.is_some());
        if let Some(expected) = expected {
            let left: Vec<_> = headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect();
            assert_eq!(left.join(" | "), expected);
        }
    }
}
