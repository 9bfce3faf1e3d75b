#!/usr/bin/env bash
# What a cached hit, a miss and a hit in Redis cost, beside nginx, Varnish, HAProxy and a bare epoll loop: one core for the
# server, one for the load. Prints tables and bars, fails where a bar is missed. Settings: benches/hits/main.rs.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
bash scripts/packages.sh build bench
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
bash scripts/release.sh
cargo bench --no-run --profile dev --bench hits
[ "$(nproc)" -gt 1 ] || echo "one core: server and load share it, so that only the CPU times mean something" >&2

dir=$(mktemp -d) bench=
finish() {
  local code=$?
  trap '' INT TERM HUP
  trap - EXIT
  # A process group of their own, so that no server outlives this.
  if [ -n "$bench" ]; then kill -TERM -- "-$bench" 2>/dev/null || true; fi
  rm -rf "$dir"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

ulimit -n "$(ulimit -Hn)"
export PATH=$PATH:/usr/sbin ADDRGATE=${ADDRGATE:-$target/release/addrgate} TMPDIR=$dir
set -m
# The servers have the first core, what asks them the last.
taskset -c $(($(nproc) - 1)) cargo bench --quiet --profile dev --bench hits &
bench=$!
set +m
wait "$bench"
