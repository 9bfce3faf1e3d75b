//! What the documents say is so: their commands, their files, their configurations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/lib.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The Markdown files of the project.
fn documents() -> Vec<PathBuf> {
    let listed =
        Command::new("git").args(["ls-files", "-co", "--exclude-standard", "*.md"]).current_dir(root()).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let found: Vec<PathBuf> = listed.lines().map(|line| root().join(line)).collect();
    assert!(found.iter().any(|path| path.ends_with("README.md")), "{found:?}");
    found
}

fn targets() -> BTreeSet<String> {
    let makefile = read(&root().join("Makefile"));
    let names = makefile.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    names.filter_map(|line| line.split_once(':').map(|(name, _)| name.to_owned())).collect()
}

/// Words after `make ` in code.
fn commands(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for piece in text.split("make ").skip(1).zip(text.split("make ")) {
        let (after, before) = piece;
        let word: String = after.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        let in_code = before.is_empty()
            || before.ends_with(['`', '\n'])
            || before.ends_with("$ ")
            || before.ends_with(|c: char| c.is_ascii_digit());
        if in_code && !word.is_empty() {
            found.insert(word);
        }
    }
    found
}

#[test]
fn every_command_that_is_written_down_exists() {
    let (targets, mut named) = (targets(), BTreeSet::new());
    for path in documents() {
        for command in commands(&read(&path)) {
            assert!(targets.contains(&command), "{}: there is no `make {command}`", path.display());
            named.insert(command);
        }
    }
    assert!(named.len() >= 8, "few commands are written down: {named:?}");
}

#[test]
fn continuous_integration_runs_only_what_the_readme_names() {
    let readme = commands(&read(&root().join("README.md")));
    let ci = commands(&read(&root().join(".ci/run")));
    assert!(ci.contains("test") && ci.contains("lint"), "{ci:?}");
    for command in ci.iter().chain([&"run".to_owned()]) {
        assert!(readme.contains(command), "the README does not name `make {command}`: {readme:?}");
    }
}

/// The requests and answers that the README shows.
#[tokio::test]
async fn the_answers_shown_are_the_answers_given() {
    let stack = support::Stack::start().await;
    let readme = read(&root().join("README.md"));
    let mut shown = 0;
    for block in readme.split("```console\n$ curl ").skip(1) {
        let (command, answer) = block.split("```").next().unwrap().split_once('\n').unwrap();
        let path = command.split("http://127.0.0.1:3001").nth(1).unwrap();
        let reply = match command.split("--json '").nth(1) {
            Some(body) => stack.client.post_bytes(path, body.split('\'').next().unwrap().to_owned()).await,
            None => stack.client.get(path).await,
        };
        assert_eq!(reply.json(), serde_json::from_str::<serde_json::Value>(answer).unwrap(), "{command}");
        shown += 1;
    }
    assert!(shown > 0, "the README shows no answer");
    stack.stop().await;
}

#[test]
fn every_link_leads_somewhere() {
    for path in documents() {
        let text = read(&path);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(link, _)| link)) {
            let file = link.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            let target = path.parent().unwrap().join(file);
            assert!(target.exists(), "{}: the link to {link} leads nowhere", path.display());
        }
    }
}

#[test]
fn every_configuration_that_is_shipped_is_valid() {
    let listed =
        Command::new("git").args(["ls-files", "-co", "--exclude-standard", "*.yaml"]).current_dir(root()).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    assert!(listed.lines().any(|line| line == "config.yaml"), "{listed}");
    for file in listed.lines() {
        let output = Command::new(env!("CARGO_BIN_EXE_addrgate"))
            .args(["check", "--config", file])
            .current_dir(root())
            .env_clear()
            .envs([("LISTEN", "127.0.0.1:1"), ("UPSTREAM", "127.0.0.1:2")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
