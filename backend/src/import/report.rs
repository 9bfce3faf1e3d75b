//! What an import tells at its end: a table of what happened per table, and every reason for which rows were left out.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use tokio_postgres::Client;

use super::feed::{NO_SOURCE, RETIRED, Tally};
use super::outlines::{NO_NUMBER, NO_OUTLINE};
use super::publish::{Change, Changes};
use super::table::TABLES;

const SOURCES: &str = include_str!("../sql/import/sources.sql");
const PROBLEMS: &str = include_str!("../sql/import/problems.sql");

/// Reasons that are no fault of the row: it is history, or something better is served in its place.
pub(crate) const SKIPPED: &[&str] = &[
    RETIRED,
    NO_SOURCE,
    NO_OUTLINE,
    NO_NUMBER,
    "its address is not used",
    "a finer outline is given",
    "a finer outline is loaded",
    "a newer edition is given",
    "a newer edition is loaded",
    "the mesh block is known already",
];

/// Which table the rows of a file become; other files only complete rows of these.
fn table_of(file: &str) -> Option<&'static str> {
    Some(match file {
        "LOCALITY" => "locality",
        "LOCALITY_ALIAS" => "locality_alias",
        "LOCALITY_NEIGHBOUR" => "locality_neighbour",
        "STREET_LOCALITY" => "street",
        "STREET_LOCALITY_ALIAS" => "street_alias",
        "ADDRESS_DETAIL" | "flat" => "address",
        "ADDRESS_ALIAS" => "address_alias",
        "PRIMARY_SECONDARY" => "address_secondary",
        "MB_LOOKUP" | "MB_OUTLINE" => "mesh_block",
        "outline" => "area",
        "ADDRESS_BOUNDARY_TAGS" => "address_area",
        _ => return None,
    })
}

/// Rows that were read and are not served, for one reason.
struct Problem {
    source: String,
    file: String,
    reason: String,
    times: i64,
    examples: Vec<String>,
}

/// Counts of one line of the closing table.
#[derive(Default)]
struct Line {
    read: u64,
    skipped: u64,
    rejected: u64,
    change: Option<Change>,
}

/// All there is to tell.
pub(crate) struct Report {
    /// Source, release, datum and addresses served, one line each.
    sources: Vec<String>,
    lines: BTreeMap<String, Line>,
    problems: Vec<Problem>,
    /// Files that were not taken, and why.
    left: Vec<String>,
    changed: i64,
}

impl Report {
    /// `read` holds, per file kind, what was read of it.
    ///
    /// # Errors
    /// The server's, when it can't tell the problems.
    pub(crate) async fn collect(
        client: &Client,
        read: &[(&'static str, Tally)],
        left: &[(PathBuf, String)],
        changes: &Changes,
    ) -> anyhow::Result<Self> {
        let mut lines: BTreeMap<String, Line> = BTreeMap::new();
        let name = |file: &str| table_of(file).map_or_else(|| file.to_lowercase(), str::to_owned);
        for (file, tally) in read {
            let line = lines.entry(name(file)).or_default();
            line.read += tally.rows;
            line.skipped += tally.skipped.values().sum::<u64>();
        }
        let sources = client.query(SOURCES, &[]).await?.iter().map(|row| row.get(0)).collect();
        let mut problems = Vec::new();
        for row in client.query(PROBLEMS, &[]).await? {
            let (places, keys): (Vec<i64>, Vec<String>) = (row.get(4), row.get(5));
            let examples = places.iter().zip(&keys).map(|(line, key)| format!("line {line} {key}")).collect();
            let problem =
                Problem { source: row.get(0), file: row.get(1), reason: row.get(2), times: row.get(3), examples };
            let line = lines.entry(name(&problem.file)).or_default();
            let times = u64::try_from(problem.times).unwrap_or_default();
            if problem.is_fault() {
                line.rejected += times;
            } else {
                line.skipped += times;
            }
            problems.push(problem);
        }
        for (table, change) in changes {
            lines.entry((*table).to_owned()).or_default().change = Some(*change);
        }
        let changed = changes.values().map(|change| change.new + change.changed + change.gone).sum();
        let left = left.iter().map(|(path, reason)| format!("left alone {}: {reason}", path.display())).collect();
        Ok(Self { sources, lines, problems, left, changed })
    }

    /// Writes the closing table.
    ///
    /// # Errors
    /// When the output is closed.
    pub(crate) fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        for source in &self.sources {
            writeln!(out, "{source}")?;
        }
        writeln!(out)?;
        let columns = ["rows read", "skipped", "rejected", "new", "changed", "gone"];
        write!(out, "{:<24}", "")?;
        for column in columns {
            write!(out, "{column:>11}")?;
        }
        writeln!(out)?;
        let served = TABLES.iter().map(|table| table.name);
        let others =
            self.lines.keys().map(String::as_str).filter(|name| TABLES.iter().all(|table| table.name != *name));
        for (name, line) in served.chain(others).filter_map(|name| Some((name, self.lines.get(name)?))) {
            if line.read == 0 && !line.change.is_some_and(Change::any) && line.skipped + line.rejected == 0 {
                continue;
            }
            write!(out, "{name:<24}{:>11}{:>11}{:>11}", line.read, line.skipped, line.rejected)?;
            match line.change {
                Some(change) => writeln!(out, "{:>11}{:>11}{:>11}", change.new, change.changed, change.gone)?,
                None => writeln!(out)?,
            }
        }
        for fault in [true, false] {
            for problem in self.problems.iter().filter(|problem| problem.is_fault() == fault) {
                let word = if fault { "rejected" } else { "skipped" };
                write!(out, "{word} {:>7}  {} {}: {}", problem.times, problem.source, problem.file, problem.reason)?;
                writeln!(out, " ({}{})", problem.examples.join("; "), if problem.times > 3 { "; ..." } else { "" })?;
            }
        }
        for left in &self.left {
            writeln!(out, "{left}")?;
        }
        match self.changed {
            0 => writeln!(out, "nothing has changed: this data was loaded already"),
            rows => writeln!(out, "{rows} rows changed"),
        }
    }
}

impl Problem {
    fn is_fault(&self) -> bool {
        !SKIPPED.contains(&self.reason.as_str())
    }
}
