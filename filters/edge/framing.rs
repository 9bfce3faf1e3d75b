//! What the fields say about where a message ends, and about the connection. As strict as nginx, or stricter.

use crate::cause::{Cause, Code};
use crate::http::head::Head;

/// What one pass over the fields finds about the message's framing.
#[derive(Debug, Default)]
pub(super) struct Framing<'a> {
    pub(super) hosts: usize,
    /// The first of them.
    pub(super) host: Option<&'a [u8]>,
    lengths: usize,
    length_is_bad: bool,
    codings: Codings,
    /// A field about the connection alone, which HTTP/2 does not have (RFC 9113 section 8.2.2).
    about_connection: bool,
    /// `TE` that HTTP/2 does not have.
    te_is_more: bool,
    options: usize,
    option_is_bad: bool,
    /// A value that begins or ends with white space.
    padded: bool,
    expect: usize,
    expect_is_bad: bool,
}

impl<'a> Framing<'a> {
    pub(super) fn note(&mut self, name: &str, value: &'a [u8]) {
        self.padded |= matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t']);
        // Lengths first: nearly every field is told apart by its length alone.
        match name.len() {
            2 if name.eq_ignore_ascii_case("te") => self.te_is_more |= !value.eq_ignore_ascii_case(b"trailers"),
            4 if name.eq_ignore_ascii_case("host") => {
                self.hosts += 1;
                self.host.get_or_insert(value);
            }
            6 if name.eq_ignore_ascii_case("expect") => {
                self.expect += 1;
                self.expect_is_bad |= !value.eq_ignore_ascii_case(b"100-continue");
            }
            // An offer, which nobody has to take up (RFC 9110 section 7.8).
            7 if name.eq_ignore_ascii_case("upgrade") => self.about_connection = true,
            10 if name.eq_ignore_ascii_case("connection") => {
                self.about_connection = true;
                for option in members(value) {
                    self.options += 1;
                    self.option_is_bad |= !is_token(option) || is_for_all(option);
                }
            }
            10 if name.eq_ignore_ascii_case("keep-alive") => self.about_connection = true,
            16 if name.eq_ignore_ascii_case("proxy-connection") => self.about_connection = true,
            14 if name.eq_ignore_ascii_case("content-length") => {
                self.lengths += 1;
                let digits = value.iter().skip_while(|digit| **digit == b'0').count();
                self.length_is_bad |= value.is_empty() || digits > 19 || !value.iter().all(u8::is_ascii_digit);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                self.codings.note(value);
            }
            _ => {}
        }
    }

    /// As strict as nginx: RFC 9112 sections 6.1 and 6.3 allow every refusal here.
    pub(super) fn judge(&self, head: &Head<'_>) -> Result<(), Cause> {
        let invalid = |reason, message: &'static str| Err(Cause::new(Code::InvalidRequest, reason, message));
        let is_http2 = head.version == http::Version::HTTP_2;
        if is_http2 && (self.about_connection || self.te_is_more || self.codings.lines > 0) {
            return invalid("connection_field", "HTTP/2 has no fields about the connection.");
        }
        // RFC 9113 section 8.2.1. In HTTP/1 such white space is no part of the value.
        if is_http2 && self.padded {
            return invalid("field_value", "A field value begins or ends with white space.");
        }
        if self.codings.lines > 0 && self.lengths > 0 {
            return invalid("length_and_coding", "Content-Length and Transfer-Encoding can't both be sent.");
        }
        if self.lengths > 1 || self.length_is_bad {
            return invalid("content_length", "Content-Length is not one number.");
        }
        self.codings.judge(head.version)?;
        if self.options > MOST_OPTIONS {
            return invalid("connection_option", "Connection has too many options.");
        }
        // A field that Connection names is taken out on the way: nobody may have a key or an address taken out.
        if self.option_is_bad {
            return invalid("connection_option", "Connection names what is meant for more than this connection.");
        }
        // RFC 9110 section 10.1.1: one of HTTP/1.0 is ignored.
        if head.version != http::Version::HTTP_10 && (self.expect > 1 || self.expect_is_bad) {
            return Err(Cause::new(
                Code::ExpectationFailed,
                "expect",
                "The only expectation that is known is 100-continue.",
            ));
        }
        Ok(())
    }
}

/// `Transfer-Encoding`, one list over all its lines (RFC 9112 sections 6.1 and 7).
#[derive(Debug, Default)]
struct Codings {
    lines: usize,
    chunked: usize,
    /// Whether the last coding so far is `chunked`: else nothing says where the body ends.
    ends_in_chunked: bool,
    unknown: bool,
    malformed: bool,
}

impl Codings {
    fn note(&mut self, value: &[u8]) {
        self.lines += 1;
        for coding in members(value) {
            self.ends_in_chunked = coding.eq_ignore_ascii_case(b"chunked");
            if self.ends_in_chunked {
                self.chunked += 1;
            } else {
                let name = coding.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
                self.unknown = true;
                self.malformed |= !is_token(name);
            }
        }
    }

    fn judge(&self, version: http::Version) -> Result<(), Cause> {
        let refuse = |code, message: &'static str| Err(Cause::new(code, "transfer_coding", message));
        match self {
            Self { lines: 0, .. } => Ok(()),
            _ if version != http::Version::HTTP_11 => {
                refuse(Code::InvalidRequest, "Transfer-Encoding exists in HTTP/1.1 only.")
            }
            Self { malformed: true, .. } => refuse(Code::InvalidRequest, "Transfer-Encoding is malformed."),
            Self { ends_in_chunked: false, .. } => {
                refuse(Code::InvalidRequest, "The last Transfer-Encoding is not chunked.")
            }
            Self { chunked: 2.., .. } => refuse(Code::InvalidRequest, "Transfer-Encoding has chunked more than once."),
            Self { unknown: true, .. } => {
                refuse(Code::NotImplemented, "The only Transfer-Encoding that is known is chunked.")
            }
            _ => Ok(()),
        }
    }
}

/// The members of a list without quoted strings; empty ones don't count (RFC 9110 section 5.6.1.2).
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// More options of `Connection` nobody needs.
const MOST_OPTIONS: usize = 32;

/// Whether an option of `Connection` is the name of a field that is meant for everyone on the way (RFC 9110 section 7.6.1
/// forbids such an option), or that says where the body ends.
fn is_for_all(option: &[u8]) -> bool {
    const NAMES: [&str; 20] = [
        "host",
        "transfer-encoding",
        "authorization",
        "cookie",
        "cache-control",
        "pragma",
        "expect",
        "range",
        "origin",
        "priority",
        "date",
        "via",
        "forwarded",
        "referer",
        "user-agent",
        "x-api-key",
        "x-request-id",
        "x-correlation-id",
        "traceparent",
        "tracestate",
    ];
    const FAMILIES: [&str; 5] = ["content-", "accept", "if-", "access-control-", "x-forwarded-"];
    let begins =
        |family: &str| option.get(..family.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(family.as_bytes()));
    NAMES.iter().any(|name| option.eq_ignore_ascii_case(name.as_bytes())) || FAMILIES.into_iter().any(begins)
}

/// A token of RFC 9110 section 5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    const TOKEN: Set = Set::of(b"!#$%&'*+-.^_`|~");
    !text.is_empty() && TOKEN.has_all(text)
}

/// Letters, digits, and some more characters: one look for each byte.
struct Set([bool; 256]);

impl Set {
    const fn of(more: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            set[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut at = 0;
        while at < more.len() {
            set[more[at] as usize] = true;
            at += 1;
        }
        Self(set)
    }

    fn has_all(&self, text: &[u8]) -> bool {
        text.iter().all(|byte| self.0[usize::from(*byte)])
    }
}
