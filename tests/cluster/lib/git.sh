# A git server with TLS and passwords in the namespace git-server.

git_namespace=git-server
# As parts/git-server/manifest.yaml has it.
git_ip=10.96.0.30

install_git() {
  require_root git
  take_lock
  require_node git
  ensure_packages openssl=openssl
  if ! part_runs git-server "$git_namespace" git; then
    build_part git-server
    build_part_image git-server
    step "$cache/log/load-git-server.log" "loading the git server" load_image "$(part_image_tar git-server)"
    step "$state/log/git.log" "installing the git server" apply_git
  fi
  say "the git server is https://git.$git_namespace.svc in pods and https://$git_ip on the host"
}

apply_git() {
  local secrets
  [[ -f $pki/git.crt ]] || create_service_certificate git "$git_namespace" "$git_ip"
  secrets=$(
    tls_secret "$git_namespace" git-tls git
    authority_secret "$git_namespace" git-ca
    secret_exists "$git_namespace" git-users || git_user_secrets
  )
  { render_part git-server && printf '%s\n' "$secrets"; } | admin_kubectl apply --server-side --force-conflicts -f -
  admin_kubectl -n "$git_namespace" rollout status deployment/git --timeout=120s
}

# Of this node's life. Each user's Secret is what git and GitOps tools ask for; what the server compares with is made last, so that a
# node that has it has all three.
git_user_secrets() {
  local user password users=
  for user in reader writer; do
    password=$(openssl rand -hex 20)
    cat <<END
---
apiVersion: v1
kind: Secret
metadata: {name: git-$user, namespace: $git_namespace}
data: {ca.crt: $(base64 -w0 "$pki/git-ca.crt")}
stringData: {username: $user, password: "$password"}
END
    users+="$user:$(openssl passwd -apr1 -stdin <<<"$password")"$'\n'
  done
  cat <<END
---
apiVersion: v1
kind: Secret
metadata: {name: git-users, namespace: $git_namespace}
data: {htpasswd: $(printf '%s' "$users" | base64 -w0)}
END
}
