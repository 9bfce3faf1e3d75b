//! G-NAF's published words and their short forms, read from the authority files.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;

/// Pairs of forms that mean the same, in both directions.
pub(crate) struct Codes {
    /// STREET to ST.
    pub(crate) street_types: HashMap<String, String>,
    /// N to NORTH.
    pub(crate) suffixes: HashMap<String, String>,
    /// UNIT to UNIT, APT to APARTMENT.
    pub(crate) flat_types: HashMap<String, String>,
    /// L to LEVEL.
    pub(crate) level_types: HashMap<String, String>,
}

impl Codes {
    /// Reads the four tables that addresses are written with.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let table = |name: &str| -> anyhow::Result<HashMap<String, String>> {
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
}
