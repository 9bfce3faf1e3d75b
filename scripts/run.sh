#!/usr/bin/env bash
# What `make run` does: everything from an empty machine to an address API on http://127.0.0.1:3001, until Ctrl-C.
# State is kept in .run/ (database, API key, logs), so that the second run starts in seconds; delete it to start afresh.
# With `cluster` (`make run-cluster`): two gateways that share a Redis Cluster of six nodes.
# Elsewhere: ADDRGATE_PORT, ADDRGATE_ADMIN_PORT, ADDRESS_SERVICE_PORT, ADDRGATE_RUN_DIR; ADDRGATE_PORT_2,
# ADDRGATE_ADMIN_PORT_2, REDIS_PORT (and the five above). Programs that are built already: ADDRGATE_PROGRAMS, their folder.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
folder=${ADDRGATE_RUN_DIR:-.run} service_port=${ADDRESS_SERVICE_PORT:-3002}
command='make run' ports=("${ADDRGATE_PORT:-3001}") admin_ports=("${ADDRGATE_ADMIN_PORT:-9901}") redis_port=''
if [ "${1:-}" = cluster ]; then
  command='make run-cluster' ports+=("${ADDRGATE_PORT_2:-3011}") admin_ports+=("${ADDRGATE_ADMIN_PORT_2:-9911}")
  redis_port=${REDIS_PORT:-7101}
fi
url=http://127.0.0.1:${ports[0]}
# shellcheck source=scripts/processes.sh
. scripts/processes.sh

gateway_pids=() service_pid='' database='' redis=''
# Whatever ended us: the gateway first, then what it asks, then what that asks.
stop_all() {
  local code=$?
  trap '' INT TERM HUP
  trap - EXIT
  if [ -n "$current" ]; then kill -TERM -- "-$current" 2>/dev/null || true; fi
  if [ -n "$database$redis" ]; then say "stopping"; fi
  for pid in "${gateway_pids[@]}"; do stop_process "$pid"; done
  if [ -n "$service_pid" ]; then stop_process "$service_pid"; fi
  if [ -n "$redis" ]; then bash scripts/redis-cluster.sh stop "$folder/redis"; fi
  if [ -n "$database" ]; then bash scripts/postgres.sh stop "$folder/postgres"; fi
  rm -f "$folder"/{run,gateway-1,gateway-2,service}.pid
  exit "$code"
}

bash scripts/packages.sh build run
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if [ -f "$folder/run.pid" ]; then
  other=$(cat "$folder/run.pid")
  case $(command_of "$other") in
  *run.sh*) fail "it is running already (process $other)" ;;
  esac
  for name in gateway-1 gateway-2 service; do # left by a run that was killed
    leftover=$(cat "$folder/$name.pid" 2>/dev/null || echo none)
    case $(command_of "$leftover") in
    *target/*/addr*) say "stopping the $name of a run that was killed"; stop_process "$leftover" ;;
    esac
  done
fi
entries=("${ports[0]} ADDRGATE_PORT" "$service_port ADDRESS_SERVICE_PORT" "${admin_ports[0]} ADDRGATE_ADMIN_PORT")
if [ -n "$redis_port" ]; then
  entries+=("${ports[1]} ADDRGATE_PORT_2" "${admin_ports[1]} ADDRGATE_ADMIN_PORT_2")
  for i in 0 1 2 3 4 5; do entries+=("$((redis_port + i)) REDIS_PORT"); done
  bash scripts/redis-cluster.sh stop "$folder/redis" # of a run that was killed
fi
for entry in "${entries[@]}"; do
  read -r number variable <<<"$entry"
  if listening "$number"; then
    fail "port $number is in use by another program. Stop that one, or choose another port: $variable=1$number $command"
  fi
done
trap stop_all EXIT
trap 'exit 0' INT # Ctrl-C is how a run ends
trap 'exit 143' TERM HUP
echo $$ >"$folder/run.pid"

bin=${ADDRGATE_PROGRAMS:-${CARGO_TARGET_DIR:-target}/debug}
if [ -z "${ADDRGATE_PROGRAMS:-}" ]; then
  say "building (the first time takes minutes)"
  step cargo build --bins --workspace
fi

if [ -n "$redis_port" ]; then
  say "starting a Redis Cluster of six nodes"
  redis=yes
  step bash scripts/redis-cluster.sh start "$folder/redis" "$redis_port"
  export REDIS_MODE=cluster REDIS_URL=redis://127.0.0.1:$redis_port
  export REDIS_URL_2=redis://127.0.0.1:$((redis_port + 1)) REDIS_URL_3=redis://127.0.0.1:$((redis_port + 2))
fi
say "starting PostgreSQL"
database=yes
DATABASE_URL=$(bash scripts/postgres.sh start "$folder/postgres")
export DATABASE_URL
step "$bin/address-service" migrate >"$folder/migrate.log" 2>&1 || { cat "$folder/migrate.log" >&2; fail "migration failed"; }
# Loaded already? The mark names this database and this data.
mark=$({ ls -i "$folder/postgres/data/PG_VERSION"; find data migrations -type f -exec cksum {} + | sort; } | cksum)
if [ "$mark" != "$(cat "$folder/imported" 2>/dev/null)" ]; then
  say "importing the sample data"
  # On a terminal a bar shows how far it is; elsewhere lines of log do.
  if [ -t 2 ]; then export ADDRESS_SERVICE_LOG=error; fi
  step "$bin/address-service" import data
  unset ADDRESS_SERVICE_LOG
  echo "$mark" >"$folder/imported"
fi

if [ ! -s "$folder/api-key" ]; then
  made=$("$bin/addrgate" keys new)
  (umask 077; sed -n 's/^key: *//p' <<<"$made" >"$folder/api-key"; sed -n 's/^digest: *//p' <<<"$made" >"$folder/api-key.digest")
fi
if [ ! -s "$folder/admin-token" ]; then
  (umask 077; head -c 32 /dev/urandom | sha256sum | cut -c1-48 >"$folder/admin-token")
fi
ADDRGATE_KEY_SHA256=$(cat "$folder/api-key.digest") ADDRGATE_ADMIN_TOKEN=$(cat "$folder/admin-token")
export ADDRGATE_KEY_SHA256 ADDRGATE_ADMIN_TOKEN

background env ADDRESS_SERVICE_LISTEN="127.0.0.1:$service_port" "$bin/address-service" serve \
  --purge-url "http://127.0.0.1:${admin_ports[0]}" >"$folder/address-service.log" 2>&1
service_pid=$!
echo "$service_pid" >"$folder/service.pid"
unset DATABASE_URL # the gateway has no use for it
wait_for address-service "$service_pid" "http://127.0.0.1:$service_port/api/v1/health" "$folder/address-service.log"
for i in "${!ports[@]}"; do
  case $i in 0) log=$folder/addrgate.log ;; *) log=$folder/addrgate-$((i + 1)).log ;; esac
  background env ADDRGATE_LISTEN="127.0.0.1:${ports[i]}" ADDRGATE_ADMIN="127.0.0.1:${admin_ports[i]}" \
    ADDRGATE_UPSTREAM="127.0.0.1:$service_port" "$bin/addrgate" run --config config.yaml >"$log" 2>&1
  gateway_pids+=($!)
  echo $! >"$folder/gateway-$((i + 1)).pid"
  wait_for addrgate $! "http://127.0.0.1:${ports[i]}/api/v1/health" "$log"
done

shown=$(printf %q "${ADDRGATE_RUN_DIR:-.run}") # as a shell reads it
cat <<MESSAGE

  addrgate answers on $url (logs: $shown/*.log). Try, in another terminal in this folder:

  curl -H "X-API-Key: \$(cat $shown/api-key)" "$url/api/v1/addresses/search?q=24+firebrace+st+horsham"
  curl -H "X-API-Key: \$(cat $shown/api-key)" --json '{"address": "unit 1, 2 alexandr av, horsham"}' $url/api/v1/addresses/validate
  curl -H "X-API-Key: \$(cat $shown/api-key)" --json '{"coordinates": {"latitude": -36.7170, "longitude": 142.1990}}' $url/api/v1/spatial/boundaries

MESSAGE
if [ -n "$redis_port" ]; then
  cat <<MESSAGE
  A second gateway answers on http://127.0.0.1:${ports[1]} and has by now what the first one has. They share a Redis Cluster
  (redis-cli -c -p $redis_port). A purge reaches both, and says so:

  curl -H "Authorization: Bearer \$(cat $shown/admin-token)" --json '{"all": true}' http://127.0.0.1:${admin_ports[0]}/admin/v1/cache/purge

MESSAGE
fi
echo "  Ctrl-C stops everything."

while attentive sleep 1; do
  for pid in "${gateway_pids[@]}"; do
    kill -0 "$pid" 2>/dev/null || { tail -n 5 "$folder"/addrgate*.log >&2; fail "addrgate stopped; its log is in $folder"; }
  done
  [ -z "$redis" ] || attentive bash scripts/redis-cluster.sh alive "$folder/redis" || fail "a node of Redis stopped; logs: $folder/redis/*.log"
  kill -0 "$service_pid" 2>/dev/null || { tail -n 5 "$folder/address-service.log" >&2; fail "address-service stopped; its log is $folder/address-service.log"; }
  attentive bash scripts/postgres.sh pid "$folder/postgres" >/dev/null || fail "PostgreSQL stopped; its log is $(bash scripts/postgres.sh log "$folder/postgres")"
done
