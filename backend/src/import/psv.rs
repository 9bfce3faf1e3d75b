//! Reads pipe-separated files: a header row, no quoting and no escapes (a backslash is data), LF or CRLF, a byte-order mark
//! allowed, an empty field is NULL. Gzip is recognised by its magic number, not by the name.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;

use super::malformed::{Malformed, shown};
use super::progress::Meter;

/// No line of a release comes near this; a longer one is a file of another kind.
const LONGEST_LINE: u64 = 64 * 1024;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Opens a file, through gzip where it begins like one; what is read from the disk moves `meter`.
///
/// # Errors
/// When the file can't be opened or read.
pub(crate) fn open(path: &Path, meter: Meter) -> anyhow::Result<Box<dyn BufRead>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut raw = BufReader::with_capacity(256 * 1024, meter.wrap(file));
    let start = raw.fill_buf().with_context(|| format!("cannot read {}", path.display()))?;
    if start.starts_with(&GZIP) {
        return Ok(Box::new(BufReader::with_capacity(256 * 1024, MultiGzDecoder::new(raw))));
    }
    Ok(Box::new(raw))
}

/// One file being read, holding its current line.
pub(crate) struct Reader {
    path: PathBuf,
    input: Box<dyn BufRead>,
    header: Vec<String>,
    line: u64,
    text: String,
    fields: Vec<Range<usize>>,
}

impl Reader {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// [`Malformed`] when there is no header line or it isn't UTF-8; else as [`open`].
    pub(crate) fn open(path: &Path, meter: Meter) -> anyhow::Result<Self> {
        let input = open(path, meter)?;
        let mut reader =
            Self { path: path.to_owned(), input, header: Vec::new(), line: 0, text: String::new(), fields: Vec::new() };
        if !reader.read_line()? {
            return Err(Malformed::line(path, 1, "an empty file", "a header row").into());
        }
        let header = reader.text.trim_start_matches('\u{feff}');
        reader.header = header.split('|').map(str::to_owned).collect();
        Ok(reader)
    }

    /// Column names, in the file's order.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves to the next row; false at the end of the file.
    ///
    /// # Errors
    /// [`Malformed`] when the row is not UTF-8, too long, or has another number of fields than the header.
    pub(crate) fn next(&mut self) -> anyhow::Result<bool> {
        if !self.read_line()? {
            return Ok(false);
        }
        self.fields.clear();
        let mut start = 0;
        for (at, byte) in self.text.bytes().enumerate() {
            if byte == b'|' {
                self.fields.push(start..at);
                start = at + 1;
            }
        }
        self.fields.push(start..self.text.len());
        if self.fields.len() != self.header.len() {
            return Err(Malformed::line(
                &self.path,
                self.line,
                format!("{} fields", self.fields.len()),
                format!("{} as in the header", self.header.len()),
            )
            .into());
        }
        Ok(true)
    }

    /// Number of the current line, the header being 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// A field of the current row; empty means NULL.
    pub(crate) fn field(&self, index: usize) -> &str {
        self.fields.get(index).and_then(|range| self.text.get(range.clone())).unwrap_or_default()
    }

    /// The error for a field of the current row.
    pub(crate) fn fault(&self, index: usize, expected: impl Into<String>) -> Malformed {
        let name = self.header.get(index).map_or("", String::as_str);
        Malformed::field(&self.path, self.line, index, name, shown(self.field(index).as_bytes()), expected)
    }

    /// Reads one line without its end into `text`; false at the end of the file.
    fn read_line(&mut self) -> anyhow::Result<bool> {
        self.line += 1;
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.clear();
        let read = self
            .input
            .by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut bytes)
            .with_context(|| format!("cannot read {}, line {}", self.path.display(), self.line))?;
        if read == 0 {
            return Ok(false);
        }
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        } else if read as u64 == LONGEST_LINE {
            let found = format!("more than {LONGEST_LINE} bytes without a line end");
            return Err(Malformed::line(&self.path, self.line, found, "a row").into());
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.text = text,
            Err(error) => return Err(self.not_utf8(error.as_bytes(), error.utf8_error().valid_up_to()).into()),
        }
        Ok(true)
    }

    fn not_utf8(&self, bytes: &[u8], at: usize) -> Malformed {
        let before = bytes.get(..at).unwrap_or_default();
        let index = before.iter().filter(|byte| **byte == b'|').count();
        let name = self.header.get(index).map_or("", String::as_str);
        let found = format!("the byte 0x{:02x}", bytes.get(at).copied().unwrap_or_default());
        Malformed::field(&self.path, self.line, index, name, found, "UTF-8")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn rows(bytes: &[u8]) -> anyhow::Result<Vec<Vec<String>>> {
        let file = written(bytes);
        let mut reader = Reader::open(file.path(), Meter::silent())?;
        let width = reader.header().len();
        let mut rows = vec![reader.header().to_vec()];
        while reader.next()? {
            rows.push((0..width).map(|index| reader.field(index).to_owned()).collect());
        }
        Ok(rows)
    }

    #[test]
    fn line_ends_marks_and_backslashes() {
        let wanted = vec![vec!["A", "B"], vec!["14\\PS349838", ""], vec!["\"x", "é"]];
        assert_eq!(rows("A|B\n14\\PS349838|\n\"x|é\n".as_bytes()).unwrap(), wanted, "LF");
        assert_eq!(rows("\u{feff}A|B\r\n14\\PS349838|\r\n\"x|é\r\n".as_bytes()).unwrap(), wanted, "CRLF and mark");
        assert_eq!(rows("A|B\n14\\PS349838|\n\"x|é".as_bytes()).unwrap(), wanted, "no line end at the end");
    }

    #[test]
    fn gzip_is_known_by_its_content() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"A|B\n1|2\n").unwrap();
        assert_eq!(rows(&packed.finish().unwrap()).unwrap(), vec![vec!["A", "B"], vec!["1", "2"]]);
    }

    #[rstest::rstest]
    #[case::few(b"A|B\n1|2\n3\n", ":3: found 1 fields, expected 2 as in the header")]
    #[case::many(b"A|B\n1|2|3\n", ":2: found 3 fields, expected 2")]
    #[case::blank(b"A|B\n\n1|2\n", ":2: found 1 fields")]
    #[case::latin1(b"A|B\n1|caf\xe9\n", ":2:2: column 2 (B): found the byte 0xe9, expected UTF-8")]
    #[case::empty(b"", ":1: found an empty file, expected a header row")]
    fn faults_name_their_place(#[case] bytes: &[u8], #[case] wanted: &str) {
        let error = rows(bytes).unwrap_err();
        assert!(error.downcast_ref::<Malformed>().is_some(), "{error:#}");
        assert!(error.to_string().contains(wanted), "{error} lacks {wanted}");
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let error = rows(&[b'x'; 200_000]).unwrap_err();
        assert!(error.to_string().contains("65536 bytes without a line end"), "{error}");
    }

    proptest::proptest! {
        /// Whatever the bytes: rows as wide as the header, or a fault with its place.
        #[test]
        fn any_bytes_are_rows_or_a_fault(bytes in proptest::collection::vec(proptest::sample::select(b"A1|\\\"\r\n\xc3\xa9\xff\0".to_vec()), 0..200)) {
            match rows(&bytes) {
                Ok(rows) => proptest::prop_assert!(rows.iter().all(|row| row.len() == rows[0].len())),
                Err(error) => proptest::prop_assert!(error.downcast_ref::<Malformed>().is_some(), "{error:#}"),
            }
        }

        /// What is written is what is read.
        #[test]
        fn fields_survive(table in proptest::collection::vec(proptest::collection::vec("[^|\r\n]{0,12}", 3), 1..8)) {
            let text: String = table.iter().map(|row| row.join("|") + "\r\n").collect();
            let mut wanted = table;
            // A mark at the very beginning is no data.
            wanted[0][0] = wanted[0][0].trim_start_matches('\u{feff}').to_owned();
            proptest::prop_assert_eq!(rows(text.as_bytes()).unwrap(), wanted);
        }
    }
}
