//! Which file uses items of which.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::modules::{Found, Modules};

/// Files, the files they use, and one name that each use is by.
pub(crate) struct Graph(BTreeMap<String, BTreeMap<String, String>>);

impl Graph {
    /// Of all modules.
    pub(crate) fn new(modules: &Modules) -> Self {
        let mut graph = Self(modules.files().map(|file| (file.to_owned(), BTreeMap::new())).collect());
        for (at, module) in modules.all() {
            for path in &module.paths {
                graph.add(modules, at, path);
            }
            for import in &module.imports {
                let Some(found) = modules.find(at, &import.path) else { continue };
                if !(import.exported && modules.is_below(found.module(), at)) && (import.glob || !found.is_module()) {
                    graph.edge(modules.file(at), modules.file(found.module()), &import.path);
                }
            }
        }
        graph
    }

    fn add(&mut self, modules: &Modules, at: usize, path: &[String]) {
        if let Some(Found::Item(module)) = modules.find(at, path) {
            self.edge(modules.file(at), modules.file(module), path);
        }
    }

    fn edge(&mut self, from: &str, to: &str, path: &[String]) {
        if from != to {
            let uses = self.0.entry(from.to_owned()).or_default();
            uses.entry(to.to_owned()).or_insert_with(|| path.join("::"));
        }
    }

    /// All files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// All edges, from and to.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(from, uses)| uses.keys().map(move |to| (from.as_str(), to.as_str())))
    }

    /// All files that can be reached from one in one step or more.
    pub(crate) fn reached<'a>(&'a self, from: &'a str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            next.extend(
                self.0.get(file).into_iter().flatten().map(|(to, _)| to.as_str()).filter(|to| reached.insert(*to)),
            );
        }
        reached
    }

    /// The edges among some files, for people.
    pub(crate) fn within(&self, files: &[String]) -> String {
        let mut text = String::new();
        for (from, uses) in self.0.iter().filter(|(from, _)| files.contains(from)) {
            for (to, name) in uses.iter().filter(|(to, _)| files.contains(to)) {
                let _ = writeln!(text, "  {from} uses {name} of {to}");
            }
        }
        text
    }
}
