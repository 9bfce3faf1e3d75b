#!/usr/bin/env bash
# Latency of every endpoint over a large generated data set: PostgreSQL on one core, the service and the client on the others.
# BENCH_ADDRESSES (default 1000000) says how many. Prints how long generating and importing took, then the table.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
bash scripts/packages.sh build run
# shellcheck source=scripts/address-service.sh
. scripts/address-service.sh

count=${BENCH_ADDRESSES:-1000000}
bash scripts/release.sh
cargo bench --no-run --profile dev --bench queries
program=${CARGO_TARGET_DIR:-target}/release/address-service
DATABASE_URL=$(bash scripts/postgres.sh start "$dir/postgres")
export DATABASE_URL
"$program" migrate 2>>"$dir/import.log"
SECONDS=0
"$program" generate --addresses "$count" --seed 1 --out "$dir/generated" 2>>"$dir/import.log"
echo "generated $count addresses in $SECONDS s"
SECONDS=0
"$program" import "$dir/generated" data/boundaries >>"$dir/import.log" 2>&1 || { tail -20 "$dir/import.log" >&2; exit 1; }
echo "imported them and the boundaries in $SECONDS s"

# New connections inherit the postmaster's core.
home=$dir/postgres/data
taskset -acp 0 "$(head -1 "$(readlink -f "$home")/postmaster.pid")" >/dev/null
serve "$program"
cargo bench --profile dev --bench queries
