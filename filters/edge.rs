//! Refuses what no honest client sends: framing in doubt, more than the bounds, hosts that are not ours.
//!
//! ```yaml
//! limits:
//!   fields: 100        # header lines
//!   head: 16KiB        # names, values and their line ends together
//!   uri: 8KiB
//!   hosts: []          # names of ours in lower case, without port; empty: any
//! ```
//!
//! Rules of RFC 9112 that let a server refuse are used, because two parsers that disagree about where a message ends are
//! how requests get smuggled. The door checks the raw bytes besides (bare LF, obs-fold); this filter sees parsed fields,
//! and is the same on every path.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::head::Head;
use crate::reply::{Cause, Code};
use crate::units::Size;
use crate::verdict::Verdict;
use crate::{Filter, Flow};

/// Bounds of a request head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Header lines; more are answered 431.
    pub fields: usize,
    /// Bytes of all header lines; more are answered 431.
    pub head: Size,
    /// Bytes of the request target; more are answered 414.
    pub uri: Size,
    /// Host names that are served, in lower case and without port; another is answered 421. Empty: any.
    pub hosts: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { fields: 100, head: Size::kib(16), uri: Size::kib(8), hosts: Vec::new() }
    }
}

/// The filter.
#[derive(Debug, Clone, Default)]
pub struct Edge(pub Config);

impl Filter for Edge {
    fn name(&self) -> &'static str {
        "edge"
    }

    fn request(&self, head: &Head<'_>, _: &mut Verdict) -> Flow {
        match self.judge(head) {
            Ok(()) => Flow::Continue,
            // What comes next on a connection whose framing is in doubt can't be trusted.
            Err(cause) => Flow::Reply(cause.closing()),
        }
    }
}

impl Edge {
    fn judge(&self, head: &Head<'_>) -> Result<(), Cause> {
        let uri = head.path.len() + head.query.map_or(0, |q| q.len() + 1);
        if uri > self.0.uri.len() {
            return Err(Cause::new(Code::UriTooLong, "uri_length", "The URL is too long."));
        }
        let (mut count, mut bytes) = (0, 0);
        let mut seen = Framing::default();
        head.headers.all(|name, value| {
            count += 1;
            bytes += name.len() + value.len() + 4;
            seen.note(name, value);
        });
        if count > self.0.fields {
            return Err(Cause::new(Code::HeadersTooLarge, "field_count", "The request has too many header fields."));
        }
        if bytes > self.0.head.len() {
            return Err(Cause::new(Code::HeadersTooLarge, "head_size", "The header fields are too large."));
        }
        seen.judge(head)?;
        self.host(head, seen.hosts)
    }

    fn host(&self, head: &Head<'_>, lines: usize) -> Result<(), Cause> {
        let wrong = |message: &'static str| Cause::new(Code::InvalidRequest, "host", message);
        if lines > 1 || lines == 0 && head.version == http::Version::HTTP_11 {
            return Err(wrong("Exactly one field Host is needed."));
        }
        let Some(host) = head.host() else { return Ok(()) };
        let (name, port) = split_port(host);
        let name_is_good =
            !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~[]:%".contains(b));
        if !name_is_good || !port.iter().all(u8::is_ascii_digit) || port.len() > 5 {
            return Err(wrong("The field Host does not hold a host name."));
        }
        if !self.0.hosts.is_empty() && !self.0.hosts.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(name)) {
            return Err(Cause::new(Code::MisdirectedRequest, "foreign_host", "This host is not served here."));
        }
        Ok(())
    }
}

/// Splits `host:port` and `[v6]:port`; the port is empty where there is none.
fn split_port(host: &[u8]) -> (&[u8], &[u8]) {
    match host.iter().rposition(|b| *b == b':') {
        Some(at) if !host[at..].contains(&b']') => (&host[..at], &host[at + 1..]),
        _ => (host, b""),
    }
}

/// What one pass over the fields finds about the message's framing.
#[derive(Debug, Default)]
struct Framing {
    hosts: usize,
    lengths: usize,
    length_is_bad: bool,
    codings: usize,
    coding_is_chunked: bool,
    upgrade: bool,
    expect: usize,
    expect_is_bad: bool,
}

impl Framing {
    fn note(&mut self, name: &str, value: &[u8]) {
        // Lengths first: nearly every field is told apart by its length alone.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => self.hosts += 1,
            6 if name.eq_ignore_ascii_case("expect") => {
                self.expect += 1;
                self.expect_is_bad |= !value.eq_ignore_ascii_case(b"100-continue");
            }
            7 if name.eq_ignore_ascii_case("upgrade") => self.upgrade = true,
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
    fn judge(&self, head: &Head<'_>) -> Result<(), Cause> {
        let invalid = |reason, message: &'static str| Err(Cause::new(Code::InvalidRequest, reason, message));
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
        if self.expect > 1 || self.expect_is_bad {
            return Err(Cause::new(
                Code::ExpectationFailed,
                "expect",
                "The only expectation that is known is 100-continue.",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::head::Headers;

    fn judge(target: &str, fields: &[(&str, &str)], config: Config) -> Option<&'static str> {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
        match Edge(config).request(&Head::new("POST", target, Headers::Raw(&fields)), &mut Verdict::default()) {
            Flow::Continue | Flow::Answer(_) => None,
            Flow::Reply(cause) => {
                assert!(cause.close);
                Some(cause.reason)
            }
        }
    }

    #[rstest]
    #[case(&[("Content-Length", "5")], None)]
    #[case(&[("Transfer-Encoding", "Chunked")], None)]
    #[case(&[("Expect", "100-Continue")], None)]
    #[case(&[("Content-Length", "5"), ("Transfer-Encoding", "chunked")], Some("length_and_coding"))]
    #[case(&[("Transfer-Encoding", "chunked"), ("Content-Length", "5")], Some("length_and_coding"))]
    #[case(&[("Content-Length", "5"), ("content-length", "5")], Some("content_length"))]
    #[case(&[("Content-Length", "+5")], Some("content_length"))]
    #[case(&[("Content-Length", "-1")], Some("content_length"))]
    #[case(&[("Content-Length", "0x5")], Some("content_length"))]
    #[case(&[("Content-Length", "5, 5")], Some("content_length"))]
    #[case(&[("Content-Length", "")], Some("content_length"))]
    #[case(&[("Content-Length", "18446744073709551621")], Some("content_length"))]
    #[case(&[("Transfer-Encoding", "chunked, identity")], Some("transfer_coding"))]
    #[case(&[("Transfer-Encoding", "xchunked")], Some("transfer_coding"))]
    #[case(&[("Transfer-Encoding", "\tchunked")], Some("transfer_coding"))]
    #[case(&[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], Some("transfer_coding"))]
    #[case(&[("Upgrade", "h2c"), ("Connection", "upgrade")], Some("upgrade"))]
    #[case(&[("Expect", "a-pony")], Some("expect"))]
    fn framing(#[case] fields: &[(&str, &str)], #[case] reason: Option<&str>) {
        let mut all = vec![("Host", "h")];
        all.extend(fields);
        assert_eq!(judge("/", &all, Config::default()), reason);
    }

    #[rstest]
    #[case(&[], Some("host"))]
    #[case(&[("Host", "a"), ("Host", "a")], Some("host"))]
    #[case(&[("Host", "")], Some("host"))]
    #[case(&[("Host", "a@b")], Some("host"))]
    #[case(&[("Host", "a/b")], Some("host"))]
    #[case(&[("Host", "a:b")], Some("host"))]
    #[case(&[("Host", "a b")], Some("host"))]
    #[case(&[("Host", "API.example:8080")], None)]
    #[case(&[("Host", "[::1]:80")], Some("foreign_host"))]
    #[case(&[("Host", "evil.example")], Some("foreign_host"))]
    fn hosts(#[case] fields: &[(&str, &str)], #[case] reason: Option<&str>) {
        let config = Config { hosts: vec!["api.example".to_owned()], ..Config::default() };
        assert_eq!(judge("/", fields, config), reason);
    }

    #[test]
    fn the_authority_of_the_target_counts() {
        let config = Config { hosts: vec!["api.example".to_owned()], ..Config::default() };
        assert_eq!(judge("http://evil.example/", &[("Host", "api.example")], config.clone()), Some("foreign_host"));
        assert_eq!(judge("http://a@api.example/", &[("Host", "api.example")], config), Some("host"));
    }

    #[test]
    fn bounds() {
        let long = format!("/{}", "a".repeat(8192));
        assert_eq!(judge(&long, &[("Host", "h")], Config::default()), Some("uri_length"));
        assert_eq!(judge(&long[..8192], &[("Host", "h")], Config::default()), None);
        let many = vec![("Host", "h"); 101];
        assert_eq!(judge("/", &many, Config::default()), Some("field_count"));
        let large = "v".repeat(16 * 1024);
        assert_eq!(judge("/", &[("Host", "h"), ("X", &large)], Config::default()), Some("head_size"));
    }
}
