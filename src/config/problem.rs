//! What is wrong with settings that could be read.

/// A mistake and where it stands, as a path of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) path: Vec<String>,
    pub(crate) message: String,
}

impl Problem {
    /// A mistake at a path of keys.
    pub(crate) fn new(path: &[&str], message: impl Into<String>) -> Self {
        Self { path: path.iter().map(|part| (*part).to_owned()).collect(), message: message.into() }
    }

    /// Whether it is there only because something that is wrong itself was taken out: nothing is left, that is named, or it is
    /// missed.
    pub(crate) fn follows(&self, gone: &[Vec<String>]) -> bool {
        gone.iter().any(|gone| {
            let named = gone.len() == 2 && self.message.contains(&format!("`{}`", gone[1]));
            let emptied = gone.starts_with(&self.path) && self.message.contains("at least one");
            // Where an item of a list was, there is another now.
            let is_item = gone.last().is_some_and(|key| key.parse::<usize>().is_ok());
            named || emptied || !is_item && self.path.starts_with(gone)
        })
    }

    /// Makes a mistake there of its sentence.
    pub(crate) fn at<'a>(path: &'a [&'a str]) -> impl FnOnce(String) -> Self + 'a {
        move |message| Self::new(path, message)
    }
}
