//! Content codings of a kept answer (RFC 9110 section 8.4): made once for each, behind the reply to the first client that
//! wants it, so that no hit waits for a compressor and none compresses again.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::{Bytes, BytesMut};
use pingora::protocols::http::compression::Algorithm as Coder;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Algorithm {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

impl Algorithm {
    /// The word in `Accept-Encoding`.
    pub(crate) fn token(self) -> &'static str {
        match self {
            Algorithm::Zstd => "zstd",
            Algorithm::Br => "br",
            Algorithm::Gzip => "gzip",
        }
    }
}

/// The codings of one answer.
#[derive(Debug, Default)]
pub(crate) struct Codings {
    /// Most answers never need any.
    made: OnceLock<Box<[OnceLock<Option<Bytes>>; 3]>>,
    /// A bit for each that somebody makes or has made.
    begun: AtomicU8,
}

impl Codings {
    /// The body in this coding, once it is made; `Some(None)` where it would be no smaller.
    pub(super) fn get(&self, algorithm: Algorithm) -> Option<Option<&Bytes>> {
        self.made.get()?[place(algorithm)].get().map(Option::as_ref)
    }

    /// Whether the caller is the one to make it.
    pub(super) fn begin(&self, algorithm: Algorithm) -> bool {
        let bit = 1 << place(algorithm);
        self.begun.fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Makes it. May take milliseconds.
    pub(super) fn make(&self, algorithm: Algorithm, level: u8, body: &[u8]) {
        let coder = match algorithm {
            Algorithm::Zstd => Coder::Zstd,
            Algorithm::Br => Coder::Brotli,
            Algorithm::Gzip => Coder::Gzip,
        };
        let coded = coder.compressor(level.into()).and_then(|mut coder| coder.encode(body, true).ok());
        // An exact copy, of what is worth it: the coder's buffer is larger.
        let coded = coded.filter(|coded| coded.len() < body.len()).map(|coded| BytesMut::from(&*coded).freeze());
        self.made.get_or_init(Box::default)[place(algorithm)].get_or_init(|| coded);
    }

    /// Bytes of all that are made.
    pub(super) fn weight(&self) -> usize {
        self.made
            .get()
            .into_iter()
            .flat_map(|made| made.iter())
            .filter_map(|made| made.get()?.as_ref())
            .map(Bytes::len)
            .sum()
    }
}

fn place(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Zstd => 0,
        Algorithm::Br => 1,
        Algorithm::Gzip => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn each_is_made_once_and_is_the_body_again() {
        let (codings, body) = (Codings::default(), "{\"a\": 1}".repeat(500));
        assert_eq!(codings.get(Algorithm::Gzip), None);
        assert!(codings.begin(Algorithm::Gzip) && !codings.begin(Algorithm::Gzip) && codings.begin(Algorithm::Br));
        codings.make(Algorithm::Gzip, 4, body.as_bytes());
        let gzip = codings.get(Algorithm::Gzip).unwrap().unwrap();
        let mut again = String::new();
        flate2::read::GzDecoder::new(&**gzip).read_to_string(&mut again).unwrap();
        assert_eq!(again, body);
        assert_eq!(codings.weight(), gzip.len());
    }

    #[test]
    fn what_gets_no_smaller_is_sent_as_it_is() {
        let codings = Codings::default();
        codings.make(Algorithm::Zstd, 4, b"x");
        assert_eq!(codings.get(Algorithm::Zstd), Some(None));
    }
}
