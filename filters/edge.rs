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

use crate::cause::{Cause, Code};
use crate::http::authority::Authority;
use crate::http::head::Head;
use crate::traffic::units::Size;
use crate::verdict::Verdict;
use crate::{Filter, Flow};

mod framing;

use framing::Framing;

/// Bytes of a method; a longer one is refused.
pub const LONGEST_METHOD: usize = 32;

/// Bounds of a request head, out of `limits`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Header lines.
    pub fields: usize,
    /// Bytes of all header lines.
    pub head: Size,
    /// Bytes of the request target.
    pub uri: Size,
    /// Host names that are served; empty: any.
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

    fn request(&self, head: &Head<'_>, verdict: &mut Verdict) -> Flow {
        match self.judge(head, verdict) {
            Ok(()) => Flow::Continue,
            // What comes next on a connection whose framing is in doubt can't be trusted.
            Err(cause) => Flow::Reply(cause.closing()),
        }
    }
}

impl Edge {
    fn judge(&self, head: &Head<'_>, verdict: &Verdict) -> Result<(), Cause> {
        let uri = head.path.len() + head.query.map_or(0, |q| q.len() + 1);
        if uri > self.0.uri.len() {
            return Err(Cause::new(Code::UriTooLong, "uri_length", "The URL is too long."));
        }
        if head.method.len() > LONGEST_METHOD {
            return Err(long_method());
        }
        if !framing::is_token(head.method.as_bytes()) {
            return Err(Cause::new(
                Code::InvalidRequest,
                "method_form",
                "The method is not a token (RFC 9110 section 5.6.2).",
            ));
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
        match verdict.background {
            // The gateway's own: for a host that was judged when a client asked, or for none.
            true => Ok(()),
            // Load balancers ask by address.
            false => self.host(head, &seen, verdict.probe),
        }
    }

    fn host(&self, head: &Head<'_>, seen: &Framing<'_>, any: bool) -> Result<(), Cause> {
        let wrong = |message: &'static str| Cause::new(Code::InvalidRequest, "host", message);
        if seen.hosts > 1 || seen.hosts == 0 && head.version == http::Version::HTTP_11 {
            return Err(wrong("Exactly one field Host is needed."));
        }
        let named = |text| {
            Authority::parse(text)
                .ok_or_else(|| wrong("Host, or the host of the target, is not a host name with a port."))
        };
        let field = seen.host.map(named).transpose()?;
        let target = head.authority.map(|authority| named(authority.as_bytes())).transpose()?;
        let Some(asked) = target.or(field) else {
            // HTTP/1.0 need not name any; HTTP/2 names it in either (RFC 9113 section 8.3.1).
            return match head.version {
                http::Version::HTTP_10 => Ok(()),
                _ => Err(wrong("The request names no host: send the field :authority.")),
            };
        };
        if !any
            && !self.0.hosts.is_empty()
            && !self.0.hosts.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(asked.host))
        {
            return Err(Cause::new(Code::MisdirectedRequest, "foreign_host", "This host is not served here."));
        }
        // RFC 9112 section 3.2.2 and RFC 9113 section 8.3.1: a client that sends both sends the same. Else one of two readers
        // errs.
        match (target, field) {
            (Some(target), Some(field)) if !target.is(&field, head.scheme.unwrap_or_default()) => {
                Err(wrong("The field Host and the request's target name different hosts."))
            }
            _ => Ok(()),
        }
    }
}

/// The refusal of a method that is longer than any, also for a reader who has not seen its end (RFC 9112 section 3).
#[must_use]
pub fn long_method() -> Cause {
    Cause::new(Code::NotImplemented, "method_length", "The method is too long.").closing()
}

#[cfg(test)]
mod tests;
