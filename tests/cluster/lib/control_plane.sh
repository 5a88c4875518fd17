# etcd, kube-apiserver, kube-controller-manager and kube-scheduler. They listen on the node's own address only.

start_control_plane() {
  local bin
  bin=$(bin_dir)
  # The cluster's content does not outlive the node: no fsync.
  start etcd "$bin/etcd" --data-dir "$state/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls "$etcd_client" --advertise-client-urls "$etcd_client" \
    --listen-peer-urls "$etcd_peer" --initial-advertise-peer-urls "$etcd_peer" --initial-cluster "default=$etcd_peer"

  start kube-apiserver "$bin/kube-apiserver" \
    --etcd-servers="$etcd_client" \
    --bind-address="$node_ip" --advertise-address="$node_ip" --service-cluster-ip-range="$service_cidr" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-signing-key-file="$pki/service-accounts.key" --service-account-key-file="$pki/service-accounts.pub" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
    --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
    --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User --enable-aggregator-routing=true \
    --proxy-client-cert-file="$pki/front-proxy-client.crt" --proxy-client-key-file="$pki/front-proxy-client.key"
  wait_until 90 "the API server's readiness" kube-apiserver api_server_ready

  # One of each: without leader election a slow moment of a busy machine does not end them.
  start kube-controller-manager "$bin/kube-controller-manager" --leader-elect=false --bind-address="$node_ip" \
    --kubeconfig="$pki/kube-controller-manager.kubeconfig" \
    --authentication-kubeconfig="$pki/kube-controller-manager.kubeconfig" \
    --authorization-kubeconfig="$pki/kube-controller-manager.kubeconfig" \
    --use-service-account-credentials --service-account-private-key-file="$pki/service-accounts.key" \
    --root-ca-file="$pki/ca.crt" --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --horizontal-pod-autoscaler-sync-period=5s
  start kube-scheduler "$bin/kube-scheduler" --leader-elect=false --bind-address="$node_ip" \
    --kubeconfig="$pki/kube-scheduler.kubeconfig" \
    --authentication-kubeconfig="$pki/kube-scheduler.kubeconfig" \
    --authorization-kubeconfig="$pki/kube-scheduler.kubeconfig"
}

# Every call of this script goes to its own cluster with its own kubectl, whatever the user's environment says.
admin_kubectl() {
  env -u KUBECONFIG "$(bin_dir)/kubectl" --kubeconfig "$admin_kubeconfig" "$@"
}

api_server_ready() {
  [[ -f $admin_kubeconfig ]] && admin_kubectl get --raw /readyz --request-timeout=2s
}
