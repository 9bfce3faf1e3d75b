//! Reads one file of a fixed layout into its staging table, checking every field on the way.

use std::collections::BTreeMap;
use std::path::Path;

use super::copy::Rows;
use super::kind::Kind;
use super::layout::{CONFIDENCE_COLUMN, Layout, Out, RETIRED_COLUMN};
use super::malformed::{Malformed, shown};
use super::progress::Meter;
use super::psv::Reader;

/// What a file held.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    /// Rows left out on purpose, by reason, where the file's layout doesn't stage them.
    pub(crate) skipped: BTreeMap<&'static str, u64>,
}

/// Reason of a row whose DATE_RETIRED is set.
pub(crate) const RETIRED: &str = "retired";
/// Reason of an address whose CONFIDENCE is -1.
pub(crate) const NO_SOURCE: &str = "no current source (confidence -1)";
const REPORT_EVERY: u64 = 4096;

/// Streams the file's rows: `lead` first, then the line number, the reason to skip (parents only), then what the layout says.
///
/// # Errors
/// [`Malformed`] at the first field that doesn't fit.
pub(crate) fn feed(layout: &Layout, path: &Path, lead: &str, meter: &Meter, rows: &mut Rows) -> anyhow::Result<Tally> {
    let mut reader = Reader::open(path, meter.clone())?;
    check_header(&reader, layout)?;
    let at = |name: &str| layout.columns.iter().position(|column| column.name == name);
    let retired = at(RETIRED_COLUMN);
    let confidence = at(CONFIDENCE_COLUMN);
    let outs: Vec<Vec<usize>> = layout
        .out
        .iter()
        .map(|out| match out {
            Out::Field(name) => at(name).into_iter().collect(),
            Out::Joined(names) => names.iter().filter_map(|name| at(name)).collect(),
        })
        .collect();
    let mut tally = Tally::default();
    while reader.next()? {
        tally.rows += 1;
        if tally.rows.is_multiple_of(REPORT_EVERY) {
            meter.rows(tally.rows);
        }
        check(&reader, layout)?;
        let set = |index: Option<usize>| index.map_or("", |index| reader.field(index));
        let skip = match (set(retired), set(confidence)) {
            (date, _) if !date.is_empty() => RETIRED,
            (_, "-1") => NO_SOURCE,
            _ => "",
        };
        if !skip.is_empty() && !layout.is_parent() {
            *tally.skipped.entry(skip).or_default() += 1;
            continue;
        }
        rows.text(lead);
        rows.number(reader.line());
        if layout.is_parent() {
            rows.text(skip);
        }
        for out in &outs {
            match out.as_slice() {
                &[index] => rows.text(reader.field(index)),
                several => rows.joined(several.iter().map(|index| reader.field(*index))),
            }
        }
        rows.end()?;
    }
    meter.done();
    Ok(tally)
}

/// The header must be the published one, column by column: a moved column would be read as another.
fn check_header(reader: &Reader, layout: &Layout) -> Result<(), Malformed> {
    for (index, wanted) in layout.columns.iter().enumerate() {
        let found = reader.header().get(index);
        if found.is_none_or(|found| found != wanted.name) {
            let found = found.map_or_else(|| "the end of the header".to_owned(), |found| shown(found.as_bytes()));
            return Err(Malformed::field(reader.path(), 1, index, wanted.name, found, format!("{:?}", wanted.name)));
        }
    }
    match reader.header().get(layout.columns.len()) {
        Some(extra) => {
            let index = layout.columns.len();
            Err(Malformed::field(reader.path(), 1, index, extra, shown(extra.as_bytes()), "the end of the header"))
        }
        None => Ok(()),
    }
}

fn check(reader: &Reader, layout: &Layout) -> Result<(), Malformed> {
    for (index, column) in layout.columns.iter().enumerate() {
        check_field(reader, index, column.kind, column.required)?;
    }
    Ok(())
}

/// One field against its type.
///
/// # Errors
/// Naming the place, when it doesn't fit or is missing.
pub(crate) fn check_field(reader: &Reader, index: usize, kind: Kind, required: bool) -> Result<(), Malformed> {
    let value = reader.field(index);
    if value.is_empty() {
        return if required { Err(reader.fault(index, format!("a value: {}", kind.expected()))) } else { Ok(()) };
    }
    if kind.fits(value) { Ok(()) } else { Err(reader.fault(index, kind.expected())) }
}
