//! Strongly connected components: files that all lead to each other.

use std::collections::BTreeSet;

use crate::graph::Graph;

/// The circles of two and more files, largest first. Files that reach each other belong together: by their definition, at a
/// cost that a few hundred files make no matter.
pub(crate) fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reached: Vec<(&str, BTreeSet<&str>)> = graph.files().map(|file| (file, graph.reached(file))).collect();
    let reaches = |from: &str, to: &str| reached.iter().any(|(file, all)| *file == from && all.contains(to));
    let mut found: BTreeSet<Vec<String>> = BTreeSet::new();
    for (file, all) in &reached {
        if all.contains(file) {
            found.insert(all.iter().filter(|other| reaches(other, file)).map(|&file| file.to_owned()).collect());
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    found
}
