#!/usr/bin/env bash
# What `make run` does: everything from an empty machine to an address API on http://127.0.0.1:3001, until Ctrl-C.
# State is kept in .run/ (database, API key, logs), so that the second run starts in seconds; delete it to start afresh.
# Elsewhere: ADDRGATE_PORT, ADDRGATE_ADMIN_PORT, ADDRESS_SERVICE_PORT, ADDRGATE_RUN_DIR.
# Programs that are built already: ADDRGATE_PROGRAMS, their folder.
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
folder=${ADDRGATE_RUN_DIR:-.run}
port=${ADDRGATE_PORT:-3001} admin_port=${ADDRGATE_ADMIN_PORT:-9901} service_port=${ADDRESS_SERVICE_PORT:-3002}
url=http://127.0.0.1:$port

say() { printf '==> %s\n' "$*"; }
fail() { printf 'make run: %s\n' "$*" >&2; exit 1; }
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
command_of() { tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" || ps -o command= -p "$1" 2>/dev/null || true; }

stop_process() { # PID: asks, waits, insists
  local tenths=150
  kill -TERM "$1" 2>/dev/null || return 0
  while kill -0 "$1" 2>/dev/null; do
    if [ $((tenths -= 1)) -lt 0 ]; then kill -KILL "$1" 2>/dev/null || true; fi
    sleep 0.1
  done
}

gateway_pid='' service_pid='' database='' current=''
# Whatever ended us: the gateway first, then what it asks, then what that asks.
stop_all() {
  local code=$?
  trap '' INT TERM HUP
  trap - EXIT
  if [ -n "$current" ]; then kill -TERM -- "-$current" 2>/dev/null || true; fi
  if [ -n "$gateway_pid$service_pid$database" ]; then say "stopping"; fi
  if [ -n "$gateway_pid" ]; then stop_process "$gateway_pid"; fi
  if [ -n "$service_pid" ]; then stop_process "$service_pid"; fi
  if [ -n "$database" ]; then bash scripts/postgres.sh stop "$folder/postgres"; fi
  rm -f "$folder"/{run,gateway,service}.pid
  exit "$code"
}

# In a process group of its own: Ctrl-C reaches only this script, which then stops things in order.
background() { set -m; "$@" & set +m; }
# A step that may be long, in the background so that a signal is acted on at once.
step() {
  local code=0
  background "$@"
  current=$!
  wait "$current" || code=$?
  current=''
  return "$code"
}

# For short commands: bash drops an INT that is sent to it alone while a command in the foreground ends well.
attentive() { "$@" & wait $!; }

wait_for() { # NAME PID URL LOG
  local begun=$SECONDS
  printf '==> waiting for %s ' "$1"
  until attentive curl -fs -o /dev/null --max-time 2 "$3"; do
    if ! kill -0 "$2" 2>/dev/null || [ $((SECONDS - begun)) -ge 60 ]; then
      printf '\n'
      tail -n 5 "$4" >&2
      fail "$1 did not get ready; its log is $4"
    fi
    printf '.'
    attentive sleep 0.25
  done
  printf ' ready\n'
}

bash scripts/packages.sh build run
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

if [ -f "$folder/run.pid" ]; then
  other=$(cat "$folder/run.pid")
  case $(command_of "$other") in
  *run.sh*) fail "it is running already (process $other)" ;;
  esac
  for name in gateway service; do # left by a run that was killed
    leftover=$(cat "$folder/$name.pid" 2>/dev/null || echo none)
    case $(command_of "$leftover") in
    *target/*/addr*) say "stopping the $name of a run that was killed"; stop_process "$leftover" ;;
    esac
  done
fi
for entry in "$port ADDRGATE_PORT" "$service_port ADDRESS_SERVICE_PORT" "$admin_port ADDRGATE_ADMIN_PORT"; do
  read -r number variable <<<"$entry"
  if listening "$number"; then
    fail "port $number is in use by another program. Stop that one, or choose another port: $variable=1$number make run"
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
  --purge-url "http://127.0.0.1:$admin_port" >"$folder/address-service.log" 2>&1
service_pid=$!
echo "$service_pid" >"$folder/service.pid"
unset DATABASE_URL # the gateway has no use for it
background env ADDRGATE_LISTEN="127.0.0.1:$port" ADDRGATE_ADMIN="127.0.0.1:$admin_port" \
  ADDRGATE_UPSTREAM="127.0.0.1:$service_port" "$bin/addrgate" run --config config.yaml >"$folder/addrgate.log" 2>&1
gateway_pid=$!
echo "$gateway_pid" >"$folder/gateway.pid"
wait_for address-service "$service_pid" "http://127.0.0.1:$service_port/api/v1/health" "$folder/address-service.log"
wait_for addrgate "$gateway_pid" "$url/api/v1/health" "$folder/addrgate.log"

shown=$(printf %q "${ADDRGATE_RUN_DIR:-.run}") # as a shell reads it
cat <<MESSAGE

  addrgate answers on $url (logs: $shown/*.log). Try, in another terminal in this folder:

  curl -H "X-API-Key: \$(cat $shown/api-key)" "$url/api/v1/addresses/search?q=24+firebrace+st+horsham"
  curl -H "X-API-Key: \$(cat $shown/api-key)" --json '{"address": "unit 1, 2 alexandr av, horsham"}' $url/api/v1/addresses/validate
  curl -H "X-API-Key: \$(cat $shown/api-key)" --json '{"coordinates": {"latitude": -36.7170, "longitude": 142.1990}}' $url/api/v1/spatial/boundaries

  Ctrl-C stops everything.
MESSAGE

while attentive sleep 1; do
  kill -0 "$gateway_pid" 2>/dev/null || { tail -n 5 "$folder/addrgate.log" >&2; fail "addrgate stopped; its log is $folder/addrgate.log"; }
  kill -0 "$service_pid" 2>/dev/null || { tail -n 5 "$folder/address-service.log" >&2; fail "address-service stopped; its log is $folder/address-service.log"; }
  attentive bash scripts/postgres.sh pid "$folder/postgres" >/dev/null || fail "PostgreSQL stopped; its log is $(bash scripts/postgres.sh log "$folder/postgres")"
done
