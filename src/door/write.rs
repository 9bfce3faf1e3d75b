//! Writes responses: HTTP/1's bytes, HTTP/2's fields.

use std::io::Write;
use std::time::Duration;

use addrgate_filters::reply::Reply;
use addrgate_filters::verdict::Verdict;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::edit::{parsed, valid};
use crate::proxy::{Own, common_fields};

/// Where the fields of a response are put.
pub(super) trait Fields {
    /// One field line, its value in parts.
    fn put(&mut self, name: &'static str, value: &[&str]);
}

/// HTTP/1's lines. Inlined, so that known names are copied as words.
impl Fields for Vec<u8> {
    #[inline(always)]
    fn put(&mut self, name: &'static str, value: &[&str]) {
        self.extend_from_slice(name.as_bytes());
        self.extend_from_slice(b": ");
        value.iter().for_each(|part| self.extend_from_slice(part.as_bytes()));
        self.extend_from_slice(b"\r\n");
    }
}

/// HTTP/2's map.
impl Fields for HeaderMap {
    fn put(&mut self, name: &'static str, value: &[&str]) {
        let text = match value {
            [text] => valid(text),
            parts => HeaderValue::from_str(&parts.concat()).ok(),
        };
        self.extend(text.map(|mut text| {
            // No other response has it: in the table that both ends keep (RFC 7541) it would take another's place.
            text.set_sensitive(name == "x-request-id" || name == "x-correlation-id");
            (parsed(name), text)
        }));
    }
}

/// What a server of HTTP/2 begins with, and that the connection is over: GOAWAY with PROTOCOL_ERROR, no stream was processed
/// (RFC 9113 sections 3.4 and 6.8).
pub(super) fn goaway(out: &mut Vec<u8>) {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    out.extend_from_slice(&SETTINGS);
    out.extend_from_slice(&GOAWAY);
}

/// A whole answer of the gateway's own, after which the connection ends.
pub(super) fn reply(out: &mut Vec<u8>, reply: &Reply, verdict: &Verdict, elapsed: Duration, head_only: bool) {
    let reason = StatusCode::from_u16(reply.status).ok().and_then(|status| status.canonical_reason());
    // Writing into a vector can't fail.
    let _never_fails = write!(out, "HTTP/1.1 {} {}\r\n", reply.status, reason.unwrap_or_default());
    out.put("date", &[&httpdate::fmt_http_date(std::time::SystemTime::now())]);
    for (name, value) in &reply.fields {
        out.put(name, &[value]);
    }
    common_fields(verdict, Own::All, elapsed, std::time::SystemTime::now(), |name, value| out.put(name, &[value]));
    out.put("content-length", &[itoa::Buffer::new().format(reply.body.len())]);
    out.extend_from_slice(b"connection: close\r\n\r\n");
    if !head_only {
        out.extend_from_slice(&reply.body);
    }
}
