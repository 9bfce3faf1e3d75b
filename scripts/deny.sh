#!/usr/bin/env bash
# What comes from other people: licences, sources, duplicate versions, and known weaknesses where their list can be fetched.
# The rules are in deny.toml; why cargo-deny is not installed here: docs/decisions/0033-cargo-deny-where-it-is.md.
set -euo pipefail
cd "$(dirname "$0")/.."

# Without any tool: nothing comes from anywhere but crates.io.
foreign=$(grep -n '^source = ' Cargo.lock | grep -v '"registry+https://github.com/rust-lang/crates.io-index"' || true)
if [ -n "$foreign" ]; then
  printf 'Cargo.lock has sources that deny.toml refuses; take the crate from crates.io:\n%s\n' "$foreign" >&2
  exit 1
fi

if ! command -v cargo-deny >/dev/null; then
  echo "deny.sh: licences and duplicate versions are not checked: install cargo-deny (cargo install cargo-deny --locked)"
  exit 0
fi
cargo deny --all-features check licenses bans sources
if cargo deny fetch db >/dev/null 2>&1; then
  cargo deny --all-features check advisories
else
  echo "deny.sh: known weaknesses are not checked: their list can't be fetched"
fi
