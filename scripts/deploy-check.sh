#!/usr/bin/env bash
# Checks the files of deploy/ with the real programs: promtool, redis-server, PostgreSQL, systemd-analyze. What is not on this machine
# is said and left out; deploy/README.md lists what each check means.
#   bash scripts/deploy-check.sh            all
#   bash scripts/deploy-check.sh alerts     some: alerts, redis, postgres, systemd, yaml
set -euo pipefail
unset CDPATH
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(alerts)
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

for part in "${parts[@]}"; do
  case $part in
  alerts) "$part" ;;
  *) echo "usage: deploy-check.sh [alerts]" >&2; exit 64 ;;
  esac
done
