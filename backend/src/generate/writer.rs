//! The files of one state, written row by row, and the look-up of the made-up mesh blocks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::NaiveDate;

use super::gazetteer::Area;
use crate::import::layout::{MESH_BLOCKS, standard};

/// Tables the importer has no use for, but a release has.
const OTHERS: &[(&str, &str)] = &[
    ("STATE", "STATE_PID|DATE_CREATED|DATE_RETIRED|STATE_NAME|STATE_ABBREVIATION"),
    ("ADDRESS_SITE", "ADDRESS_SITE_PID|DATE_CREATED|DATE_RETIRED|ADDRESS_TYPE|ADDRESS_SITE_NAME"),
];

/// One open file.
struct Output {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Output {
    fn create(path: PathBuf, header: &str) -> anyhow::Result<Self> {
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut output = Self { path, file: BufWriter::with_capacity(64 * 1024, file) };
        output.line(header)?;
        Ok(output)
    }

    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.file, "{line}").with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.file.flush().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Rows written so far: numbers for identifiers, which are unique within a state.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) localities: u64,
    pub(crate) streets: u64,
    pub(crate) addresses: u64,
    pub(crate) links: u64,
    pub(crate) mesh_blocks: u64,
}

/// All files of one state.
pub(crate) struct Files {
    open: BTreeMap<&'static str, Output>,
    pub(crate) counters: Counters,
    /// DATE_CREATED of every row.
    pub(crate) date: String,
}

impl Files {
    /// # Errors
    /// When a file can't be made.
    pub(crate) fn create(folder: &Path, state: &'static str, date: NaiveDate) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut open = BTreeMap::new();
        let standard = standard().map(|layout| {
            let names: Vec<&str> = layout.columns.iter().map(|column| column.name).collect();
            (layout.table, names.join("|"))
        });
        for (table, header) in standard.chain(OTHERS.iter().map(|(table, header)| (*table, (*header).to_owned()))) {
            let path = folder.join(format!("{state}_{table}_psv.psv"));
            open.insert(table, Output::create(path, &header)?);
        }
        let mut files = Self { open, counters: Counters::default(), date: date.to_string() };
        let (pid, name) = state_row(state);
        let line = format!("{pid}|{}||{name}|{state}", files.date);
        files.line("STATE", &line)?;
        Ok(files)
    }

    /// Appends a row, fields already joined.
    ///
    /// # Errors
    /// When the disk is full, or a table is named that no release has.
    pub(crate) fn line(&mut self, table: &'static str, line: &str) -> anyhow::Result<()> {
        self.open.get_mut(table).with_context(|| format!("no table {table}"))?.line(line)
    }

    /// # Errors
    /// When the last bytes can't be written.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.open.into_values().try_for_each(Output::finish)
    }
}

/// STATE_PID and name.
pub(crate) fn state_row(state: &str) -> (u8, &'static str) {
    match state {
        "NSW" => (1, "NEW SOUTH WALES"),
        "VIC" => (2, "VICTORIA"),
        "QLD" => (3, "QUEENSLAND"),
        "SA" => (4, "SOUTH AUSTRALIA"),
        "WA" => (5, "WESTERN AUSTRALIA"),
        "TAS" => (6, "TASMANIA"),
        "NT" => (7, "NORTHERN TERRITORY"),
        "ACT" => (8, "AUSTRALIAN CAPITAL TERRITORY"),
        _ => (9, "OTHER TERRITORIES"),
    }
}

/// Made-up mesh blocks inside real SA2s. Real codes end in zeros, these in nines; their SA1s take the last ten numbers of an
/// SA2, which real ones don't reach.
pub(crate) struct Areas {
    output: Output,
    /// Mesh blocks made so far, per state digit and per SA2.
    per_state: BTreeMap<u8, u32>,
    per_sa2: BTreeMap<String, u32>,
}

const MESH_BLOCKS_PER_SA1: u32 = 10;

impl Areas {
    /// # Errors
    /// When the file can't be made.
    pub(crate) fn create(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let names: Vec<&str> = MESH_BLOCKS.columns.iter().map(|column| column.name).collect();
        let output = Output::create(folder.join("GENERATED_MB_2021.psv"), &names.join("|"))?;
        Ok(Self { output, per_state: BTreeMap::new(), per_sa2: BTreeMap::new() })
    }

    /// A new mesh block of `area`; gives its code.
    ///
    /// # Errors
    /// When it can't be written.
    pub(crate) fn mesh_block(&mut self, area: &Area, state: &str, category: &str) -> anyhow::Result<String> {
        let (digit, _) = state_row(state);
        let in_state = self.per_state.entry(digit).or_default();
        *in_state += 1;
        let code = format!("{digit}{in_state:06}9999");
        let in_sa2 = self.per_sa2.entry(area.sa2.0.clone()).or_default();
        let sa1 = format!("{}{}", area.sa2.0, 90 + (*in_sa2 / MESH_BLOCKS_PER_SA1).min(9));
        *in_sa2 += 1;
        let ((sa2, sa2_name), (sa3, sa3_name)) = (&area.sa2, &area.sa3);
        let ((sa4, sa4_name), (gccsa, gccsa_name)) = (&area.sa4, &area.gccsa);
        self.output.line(&format!(
            "{code}|{category}|{sa1}|{sa2}|{sa2_name}|{sa3}|{sa3_name}|{sa4}|{sa4_name}|{gccsa}|{gccsa_name}|{state}"
        ))?;
        Ok(code)
    }

    /// # Errors
    /// When the last bytes can't be written.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.output.finish()
    }
}
