//! Reads `config.yaml`: text -> tree with positions -> variables -> [`File`] as written, of which `plan` makes what is used.
//!
//! Every error says where it is. A key that is not known is an error, because a typo that is ignored is the worst of them.

use std::fmt;
use std::path::{Path, PathBuf};

mod file;
mod problem;
mod tree;
mod vars;

pub(crate) use file::{Compression, Delay, File, Health, Limits, Shutdown, Upstream};
pub(crate) use problem::Problem;

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

/// A file as written, its mistakes so far, and where its parts stand.
pub(crate) struct Written {
    path: PathBuf,
    tree: tree::Node,
    file: Option<File>,
    problems: Vec<(Option<(u64, u64)>, String)>,
    /// What could not be read, as paths of keys.
    gone: Vec<Vec<String>>,
}

impl Written {
    /// Reads a file; variables come from `env`.
    ///
    /// # Errors
    /// It can't be read, or is no YAML. Other mistakes are told by [`Written::make`].
    pub(crate) fn read(path: &Path, env: &impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        const LARGEST: u64 = 4 << 20;
        let fail = |message: String| ConfigError { path: path.to_owned(), problems: vec![(None, message)] };
        let unreadable = |e: std::io::Error| fail(format!("can't be read: {e}"));
        if std::fs::metadata(path).map_err(unreadable)?.len() > LARGEST {
            return Err(fail("larger than 4 MiB".to_owned()));
        }
        Self::parse(&std::fs::read_to_string(path).map_err(unreadable)?, path, env)
    }

    /// The same from text; `path` names it in errors, and relative files are next to it.
    ///
    /// # Errors
    /// It is no YAML.
    pub(crate) fn parse(text: &str, path: &Path, env: &impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let path = path.to_owned();
        let mut tree = match tree::Node::parse(text) {
            Ok(tree) => tree,
            Err(e) => return Err(ConfigError { path, problems: vec![(e.at, e.message)] }),
        };
        let tree::Reading { read: file, errors, gone } = tree.read(&|text: &str| vars::expand(text, env), stand_in);
        let problems = errors.into_iter().map(|e| (e.at, e.message)).collect();
        Ok(Self { path, tree, file, problems, gone })
    }

    /// Makes something of the settings, and of files beside them in this folder.
    ///
    /// # Errors
    /// All mistakes, in the order of the file, with their places.
    pub(crate) fn make<T>(self, make: impl FnOnce(File, &Path) -> Result<T, Vec<Problem>>) -> Result<T, ConfigError> {
        let Self { path, tree, file, mut problems, gone } = self;
        let folder = path.parent().unwrap_or(Path::new("."));
        match file.map(|file| make(file, folder)) {
            Some(Ok(made)) if problems.is_empty() => return Ok(made),
            Some(Err(more)) => {
                let more = more.into_iter().filter(|problem| !problem.follows(&gone)).map(|problem| {
                    let path: Vec<&str> = problem.path.iter().map(String::as_str).collect();
                    (Some(tree.place(&path)), problem.message)
                });
                problems.extend(more);
            }
            _ => {}
        }
        problems.sort();
        Err(ConfigError { path, problems })
    }
}

/// The process's environment.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
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
