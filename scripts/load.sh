#!/usr/bin/env bash
# What `make load` does: scenarios of load and failure, each against programs built for production, with numbers beside their
# bars; fails where one is missed. Names are its arguments (`all`: each in turn); without one it lists them.
# Programs that are built already: ADDRGATE_PROGRAMS, their folder.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
if [ $# -gt 0 ]; then
  bash scripts/packages.sh build run test
  target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
  if [ -z "${ADDRGATE_PROGRAMS:-}" ]; then
    bash scripts/release.sh
    export ADDRGATE_PROGRAMS=$target/release
  fi
  ulimit -n "$(ulimit -Hn)"
fi
exec cargo bench --quiet --profile dev --bench load -- "$@"
