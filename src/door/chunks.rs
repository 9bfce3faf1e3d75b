//! Reads a body in chunks (RFC 9112 section 7.1) byte by byte as it comes in: a byte that no grammar has there is refused at
//! once, and what is left in place of the chunks is the bare body.

use addrgate_filters::reply::{Cause, Code};
use addrgate_filters::request_body::too_large;

/// Bytes of the line before a chunk.
const LINE: usize = 256;

/// Bytes of all fields after the body.
const TRAILERS: usize = 8 << 10;

/// What the next byte may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The first digit of a size.
    First,
    Size,
    /// Blanks before a `;`, or after a name before a `=`.
    Blank {
        named: bool,
    },
    /// After a `;`: the name of an extension, blanks before it.
    NameBegin,
    Name,
    /// After a `=`: its value, blanks before it.
    ValueBegin,
    Value,
    Quoted,
    Escaped,
    /// After the quotes.
    ValueEnd,
    LineEnd,
    Data,
    DataCr,
    DataEnd,
    /// A field after the body, or the end.
    FieldBegin,
    FieldName,
    FieldValue,
    FieldEnd,
    LastEnd,
    Done,
}

/// Decodes the chunks of one request body in place, byte by byte (RFC 9112 section 7.1).
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    /// Bytes of the bare body, which lie at the beginning.
    body: usize,
    /// Bytes read.
    read: usize,
    /// Bytes of the current line, or of all fields after the body.
    line: usize,
    /// Where the name of the current field begins.
    name: usize,
    /// What is left of the current chunk.
    left: u64,
    last: bool,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self { at: At::First, body: 0, read: 0, line: 0, name: 0, left: 0, last: false }
    }

    /// Reads on in `wire`, which begins with the body; `most` bytes of it are accepted. Gives the length of the bare body once
    /// all is there: then it lies at the beginning of `wire`, and what follows it comes after [`Chunks::read`] bytes.
    ///
    /// # Errors
    /// Where it is malformed, larger than `most`, or more framing than what it frames.
    pub(super) fn read(&mut self, wire: &mut [u8], most: u64) -> Result<Option<usize>, Cause> {
        // Framing that is larger than what it frames is not for us.
        let framed = usize::try_from(most).unwrap_or(usize::MAX).saturating_mul(2).saturating_add(16 << 10);
        while self.read < wire.len() && self.at != At::Done {
            if self.read > framed {
                return Err(too_large(most));
            }
            if self.at == At::Data {
                let here = (wire.len() - self.read).min(usize::try_from(self.left).unwrap_or(usize::MAX));
                wire.copy_within(self.read..self.read + here, self.body);
                self.body += here;
                self.read += here;
                self.left -= here as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            let byte = wire[self.read];
            self.at = self.next(byte).ok_or_else(|| malformed(self.last))?;
            self.bounds(wire, byte)?;
            self.read += 1;
            if self.body as u64 + self.left > most {
                return Err(too_large(most));
            }
        }
        Ok((self.at == At::Done).then_some(self.body))
    }

    /// Bytes of the body on the wire.
    pub(super) fn length(&self) -> usize {
        self.read
    }

    /// `None` where the byte can't be there.
    fn next(&mut self, byte: u8) -> Option<At> {
        Some(match (self.at, byte) {
            (At::First | At::Size, digit) if digit.is_ascii_hexdigit() => {
                let value = char::from(digit).to_digit(16)?;
                // A size beyond 64 bits is larger than any bound.
                self.left = self.left.checked_mul(16).map_or(u64::MAX, |left| left | u64::from(value));
                At::Size
            }
            (At::Size | At::Value | At::Name | At::ValueEnd, b'\r') => At::LineEnd,
            (At::Size | At::Value | At::ValueEnd, b' ' | b'\t') => At::Blank { named: false },
            (At::Name, b' ' | b'\t') => At::Blank { named: true },
            (at @ (At::Blank { .. } | At::NameBegin | At::ValueBegin), b' ' | b'\t') => at,
            (At::Size | At::Value | At::Name | At::ValueEnd | At::Blank { .. }, b';') => At::NameBegin,
            (At::Name | At::Blank { named: true }, b'=') => At::ValueBegin,
            (At::NameBegin | At::Name, byte) if is_token(byte) => At::Name,
            (At::ValueBegin | At::Value, byte) if is_token(byte) => At::Value,
            (At::ValueBegin, b'"') => At::Quoted,
            (At::Quoted, b'"') => At::ValueEnd,
            (At::Quoted, b'\\') => At::Escaped,
            (At::Quoted | At::Escaped, byte) if is_text(byte) => At::Quoted,
            (At::LineEnd, b'\n') => {
                self.line = 0;
                self.last = self.left == 0;
                if self.last { At::FieldBegin } else { At::Data }
            }
            (At::DataCr, b'\r') => At::DataEnd,
            (At::DataEnd, b'\n') => {
                self.line = 0;
                At::First
            }
            (At::FieldBegin, b'\r') => At::LastEnd,
            (At::FieldBegin | At::FieldName, byte) if is_token(byte) => At::FieldName,
            (At::FieldName, b':') => At::FieldValue,
            (At::FieldValue, b'\r') => At::FieldEnd,
            (At::FieldValue, byte) if is_text(byte) => At::FieldValue,
            (At::FieldEnd, b'\n') => At::FieldBegin,
            (At::LastEnd, b'\n') => At::Done,
            _ => return None,
        })
    }

    /// The bounds of lines and fields, and which fields may come at all, at a byte that was accepted.
    fn bounds(&mut self, wire: &[u8], byte: u8) -> Result<(), Cause> {
        self.line += 1;
        match self.at {
            At::FieldName if self.name == 0 => self.name = self.read,
            At::FieldValue if byte == b':' && self.name > 0 => {
                let name = std::mem::take(&mut self.name);
                if says_more(&wire[name..self.read]) {
                    let message = "A field after the body may not say how the request is framed, routed or authorised.";
                    return Err(Cause::new(Code::InvalidRequest, "trailer", message).closing());
                }
            }
            _ => {}
        }
        match self.last {
            false if self.line > LINE => Err(malformed(false)),
            true if self.line > TRAILERS => {
                let message = "The fields after the body are too large.";
                Err(Cause::new(Code::HeadersTooLarge, "head_size", message).closing())
            }
            _ => Ok(()),
        }
    }
}

fn malformed(is_trailer: bool) -> Cause {
    let (reason, message) = match is_trailer {
        true => ("trailer", "A field after the body is malformed."),
        false => ("chunks", "The chunks of the body are malformed."),
    };
    Cause::new(Code::InvalidRequest, reason, message).closing()
}

/// `tchar` of RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    addrgate_filters::http::cache_policy::list::is_token(byte)
}

/// What a field value or a quoted string may hold: visible characters, blanks, and bytes that are not ASCII.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Whether a field says what has to be known before the body (RFC 9110 section 6.5.1).
fn says_more(name: &[u8]) -> bool {
    const NAMES: [&str; 9] = [
        "content-length",
        "transfer-encoding",
        "content-type",
        "content-encoding",
        "host",
        "authorization",
        "x-api-key",
        "connection",
        "trailer",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// The bare body and what follows it, once all is there.
    fn read(wire: &str) -> Result<Option<(String, String)>, &'static str> {
        let (mut bytes, mut chunks) = (wire.as_bytes().to_vec(), Chunks::new());
        let body = chunks.read(&mut bytes, 64).map_err(|cause| cause.reason)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok(body.map(|body| (text(&bytes[..body]), text(&bytes[chunks.length()..]))))
    }

    #[rstest]
    #[case("0\r\n\r\n", "")]
    #[case("5\r\nabcde\r\n0\r\n\r\n", "abcde")]
    #[case("0005\r\nabcde\r\n000\r\n\r\n", "abcde")]
    #[case("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789")]
    #[case("5;x=y\r\nabcde\r\n0;last\r\n\r\n", "abcde")]
    #[case("5 ; x\t= \"a;\\\"b\" ;z\r\nabcde\r\n0\r\n\r\n", "abcde")]
    #[case("1\r\na\r\n0\r\nx: y\r\nEmpty:\r\n\r\n", "a")]
    fn accepted(#[case] wire: &str, #[case] body: &str) {
        assert_eq!(read(wire), Ok(Some((body.to_owned(), String::new()))));
        assert_eq!(read(&format!("{wire}GET")), Ok(Some((body.to_owned(), "GET".to_owned()))));
        for cut in 0..wire.len() {
            assert_eq!(read(&wire[..cut]), Ok(None), "{cut}");
        }
    }

    /// The last byte is the wrong one: nothing that follows is waited for.
    #[rstest]
    #[case("0\r\n\n", "trailer")]
    #[case("0\n", "chunks")]
    #[case("5\r\nabcde\n", "chunks")]
    #[case("5\r\nabcdef", "chunks")]
    #[case("g", "chunks")]
    #[case("-", "chunks")]
    #[case("+", "chunks")]
    #[case(" ", "chunks")]
    #[case("\r", "chunks")]
    #[case(";", "chunks")]
    #[case("0x", "chunks")]
    #[case("1_", "chunks")]
    #[case("1 \r", "chunks")]
    #[case("1;\r", "chunks")]
    #[case("1;\n", "chunks")]
    #[case("1;a=\r", "chunks")]
    #[case("1;a \r", "chunks")]
    #[case("1;a=b c", "chunks")]
    #[case("1;a=\"b\"c", "chunks")]
    #[case("1;a=\"\n", "chunks")]
    #[case("1;a@", "chunks")]
    #[case("1\ra", "chunks")]
    #[case("0\r\n ", "trailer")]
    #[case("0\r\nx ", "trailer")]
    #[case("0\r\n:", "trailer")]
    #[case("0\r\nx\r", "trailer")]
    #[case("0\r\nx: \x01", "trailer")]
    #[case("0\r\nx: y\n", "trailer")]
    #[case("0\r\nx: y\r\n ", "trailer")]
    #[case("0\r\nContent-Length:", "trailer")]
    #[case("0\r\na: b\r\nHOST:", "trailer")]
    #[case("41\r", "body_size")]
    #[case("fffffffffffffffffff", "body_size")]
    #[case("20\r\n01234567890123456789012345678901\r\n21", "body_size")]
    fn refused_at_once(#[case] wire: &str, #[case] reason: &str) {
        assert_eq!(read(wire), Err(reason));
        // A size may still become too large before its line ends.
        if reason != "body_size" {
            assert_eq!(read(&wire[..wire.len() - 1]), Ok(None));
        }
    }

    #[test]
    fn framing_has_bounds() {
        assert_eq!(read(&format!("1;{}", "a".repeat(LINE))), Err("chunks"));
        assert_eq!(read(&format!("{}1", "0".repeat(LINE))), Err("chunks"));
        assert_eq!(read(&format!("0\r\n{}", "a: b\r\n".repeat(TRAILERS / 6 + 1))), Err("head_size"));
        let (mut wire, mut chunks) = ("1;aaaaaaaaaa\r\nx\r\n".repeat(20_000).into_bytes(), Chunks::new());
        assert_eq!(chunks.read(&mut wire, 1 << 16).unwrap_err().reason, "body_size");
    }

    proptest! {
        #[test]
        fn where_it_is_cut_makes_no_difference(
            pieces in proptest::collection::vec("[a-z]{1,9}", 0..6), cuts in proptest::collection::vec(1..9_usize, 1..60),
        ) {
            let mut wire: String = pieces.iter().map(|piece| format!("{:x};q=\"1\"\r\n{piece}\r\n", piece.len())).collect();
            wire += "0\r\nx: y\r\n\r\n";
            let (mut chunks, mut have, mut bytes) = (Chunks::new(), 0, wire.clone().into_bytes());
            for cut in cuts.into_iter().chain([wire.len()]) {
                have = (have + cut).min(wire.len());
                let end = chunks.read(&mut bytes[..have], 64).unwrap();
                prop_assert_eq!(end.is_some(), have == wire.len());
                if let Some(end) = end {
                    prop_assert_eq!(String::from_utf8_lossy(&bytes[..end]), pieces.concat());
                    break;
                }
            }
        }

        #[test]
        fn nothing_panics(mut wire in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _whatever = Chunks::new().read(&mut wire, 64);
        }
    }
}
