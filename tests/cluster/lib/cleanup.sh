# Removes a node from the host: one that runs, or what is left of one whose processes died. Nothing of others is touched: processes
# are known by their marker, mounts by the state folder, links, cgroups and rules by their names.

remove_node() {
  local foreign_files
  foreign_files=$(files_outside_state)
  kill_daemons
  kill_pods
  unmount_state
  remove_links
  remove_rules
  remove_cgroups
  restore_kernel_settings
  xargs -r rm -f <<<"$foreign_files"
  find /var/log/containers -lname "$state/*" -delete 2>/dev/null || true
  rmdir --ignore-fail-on-non-empty /run/containerd/s /run/containerd /var/lib/cni/results /var/lib/cni \
    /var/lib/kubelet/device-plugins /var/lib/kubelet /var/log/containers 2>/dev/null || true
  rm -rf "$state"
}

# Containerd, its CNI library and kubelet keep a few files outside the folders they are given; each is known by a container's id.
files_outside_state() {
  local task
  for task in "$state"/containerd/state/io.containerd.runtime.v2.task/k8s.io/*; do
    [[ -d $task ]] || continue
    grep -oE '/run/containerd/s/[0-9a-f]+' "$task/address" 2>/dev/null || true
    find /var/lib/cni/results -name "*-${task##*/}-*" 2>/dev/null || true
  done
  [[ ! -d $state/kubelet ]] || printf '%s\n' /var/lib/kubelet/device-plugins/kubelet.sock
}

# Kubelet and containerd first would be tidier, but one signal to all leaves none the time to start another.
kill_daemons() {
  local attempt pids
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    pids=$(marked_processes "$state")
    [[ -n $pids ]] || return 0
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    sleep 0.$attempt
  done
  fail "these processes of the node do not end: $pids"
}

kill_pods() {
  local attempt pids
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    pids=$(for folder in $(own_cgroups); do cat "$folder/cgroup.procs" 2>/dev/null || true; done | sort -u)
    [[ -n $pids ]] || return 0
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
    sleep 0.$attempt
  done
  fail "these processes of the node's pods do not end: $pids"
}

# Deepest first.
own_cgroups() {
  local hierarchy
  for hierarchy in $(cgroup_hierarchies); do
    [[ ! -d $hierarchy/$cgroup ]] || find "$hierarchy/$cgroup" -depth -type d
  done
}

remove_cgroups() {
  local attempt
  for attempt in 1 2 3 4 5; do
    [[ -n $(own_cgroups) ]] || return 0
    own_cgroups | xargs -r rmdir 2>/dev/null || sleep 0.$attempt
  done
}

unmount_state() {
  local mounts
  # A mount may lie on another, and a pod's mount inside a volume: repeated until none is left.
  while mounts=$(awk -v root="$state/" 'index($2, root) == 1 {print $2}' /proc/self/mounts | sort -r) && [[ -n $mounts ]]; do
    xargs -r -n1 umount --lazy <<<"$mounts"
  done
}

remove_links() {
  local link
  for link in $(ip -o link show master "$pod_bridge" 2>/dev/null | sed 's/^[0-9]*: \([^@:]*\).*/\1/') "$pod_bridge" "$node_bridge"; do
    ip link delete "$link" 2>/dev/null || true
  done
}

remove_rules() {
  local program table
  for program in iptables ip6tables; do
    command -v "$program-save" >/dev/null || continue
    for table in filter nat mangle raw; do
      # In one transaction; what others add meanwhile stays.
      "$program-save" -t "$table" 2>/dev/null | rules_without_ours | "$program-restore" --noflush -w 5 ||
        say "warning: some $program rules of the node stay in table $table"
    done
  done
}

# Input: a table as iptables-save prints it. Output: what iptables-restore --noflush needs to remove our rules, and the chains that
# kubelet and kube-proxy made (`up` refuses to start beside another kubelet or kube-proxy: these are this node's).
rules_without_ours() {
  local foreign
  foreign=$(foreign_node_process)
  awk -v comment="$rule_comment" -v keep_chains="${foreign:+yes}" '
    /^\*/ {print; table = 1}
    !keep_chains && /^:KUBE-/ {chain = substr($1, 2); print ":" chain " - [0:0]"; chains[++count] = chain}
    /^-A/ {
      ours = index($0, "--comment " comment " ") || index($0, "--comment \"" comment "\"")
      if (ours || (!keep_chains && $2 !~ /^KUBE-/ && / -j KUBE-/)) {sub(/^-A/, "-D"); removed[++rules] = $0}
    }
    END {
      for (i = 1; i <= rules; i++) print removed[i]
      for (i = 1; i <= count; i++) print "-X " chains[i]
      if (table) print "COMMIT"
    }'
}
