#!/usr/bin/env bash
# What `make test` does: builds and runs every test of the workspace, against a PostgreSQL of its own that is gone
# afterwards, however this ends. Arguments go to `cargo test` (`bash scripts/test.sh -p addrgate --test errors`).
#
# The tests get TEST_DATABASE_URL (the server), TEST_TEMPLATE (a database with the sample data, to be copied by
# CREATE DATABASE ... TEMPLATE, never connected to), TEST_SAMPLE (such a copy, to be read by all) and TEST_POSTGRES_LOG (the
# server's log).
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
# shellcheck source=scripts/processes.sh
. scripts/processes.sh
bash scripts/packages.sh build run test

for stale in "${TMPDIR:-/tmp}"/addrgate-test-*/; do # of a run that was killed
  [ -f "$stale/owner" ] || continue
  kill -0 "$(cat "$stale/owner")" 2>/dev/null && continue
  bash scripts/postgres.sh remove "$stale/postgres" && rm -rf "$stale"
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/addrgate-test-XXXXXX")
chmod 711 "$dir" # so that PostgreSQL's user can stand in it
echo $$ >"$dir/owner"

totals='' begun=$SECONDS
finish() {
  local code=$?
  trap '' INT TERM HUP
  trap - EXIT
  if [ -n "$current" ]; then
    kill -TERM -- "-$current" 2>/dev/null || true
    wait "$current" 2>/dev/null || true
  fi
  bash scripts/postgres.sh remove "$dir/postgres" || true
  rm -rf "$dir"
  if [ -n "$totals" ]; then echo "$totals"; fi
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# With all targets, so that the programs are built with the same features as the tests, once.
step cargo build --workspace --all-targets
bin=${CARGO_TARGET_DIR:-target}/debug
# Nothing here must survive a power cut.
export POSTGRES_OPTIONS='-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c log_checkpoints=off
  -c log_line_prefix=%m,%d,%e,'
TEST_DATABASE_URL=$(bash scripts/postgres.sh start "$dir/postgres")
TEST_POSTGRES_LOG=$(bash scripts/postgres.sh log "$dir/postgres")
TEST_TEMPLATE=sample_template TEST_SAMPLE=sample
export TEST_DATABASE_URL TEST_POSTGRES_LOG TEST_TEMPLATE TEST_SAMPLE
bash scripts/postgres.sh sql "$dir/postgres" "CREATE DATABASE $TEST_TEMPLATE"
echo "importing the sample data for the tests"
if ! DATABASE_URL=${TEST_DATABASE_URL%/*}/$TEST_TEMPLATE step bash -euc \
  '"$0/address-service" migrate && "$0/address-service" import data' "$bin" >"$dir/import.log" 2>&1; then
  cat "$dir/import.log" >&2
  exit 1
fi
bash scripts/postgres.sh sql "$dir/postgres" "CREATE DATABASE $TEST_SAMPLE TEMPLATE $TEST_TEMPLATE"

results=0
step bash -o pipefail -c 'cargo test --workspace --no-fail-fast "${@:2}" 2>&1 | tee "$1"' test "$dir/tests.log" "$@" || results=$?
if [ "$results" -eq 0 ] && [ $# -eq 0 ]; then
  step make --no-print-directory conformance || results=$?
  SECOND=1 step make --no-print-directory conformance || results=$?
fi
totals=$(awk -v seconds=$((SECONDS - begun)) '/^test result: / { passed += $4; failed += $6; ignored += $8 }
  END { printf "%d passed, %d failed, %d ignored in %d s", passed, failed, ignored, seconds }' "$dir/tests.log")
if [ "$results" -ne 0 ]; then totals="FAILED: $totals"; fi
exit "$results"
