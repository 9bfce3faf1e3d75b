//! Reads a GeoJSON feature collection one feature at a time, whatever its size, and its `crs` wherever it stands.
//!
//! Some programs write `NaN` and `Infinity` for numbers they don't have, which is no JSON; they are read as null.

use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::malformed::Malformed;
use super::progress::Meter;
use super::psv;

/// One feature. The geometry is as written, so that a bad one spoils no other.
#[derive(Debug, Deserialize)]
pub(crate) struct Feature {
    #[serde(default)]
    pub(crate) properties: Option<Map<String, Value>>,
    #[serde(default)]
    pub(crate) geometry: Option<Value>,
}

/// What a collection says of itself.
#[derive(Debug, Default)]
pub(crate) struct About {
    /// The name in `crs`, which RFC 7946 no longer has and GDAL still writes: `urn:ogc:def:crs:EPSG::7844`.
    pub(crate) crs: Option<String>,
    pub(crate) features: u64,
}

/// Whether to go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Go,
    Stop,
}

/// Hands every feature to `each`, until that stops or fails.
///
/// # Errors
/// `each`'s; [`Malformed`] where the text is no JSON or a feature none; the file's.
pub(crate) fn read(
    path: &Path,
    meter: &Meter,
    each: &mut dyn FnMut(Feature) -> anyhow::Result<Next>,
) -> anyhow::Result<About> {
    let input = Finite::new(psv::open(path, meter.clone())?);
    let mut json = serde_json::Deserializer::from_reader(BufReader::with_capacity(128 * 1024, input));
    let mut about = About::default();
    let mut end = None;
    let outcome = Top { each, about: &mut about, end: &mut end }.deserialize(&mut json).and_then(|()| json.end());
    match (end, outcome) {
        (Some(Ok(())), _) | (None, Ok(())) => Ok(about),
        (Some(Err(error)), _) => Err(error),
        (None, Err(error)) if error.is_io() => {
            Err(error).with_context(|| format!("cannot read {}, line {}", path.display(), about.features + 1))
        }
        (None, Err(error)) => {
            let found = format!("{error} (character {})", error.column());
            Err(Malformed::line(path, error.line() as u64, found, "a GeoJSON feature").into())
        }
    }
}

struct Top<'a> {
    each: &'a mut dyn FnMut(Feature) -> anyhow::Result<Next>,
    about: &'a mut About,
    /// How `each` ended the reading.
    end: &'a mut Option<anyhow::Result<()>>,
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a GeoJSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "crs" => {
                    let crs: Value = map.next_value()?;
                    self.about.crs = crs["properties"]["name"].as_str().map(str::to_owned);
                }
                "features" => map.next_value_seed(Features { each: self.each, about: self.about, end: self.end })?,
                _ => _ = map.next_value::<IgnoredAny>()?,
            }
        }
        Ok(())
    }
}

struct Features<'a> {
    each: &'a mut dyn FnMut(Feature) -> anyhow::Result<Next>,
    about: &'a mut About,
    end: &'a mut Option<anyhow::Result<()>>,
}

impl<'de> DeserializeSeed<'de> for Features<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Features<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of features")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut features: A) -> Result<(), A::Error> {
        while let Some(feature) = features.next_element()? {
            self.about.features += 1;
            let end = match (self.each)(feature) {
                Ok(Next::Go) => continue,
                Ok(Next::Stop) => Ok(()),
                Err(error) => Err(error),
            };
            *self.end = Some(end);
            return Err(A::Error::custom("stopped"));
        }
        Ok(())
    }
}

/// The longest word that stands for a number which is none, with room for its sign.
const LONGEST: usize = 16;

/// Turns the words `NaN`, `Infinity` and `inf`, with a sign or without, into `null` where JSON has no words of its own:
/// outside of strings.
struct Finite<R> {
    inner: R,
    buffer: Vec<u8>,
    /// Bytes ready to be read, from `at` on.
    ready: Vec<u8>,
    at: usize,
    /// A sign and letters that may become such a word.
    word: Vec<u8>,
    in_string: bool,
    escaped: bool,
    begun: bool,
}

impl<R: Read> Finite<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            buffer: vec![0; 64 * 1024],
            ready: Vec::new(),
            at: 0,
            word: Vec::with_capacity(LONGEST),
            in_string: false,
            escaped: false,
            begun: false,
        }
    }

    fn take(&mut self, byte: u8) {
        if self.in_string {
            self.ready.push(byte);
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        let goes_on = byte.is_ascii_alphabetic() || (self.word.is_empty() && matches!(byte, b'-' | b'+'));
        if goes_on && self.word.len() < LONGEST {
            self.word.push(byte);
            return;
        }
        self.settle();
        self.in_string = byte == b'"';
        self.ready.push(byte);
    }

    fn settle(&mut self) {
        let letters = self.word.iter().position(u8::is_ascii_alphabetic).map_or(&[][..], |at| &self.word[at..]);
        let known = [&b"nan"[..], b"inf", b"infinity"];
        match known.iter().any(|word| letters.eq_ignore_ascii_case(word)) {
            true => self.ready.extend_from_slice(b"null"),
            false => self.ready.extend_from_slice(&self.word),
        }
        self.word.clear();
    }
}

impl<R: Read> Read for Finite<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.ready.len() {
            (self.at, self.ready) = (0, {
                self.ready.clear();
                std::mem::take(&mut self.ready)
            });
            let mut buffer = std::mem::take(&mut self.buffer);
            let read = self.inner.read(&mut buffer);
            if let Ok(read) = read {
                let bytes = buffer.get(..read).unwrap_or_default();
                // A byte-order mark, where the file begins with one.
                let mark = if self.begun { None } else { bytes.strip_prefix(b"\xef\xbb\xbf") };
                self.begun = true;
                mark.unwrap_or(bytes).iter().for_each(|byte| self.take(*byte));
            }
            self.buffer = buffer;
            if read? == 0 {
                self.settle();
                break;
            }
        }
        let some = self.ready.get(self.at..).unwrap_or_default();
        let count = some.len().min(into.len());
        into[..count].copy_from_slice(&some[..count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finite(text: &str) -> String {
        // One byte at a time, so that every word is torn.
        struct Torn<'a>(&'a [u8]);
        impl Read for Torn<'_> {
            fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
                (into[0], self.0) = (*first, rest);
                Ok(1)
            }
        }
        let (mut torn, mut whole) = (String::new(), String::new());
        Finite::new(Torn(text.as_bytes())).read_to_string(&mut torn).unwrap();
        Finite::new(text.as_bytes()).read_to_string(&mut whole).unwrap();
        assert_eq!(torn, whole);
        whole
    }

    #[rstest::rstest]
    #[case("[NaN,-NaN, nan ,Infinity,-Infinity,inf]", "[null,null, null ,null,null,null]")]
    #[case(r#"{"a NaN":"-NaN \" NaN","b":NaN}"#, r#"{"a NaN":"-NaN \" NaN","b":null}"#)]
    #[case("[true,false,null,-1.5e-7,1E+5]", "[true,false,null,-1.5e-7,1E+5]")]
    #[case("NaN", "null")]
    #[case("-", "-")]
    fn words_for_no_number_become_null(#[case] text: &str, #[case] wanted: &str) {
        assert_eq!(finite(text), wanted);
    }

    proptest::proptest! {
        /// Whatever is JSON already stays as it is.
        #[test]
        fn json_passes_unchanged(text in r#"[-+a-zA-Z0-9."\\\[\]{}:, é]{0,40}"#) {
            let json = serde_json::to_string(&serde_json::json!({"text": text, "list": [1.5, -2, true, null]})).unwrap();
            proptest::prop_assert_eq!(finite(&json), json);
        }
    }

    #[test]
    fn a_crs_is_read_wherever_it_stands() {
        let crs = r#""crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::4283"}}"#;
        let features = r#""features":[{"type":"Feature","properties":null,"geometry":null},{"properties":{"a":1}}]"#;
        for text in [
            format!("\u{feff}{{\"type\":\"FeatureCollection\",{crs},{features}}}"),
            format!("{{{features},{crs},\"type\":\"FeatureCollection\"}}\n"),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let mut seen = 0;
            let mut count = |_| {
                seen += 1;
                Ok(Next::Go)
            };
            let about = read(file.path(), &Meter::silent(), &mut count).unwrap();
            assert_eq!((about.features, seen), (2, 2));
            assert_eq!(about.crs.as_deref(), Some("urn:ogc:def:crs:EPSG::4283"));
        }
    }
}
