#!/usr/bin/env bash
# Checks the files of deploy/ with the real programs: promtool, redis-server, PostgreSQL, systemd-analyze. What is not on this machine
# is said and left out; deploy/README.md lists what each check means.
#   bash scripts/deploy-check.sh            all
#   bash scripts/deploy-check.sh alerts     some: alerts, systemd, postgres, redis
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(alerts systemd postgres redis)
fail() { echo "deploy-check: $*" >&2; exit 1; }
have() { # PROGRAM PART
  command -v "$1" >/dev/null || { echo "deploy-check: NOT CHECKED: $2; $1 is not on this machine"; return 1; }
}

alerts() {
  local alert metric
  # Only metrics that exist, and a page for each alert: no tool needed.
  for metric in $(grep -oE 'addrgate_[a-z_]+' deploy/prometheus/rules.yml | sed -E 's/_bucket$//' | sort -u); do
    grep -q "^| \`$metric\` " docs/metrics.md || fail "rules.yml uses $metric, which docs/metrics.md does not have"
  done
  for alert in $(sed -n 's/^ *- alert: //p' deploy/prometheus/rules.yml); do
    [ -f "docs/runbooks/$alert.md" ] || fail "$alert has no page in docs/runbooks"
    grep -q "runbook_url: docs/runbooks/$alert.md" deploy/prometheus/rules.yml || fail "$alert does not name its page"
    grep -q "^  - name: $alert\$" deploy/prometheus/rules.test.yml || fail "$alert has no test that it fires"
    grep -q "alertname: $alert, eval_time: 8h, exp_alerts: \[\]" deploy/prometheus/rules.test.yml || fail "$alert has no test that it is silent"
  done
  have promtool alerts || return 0
  promtool check rules deploy/prometheus/rules.yml >/dev/null
  promtool test rules deploy/prometheus/rules.test.yml >/dev/null || fail "promtool test rules deploy/prometheus/rules.test.yml"
  promtool check config --syntax-only deploy/prometheus/prometheus.yml >/dev/null
  echo "deploy-check: alerts ok"
}

# The units as they are, but for the path of the programs, which needn't be installed. A score above 2.0 is a hole that was left.
systemd() {
  have systemd-analyze systemd || return 0
  local folder unit score
  folder=$(mktemp -d)
  for unit in addrgate address-service; do
    sed 's#/usr/bin/addr[a-z-]*#/bin/true#' "deploy/systemd/$unit.service" >"$folder/$unit.service"
    systemd-analyze verify --man=no "$folder/$unit.service" || fail "systemd-analyze verify deploy/systemd/$unit.service"
    score=$(systemd-analyze security --offline=true --no-pager "$folder/$unit.service" | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
    awk -v score="$score" 'BEGIN { exit !(score != "" && score <= 2.0) }' || fail "$unit.service: exposure $score, at most 2.0"
  done
  rm -rf "$folder"
  echo "deploy-check: systemd ok"
}

# A cluster of 3 + 3 and a Sentinel of 1 + 1 + 3, with TLS and users, from the files as they are: copied into a folder, and only the places
# of certificates, ports and data are others. The user of the gateway does what it needs and is refused what it doesn't.
redis() {
  have redis-server redis && have openssl redis || return 0
  local folder node base=17100
  folder=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "kill \$(cat '$folder'/*.pid 2>/dev/null) 2>/dev/null || true; sleep 0.3; rm -rf '$folder'" EXIT
  cp deploy/redis/*.conf "$folder"
  bash deploy/redis/users.sh "$folder"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=check -keyout "$folder/ca.key" -out "$folder/ca.crt" 2>/dev/null
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=redis -keyout "$folder/redis.key" -out "$folder/redis.csr" 2>/dev/null
  openssl x509 -req -days 2 -in "$folder/redis.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAcreateserial -out "$folder/redis.crt" \
    -extfile <(echo subjectAltName=IP:127.0.0.1,DNS:localhost) 2>/dev/null
  server() { # NAME CONFIGURATION PORT ARGUMENTS...
    mkdir -p "$folder/$1"
    (cd "$folder" && redis-server "$2" --tls-port "$3" --bind 127.0.0.1 --dir "$folder/$1" --logfile "$folder/$1.log" --pidfile "$folder/$1.pid" \
      --daemonize yes --tls-cert-file "$folder/redis.crt" --tls-key-file "$folder/redis.key" --tls-ca-cert-file "$folder/ca.crt" "${@:4}") >/dev/null ||
      { cat "$folder/$1.log" >&2; fail "redis-server $2 does not start"; }
  }
  as() { # USER PORT COMMAND...
    REDISCLI_AUTH=$(cat "$folder/$1") redis-cli --no-auth-warning --tls --cacert "$folder/ca.crt" --user "$1" -h 127.0.0.1 -p "$2" "${@:3}" 2>&1
  }
  until_says() { # TEXT COMMAND...
    local text=$1 said=''; shift
    for _ in $(seq 150); do said=$("$@") || true; case $said in *"$text"*) return 0 ;; esac; sleep 0.1; done
    tail -n 5 "$folder"/*.log >&2; fail "$*: $said"
  }
  local nodes=()
  for node in 1 2 3 4 5 6; do
    server "node-$node" cluster.conf $((base + node)) --aclfile "$folder/users.acl" --cluster-port $((base + 100 + node))
    nodes+=("127.0.0.1:$((base + node))")
    until_says PONG as operator $((base + node)) ping
  done
  as operator $((base + 1)) --cluster create "${nodes[@]}" --cluster-replicas 1 --cluster-yes >"$folder/create.log" || { cat "$folder/create.log" >&2; fail "the cluster can not be made"; }
  until_says cluster_state:ok as operator $((base + 1)) cluster info
  until_says master_link_status:up as operator $((base + 6)) info replication
  may addrgate cluster "$base" -c
  until_says NOAUTH redis-cli --tls --cacert "$folder/ca.crt" -h 127.0.0.1 -p $((base + 1)) ping

  server server-master replicated.conf $((base + 11)) --aclfile "$folder/users.acl"
  until_says PONG as operator $((base + 11)) ping
  server server-replica replicated.conf $((base + 12)) --aclfile "$folder/users.acl" --replicaof 127.0.0.1 $((base + 11))
  until_says master_link_status:up as operator $((base + 12)) info replication
  for node in 1 2 3; do
    sed "s/127.0.0.1 6379/127.0.0.1 $((base + 11))/" "$folder/sentinel.conf" >"$folder/sentinel-$node.conf"
    server "sentinel-$node" "sentinel-$node.conf" $((base + 20 + node)) --sentinel
  done
  until_says $((base + 11)) as addrgate $((base + 21)) sentinel get-master-addr-by-name mymaster
  until_says "num-other-sentinels
2" as sentinel $((base + 21)) sentinel master mymaster
  until_says num-slaves as sentinel $((base + 22)) sentinel master mymaster
  until_says NOPERM as addrgate $((base + 21)) sentinel remove mymaster
  may addrgate master $((base + 10))
  gateway "$folder" "$base"
  kill "$(cat "$folder/server-master.pid")"
  until_says $((base + 12)) as addrgate $((base + 22)) sentinel get-master-addr-by-name mymaster
  until_says role:master as operator $((base + 12)) info replication
  echo "deploy-check: redis ok (cluster of 3 + 3, Sentinel with a failover, TLS, users)"
}
may() { # USER WHAT BASE [-c]
  until_says OK as "$1" $(($3 + 1)) ${4:-} set addrgate:check 1 ex 5
  until_says 1 as "$1" $(($3 + 1)) ${4:-} get addrgate:check
  until_says NOPERM as "$1" $(($3 + 1)) ${4:-} set other:check 1
  until_says NOPERM as "$1" $(($3 + 1)) flushall
  until_says NOPERM as "$1" $(($3 + 1)) config get maxmemory
}
status() { curl -s -m 2 -H 'Authorization: Bearer only-for-this-check' "http://127.0.0.1:$1/admin/v1/status"; } # PORT
# The gateway itself finds no right missing, where it is built.
gateway() { # FOLDER BASE
  local program=${ADDRGATE:-${CARGO_TARGET_DIR:-target}/debug/addrgate} mode
  [ -x "$program" ] || { echo "deploy-check: NOT CHECKED: the gateway against redis; $program is not built"; return 0; }
  for mode in "cluster $(($2 + 1)) $(($2 + 2)) $(($2 + 3))" "sentinel $(($2 + 21)) $(($2 + 22)) $(($2 + 23))"; do
    # shellcheck disable=SC2086
    set -- "$1" "$2" $mode
    local login=''
    [ "$3" = cluster ] || login="addrgate:$(cat "$1/addrgate")@"
    cat >"$1/gateway.yaml" <<CONFIG
version: 1
server: { listen: ["127.0.0.1:$(($2 + 51))"] }
admin: { listen: "127.0.0.1:$(($2 + 50))", token: only-for-this-check }
redis:
  mode: $3
  urls: ["rediss://${login}127.0.0.1:$4", "rediss://${login}127.0.0.1:$5", "rediss://${login}127.0.0.1:$6"]
  master: mymaster
  username: addrgate
  password_file: $1/addrgate
  ca_file: $1/ca.crt
upstreams: { any: { addresses: ["127.0.0.1:$4"] } } # takes connections; no more is asked
routes: [{ name: all, paths: [/], auth: none }]
CONFIG
    [ "$3" = sentinel ] || sed -i '/master:/d' "$1/gateway.yaml"
    "$program" run --config "$1/gateway.yaml" >"$1/gateway.log" 2>&1 &
    echo $! >"$1/gateway.pid"
    until_says '"connected":true' status $(($2 + 50))
    case $(status $(($2 + 50))) in *NOPERM* | *'"trouble":"'*) status $(($2 + 50)) >&2; fail "the gateway lacks rights, $3" ;; esac
    kill "$(cat "$1/gateway.pid")"
    wait "$(cat "$1/gateway.pid")" || true
  done
  echo "deploy-check: the gateway has every right it needs, cluster and Sentinel"
}

# The settings are read by PostgreSQL itself; roles and rights are tried in a private server: the import role migrates, the serving role
# reads and drains the outbox, and can do no more.
postgres() {
  local folder url port program=${ADDRESS_SERVICE:-${CARGO_TARGET_DIR:-target}/debug/address-service}
  bash scripts/postgres.sh programs >/dev/null 2>&1 || { echo "deploy-check: NOT CHECKED: postgres; no PostgreSQL with PostGIS on this machine"; return 0; }
  [ -x "$program" ] || { echo "deploy-check: NOT CHECKED: postgres; $program is not built"; return 0; }
  folder=$(mktemp -d)
  chmod 711 "$folder"
  # shellcheck disable=SC2064
  trap "bash scripts/postgres.sh remove '$folder/server'; rm -rf '$folder'" EXIT
  url=$(POSTGRES_OPTIONS='-c fsync=off' bash scripts/postgres.sh start "$folder/server")
  port=${url##*:} port=${port%/*}
  admin() { PGPASSWORD=$(cat "$folder/server/password") psql -qXAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U addrgate -d "$1" "${@:2}"; }
  role() { PGPASSWORD=check psql -qXAt -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U "$1" -d check "${@:2}"; }
  # Each setting is known, and its value fits.
  sed -nE "s/^([a-z_]+) = ('[^']*'|[^ #]+).*/\1 \2/p" deploy/postgres/postgresql.conf | while read -r name value; do
    case $value in "'"*) ;; *) value="'$value'" ;; esac
    admin postgres -c "ALTER SYSTEM SET $name = $value" || fail "deploy/postgres/postgresql.conf: $name"
  done
  admin postgres -c "ALTER SYSTEM RESET ALL" -c "CREATE DATABASE \"check\""
  admin check -f deploy/postgres/roles.sql
  admin check -c "ALTER ROLE addrgate_import PASSWORD 'check'" -c "ALTER ROLE addrgate_service PASSWORD 'check'"
  DATABASE_URL=postgresql://addrgate_import:check@127.0.0.1:$port/check "$program" migrate >"$folder/migrate.log" 2>&1 ||
    { cat "$folder/migrate.log" >&2; fail "the import role can not migrate"; }
  role addrgate_import -f deploy/postgres/grants.sql
  role addrgate_service -c 'SELECT count(*) FROM address' -c 'SELECT count(*) FROM area_statistics' -c 'LISTEN purge_outbox' \
    -c 'DELETE FROM purge_outbox WHERE id IN (SELECT id FROM purge_outbox FOR UPDATE SKIP LOCKED)' >/dev/null || fail "the serving role lacks a right"
  for forbidden in 'DELETE FROM address' 'INSERT INTO locality SELECT * FROM locality' 'CREATE TABLE more()' 'CREATE TEMP TABLE more()' 'CREATE ROLE more'; do
    if role addrgate_service -c "$forbidden" >/dev/null 2>&1; then fail "the serving role may $forbidden"; fi
  done
  echo "deploy-check: postgres ok"
}

for part in "${parts[@]}"; do
  case $part in
  alerts | systemd | postgres | redis) ("$part") ;;
  *) echo "usage: deploy-check.sh [alerts|systemd|postgres|redis]" >&2; exit 64 ;;
  esac
done
