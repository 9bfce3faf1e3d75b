#!/usr/bin/env bash
# Latency of every endpoint over a large generated data set: PostgreSQL on one core, the service and the client on the others.
# BENCH_ADDRESSES (default 1000000) says how many. Prints how long generating and importing took, then the table.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/packages.sh build run

dir=$(mktemp -d)
service=
finish() {
  [ -z "$service" ] || { kill "$service" 2>/dev/null && wait "$service" || true; }
  bash scripts/postgres.sh remove "$dir/postgres" || true
  rm -rf "$dir"
}
trap finish EXIT

count=${BENCH_ADDRESSES:-1000000}
cargo build --release -p address-service
cargo bench --no-run --profile dev --bench queries
service_binary=target/release/address-service
DATABASE_URL=$(bash scripts/postgres.sh start "$dir/postgres")
export DATABASE_URL
"$service_binary" migrate 2>>"$dir/import.log"
SECONDS=0
"$service_binary" generate --addresses "$count" --seed 1 --out "$dir/generated" 2>>"$dir/import.log"
echo "generated $count addresses in $SECONDS s"
SECONDS=0
"$service_binary" import "$dir/generated" data/boundaries >>"$dir/import.log" 2>&1 || { tail -20 "$dir/import.log" >&2; exit 1; }
echo "imported them and the boundaries in $SECONDS s"

# New connections inherit the postmaster's core.
home=$dir/postgres/data
taskset -acp 0 "$(head -1 "$(readlink -f "$home")/postmaster.pid")" >/dev/null
"$service_binary" serve --listen 127.0.0.1:0 >"$dir/service.log" & service=$!
for _ in $(seq 100); do
  address=$(sed -n 's/.*"address":"\([^"]*\)".*/\1/p' "$dir/service.log" | head -1)
  [ -n "$address" ] && break
  sleep 0.1
done
[ -n "$address" ] || { cat "$dir/service.log" >&2; exit 1; }
ADDRESS_SERVICE_URL="http://$address" cargo bench --profile dev --bench queries
