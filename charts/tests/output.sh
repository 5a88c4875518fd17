# One line per check; the details only of those that fail.

failed=0

fail() {
  printf 'error: %s\n' "$1" >&2
  exit 1
}

skip() { printf 'SKIPPED: %s\n' "$1" >&2; }

# check <what holds> <command...>
check() {
  local what=$1 log=$scratch/check.log began=$SECONDS status=0
  shift
  # In a subshell of its own, so that -e holds in the command: in a condition bash would ignore it.
  set +e
  (set -e; "$@") >"$log" 2>&1 </dev/null
  status=$?
  set -e
  if ((status == 0)); then
    printf 'ok      %s (%d s)\n' "$what" $((SECONDS - began))
  else
    printf 'FAILED  %s\n' "$what"
    sed 's/^/        /' "$log"
    failed=$((failed + 1))
  fi
}

finish() {
  ((failed == 0)) || fail "$failed checks of the charts failed"
}
