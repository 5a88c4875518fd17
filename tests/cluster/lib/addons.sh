# What runs in pods so that the cluster is complete: DNS and a default StorageClass.

install_addons() {
  admin_kubectl apply --server-side -f "$cluster_dir/manifests/coredns.yaml"
  sed "s|{{volumes}}|$state/volumes|" "$cluster_dir/manifests/storage.yaml" | admin_kubectl apply --server-side -f -
  admin_kubectl -n kube-system rollout status deployment/coredns --timeout=120s
  admin_kubectl -n local-path-storage rollout status deployment/local-path-provisioner --timeout=120s
}
