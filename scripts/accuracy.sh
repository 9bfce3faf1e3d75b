#!/usr/bin/env bash
# How well the address service finds what people write: a private PostgreSQL with the sample data, the service, the table.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/packages.sh build run

dir=$(mktemp -d)
service=
finish() {
  if [ -n "$service" ] && kill "$service" 2>/dev/null; then wait "$service" || true; fi
  bash scripts/postgres.sh remove "$dir/postgres" || true
  rm -rf "$dir"
}
trap finish EXIT

cargo build --workspace
cargo bench --no-run --profile dev --bench accuracy
DATABASE_URL=$(bash scripts/postgres.sh start "$dir/postgres")
export DATABASE_URL
target/debug/address-service migrate
target/debug/address-service import data/ >"$dir/import.log" 2>&1 || { cat "$dir/import.log" >&2; exit 1; }
target/debug/address-service serve --listen 127.0.0.1:0 >"$dir/service.log" & service=$!
for _ in $(seq 100); do
  address=$(sed -n 's/.*"address":"\([^"]*\)".*/\1/p' "$dir/service.log" | head -1)
  [ -n "$address" ] && break
  sleep 0.1
done
[ -n "$address" ] || { cat "$dir/service.log" >&2; exit 1; }
ADDRESS_SERVICE_URL="http://$address" cargo bench --profile dev --bench accuracy
