#!/usr/bin/env bash
# What `make lint` does: formatting, clippy, file lengths, layers, shell scripts, config.yaml, the pages that are made.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/packages.sh build lint

cargo fmt --all --check
cargo clippy --workspace --all-targets -- -D warnings

# A file of more than 500 lines holds more than one idea.
long=$(git ls-files -co --exclude-standard '*.rs' '*.sh' '*.sql' | while read -r file; do
  [ ! -f "$file" ] || awk -v file="$file" 'END { if (NR > 500) print file ": " NR " lines" }' "$file"
done)
if [ -n "$long" ]; then printf 'longer than 500 lines:\n%s\n' "$long" >&2; exit 1; fi

# No circle of imports among more than two files, no layer that knows what stands above it; see tests/layers/main.rs.
cargo test --quiet --workspace --test layers

bash scripts/words.sh
bash scripts/deny.sh
bash scripts/deploy-check.sh alerts systemd

shellcheck -S warning scripts/*.sh deploy/redis/users.sh .ci/run
bash scripts/docs.sh check
"${CARGO_TARGET_DIR:-target}/debug/addrgate" check --config config.yaml
