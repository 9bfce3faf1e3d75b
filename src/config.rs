//! Reads `config.yaml`: text -> tree with positions -> variables -> [`File`] as written -> [`Plan`] as used.
//!
//! Every error says where it is. A key that is not known is an error, because a typo that is ignored is the worst of them.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

mod file;
mod plan;
pub(crate) mod reload;
mod tree;
mod vars;

pub(crate) use file::{Algorithm, Compression, File, Health, Limits, Shutdown, Upstream};
pub(crate) use plan::Plan;

/// What is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// The file.
    pub(crate) path: PathBuf,
    /// Each with line and column, where it has a place.
    pub(crate) problems: Vec<(Option<(u64, u64)>, String)>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (at, message)) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            match at {
                Some((line, column)) => write!(f, "{}:{line}:{column}: {message}", self.path.display())?,
                None => write!(f, "{}: {message}", self.path.display())?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// What a process runs with while it reads its file again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running<'a> {
    /// What it knows of upstreams that stay the same goes on.
    pub(crate) plan: &'a Plan,
    /// Whether it shares Redis, which only a restart changes.
    pub(crate) has_redis: bool,
}

/// Reads and compiles a file, for a process that begins or one that is running; variables come from `env`.
pub(crate) fn load(
    path: &Path,
    env: &impl Fn(&str) -> Option<String>,
    running: Option<Running<'_>>,
) -> Result<Plan, ConfigError> {
    const LARGEST: u64 = 4 << 20;
    let fail = |at, message: String| ConfigError { path: path.to_owned(), problems: vec![(at, message)] };
    let unreadable = |e: std::io::Error| fail(None, format!("can't be read: {e}"));
    if std::fs::metadata(path).map_err(unreadable)?.len() > LARGEST {
        return Err(fail(None, "larger than 4 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    parse(&text, path, env, running)
}

/// The same from text, for tests; `path` names it in errors, and relative files are next to it.
pub(crate) fn parse(
    text: &str,
    path: &Path,
    env: &impl Fn(&str) -> Option<String>,
    running: Option<Running<'_>>,
) -> Result<Plan, ConfigError> {
    let fail = |problems| ConfigError { path: path.to_owned(), problems };
    let one = |e: tree::Error| fail(vec![(e.at, e.message)]);
    let mut tree = tree::Node::parse(text).map_err(one)?;
    tree.expand(&|text: &str| vars::expand(text, env)).map_err(one)?;
    let file = File::deserialize(&tree).map_err(one)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    Plan::compile(file, folder, running).map_err(|problems| {
        let placed = |problem: plan::Problem| {
            let path: Vec<&str> = problem.path.iter().map(String::as_str).collect();
            (Some(tree.place(&path)), problem.message)
        };
        fail(problems.into_iter().map(placed).collect())
    })
}

/// The schema of the file, as JSON.
pub(crate) fn schema() -> schemars::Schema {
    schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<File>()
}

#[cfg(test)]
mod tests;
