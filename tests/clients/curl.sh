#!/usr/bin/env bash
# curl with the options that follow base and name: --http1.1, --http2 (an offer of h2c), --http2-prior-knowledge.
set -euo pipefail
base=$1 name=$2
shift 2
ask() { # METHOD PATH OPTION...
  local method=$1 path=$2 head
  shift 2
  head=$(mktemp)
  if [ "$method" = HEAD ]; then set -- --head "$@"; else set -- --request "$method" "$@"; fi
  body=$(curl --silent --show-error --fail --max-time 20 --header 'Content-Type: application/json' \
    --dump-header "$head" "${options[@]}" "$@" "$base$path")
  if [ "$method" = HEAD ]; then body=; fi
  status=$(awk '/^HTTP/ { status = $2 } END { print status }' "$head")
  cache=$(awk 'tolower($1) == "x-cache:" { print $2 }' "$head" | tr -d '\r')
  rm "$head"
  echo "$method $path $status ${cache:--} $body"
}
options=("$@")
json='{"n":1}'
ask GET "/hot/$name"
ask GET "/hot/$name"
ask GET "/cold/$name" --data ''
ask POST "/echo/$name" --data "$json"
ask POST "/echo/$name" --data "$json" --header 'Transfer-Encoding: chunked'
ask POST "/read/$name" --data "$json"
ask POST "/read/$name" --data "$json" --header 'Transfer-Encoding: chunked'
ask HEAD "/hot/$name"
