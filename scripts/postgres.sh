#!/usr/bin/env bash
# A private PostgreSQL cluster in a folder of the project's, on a free port, for one user, never as root.
#   postgres.sh start DIR   create it if need be, start it, print its URL
#   postgres.sh stop DIR    stop it
#   postgres.sh remove DIR  stop it and delete it
# Never touches a system cluster. As root it runs as the `postgres` system user; where that user can't reach DIR the files
# live under /var/tmp and DIR/data is a link to them.
set -euo pipefail

action=${1:?start, stop or remove}
mkdir -p "${2:?folder}"
dir=$(cd "$2" && pwd)
bin=$(ls -d /usr/lib/postgresql/*/bin "$(dirname "$(command -v pg_ctl || echo /usr/bin/none)")" 2>/dev/null | sort -V | while read -r d; do
  [ -x "$d/pg_ctl" ] && [ -x "$d/initdb" ] && echo "$d"; done | tail -1)
[ -n "$bin" ] || { echo "no PostgreSQL server programs found; run scripts/packages.sh" >&2; exit 1; }

as_owner=()
if [ "$(id -u)" -eq 0 ]; then as_owner=(runuser -u postgres --); fi

data=$dir/data
home() { # where the files really live
  if [ -L "$data" ]; then readlink "$data"; return; fi
  if [ "$(id -u)" -eq 0 ] && ! "${as_owner[@]}" test -x "$dir"; then
    local away; away=$(mktemp -d /var/tmp/addrgate-postgres-XXXXXX)
    ln -s "$away/data" "$data"; data=$away/data
  fi
  echo "$data"
}
running() { "${as_owner[@]}" "$bin/pg_ctl" -D "$1" status >/dev/null 2>&1; }

case $action in
start)
  home=$(home)
  if [ ! -d "$home" ]; then
    (umask 077; head -c 24 /dev/urandom | base64 | tr -d '/+=\n' >"$dir/password")
    mkdir -p "$home"
    if [ "$(id -u)" -eq 0 ]; then chmod 755 "${home%/*}"; chown postgres "$home"; fi
    secret=$("${as_owner[@]}" mktemp)
    "${as_owner[@]}" tee "$secret" <"$dir/password" >/dev/null
    "${as_owner[@]}" "$bin/initdb" -D "$home" -U addrgate -E UTF8 --locale=C.UTF-8 --auth=scram-sha-256 \
      --pwfile="$secret" >/dev/null || { rm -rf "$home" "$secret"; exit 1; }
    rm -f "$secret"
  fi
  if ! running "$home"; then
    # Ports below the ephemeral range, so that no outgoing connection holds one; another try where one is taken.
    for _ in 1 2 3 4 5; do
      port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
      "${as_owner[@]}" "$bin/pg_ctl" -D "$home" -l "$home/server.log" -w -t 60 -s start -o "-p $port \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c shared_buffers=256MB -c max_wal_size=4GB -c jit=off \
        ${POSTGRES_OPTIONS:-}" >&2 && break
      tail -3 "$home/server.log" >&2
    done
  fi
  port=$("${as_owner[@]}" sed -n 4p "$home/postmaster.pid")
  echo "postgresql://addrgate:$(cat "$dir/password")@127.0.0.1:$port/postgres"
  ;;
stop | remove)
  home=$(home)
  if running "$home"; then "${as_owner[@]}" "$bin/pg_ctl" -D "$home" -m fast -w -s stop; fi
  if [ "$action" = remove ]; then
    case $home in /var/tmp/addrgate-postgres-*) rm -rf "$(dirname "$home")" ;; esac
    rm -rf "$dir"
  fi
  ;;
*) echo "usage: postgres.sh start|stop|remove DIR" >&2; exit 64 ;;
esac
