//! The PROXY protocol, versions 1 and 2 (HAProxy's specification of 2020): what a load balancer says in front of a
//! connection's first byte about where it comes from.
//!
//! Pure: the door reads bytes until [`read`] has made up its mind, within its own deadline, and only on listeners that say
//! so and from peers that may. What is wrong is refused at its first wrong byte; more than [`LONGEST`] is never asked for.
//! Additional fields (TLVs: names and certificates of the client, checksums) are passed over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// No longer head is accepted. Both versions fit without TLVs into 232 bytes; a balancer that ended TLS may add
/// what it knows of the client's certificate.
pub const LONGEST: usize = FIXED + (4 << 10);

/// A line of version 1, its end included.
const LONGEST_LINE: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;

/// What stood in front of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// The client and the address it connected to; `None` where the balancer speaks for itself (health checks, `LOCAL`,
    /// `UNKNOWN`) or of no network address: the connection's own ends hold.
    pub addresses: Option<(SocketAddr, SocketAddr)>,
    /// So many bytes belong to it; the request begins after them.
    pub length: usize,
}

/// Why a connection does not begin with the PROXY protocol. Close it without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Something else, most likely a client that came past the load balancer.
    #[error("the connection does not begin with the PROXY protocol")]
    Signature,
    /// More than a head may have.
    #[error("the PROXY protocol's head is too long")]
    Length,
    /// A version, command or address family that does not exist, or is not of TCP.
    #[error("the PROXY protocol's head is of an unknown kind")]
    Kind,
    /// An address or port that is none.
    #[error("the PROXY protocol's head holds no valid addresses")]
    Addresses,
}

impl Wrong {
    /// One word for logs and metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Wrong::Signature => "proxy_signature",
            Wrong::Length => "proxy_length",
            Wrong::Kind => "proxy_kind",
            Wrong::Addresses => "proxy_addresses",
        }
    }
}

/// Judges the first bytes of a connection, all that have come so far. `None`: more are needed.
///
/// # Errors
/// Where no further byte could make it right.
pub fn read(bytes: &[u8]) -> Result<Option<Preamble>, Wrong> {
    const LINE: &[u8] = b"PROXY ";
    if begins(bytes, LINE) {
        return line(bytes);
    }
    if begins(bytes, SIGNATURE) {
        return binary(bytes);
    }
    Err(Wrong::Signature)
}

/// Whether one is the beginning of the other.
fn begins(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(a, b)| a == b)
}

fn line(bytes: &[u8]) -> Result<Option<Preamble>, Wrong> {
    let head = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        return if head.len() == LONGEST_LINE { Err(Wrong::Length) } else { Ok(None) };
    };
    let text = std::str::from_utf8(&head[..end]).map_err(|_| Wrong::Addresses)?;
    let words: Vec<&str> = text.split(' ').collect();
    let addresses = match &words[1..] {
        ["UNKNOWN", ..] => None,
        ["TCP4", source, target, from, to] => Some((ends::<Ipv4Addr>(source, from)?, ends::<Ipv4Addr>(target, to)?)),
        ["TCP6", source, target, from, to] => Some((ends::<Ipv6Addr>(source, from)?, ends::<Ipv6Addr>(target, to)?)),
        ["TCP4" | "TCP6", ..] => return Err(Wrong::Addresses),
        _ => return Err(Wrong::Kind),
    };
    Ok(Some(Preamble { addresses, length: end + 2 }))
}

/// One end of a version 1 line. Numbers are digits alone, without leading zeros.
fn ends<A: std::str::FromStr + Into<IpAddr>>(address: &str, port: &str) -> Result<SocketAddr, Wrong> {
    let address: A = address.parse().map_err(|_| Wrong::Addresses)?;
    let plain = port.bytes().all(|b| b.is_ascii_digit()) && (port == "0" || !port.starts_with('0'));
    let port = port.parse().ok().filter(|_| plain).ok_or(Wrong::Addresses)?;
    Ok(SocketAddr::new(address.into(), port))
}

fn binary(bytes: &[u8]) -> Result<Option<Preamble>, Wrong> {
    let command = bytes.get(12).copied();
    if command.is_some_and(|command| command != 0x20 && command != 0x21) {
        return Err(Wrong::Kind);
    }
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else { return Ok(None) };
    let rest_length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let length = FIXED + rest_length;
    if length > LONGEST {
        return Err(Wrong::Length);
    }
    // The balancer speaks for itself, and what else it says does not count.
    let local = command == Some(0x20);
    let block = match fixed[13] {
        _ if local => 0,
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err(Wrong::Kind),
    };
    if rest_length < block {
        return Err(Wrong::Addresses);
    }
    if rest.len() < rest_length {
        return Ok(None);
    }
    let addresses = match block {
        12 => pair::<4>(rest),
        36 => pair::<16>(rest),
        _ => None,
    };
    Ok(Some(Preamble { addresses, length }))
}

/// Source and target of `N` bytes each, then their ports.
fn pair<const N: usize>(block: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let address = |at| Some(IpAddr::from(<[u8; N]>::try_from(block.get(at..at + N)?).ok()?));
    let port = |at| Some(u16::from_be_bytes(block.get(at..at + 2)?.try_into().ok()?));
    Some((SocketAddr::new(address(0)?, port(2 * N)?), SocketAddr::new(address(N)?, port(2 * N + 2)?)))
}

#[cfg(test)]
mod tests;
