//! Decodes what an upstream codes although it was asked for `identity`: not all clients accept a coding, and the store, ranges
//! and `meta` need the plain body.

use std::io::Write;

use addrgate_filters::http::cache_policy::list;
use addrgate_filters::reply::{Cause, Code};
use bytes::Bytes;
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::{Error, ErrorType, Result};

use crate::edit::edit;

/// The largest body that is decoded; a small one may code a huge one.
const LARGEST: usize = 64 << 20;

/// Decoded at a time. Both codings grow a thousandfold at most, so that bounds what is held.
const STEP: usize = 1 << 10;

/// Codings that are registered (IANA, HTTP Content Coding Registry) and can't be decoded here.
const OTHERS: &[&str] = &["aes128gcm", "br", "compress", "dcb", "dcz", "exi", "pack200-gzip", "x-compress", "zstd"];

fn is_coding(name: &[u8]) -> bool {
    OTHERS.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

/// Decodes the body of one response.
pub(crate) struct Decoder {
    coding: Coding,
    /// Something came.
    begun: bool,
    decoded: usize,
}

enum Coding {
    Gzip(MultiGzDecoder<Vec<u8>>),
    Deflate(ZlibDecoder<Vec<u8>>),
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("decoded", &self.decoded).finish_non_exhaustive()
    }
}

impl Decoder {
    /// What decodes this response, its head changed into that of the plain body; `None` where it is plain. `has_body`: a body
    /// follows.
    ///
    /// # Errors
    /// Where the coding is another one than gzip and deflate, or the body a part of the coded one.
    pub(crate) fn new(answer: &mut ResponseHeader, has_body: bool) -> Result<Option<Self>, Cause> {
        let lines = answer.headers.get_all(header::CONTENT_ENCODING).iter();
        let codings: Vec<&[u8]> = lines.flat_map(|line| list::members(line.as_bytes())).collect();
        let coding = match codings.as_slice() {
            [] => return Ok(None),
            [one] if one.eq_ignore_ascii_case(b"identity") => None,
            [one] if one.eq_ignore_ascii_case(b"gzip") || one.eq_ignore_ascii_case(b"x-gzip") => {
                Some(Coding::Gzip(MultiGzDecoder::new(Vec::new())))
            }
            [one] if one.eq_ignore_ascii_case(b"deflate") => Some(Coding::Deflate(ZlibDecoder::new(Vec::new()))),
            // A name that is no coding is passed on as it is: no client can have meant to refuse it.
            [one] if !is_coding(one) => return Ok(None),
            _ if has_body => return Err(undecodable()),
            _ => None,
        };
        if coding.is_some() && answer.status == StatusCode::PARTIAL_CONTENT {
            return Err(undecodable());
        }
        let changed = edit(answer, |fields| plain(fields, coding.is_some(), has_body));
        changed.and_then(|done| done).map_err(|_| undecodable())?;
        Ok(coding.filter(|_| has_body).map(|coding| Self { coding, begun: false, decoded: 0 }))
    }

    /// The next piece of the plain body; `end` says that the coded one ends here.
    ///
    /// # Errors
    /// Where it is not what the head says, or too large.
    pub(crate) fn piece(&mut self, coded: &[u8], end: bool) -> Result<Bytes> {
        let wrong =
            |e: std::io::Error| Error::because(ErrorType::InvalidHTTPHeader, "a body coded wrongly", e).into_up();
        let mut plain = Vec::new();
        self.begun |= !coded.is_empty();
        for step in coded.chunks(STEP) {
            let made = match &mut self.coding {
                Coding::Gzip(decoder) => decode(decoder, step).map(|()| std::mem::take(decoder.get_mut())),
                Coding::Deflate(decoder) => decode(decoder, step).map(|()| std::mem::take(decoder.get_mut())),
            };
            let made = made.map_err(wrong)?;
            self.decoded += made.len();
            if self.decoded > LARGEST {
                return Err(Error::explain(ErrorType::InvalidHTTPHeader, "a coded body is too large").into_up());
            }
            plain.extend_from_slice(&made);
        }
        // No body at all is an empty one.
        if end && self.begun {
            let rest = match &mut self.coding {
                Coding::Gzip(decoder) => decoder.try_finish().map(|()| std::mem::take(decoder.get_mut())),
                Coding::Deflate(decoder) => decoder.try_finish().map(|()| std::mem::take(decoder.get_mut())),
            };
            plain.extend_from_slice(&rest.map_err(wrong)?);
        }
        Ok(plain.into())
    }
}

fn decode(decoder: &mut impl Write, step: &[u8]) -> std::io::Result<()> {
    decoder.write_all(step)?;
    decoder.flush()
}

/// The fields of the plain body: its length is not known, and a strong validator is not its own.
fn plain(fields: &mut HeaderMap, decoded: bool, has_body: bool) -> Result<()> {
    fields.remove(header::CONTENT_ENCODING);
    if !decoded {
        return Ok(());
    }
    for name in ["content-md5", "content-digest", "repr-digest", "digest", "accept-ranges", "content-length"] {
        fields.remove(name);
    }
    if has_body {
        fields.insert(header::TRANSFER_ENCODING, header::HeaderValue::from_static("chunked"));
    }
    let weak = fields.get(header::ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"));
    if let Some(weak) = weak.map(|tag| header::HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())) {
        let weak = weak.map_err(|e| Error::because(ErrorType::InvalidHTTPHeader, "an entity tag", e))?;
        fields.insert(header::ETAG, weak);
    }
    Ok(())
}

fn undecodable() -> Cause {
    let message = "The upstream service sent a content coding that was not requested.";
    Cause::new(Code::BadGateway, "upstream_coding", message).retry_after(super::answer::SOON)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::Compression;
    use flate2::read::{GzEncoder, ZlibEncoder};
    use rstest::rstest;

    use super::*;

    fn answer(status: u16, coding: &str) -> ResponseHeader {
        let mut answer = ResponseHeader::build(status, None).unwrap();
        for (name, value) in [("content-encoding", coding), ("content-length", "5"), ("etag", "\"a\"")] {
            answer.insert_header(name, value).unwrap();
        }
        answer
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut coded = Vec::new();
        GzEncoder::new(plain, Compression::fast()).read_to_end(&mut coded).unwrap();
        coded
    }

    #[test]
    fn pieces_of_any_size_are_decoded() {
        let plain: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut deflate = Vec::new();
        ZlibEncoder::new(&*plain, Compression::fast()).read_to_end(&mut deflate).unwrap();
        let twice = [gzip(&plain[..7]), gzip(&plain[7..])].concat();
        for (coding, coded) in [("gzip", gzip(&plain)), ("X-GZip", twice), ("deflate", deflate)] {
            for size in [1, 1000, 1_000_000] {
                let mut head = answer(200, coding);
                let mut decoder = Decoder::new(&mut head, true).unwrap().unwrap();
                let pieces = coded.chunks(size).map(|piece| decoder.piece(piece, false).unwrap());
                let mut got: Vec<u8> = pieces.collect::<Vec<_>>().concat();
                got.extend_from_slice(&decoder.piece(b"", true).unwrap());
                assert!(got == plain, "{coding} {size}");
                assert_eq!(head.headers["etag"], "W/\"a\"");
                assert!(!head.headers.contains_key("content-encoding") && !head.headers.contains_key("content-length"));
            }
        }
    }

    #[test]
    fn what_is_wrong_or_huge_is_an_error() {
        let decoder = |coding| Decoder::new(&mut answer(200, coding), true).unwrap().unwrap();
        assert!(decoder("gzip").piece(b"plain text", true).is_err());
        let coded = gzip(b"some text");
        assert!(decoder("gzip").piece(&coded[..coded.len() - 9], true).is_err(), "cut short");
        assert!(decoder("gzip").piece(&gzip(&vec![0; LARGEST + 1]), true).is_err());
    }

    #[rstest]
    #[case(200, "identity", true, Some(false))]
    #[case(200, "gzip", true, Some(true))]
    #[case(200, "gzip", false, Some(false))]
    #[case(206, "gzip", true, None)]
    #[case(200, "br", true, None)]
    #[case(200, "gzip, gzip", true, None)]
    #[case(304, "br", false, Some(false))]
    fn codings(#[case] status: u16, #[case] coding: &str, #[case] body: bool, #[case] decodes: Option<bool>) {
        let mut head = answer(status, coding);
        let made = Decoder::new(&mut head, body).ok();
        assert_eq!(made.as_ref().map(Option::is_some), decodes);
        assert!(made.is_none() || !head.headers.contains_key("content-encoding"));
    }
}
