# For scripts that run programs until Ctrl-C; to be sourced. A signal that is sent to the script alone is acted on at once.
# shellcheck shell=bash

say() { printf '==> %s\n' "$*"; }
fail() { printf '%s: %s\n' "${command:-$0}" "$*" >&2; exit 1; }
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

# In a process group of its own: Ctrl-C reaches only the script, which then stops things in order.
background() { set -m; "$@" & set +m; }

current='' # the process group of a step that is under way
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
