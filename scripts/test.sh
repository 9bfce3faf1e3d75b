#!/usr/bin/env bash
# Builds and runs every test of the workspace against a private PostgreSQL that is gone afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/packages.sh build run test

dir=$(mktemp -d)
trap 'bash scripts/postgres.sh remove "$dir/postgres" || true; rm -rf "$dir"' EXIT
TEST_DATABASE_URL=$(bash scripts/postgres.sh start "$dir/postgres")
export TEST_DATABASE_URL
cargo build --workspace
cargo test --workspace
