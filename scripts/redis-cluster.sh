#!/usr/bin/env bash
# A private Redis Cluster of three masters and three replicas that keep nothing on disk.
#   bash scripts/redis-cluster.sh start FOLDER PORT   six nodes from PORT on; the cluster bus is 10000 above
#   bash scripts/redis-cluster.sh alive FOLDER        whether all of them run
#   bash scripts/redis-cluster.sh stop FOLDER
set -euo pipefail
action=$1 folder=$2
pids() { cat "$folder"/*.pid 2>/dev/null || true; }

case $action in
start)
  bash "$0" stop "$folder"
  rm -rf "$folder"
  mkdir -p "$folder"
  nodes=()
  for number in 1 2 3 4 5 6; do
    port=$(($3 + number - 1))
    nodes+=("127.0.0.1:$port")
    mkdir "$folder/$number"
    redis-server --port "$port" --bind 127.0.0.1 --dir "$folder/$number" --save '' --appendonly no --daemonize yes \
      --logfile "$folder/$number.log" --pidfile "$folder/$number.pid" \
      --cluster-enabled yes --cluster-node-timeout 2000 --cluster-require-full-coverage no >/dev/null
    for _ in $(seq 100); do redis-cli -p "$port" ping >/dev/null 2>&1 && break; sleep 0.05; done
  done
  redis-cli --cluster create "${nodes[@]}" --cluster-replicas 1 --cluster-yes >"$folder/create.log" 2>&1 || {
    cat "$folder/create.log" "$folder"/?.log >&2
    exit 1
  }
  for _ in $(seq 100); do
    redis-cli -p "$3" cluster info | grep -q 'cluster_state:ok' && exit 0
    sleep 0.1
  done
  echo "the Redis Cluster does not agree; its logs are $folder/*.log" >&2
  exit 1
  ;;
alive)
  [ "$(pids | wc -l)" -eq 6 ]
  for pid in $(pids); do kill -0 "$pid" 2>/dev/null || exit 1; done
  ;;
stop)
  for pid in $(pids); do
    kill "$pid" 2>/dev/null || continue
    for _ in $(seq 100); do kill -0 "$pid" 2>/dev/null || break; sleep 0.05; done
    kill -KILL "$pid" 2>/dev/null || true
  done
  ;;
*) echo "unknown action $action" >&2; exit 64 ;;
esac
