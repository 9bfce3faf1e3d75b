//! Request bodies in gzip (RFC 9110 section 8.4.1.3), inflated as they come in. The bound of the route holds for what comes
//! out, before it is taken: a kilobyte can hold a gigabyte.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use crate::cause::{Cause, Code};

/// What is accepted, in `Accept-Encoding` of a refusal (RFC 7694).
pub(super) const ACCEPTED: &str = "gzip";

/// One body.
#[derive(Debug)]
pub struct Inflate {
    decoder: MultiGzDecoder<Bounded>,
    most: u64,
}

/// Room for what comes out.
#[derive(Debug, Default)]
struct Bounded {
    out: Vec<u8>,
    left: usize,
    is_full: bool,
}

impl Inflate {
    /// For a body that may hold so many bytes.
    #[must_use]
    pub fn new(most: u64) -> Self {
        let left = usize::try_from(most).unwrap_or(usize::MAX);
        Self { decoder: MultiGzDecoder::new(Bounded { left, ..Bounded::default() }), most }
    }

    /// The next piece; gives what it holds, which may be nothing.
    ///
    /// # Errors
    /// Where the body is no gzip, or holds more.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, Cause> {
        let done = self.decoder.write_all(piece).and_then(|()| self.decoder.flush());
        self.taken(done)
    }

    /// After the last piece.
    ///
    /// # Errors
    /// Where the body is not whole, or its checksum is wrong.
    pub fn end(&mut self) -> Result<Vec<u8>, Cause> {
        let done = self.decoder.try_finish();
        self.taken(done)
    }

    fn taken(&mut self, done: io::Result<()>) -> Result<Vec<u8>, Cause> {
        let room = self.decoder.get_mut();
        match done {
            Ok(()) => Ok(std::mem::take(&mut room.out)),
            Err(_) if room.is_full => Err(super::too_large(self.most)),
            Err(_) => {
                let message = "Content-Encoding says gzip, but the body is not whole and well-formed gzip.";
                Err(Cause::new(Code::InvalidRequest, "body_coding", message).closing())
            }
        }
    }
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.left {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.left -= bytes.len();
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, GzBuilder};
    use rstest::rstest;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut coder = GzBuilder::new().filename("a.json").write(Vec::new(), Compression::best());
        coder.write_all(text).unwrap();
        coder.finish().unwrap()
    }

    fn inflated(body: &[u8], piece: usize) -> Result<Vec<u8>, &'static str> {
        let mut inflate = Inflate::new(1000);
        let mut out = Vec::new();
        for piece in body.chunks(piece) {
            out.extend(inflate.push(piece).map_err(|cause| cause.reason)?);
        }
        out.extend(inflate.end().map_err(|cause| cause.reason)?);
        Ok(out)
    }

    #[rstest]
    #[case(1)]
    #[case(7)]
    #[case(100_000)]
    fn how_it_comes_makes_no_difference(#[case] piece: usize) {
        let text = br#"{"address": "6 Collins St"}"#.repeat(30);
        assert_eq!(inflated(&gzip(&text), piece).unwrap(), text);
        assert_eq!(inflated(&[gzip(b"[1,"), gzip(b"2]")].concat(), piece).unwrap(), b"[1,2]");
        assert_eq!(inflated(&gzip(&[b'x'; 1000]), piece).unwrap().len(), 1000);
        assert_eq!(inflated(&gzip(&[b'x'; 1001]), piece), Err("body_size"));
        assert_eq!(inflated(&gzip(&vec![b'x'; 50 << 20]), piece), Err("body_size"));
    }

    #[rstest]
    #[case(b"{}".to_vec())]
    #[case(gzip(b"{}")[..15].to_vec())]
    #[case([gzip(b"{}"), b"x".to_vec()].concat())]
    #[case({ let mut coded = gzip(b"{\"a\":1}"); let at = coded.len() - 8; coded[at] ^= 1; coded })]
    #[case({ let coded = gzip(b"{}"); coded[..coded.len() - 1].to_vec() })]
    #[case(Vec::new())]
    fn what_is_no_whole_gzip_is_refused(#[case] body: Vec<u8>) {
        for piece in [1, 1000] {
            assert_eq!(inflated(&body, piece), Err("body_coding"));
        }
    }
}
