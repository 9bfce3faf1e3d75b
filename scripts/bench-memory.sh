#!/usr/bin/env bash
# How much memory the gateway takes after a million distinct keys. Settings: benches/memory/main.rs; ADDRGATE: a program that
# is built already.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
bash scripts/packages.sh build
if [ -z "${ADDRGATE:-}" ]; then
  bash scripts/release.sh
  ADDRGATE=$(realpath -m "${CARGO_TARGET_DIR:-target}")/release/addrgate
fi
ADDRGATE=$ADDRGATE cargo bench --quiet --profile dev --bench memory
