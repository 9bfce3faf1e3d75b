//! The order of the code: no circle of imports among more than two files, and no layer that knows what stands above it.
//!
//! An edge leads from the file that names an item to the file that defines it, re-exports followed. These are no edges:
//! `mod`, which only says where a file is; a module that is only named on the way to an item; a re-export of an item from
//! a module below, because the use of that item counts where it is used; test code.

#![allow(clippy::unwrap_used)]

mod circles;
mod graph;
mod modules;

use std::collections::BTreeMap;
use std::path::Path;

use circles::circles;
use graph::Graph;
use modules::{Crate, Modules};

const CRATES: [Crate; 3] = [
    Crate { name: "addrgate", root: "src/main.rs" },
    Crate { name: "addrgate_filters", root: "filters/lib.rs" },
    Crate { name: "address_service", root: "backend/src/main.rs" },
];

/// So many files may know each other.
const LARGEST: usize = 2;

/// A part of the code, what it must not use, and why.
struct Never(&'static str, &'static [&'static str], &'static str);

/// Parts are named as files without their ending; what is below them belongs to them.
const NEVER: &[Never] = &[
    Never(
        "src/proxy",
        &["src/admin", "src/door", "src/server"],
        "the data path knows no admin, and phases know no door",
    ),
    Never("src/door", &["src/admin", "src/server"], "the data path knows no admin"),
    Never(
        "src/context",
        &["src/admin", "src/door", "src/proxy", "src/replay"],
        "a request's state knows none of its phases",
    ),
    Never(
        "src/replay",
        &["src/admin", "src/door", "src/proxy", "src/warm"],
        "our own requests know not how they are served",
    ),
    Never(
        "src/store",
        &["src/config", "src/plan", "src/shared", "src/warm", "src/proxy", "src/door"],
        "the store knows neither the file's format nor warming",
    ),
    Never(
        "src/upstream",
        &["src/context", "src/door", "src/proxy", "src/shared", "src/store"],
        "pools know no cache and no client",
    ),
    Never("src/redis", &["src/config", "src/plan", "src/shared", "src/store"], "Redis serves all"),
    Never(
        "src/shared",
        &["src/admin", "src/context", "src/door", "src/proxy", "src/replay", "src/server", "src/warm"],
        "process handles know no users",
    ),
    Never("backend/src/rank", &["backend/src/lookup", "backend/src/db"], "confidence is a pure function"),
    Never(
        "backend/src/parse",
        &["backend/src/lookup", "backend/src/rank", "backend/src/db"],
        "a text is read without the database",
    ),
];

/// A part of the code, and what else it may use of all crates.
struct Only(&'static str, &'static [&'static str]);

const ONLY: &[Only] = &[
    // Settings know nothing that runs.
    Only(
        "src/config",
        &[
            "filters",
            "src/caching/config",
            "src/invalidation/config",
            "src/redis/config",
            "src/store/coded",
            "src/warm/config",
        ],
    ),
    Only("filters/http", &["filters/traffic/units"]),
    Only("filters/traffic", &[]),
    Only("filters/cause", &[]),
    Only("filters", &[]),
    Only("backend/src", &["filters/http", "filters/traffic"]),
];

fn is_part(file: &str, part: &str) -> bool {
    file.strip_prefix(part).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

#[test]
fn no_part_uses_what_it_must_not_know() {
    let graph = workspace();
    let mut wrong = Vec::new();
    for Never(part, unknown, why) in NEVER {
        for part in unknown.iter().chain([part]) {
            assert!(graph.files().any(|file| is_part(file, part)), "{part}: no such part");
        }
        let uses =
            graph.edges().filter(|(from, to)| is_part(from, part) && unknown.iter().any(|other| is_part(to, other)));
        wrong.extend(uses.map(|(from, to)| format!("{from} uses {to}, but {why}")));
    }
    for Only(part, known) in ONLY {
        let uses = graph.edges().filter(|(from, to)| is_part(from, part) && !is_part(to, part));
        let uses = uses.filter(|(_, to)| !known.iter().any(|known| is_part(to, known)));
        wrong.extend(
            uses.map(|(from, to)| format!("{from} uses {to}, but {part} may use only {known:?} besides itself")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn workspace() -> Graph {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = Modules::read(&CRATES, &|file| std::fs::read_to_string(root.join(file)).ok()).unwrap();
    Graph::new(&modules)
}

#[test]
fn files_import_each_other_in_pairs_at_most() {
    let graph = workspace();
    let found = circles(&graph);
    for circle in &found {
        let (size, uses) = (circle.len(), graph.within(circle));
        assert!(size <= LARGEST, "{size} files import each other in a circle:\n{uses}");
    }
}

/// The graph of a crate of these files.
fn graph_of(files: &[(&str, &str)]) -> Graph {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let krate = [Crate { name: "it", root: "main.rs" }];
    Graph::new(&Modules::read(&krate, &|file| files.get(file).map(|&text| text.to_owned())).unwrap())
}

fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    circles(&graph_of(files))
}

#[test]
fn a_circle_of_three_files_is_found_and_a_pair_is_one_of_two() {
    let main = ("main.rs", "mod a; mod b; mod c;");
    let three = [
        main,
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "use crate::{c::{self, D}, a}; pub struct B(c::C, D);"),
        ("c.rs", "pub struct C; pub struct D; pub fn f() { let _ = vec![super::a::A]; }"),
    ];
    assert_eq!(circles_of(&three), [["a.rs", "b.rs", "c.rs"]]);
    let pair =
        [main, three[1], ("b.rs", "pub struct B; fn f(_: crate::a::A) {}"), ("c.rs", "use crate::a::A; fn f(_: A) {}")];
    assert_eq!(circles_of(&pair), [["a.rs", "b.rs"]]);
}

#[test]
fn where_an_item_is_defined_counts_and_not_the_way_to_it() {
    let files = [
        ("main.rs", "mod a; mod b;"),
        ("a.rs", "mod one; mod two; pub use one::One; pub(crate) use two::*;"),
        ("a/one.rs", "use super::two; pub struct One(two::Two);"),
        ("a/two.rs", "pub struct Two; #[cfg(test)] mod tests { use super::super::One; }"),
        ("b.rs", "use crate::a; fn f(_: a::One) -> a::Two { g::<super::a::Two>() }"),
    ];
    let edges: Vec<_> = graph_of(&files).edges().map(|(from, to)| format!("{from} > {to}")).collect();
    assert_eq!(edges, ["a/one.rs > a/two.rs", "b.rs > a/one.rs", "b.rs > a/two.rs"]);
}
