#!/usr/bin/env bash
# What `make docs` does: writes the pages of docs/ that the program itself knows best. With `check` it only says whether they
# are as they would be written.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=docs
if [ "${1:-}" = check ]; then
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
fi
# With all targets, as the tests are built: the same features, and so no dependency twice.
cargo build --quiet --workspace --all-targets
addrgate() { "${CARGO_TARGET_DIR:-target}/debug/addrgate" "$@"; }
addrgate reference settings >"$dir/configuration.md"
addrgate reference metrics >"$dir/metrics.md"
addrgate schema >"$dir/config.schema.json"
if [ "$dir" != docs ]; then
  for page in "$dir"/*; do
    diff -u "docs/${page##*/}" "$page" || { echo "docs/${page##*/} is not as it would be made: \`make docs\`" >&2; exit 1; }
  done
fi
