# For scripts that measure the address service: a folder with a PostgreSQL and the service over it, all gone at the end. To be
# sourced.
# shellcheck shell=bash
# shellcheck source=scripts/processes.sh
. scripts/processes.sh

dir=$(mktemp -d)
service=''
finish() {
  if [ -n "$service" ]; then stop_process "$service"; fi
  bash scripts/postgres.sh remove "$dir/postgres" || true
  rm -rf "$dir"
}
trap finish EXIT

serve() { # PROGRAM: on a free port; where it is reached is in ADDRESS_SERVICE_URL then
  local address=''
  "$1" serve --listen 127.0.0.1:0 >"$dir/service.log" & service=$!
  for _ in $(seq 100); do
    address=$(sed -n 's/.*"address":"\([^"]*\)".*/\1/p' "$dir/service.log" | head -1)
    if [ -n "$address" ]; then break; fi
    sleep 0.1
  done
  [ -n "$address" ] || { cat "$dir/service.log" >&2; fail "the address service did not start"; }
  export ADDRESS_SERVICE_URL=http://$address
}
