//! From the bytes of a head to what the filters judge.

use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::sync::Arc;

use addrgate_filters::http::head::{Head, Headers, Moment};
use addrgate_filters::reply::{Cause, Code};
use http::Version;

use crate::plan::Plan;

/// What is known of a request besides its bytes.
pub(super) struct Request<'a> {
    pub(super) peer: Option<IpAddr>,
    pub(super) last: bool,
    pub(super) plan: &'a Arc<Plan>,
    pub(super) started: Moment,
}

/// As many as `limits.fields` may allow.
const MAX_FIELDS: usize = 256;

/// Room for them, which is not filled before it is used: it is larger than nearly every request.
pub(super) const FIELDS: [MaybeUninit<httparse::Header<'_>>; MAX_FIELDS] =
    [const { MaybeUninit::uninit() }; MAX_FIELDS];

/// The view of a head that the filters judge.
pub(super) fn parse<'a>(
    wire: &'a [u8],
    fields: &'a mut [MaybeUninit<httparse::Header<'a>>; MAX_FIELDS],
    asked: &Request<'_>,
) -> Result<Head<'a>, Cause> {
    let malformed = || Cause::new(Code::InvalidRequest, "malformed", "The request head is malformed.").closing();
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(wire, fields) {
        Ok(status) if status.is_complete() => {}
        Ok(_) => return Err(malformed()),
        Err(httparse::Error::Version) if names_a_version(wire) => {
            let message = "The gateway speaks HTTP/1.1, HTTP/1.0 and HTTP/2.";
            return Err(Cause::new(Code::VersionNotSupported, "version", message).closing());
        }
        Err(httparse::Error::TooManyHeaders) => {
            let message = "The request has too many header fields.";
            return Err(Cause::new(Code::HeadersTooLarge, "field_count", message).closing());
        }
        Err(_) => return Err(malformed()),
    }
    let (Some(method), Some(target)) = (request.method, request.path) else { return Err(malformed()) };
    let version = if request.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    let head = Head::new(method, target, Headers::Raw(request.headers));
    Ok(Head { version, peer: asked.peer, at: Some(asked.started), ..head })
}

/// Whether the third word of the request line is an `HTTP/x.y` (RFC 9112 section 2.3), if not one that is known here.
fn names_a_version(wire: &[u8]) -> bool {
    let word = wire.split(|&byte| byte == b' ').nth(2).unwrap_or_default();
    matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r', b'\n', ..]
        if major.is_ascii_digit() && minor.is_ascii_digit())
}
