//! G-NAF's published words and their short forms, read from the authority files.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

/// Pairs of forms that mean the same. In the table of street types the code is the long word; in the others the short one.
pub(crate) struct Codes {
    /// STREET to ST.
    pub(crate) street_types: BTreeMap<String, String>,
    /// N to NORTH.
    pub(crate) suffixes: BTreeMap<String, String>,
    /// APT to APARTMENT.
    pub(crate) flat_types: BTreeMap<String, String>,
    /// L to LEVEL.
    pub(crate) level_types: BTreeMap<String, String>,
}

impl Codes {
    /// Reads the four tables that addresses are written with.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let table = |name: &str| -> anyhow::Result<BTreeMap<String, String>> {
            let path = folder.join(format!("Authority_Code_{name}_AUT_psv.psv"));
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let rows = text.lines().skip(1).filter_map(|line| line.split_once('|'));
            Ok(rows.filter_map(|(code, rest)| Some((code.to_owned(), rest.split('|').next()?.to_owned()))).collect())
        };
        Ok(Self {
            street_types: table("STREET_TYPE")?,
            suffixes: table("STREET_SUFFIX")?,
            flat_types: table("FLAT_TYPE")?,
            level_types: table("LEVEL_TYPE")?,
        })
    }

    /// NORTH to N.
    pub(crate) fn suffix_code(&self, name: &str) -> String {
        code(&self.suffixes, name)
    }

    /// APARTMENT to APT.
    pub(crate) fn flat_code(&self, name: &str) -> String {
        code(&self.flat_types, name)
    }

    /// LEVEL to L.
    pub(crate) fn level_code(&self, name: &str) -> String {
        code(&self.level_types, name)
    }
}

fn code(table: &BTreeMap<String, String>, name: &str) -> String {
    table.iter().find(|(_, other)| *other == name).map_or(name, |(code, _)| code).to_owned()
}
