//! What is asked for and what is answered, by all alike.

use std::io::Write;
use std::sync::LazyLock;

/// Bytes of the body.
pub(crate) const LENGTH: usize = 1800;

/// May be kept for an hour.
pub(crate) static HIT: LazyLock<Vec<u8>> = LazyLock::new(|| answer("public, max-age=3600"));

/// May not be kept.
pub(crate) static NO_STORE: LazyLock<Vec<u8>> = LazyLock::new(|| answer("no-store"));

fn answer(cache_control: &str) -> Vec<u8> {
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    let mut out = format!(
        "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {LENGTH}\r\n\
         ETag: \"6b03e000-708\"\r\nCache-Control: {cache_control}\r\n\r\n"
    )
    .into_bytes();
    out.extend_from_slice(&body());
    out
}

/// Addresses, as a search gives them.
fn body() -> Vec<u8> {
    let mut text = String::from(r#"{"success":true,"data":{"addresses":["#);
    for number in 1..=10 {
        text.push_str(&format!(
            r#"{{"id":"GAVIC4215{number:05}","formattedAddress":"{number} COLLINS STREET, MELBOURNE VIC 3000","confidence":0.97,"coordinates":{{"latitude":-37.81{number:04},"longitude":144.97{number:04}}}}},"#
        ));
    }
    text.push_str("null],\"filler\":\"");
    let rest = LENGTH - text.len() - 3;
    text.push_str(&"x".repeat(rest));
    text.push_str("\"}}");
    text.into_bytes()
}

/// The request that everyone gets.
pub(crate) fn request(path: &str, out: &mut Vec<u8>) {
    // Writing into a vector can't fail.
    let _never_fails = write!(
        out,
        "GET {path} HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: bench-hits\r\nAccept: application/json\r\nX-API-Key: bench\r\n\r\n"
    );
}

/// The same with a field that no other request has.
pub(crate) fn unlike(path: &str, number: u64, out: &mut Vec<u8>) {
    request(path, out);
    out.truncate(out.len() - 2);
    let _never_fails = write!(out, "X-Correlation-ID: {number}\r\n\r\n");
}
