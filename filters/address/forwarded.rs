//! Reads the lists that proxies append to, from the end: only what trusted proxies wrote is sure to be well-formed.

use std::net::{IpAddr, SocketAddr};

use super::Field;
use crate::http::head::Headers;

/// Every element of all lines, the last first; `None` for one that is no address.
pub(super) fn from_the_end(field: Field, headers: Headers<'_>) -> impl Iterator<Item = Option<IpAddr>> {
    let is_rfc_7239 = field == Field::Forwarded;
    let mut lines = Vec::new();
    headers.each(if is_rfc_7239 { "forwarded" } else { "x-forwarded-for" }, |line| lines.push(line));
    let elements = lines.into_iter().rev().flat_map(move |line| parts(line, b',', is_rfc_7239));
    let elements = elements.filter(|element| !element.is_empty());
    elements.map(move |element| if is_rfc_7239 { node(element) } else { address(element) })
}

/// The address in `for=...` of one element (RFC 7239 section 4).
fn node(element: &[u8]) -> Option<IpAddr> {
    parts(element, b';', true).find_map(|pair| {
        let equals = pair.iter().position(|b| *b == b'=')?;
        let (name, value) = (&pair[..equals], &pair[equals + 1..]);
        name.eq_ignore_ascii_case(b"for").then(|| {
            let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
            address(quoted.unwrap_or(value))
        })
    })?
}

/// Splits from the end and trims; where `quotes` count, not inside them.
fn parts(text: &[u8], separator: u8, quotes: bool) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    text.rsplit(move |byte| {
        quoted ^= quotes && *byte == b'"';
        *byte == separator && !quoted
    })
    .map(<[u8]>::trim_ascii)
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let parsed = bare.parse::<IpAddr>().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    parsed.map(|address| address.to_canonical())
}
