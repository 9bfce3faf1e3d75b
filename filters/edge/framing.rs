//! What the fields say about where a message ends, and about the connection. As strict as nginx, or stricter.

use crate::head::Head;
use crate::reply::{Cause, Code};

/// What one pass over the fields finds about the message's framing.
#[derive(Debug, Default)]
pub(super) struct Framing<'a> {
    pub(super) hosts: usize,
    /// The first of them.
    pub(super) host: Option<&'a [u8]>,
    lengths: usize,
    length_is_bad: bool,
    codings: usize,
    coding_is_chunked: bool,
    upgrade: bool,
    trailer: bool,
    /// A field about the connection alone, which HTTP/2 does not have (RFC 9113 section 8.2.2).
    about_connection: bool,
    /// `TE` that HTTP/2 does not have.
    te_is_more: bool,
    option_is_bad: bool,
    expect: usize,
    expect_is_bad: bool,
}

impl<'a> Framing<'a> {
    pub(super) fn note(&mut self, name: &str, value: &'a [u8]) {
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
            7 if name.eq_ignore_ascii_case("upgrade") => self.upgrade = true,
            7 if name.eq_ignore_ascii_case("trailer") => self.trailer = true,
            10 if name.eq_ignore_ascii_case("connection") => {
                self.about_connection = true;
                self.option_is_bad |= !value.split(|b| *b == b',').map(<[u8]>::trim_ascii).all(is_harmless);
            }
            10 if name.eq_ignore_ascii_case("keep-alive") => self.about_connection = true,
            14 if name.eq_ignore_ascii_case("http2-settings") => self.upgrade = true,
            16 if name.eq_ignore_ascii_case("proxy-connection") => self.about_connection = true,
            14 if name.eq_ignore_ascii_case("content-length") => {
                self.lengths += 1;
                self.length_is_bad |= value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                self.codings += 1;
                self.coding_is_chunked = value.eq_ignore_ascii_case(b"chunked");
            }
            _ => {}
        }
    }

    /// As strict as nginx: RFC 9112 sections 6.1 and 6.3 allow every refusal here.
    pub(super) fn judge(&self, head: &Head<'_>) -> Result<(), Cause> {
        let invalid = |reason, message: &'static str| Err(Cause::new(Code::InvalidRequest, reason, message));
        let is_http2 = head.version == http::Version::HTTP_2;
        if is_http2 && (self.about_connection || self.te_is_more || self.codings > 0) {
            return invalid("connection_field", "HTTP/2 has no fields about the connection.");
        }
        if self.codings > 0 && self.lengths > 0 {
            return invalid("length_and_coding", "Content-Length and Transfer-Encoding can't both be sent.");
        }
        if self.lengths > 1 || self.length_is_bad {
            return invalid("content_length", "Content-Length is not one number.");
        }
        if self.codings > 0 && head.version != http::Version::HTTP_11 {
            return invalid("transfer_coding", "Transfer-Encoding exists in HTTP/1.1 only.");
        }
        if self.codings > 1 || self.codings == 1 && !self.coding_is_chunked {
            let message = "The only Transfer-Encoding that is known is chunked.";
            return Err(Cause::new(Code::NotImplemented, "transfer_coding", message));
        }
        if self.upgrade {
            return invalid("upgrade", "Upgrades to other protocols are not offered.");
        }
        // A field that Connection names is taken out on the way: nobody may have a key or an address taken out.
        if self.option_is_bad {
            return invalid("connection_option", "Connection may only say close, keep-alive or te.");
        }
        if self.trailer {
            return invalid("trailer", "Fields after the body are not accepted.");
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

/// An option of `Connection` that takes nothing out of a request. Upgrades are refused by their own fields.
fn is_harmless(option: &[u8]) -> bool {
    let known: [&[u8]; 6] = [b"", b"close", b"keep-alive", b"te", b"upgrade", b"http2-settings"];
    known.iter().any(|known| option.eq_ignore_ascii_case(known))
}

/// A token of RFC 9110 section 5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    const TOKEN: Set = Set::of(b"!#$%&'*+-.^_`|~");
    !text.is_empty() && TOKEN.has_all(text)
}

/// Letters, digits, and some more characters: one look for each byte.
pub(super) struct Set([bool; 256]);

impl Set {
    pub(super) const fn of(more: &[u8]) -> Self {
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

    pub(super) fn has_all(&self, text: &[u8]) -> bool {
        text.iter().all(|byte| self.0[usize::from(*byte)])
    }
}
