# The node's processes, known by the marker in their environment (see settings.sh).

marked_processes() { # [state folder, otherwise any]
  local pattern=(-e "^$marker=")
  [[ -z ${1:-} ]] || pattern=(-xFe "$marker=$1")
  # A process may end while it is looked at.
  { grep -lsz "${pattern[@]}" /proc/[0-9]*/environ || true; } | cut -d/ -f3
}

# The state folder of the node that a process belongs to, if any.
owner_of() { # <pid>
  { tr '\0' '\n' <"/proc/$1/environ" | sed -n "s|^$marker=||p"; } 2>/dev/null || true
}

program_of() { # <pid>
  local executable
  executable=$(readlink "/proc/$1/exe" 2>/dev/null) || return 0
  executable=${executable% (deleted)}
  printf '%s\n' "${executable##*/}"
}

# Containerd and kubelet start programs with their own environment: hence the program's name too.
daemon_pid() { # <daemon>
  local pid
  for pid in $(marked_processes "$state"); do
    if [[ $(program_of "$pid") == "$1" ]]; then
      printf '%s\n' "$pid"
      return 0
    fi
  done
}

missing_daemons() {
  local daemon
  for daemon in "${daemons[@]}"; do
    [[ -n $(daemon_pid "$daemon") ]] || printf '%s\n' "$daemon"
  done
}

start() { # <daemon> <command...>
  local name=$1
  shift
  # Detached, so that the terminal's end is not the node's; the locks of this script stay here.
  env "$marker=$state" setsid nohup "$@" >"$state/log/$name.log" 2>&1 </dev/null 8>&- 9>&- &
}

# One that was started and does not run any more.
ended_daemon() {
  local daemon
  for daemon in "${daemons[@]}"; do
    if [[ -f $state/log/$daemon.log && -z $(daemon_pid "$daemon") ]]; then
      printf '%s\n' "$daemon"
      return 0
    fi
  done
}

# wait_until <seconds> <what> <daemon whose log tells more> <command...>: not longer than every daemon that was started runs.
wait_until() {
  local limit=$1 what=$2 log=$state/log/$3.log began=$SECONDS ended
  shift 3
  until wait_quietly 2 "$@"; do
    ended=$(ended_daemon)
    if [[ -n $ended ]]; then
      tail -n 5 "$state/log/$ended.log" >&2
      fail "$ended ended; its whole log is $state/log/$ended.log"
    fi
    ((SECONDS - began < limit)) || fail "$what did not happen within $limit s; see $log"
  done
}

# A kubelet or kube-proxy that is not ours, in our network namespace, would fight over the same iptables chains.
foreign_node_process() {
  local pid name own
  own=$(readlink /proc/self/ns/net)
  for pid in /proc/[0-9]*; do
    name=$(cat "$pid/comm" 2>/dev/null) || continue
    case $name in
      kubelet | kube-proxy | k3s | k3s-server | k3s-agent | k0s | rke2 | kubelite) ;;
      *) continue ;;
    esac
    [[ $(readlink "$pid/ns/net" 2>/dev/null) == "$own" ]] || continue
    [[ -z $(owner_of "${pid#/proc/}") ]] || continue
    printf '%s (pid %s)\n' "$name" "${pid#/proc/}"
    return 0
  done
}
