#!/usr/bin/env bash
# How well the address service finds what people write: a private PostgreSQL with the sample data, the service, the table.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
bash scripts/packages.sh build run
# shellcheck source=scripts/address-service.sh
. scripts/address-service.sh

cargo build --workspace
cargo bench --no-run --profile dev --bench accuracy
program=${CARGO_TARGET_DIR:-target}/debug/address-service
DATABASE_URL=$(bash scripts/postgres.sh start "$dir/postgres")
export DATABASE_URL
"$program" migrate
"$program" import data/ >"$dir/import.log" 2>&1 || { cat "$dir/import.log" >&2; exit 1; }
serve "$program"
cargo bench --profile dev --bench accuracy
