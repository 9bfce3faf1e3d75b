#!/usr/bin/env bash
# Installs the distribution's packages that are missing: packages.sh PACKAGE...
# On systems without apt it prints what is needed and stops.
set -euo pipefail

missing=()
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
if ! command -v apt-get >/dev/null || { [ ${#as_root[@]} -gt 0 ] && ! command -v sudo >/dev/null; }; then
  cat >&2 <<MESSAGE
addrgate needs these programs: PostgreSQL 15 or newer with PostGIS 3, and for the tests redis-server.
Install them with your system's package manager, then run the same command again. On Debian or Ubuntu, as root:
  apt-get update && apt-get install --no-install-recommends ${missing[*]}
On Fedora:  dnf install postgresql-server postgis redis
On macOS:   brew install postgresql@15 postgis redis
MESSAGE
  exit 1
fi

echo "installing ${missing[*]}" >&2
# The server packages would create and start system services; the project only wants the programs.
drop_in=/etc/postgresql-common/createcluster.d/addrgate.conf
"${as_root[@]}" mkdir -p "${drop_in%/*}"
echo 'create_main_cluster = false' | "${as_root[@]}" tee "$drop_in" >/dev/null
trap '"${as_root[@]}" rm -f "$drop_in"' EXIT
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
