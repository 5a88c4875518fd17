# What the user sees: one line per thing that is built or waited for, with the seconds it took.

fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

say() { printf '%s\n' "$@"; }

# step <log> <label> <command...>: runs the command with its output in the log; on failure shows the log's end and its path.
step() {
  local log=$1 label=$2 began=$SECONDS pid
  shift 2
  mkdir -p "$(dirname "$log")"
  # A job of its own: inside a condition bash would ignore `set -e` in the command. Its own process group too, so that an
  # interrupted step leaves no compiler running.
  set -m
  ("$@") >"$log" 2>&1 </dev/null &
  pid=$!
  set +m
  # shellcheck disable=SC2064 # now: it is this step's process
  trap "kill -TERM -- -$pid; printf '\n'; exit 130" INT TERM
  printf '%s ...' "$label"
  if [[ -t 1 ]]; then
    while kill -0 "$pid" 2>/dev/null; do
      printf '\r%s ... %d s' "$label" $((SECONDS - began))
      sleep 0.2
    done
    printf '\r%s ...' "$label"
  fi
  if wait "$pid"; then
    trap - INT TERM
    printf ' %d s\n' $((SECONDS - began))
  else
    printf ' failed after %d s\n' $((SECONDS - began))
    tail -n 20 "$log" >&2
    # Nothing could be written to the log then.
    (($(df --output=avail "$log" | tail -n 1) > 100000)) || say "the disk that $log is on is full" >&2
    fail "$label failed; the whole log is $log"
  fi
}

# wait_quietly <seconds> <command...>: until the command succeeds; its output is nobody's business.
wait_quietly() {
  local limit=$1 began=$SECONDS
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS - began < limit)) || return 1
    sleep 0.2
  done
}

require_root() {
  [[ $EUID -eq 0 ]] || fail "'$1' must run as root: it creates network interfaces, mounts and cgroups"
}
