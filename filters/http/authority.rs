//! Host and port of `Host`, of an absolute target and of HTTP/2's `:authority`, compared by what they mean.

use std::net::Ipv6Addr;

/// A host, and its port where it names one (RFC 3986 section 3.2, without userinfo).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host as it is written; an IPv6 address with its brackets.
    pub host: &'a [u8],
    /// `None` also where the port is empty (`host:`).
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads `name`, `name:port`, `192.0.2.1`, `[2001:db8::1]:port`. `None` for anything else: a name of other characters
    /// than letters, digits and `-._~`, an IPv6 address that is none or has no brackets, a port beyond 65535.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let (host, port) = match text.first() {
            Some(b'[') => {
                let end = text.iter().position(|byte| *byte == b']')?;
                address(&text[..=end])?;
                let port = match &text[end + 1..] {
                    [] => &[][..],
                    [b':', port @ ..] => port,
                    _ => return None,
                };
                (&text[..=end], port)
            }
            _ => {
                let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
                let name = &text[..end];
                let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
                if name.is_empty() || !name.iter().all(is_name) {
                    return None;
                }
                (name, text.get(end + 1..).unwrap_or_default())
            }
        };
        if port.len() > 5 || !port.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let port = match port {
            [] => None,
            digits => Some(std::str::from_utf8(digits).ok()?.parse().ok()?),
        };
        Some(Self { host, port })
    }

    /// Whether both name the same place for `scheme`: letter case, the scheme's own port, an empty port and the spelling of
    /// an IPv6 address make no difference (RFC 9110 section 4.2.3).
    #[must_use]
    pub fn is(&self, other: &Authority<'_>, scheme: &str) -> bool {
        let default = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
        let same_host = match (address(self.host), address(other.host)) {
            (Some(one), Some(two)) => one == two,
            (None, None) => self.host.eq_ignore_ascii_case(other.host),
            _ => false,
        };
        same_host && self.port.unwrap_or(default) == other.port.unwrap_or(default)
    }
}

/// An IPv6 address in brackets.
fn address(host: &[u8]) -> Option<Ipv6Addr> {
    let inner = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
    std::str::from_utf8(inner).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("h", Some(("h", None)))]
    #[case("API.example:8080", Some(("API.example", Some(8080))))]
    #[case("h:", Some(("h", None)))]
    #[case("192.0.2.1:080", Some(("192.0.2.1", Some(80))))]
    #[case("[::1]", Some(("[::1]", None)))]
    #[case("[2001:DB8::1]:443", Some(("[2001:DB8::1]", Some(443))))]
    #[case("[::ffff:192.0.2.1]:", Some(("[::ffff:192.0.2.1]", None)))]
    #[case("", None)]
    #[case(":80", None)]
    #[case("[a", None)]
    #[case("]", None)]
    #[case("a]", None)]
    #[case("::1", None)]
    #[case("1::80", None)]
    #[case("[]", None)]
    #[case("[zz]", None)]
    #[case("[::1]x", None)]
    #[case("[::1]80", None)]
    #[case("[::1%25eth0]", None)]
    #[case("[[::1]]", None)]
    #[case("h:80:80", None)]
    #[case("h:+80", None)]
    #[case("h:65536", None)]
    #[case("h:080000", None)]
    #[case("a@b", None)]
    #[case("a/b", None)]
    #[case("a b", None)]
    #[case("a%20b", None)]
    #[case("\u{e9}", None)]
    fn forms(#[case] text: &str, #[case] expected: Option<(&str, Option<u16>)>) {
        let parsed = Authority::parse(text.as_bytes());
        let expected = expected.map(|(host, port)| Authority { host: host.as_bytes(), port });
        assert_eq!(parsed, expected);
    }

    #[rstest]
    #[case("h", "H", "http", true)]
    #[case("h:80", "h", "http", true)]
    #[case("h:80", "h", "https", false)]
    #[case("h:443", "H:", "HTTPS", true)]
    #[case("h:080", "h:80", "https", true)]
    #[case("h:8080", "h", "http", false)]
    #[case("[::1]", "[0:0:0:0:0:0:0:1]:80", "http", true)]
    #[case("[::1]", "[::2]", "http", false)]
    #[case("a", "b", "http", false)]
    fn equal_by_meaning(#[case] one: &str, #[case] two: &str, #[case] scheme: &str, #[case] same: bool) {
        let [one, two] = [one, two].map(|text| Authority::parse(text.as_bytes()).unwrap());
        assert_eq!((one.is(&two, scheme), two.is(&one, scheme)), (same, same));
    }

    proptest! {
        #[test]
        fn nothing_panics(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(authority) = Authority::parse(&text) {
                prop_assert!(authority.is(&authority, "http"));
            }
        }
    }
}
