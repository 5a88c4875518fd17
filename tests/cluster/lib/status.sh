# `status`: what a person wants to know at a glance.

status() {
  local daemon pid pods
  if [[ ! -d $state ]]; then
    say "no cluster is up; 'just up' starts one"
    return
  fi
  printf '%-26s %s\n' PROCESS PID
  for daemon in "${daemons[@]}"; do
    pid=$(daemon_pid "$daemon")
    printf '%-26s %s\n' "$daemon" "${pid:-not running (log: $state/log/$daemon.log)}"
  done
  if ! wait_quietly 5 api_server_ready; then
    say "" "the API server does not answer; 'just up' clears this node and starts a new one"
    return 1
  fi
  say ""
  admin_kubectl get nodes
  say ""
  pods=$(admin_kubectl get pods --all-namespaces --no-headers \
    --field-selector 'status.phase!=Running,status.phase!=Succeeded' 2>/dev/null)
  if [[ -n $pods ]]; then
    say "pods that do not run:"
    say "$pods"
  else
    say "no pod is pending or failed"
  fi
  say "" "kubeconfig: $admin_kubeconfig"
}
