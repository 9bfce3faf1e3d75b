//! Reads `config.yaml`: text -> tree with positions -> variables -> [`File`] as written -> [`Plan`] as used.
//!
//! Every error says where it is. A key that is not known is an error, because a typo that is ignored is the worst of them.

use std::fmt;
use std::path::{Path, PathBuf};

mod file;
mod plan;
pub(crate) mod reload;
mod tree;
mod vars;

pub(crate) use file::{Compression, Delay, File, Health, Limits, Shutdown, Upstream};
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
    let fail = |mut problems: Vec<(Option<(u64, u64)>, String)>| {
        problems.sort();
        ConfigError { path: path.to_owned(), problems }
    };
    let mut tree = tree::Node::parse(text).map_err(|e| fail(vec![(e.at, e.message)]))?;
    let tree::Reading { read, errors, gone } = tree.read(&|text: &str| vars::expand(text, env), stand_in);
    let mut problems: Vec<_> = errors.into_iter().map(|e| (e.at, e.message)).collect();
    let folder = path.parent().unwrap_or(Path::new("."));
    match read.map(|file| Plan::compile(file, folder, running)) {
        Some(Ok(plan)) if problems.is_empty() => return Ok(plan),
        Some(Err(more)) => {
            let more = more.into_iter().filter(|problem| !problem.follows(&gone)).map(|problem| {
                let path: Vec<&str> = problem.path.iter().map(String::as_str).collect();
                (Some(tree.place(&path)), problem.message)
            });
            problems.extend(more);
        }
        _ => {}
    }
    Err(fail(problems))
}

/// What a file without a key that it needs is checked with, so that its other mistakes are found.
fn stand_in(key: &str) -> Option<tree::Node> {
    let text = match key {
        "version" => "1",
        "server" => "{ listen: [\"127.0.0.1:1\"] }",
        "upstreams" => "{}",
        _ => return None,
    };
    tree::Node::parse(text).ok()
}

/// The schema of the file, as JSON.
pub(crate) fn schema() -> schemars::Schema {
    schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<File>()
}

#[cfg(test)]
mod tests;
