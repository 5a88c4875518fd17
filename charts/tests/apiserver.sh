# A kube-apiserver of our own for the time of the test: no node, no controllers, real validation, admission and RBAC.

apiserver_pids=()

start_apiserver() {
  local etcd_port api_port token
  etcd_port=$(free_port)
  api_port=$(free_port)
  token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  PATH=$ASSETS:$PATH
  "$ASSETS/etcd" --data-dir="$scratch/etcd" --listen-peer-urls=http://127.0.0.1:0 --unsafe-no-fsync \
    --listen-client-urls="http://127.0.0.1:$etcd_port" --advertise-client-urls="http://127.0.0.1:$etcd_port" \
    >"$scratch/etcd.log" 2>&1 &
  apiserver_pids+=($!)

  openssl genrsa -out "$scratch/service-account.key" 2048 2>/dev/null
  printf '%s,test,test,system:masters\n' "$token" >"$scratch/tokens.csv"
  "$ASSETS/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd_port" --bind-address=127.0.0.1 --advertise-address=127.0.0.1 \
    --secure-port="$api_port" --cert-dir="$scratch/certificates" --token-auth-file="$scratch/tokens.csv" \
    --service-cluster-ip-range=10.0.0.0/24 --authorization-mode=RBAC --service-account-issuer=https://kubernetes.default.svc \
    --service-account-signing-key-file="$scratch/service-account.key" --service-account-key-file="$scratch/service-account.key" \
    >"$scratch/kube-apiserver.log" 2>&1 &
  apiserver_pids+=($!)

  export KUBECONFIG=$scratch/kubeconfig
  kubectl config set-cluster test --server="https://127.0.0.1:$api_port" --insecure-skip-tls-verify=true >/dev/null
  kubectl config set-credentials test --token="$token" >/dev/null
  kubectl config set-context test --cluster=test --user=test >/dev/null
  kubectl config use-context test >/dev/null
  await_apiserver
}

await_apiserver() {
  local began=$SECONDS pid
  # kube-system is made by the apiserver itself, a moment after it is ready.
  until kubectl get --raw /readyz && kubectl get namespace kube-system; do
    for pid in "${apiserver_pids[@]}"; do
      kill -0 "$pid" || fail "etcd or kube-apiserver ended: $(tail -n 5 "$scratch"/*.log)"
    done
    ((SECONDS - began < 60)) || fail "kube-apiserver is not ready: $(tail -n 5 "$scratch/kube-apiserver.log")"
    sleep 0.5
  done >/dev/null 2>&1
}

end_apiserver() {
  local pid
  for pid in "${apiserver_pids[@]}"; do
    # KILL: nothing of it is to be kept, and a graceful end waits for open watches.
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
}

# Below the range that the kernel hands out by itself.
free_port() {
  local port
  while :; do
    port=$((RANDOM % 10000 + 20000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  printf '%d\n' "$port"
}
