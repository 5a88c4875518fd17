# The Barman Cloud plugin of CloudNativePG: base backups and write-ahead logs of its clusters in an object store.

install_barman() {
  install_provider
  if part_runs plugin-barman-cloud cnpg-system barman-cloud; then
    say "the Barman Cloud plugin runs in the namespace cnpg-system"
    return
  fi
  build_barman
  step "$cache/log/load-plugin-barman-cloud.log" "loading the Barman Cloud plugin" load_image "$(part_image_tar plugin-barman-cloud)"
  step "$state/log/barman.log" "installing the Barman Cloud plugin" apply_barman
  say "the Barman Cloud plugin runs in the namespace cnpg-system after $SECONDS s"
}

build_barman() {
  local module=github.com/cloudnative-pg/plugin-barman-cloud
  build_part plugin-barman-cloud
  copy_part_file plugin-barman-cloud "$module" manifest.yaml manifest.yaml
  copy_part_file plugin-barman-cloud "$module" containers/sidecar-requirements.txt requirements.txt
  [[ -f $(part_image_tar plugin-barman-cloud) ]] || fill_barman_rootfs
  build_part_image plugin-barman-cloud
  rm -rf "$(part_dir plugin-barman-cloud)/rootfs"
}

fill_barman_rootfs() {
  local folder
  folder=$(part_dir plugin-barman-cloud)
  ensure_image_packages
  ensure_packages /usr/share/doc/python3-venv=python3-venv
  rm -rf "$folder/rootfs"
  step "$cache/log/rootfs-plugin-barman-cloud.log" "bringing Barman and its Python" \
    "$parts/plugin-barman-cloud/rootfs.sh" "$folder/requirements.txt" "$folder/rootfs"
}

apply_barman() {
  local secrets
  [[ -f $pki/barman-cloud-server.crt ]] || create_barman_certificates
  secrets=$(
    tls_secret cnpg-system barman-cloud-client-tls barman-cloud-client
    tls_secret cnpg-system barman-cloud-server-tls barman-cloud-server
  )
  { render_part plugin-barman-cloud && printf '%s\n' "$secrets"; } | admin_kubectl apply --server-side --force-conflicts -f -
  admin_kubectl -n cnpg-system rollout status deployment/barman-cloud --timeout=120s
}

# The operator and the plugin each know the other's certificate itself: no authority stands between them.
create_barman_certificates() {
  self_signed_certificate barman-cloud-client clientAuth
  self_signed_certificate barman-cloud-server serverAuth DNS:barman-cloud
}
