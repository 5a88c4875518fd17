# The node: its network on the host, containerd, kubelet and kube-proxy.

# Kernel settings that the node changes (kubelet and kube-proxy do so by themselves): kept, to be put back by `down`.
kernel_settings=(
  net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables net.ipv4.conf.all.route_localnet
  net.netfilter.nf_conntrack_max net.netfilter.nf_conntrack_tcp_timeout_established
  net.netfilter.nf_conntrack_tcp_timeout_close_wait net.netfilter.nf_conntrack_tcp_be_liberal
  vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes
)

keep_kernel_settings() {
  local setting value
  for setting in "${kernel_settings[@]}"; do
    value=$(sysctl -n "$setting" 2>/dev/null) || continue
    printf '%s=%s\n' "$setting" "$value"
  done >"$state/kernel-settings"
}

restore_kernel_settings() {
  local line
  [[ -f $state/kernel-settings ]] || return 0
  while read -r line; do
    [[ $(sysctl -n "${line%%=*}" 2>/dev/null) == "${line#*=}" ]] || sysctl -qw "$line" || true
  done <"$state/kernel-settings"
}

# The state folder of the node that the bridge belongs to, if there is one.
state_of_bridge() {
  cat "/sys/class/net/$node_bridge/ifalias" 2>/dev/null || true
}

check_host_network() {
  local taken
  iptables -t nat -S >/dev/null || fail "iptables does not work on this kernel; Kubernetes Services need it"
  taken=$(ip -o route show root "${pod_cidr}"; ip -o addr show to "$node_ip")
  [[ -z $taken ]] || fail "the addresses $node_ip and $pod_cidr are in use on this host: $taken"
}

create_host_network() {
  modprobe -q br_netfilter 2>/dev/null || true # a module, or built in; the line after the next fails without it
  sysctl -qw net.ipv4.ip_forward=1
  # Without it, traffic between two pods of the node passes Services by.
  sysctl -qw net.bridge.bridge-nf-call-iptables=1
  ip link add "$node_bridge" type bridge
  ip link set "$node_bridge" alias "$state"
  ip addr add "$node_ip/32" dev "$node_bridge"
  ip link set "$node_bridge" up
  host_rules | while read -r rule; do
    # shellcheck disable=SC2086
    iptables -w $rule
  done
}

# Pods reach one another and the node, also on a host that drops by default, and nothing else: what a test sees does not depend on
# the network around it. An address of a Service that has no rule yet must not be looked for out there either.
# Each is put before the others: the last one decides first.
host_rules() {
  local comment="-m comment --comment $rule_comment"
  printf '%s\n' \
    "-I FORWARD -i $pod_bridge $comment -j REJECT --reject-with icmp-net-unreachable" \
    "-I FORWARD -i $pod_bridge -o $pod_bridge $comment -j ACCEPT" \
    "-I INPUT -i $pod_bridge $comment -j ACCEPT" \
    "-I OUTPUT -d $service_cidr $comment -j REJECT"
}

write_containerd_config() {
  mkdir -p "$state/containerd" "$state/cni"
  cat >"$state/cni/10-$pod_network.conflist" <<EOF
{
  "cniVersion": "1.0.0",
  "name": "$pod_network",
  "plugins": [{
    "type": "bridge", "bridge": "$pod_bridge", "isGateway": true, "hairpinMode": true,
    "ipam": {
      "type": "host-local", "dataDir": "$state/cni/addresses",
      "ranges": [[{"subnet": "$pod_cidr"}]], "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
EOF
  # restrict_oom_score_adj: on a machine without CAP_SYS_RESOURCE no sandbox starts otherwise.
  cat >"$state/containerd/config.toml" <<EOF
version = 2
root = "$state/containerd/root"
state = "$state/containerd/state"
[grpc]
  address = "$containerd_socket"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  sandbox_image = "$node_image"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$state/containerd/runc"
EOF
}

write_kubelet_config() {
  # Pods get no search domains or name servers of the host.
  : >"$state/resolv.conf"
  cat >"$state/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $node_ip
healthzBindAddress: $node_ip
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: $pki/$node_name.crt
tlsPrivateKeyFile: $pki/$node_name.key
clusterDomain: cluster.local
clusterDNS: [$dns_service_ip]
resolvConf: $state/resolv.conf
podLogsDir: $state/pod-logs
containerRuntimeEndpoint: unix://$containerd_socket
# A cgroup of its own tells this node's pods from those of another kubelet's past.
cgroupRoot: /$cgroup
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
# A developer's disk is often nearly full, and nothing but the node's own store has the images.
evictionHard: {imagefs.available: 1%, nodefs.available: 1%, memory.available: 100Mi}
imageGCHighThresholdPercent: 100
EOF
}

cgroup_hierarchies() {
  awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/self/mounts
}

create_cgroups() {
  local hierarchy controller
  for hierarchy in $(cgroup_hierarchies); do
    # In a unified hierarchy a child has the controllers that its parent hands down.
    for controller in $(cat "$hierarchy/cgroup.controllers" 2>/dev/null || true); do
      echo "+$controller" >"$hierarchy/cgroup.subtree_control" || true
    done
    mkdir -p "$hierarchy/$cgroup" || true
  done
}

start_container_runtime() {
  write_containerd_config
  start containerd containerd --config "$state/containerd/config.toml" --log-level warn
  wait_until 30 "containerd's start" containerd node_ctr version
}

start_node() {
  local bin
  bin=$(bin_dir)
  write_kubelet_config
  create_cgroups
  start kubelet "$bin/kubelet" --config="$state/kubelet.yaml" --kubeconfig="$pki/$node_name.kubeconfig" \
    --hostname-override="$node_name" --node-ip="$node_ip" --root-dir="$state/kubelet"
  # Services at the node's address only: nothing of the cluster is offered to the host's network.
  start kube-proxy "$bin/kube-proxy" --kubeconfig="$pki/kube-proxy.kubeconfig" --hostname-override="$node_name" \
    --proxy-mode=iptables --cluster-cidr="$pod_cidr" --nodeport-addresses="$node_ip/32" \
    --metrics-bind-address="$node_ip:10249" --healthz-bind-address="$node_ip:10256" \
    --iptables-min-sync-period=100ms --conntrack-max-per-core=0 --conntrack-min=0
  wait_until 90 "the node's readiness" kubelet node_ready
}

node_ready() {
  [[ $(admin_kubectl get node "$node_name" --request-timeout=2s \
    -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]
}

node_ctr() {
  ctr --address "$containerd_socket" --namespace k8s.io "$@"
}
