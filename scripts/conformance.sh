#!/usr/bin/env bash
# The public HTTP cache suite (npm's http-cache-tests) against the real gateway. Prints the score by kind beside those that
# others have published, then what fails and why; fails below tests/conformance/floor.json.
# A single test, with its exchanges: bash scripts/conformance.sh TEST_ID
# Everything in Redis, nothing in memory: SECOND=1, with a private server
# Another edition: SUITE=a checkout of https://github.com/http-tests/cache-tests after `npm install`
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
version=0.4.5
bash scripts/packages.sh build test
target=${CARGO_TARGET_DIR:-target}
suite=${SUITE:-$target/conformance/$version/package}
if [ -z "${SUITE:-}" ] && [ ! -d "$suite/node_modules" ]; then
  echo "fetching http-cache-tests $version"
  rm -rf "$target/conformance/$version"
  mkdir -p "$target/conformance/$version"
  (cd "$target/conformance/$version" && npm pack --silent "http-cache-tests@$version" >/dev/null && tar xzf ./*.tgz)
  # The suite's own dependencies are for its web pages, but for this one.
  (cd "$suite" && npm install --silent --no-audit --no-fund --no-save --omit=dev --ignore-scripts --prefix deps node-fetch@2 &&
    mv deps/node_modules node_modules)
fi

# With all targets, as the tests are built: the same features, and so no dependency twice.
cargo build --quiet --workspace --all-targets
dir=$(mktemp -d)
pids=()
finish() {
  local code=$?
  trap '' INT TERM
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$dir"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
free_port() {
  local port
  while port=$((20000 + RANDOM % 12000)) && listening "$port"; do :; done
  echo "$port"
}
await() { # PORT NAME LOG
  for _ in $(seq 200); do listening "$1" && return; sleep 0.05; done
  cat "$3" >&2
  echo "$2 does not start" >&2
  exit 1
}

server=$suite/server/server.mjs
[ -e "$server" ] || server=$suite/test-engine/server/server.mjs
origin=$(free_port) gateway=$(free_port) admin=$(free_port)
npm_config_protocol=http npm_config_port=$origin npm_config_pidfile=$dir/pid \
  npm_config_base='' npm_config_id='' node "$server" >"$dir/origin.log" 2>&1 & pids+=($!)
await "$origin" "the origin" "$dir/origin.log"
if [ -n "${SECOND:-}" ]; then
  redis=$(free_port)
  redis-server --port "$redis" --bind 127.0.0.1 --save '' --appendonly no --dir "$dir" >"$dir/redis.log" 2>&1 & pids+=($!)
  await "$redis" "Redis" "$dir/redis.log"
  export REDIS_URL=redis://127.0.0.1:$redis CACHE_MEMORY=0B
  echo "with the second tier alone"
fi
LISTEN=127.0.0.1:$gateway UPSTREAM=127.0.0.1:$origin ADMIN=127.0.0.1:$admin \
  "$target/debug/addrgate" run --config tests/conformance/gateway.yaml >"$dir/gateway.log" 2>&1 & pids+=($!)
await "$gateway" "the gateway" "$dir/gateway.log"
node --no-warnings tests/conformance/run.mjs "$suite" "http://127.0.0.1:$gateway" "$target/conformance/results.json" \
  tests/conformance/floor.json "$@"
