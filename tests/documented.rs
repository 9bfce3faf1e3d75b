//! docs/failures.md and docs/refusals.md are complete and name what exists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use addrgate_filters::reply::{Code, REASONS};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The cells of every row of every table, heads left out.
fn rows(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let is_head = lines.peek().is_some_and(|next| next.starts_with("|---"));
        if line.starts_with('|') && !line.starts_with("|---") && !is_head {
            let cells = line.trim_matches('|').split('|');
            rows.push(cells.map(|cell| cell.trim().to_owned()).collect());
        }
    }
    rows
}

/// The Rust files of a folder that are no tests, and their text.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" && name != "reasons.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            found.push(text.split("#[cfg(test)]").next().unwrap_or_default().to_owned());
        }
    }
}

#[test]
fn every_failure_names_a_test_that_exists() {
    let rows = rows(&read("docs/failures.md"));
    assert!(rows.len() > 30, "the tables are read: {}", rows.len());
    for row in rows {
        assert_eq!(row.len(), 4, "{row:?}");
        let (file, test) = row[3].trim_matches('`').split_once("::").unwrap_or_else(|| panic!("no test: {row:?}"));
        let places = [format!("tests/{file}.rs"), format!("backend/src/{file}/tests.rs")];
        let place = places.iter().find(|place| root().join(place).exists());
        let text = read(place.unwrap_or_else(|| panic!("none of {places:?}")));
        // A function, or a line of a macro that makes one.
        let exists = text.contains(&format!("fn {test}(")) || text.contains(&format!("    {test}: \""));
        assert!(exists, "{} has no test `{test}`", place.unwrap());
    }
}

#[test]
fn every_reason_is_explained_with_its_status() {
    let rows = rows(&read("docs/refusals.md"));
    let mut explained = BTreeSet::new();
    for row in &rows {
        let [reason, status, code, when, retry, advice] = row.as_slice() else { panic!("{row:?}") };
        let (status, code): (u16, _) = (status.parse().unwrap(), code.trim_matches('`'));
        let known = Code::ALL.iter().any(|known| known.status() == status && known.as_str() == code);
        assert!(known, "no code is answered so: {row:?}");
        assert!(!when.is_empty() && !advice.is_empty(), "{row:?}");
        assert!(status != 503 && status != 429 || retry != "-", "it must say when to come back: {row:?}");
        assert!(explained.insert(reason.trim_matches('`').to_owned()), "twice: {row:?}");
    }
    let reasons: BTreeSet<String> = REASONS.iter().map(|reason| (*reason).to_owned()).collect();
    let (missing, dead) = (reasons.difference(&explained), explained.difference(&reasons));
    assert_eq!((missing.count(), dead.count()), (0, 0), "{:?}", reasons.symmetric_difference(&explained));
}

#[test]
fn every_reason_is_used_and_every_refusal_has_one() {
    let mut texts = Vec::new();
    sources(&root().join("src"), &mut texts);
    sources(&root().join("filters"), &mut texts);
    let code = texts.join("\n");
    for reason in REASONS {
        assert!(code.contains(&format!("\"{reason}\"")), "`{reason}` is given by nothing");
    }
    // Where the reason stands as a word in the call itself. The others come out of matches, and `Cause::new` checks all.
    let calls = code.split("Cause::new(").chain(code.split("Flow::refuse(")).filter_map(|call| {
        let (code, rest) = call.split_once(',')?;
        let reason = rest.trim_start().strip_prefix('"')?.split('"').next()?;
        Some((code.trim().strip_prefix("Code::")?.to_owned(), reason.to_owned()))
    });
    let calls: Vec<(String, String)> = calls.collect();
    assert!(calls.len() > 40, "the calls are found: {}", calls.len());
    let rows = rows(&read("docs/refusals.md"));
    for (code, reason) in calls {
        let row = rows.iter().find(|row| row[0].trim_matches('`') == reason);
        let row = row.unwrap_or_else(|| panic!("`{reason}` is not in REASONS and docs/refusals.md"));
        let code = Code::ALL.iter().find(|known| format!("{known:?}") == code).unwrap();
        // The code is the row's, or another that the row tells of.
        let word = format!("`{}`", code.as_str());
        assert_eq!(row[1], code.status().to_string(), "{reason}");
        assert!(row[2] == word || row[3].contains(&word), "`{reason}` is answered with {word}");
    }
}
