#!/usr/bin/env bash
# A private PostgreSQL with PostGIS in a folder of the project's, on a free port of 127.0.0.1, never as root.
#   postgres.sh programs    print the folder of the server programs (15 or newer, with PostGIS), or fail
#   postgres.sh start DIR   create it if need be, start it, print its URL
#   postgres.sh sql DIR STATEMENT  run it in the database `postgres`
#   postgres.sh log DIR     print where its log is
#   postgres.sh pid DIR     print its process id, or fail when it isn't running
#   postgres.sh stop DIR    stop it
#   postgres.sh remove DIR  stop it and delete it
# Never touches a system cluster. As root it runs as the `postgres` system user; where that user can't reach DIR (a home
# folder closed to others) the files live under /var/tmp and DIR/data is a link to them.
# POSTGRES_OPTIONS: more options of the server, as `-c name=value ...`.
set -euo pipefail
unset PGDATA PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGOPTIONS PGSERVICE CDPATH

programs() { # [MAJOR]: the newest that will do, or that very version
  local folder share version found=
  while read -r folder; do
    if [ ! -x "$folder/initdb" ] || [ ! -x "$folder/pg_isready" ]; then continue; fi
    version=$("$folder/postgres" --version | sed -E 's/[^0-9]*([0-9]+).*/\1/')
    if [ "$version" -lt 15 ] || [ "$version" != "${1:-$version}" ]; then continue; fi
    for share in "$("$folder/pg_config" --sharedir 2>/dev/null)" "/usr/share/postgresql/$version" /usr/share/pgsql; do
      [ -f "$share/extension/postgis.control" ] && [ -f "$share/extension/pg_trgm.control" ] && found=$folder
    done
  done < <(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin \
    "$(dirname "$(readlink -f "$(command -v pg_ctl)" || echo /nowhere/pg_ctl)")" | sort -V)
  [ -n "$found" ] || { echo "no PostgreSQL ${1:-15 or newer} with PostGIS found; see scripts/packages.sh" >&2; return 1; }
  echo "$found"
}

action=${1:?programs, start, sql, log, pid, stop or remove}
[ "$action" != programs ] || { programs; exit; }
if [ "$action" = start ]; then mkdir -p "${2:?folder}"; fi
[ -d "${2:?folder}" ] || { [ "$action" != pid ]; exit; }
dir=$(cd "$2" && pwd -P)
cd / # where the other user may stand too
data=$dir/data
if [ -L "$data" ] && [ ! -d "$data/" ]; then rm -f "$data"; fi # /var/tmp was cleaned
home=$(readlink -f "$data" 2>/dev/null || echo "$data")

as_owner=()
if [ "$(id -u)" -eq 0 ]; then
  owner=postgres
  if [ -d "$home" ]; then owner=$(stat -c %U "$home"); fi
  id "$owner" >/dev/null 2>&1 || { echo "there is no user $owner to run PostgreSQL as" >&2; exit 1; }
  [ "$owner" != root ] || { echo "$home belongs to root, and PostgreSQL never runs as root; remove it" >&2; exit 1; }
  as_owner=(runuser -u "$owner" --)
elif [ -d "$home" ] && [ ! -O "$home" ]; then
  echo "$home belongs to another user; stop and remove it as that user" >&2
  exit 1
fi

# A pid in postmaster.pid may be another process by now. A postmaster stands in its data folder.
running_pid() {
  local pid
  pid=$("${as_owner[@]}" sed -n 1p "$home/postmaster.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
  if [ -d /proc/self ]; then
    [ "$("${as_owner[@]}" readlink "/proc/$pid/cwd" 2>/dev/null)" = "$home" ] || return 1
  else
    kill -0 "$pid" 2>/dev/null || return 1
  fi
  echo "$pid"
}

create() {
  bin=$(programs)
  if [ "$(id -u)" -eq 0 ]; then
    chmod a+x "$dir"
    if ! "${as_owner[@]}" test -x "$dir"; then
      local away
      away=$(mktemp -d /var/tmp/addrgate-postgres-XXXXXX)
      chmod 711 "$away"
      ln -sfn "$away/data" "$data"
      home=$away/data
    fi
  fi
  # Under another name until it is whole: an interrupted initdb leaves nothing that looks like a cluster.
  local new=$home.new secret=$home.secret
  rm -rf "$new" "$secret"
  (umask 077; mkdir "$new"; head -c 24 /dev/urandom | base64 | tr -d '/+=\n' >"$dir/password"; cp "$dir/password" "$secret")
  if [ "$(id -u)" -eq 0 ]; then chown "$owner" "$new" "$secret"; fi
  "${as_owner[@]}" "$bin/initdb" -D "$new" -U addrgate -E UTF8 --locale=C.UTF-8 --auth=scram-sha-256 --pwfile="$secret" \
    >/dev/null || { rm -rf "$new" "$secret"; echo "initdb failed" >&2; exit 1; }
  rm -f "$secret"
  mv "$new" "$home"
}

start() {
  local attempt port options=${POSTGRES_OPTIONS:-} # pg_ctl hands them to a shell, where a line would end the command
  # Two starts at once take turns.
  exec 9>"$dir/lock"
  if command -v flock >/dev/null; then flock -w 120 9 || { echo "another start of $dir hangs" >&2; exit 1; }; fi
  [ -f "$home/PG_VERSION" ] || [ -f "$data/PG_VERSION" ] || create
  [ -f "$dir/password" ] || { echo "$dir/password is gone; remove $dir and start again" >&2; exit 1; }
  bin=$(programs "$("${as_owner[@]}" cat "$home/PG_VERSION")")
  if ! running_pid >/dev/null; then
    rm -f "$home/postmaster.pid" # of a server that was killed
    # The port of the last time, else one below the ephemeral range, so that no outgoing connection holds it; another
    # where it is taken.
    for attempt in 1 2 3 4 5 6; do
      [ "$attempt" -lt 6 ] || { "${as_owner[@]}" tail -20 "$home/server.log" >&2; echo "PostgreSQL does not start" >&2; exit 1; }
      port=$(cat "$dir/port" 2>/dev/null || echo $((20000 + (RANDOM * 32768 + RANDOM) % 12000)))
      "${as_owner[@]}" "$bin/pg_ctl" -D "$home" -l "$home/server.log" -w -t 60 -s start -o "-p $port \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200 -c shared_buffers=256MB \
        -c max_wal_size=4GB -c jit=off ${options//$'\n'/ }" >/dev/null 2>&1 </dev/null 9>&- && break
      rm -f "$dir/port"
      sleep 0.5
    done
    echo "$port" >"$dir/port"
  fi
  port=$("${as_owner[@]}" sed -n 4p "$home/postmaster.pid")
  for attempt in $(seq 120); do # a server found running may still be recovering
    "$bin/pg_isready" -q -h 127.0.0.1 -p "$port" && break
    [ "$attempt" -lt 120 ] || { echo "PostgreSQL on port $port is not ready after 60 s" >&2; exit 1; }
    sleep 0.5
  done
  echo "postgresql://addrgate:$(cat "$dir/password")@127.0.0.1:$port/postgres"
}

stop() {
  local pid bin
  pid=$(running_pid) || return 0
  bin=$(programs "$("${as_owner[@]}" cat "$home/PG_VERSION")")
  "${as_owner[@]}" "$bin/pg_ctl" -D "$home" -m fast -w -t 30 -s stop 2>/dev/null ||
    "${as_owner[@]}" "$bin/pg_ctl" -D "$home" -m immediate -w -t 10 -s stop
}

case $action in
start) start ;;
sql)
  PGPASSWORD=$(cat "$dir/password") "$(programs)/psql" -qXAt -v ON_ERROR_STOP=1 -h 127.0.0.1 \
    -p "$("${as_owner[@]}" sed -n 4p "$home/postmaster.pid")" -U addrgate -d postgres -c "${3:?statement}"
  ;;
log) echo "$home/server.log" ;;
pid) running_pid ;;
stop) stop ;;
remove)
  stop
  case $home in /var/tmp/addrgate-postgres-*) rm -rf "$(dirname "$home")" ;; esac
  rm -rf "$dir/data" "$dir/data.new" "$dir/data.secret" "$dir/password" "$dir/port" "$dir/lock"
  rmdir "$dir" 2>/dev/null || true # others' files stay
  ;;
*) echo "usage: postgres.sh programs | start|log|pid|stop|remove DIR | sql DIR STATEMENT" >&2; exit 64 ;;
esac
