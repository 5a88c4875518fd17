# CloudNativePG, the operator that makes PostgreSQL clusters, and the image that its clusters run.

install_provider() {
  require_root provider
  take_lock
  require_node provider
  load_operand_image
  if part_runs cloudnative-pg cnpg-system cnpg-controller-manager; then
    say "CloudNativePG runs in the namespace cnpg-system"
    return
  fi
  build_provider
  step "$cache/log/load-cloudnative-pg.log" "loading CloudNativePG" load_image "$(part_image_tar cloudnative-pg)"
  step "$state/log/provider.log" "installing CloudNativePG" apply_provider
  say "CloudNativePG runs in the namespace cnpg-system after $SECONDS s"
}

build_provider() {
  local module=github.com/cloudnative-pg/cloudnative-pg version
  version=$(module_version "$parts/cloudnative-pg" "$module")
  build_part cloudnative-pg
  copy_part_file cloudnative-pg "$module" "releases/cnpg-${version#v}.yaml" release.yaml
  build_part_image cloudnative-pg
}

# What a Cluster without `imageName` runs: the kustomization names it.
load_operand_image() {
  mkdir -p "$image_cache/refs"
  ensure_image_packages
  ensure_image postgres
  load_project_image postgres
}

apply_provider() {
  apply_part cloudnative-pg
  admin_kubectl -n cnpg-system rollout status deployment/cnpg-controller-manager --timeout=180s
  # The operator writes its webhooks' certificate after its start; a Cluster is refused until the API server has it.
  wait_quietly 60 provider_accepts_clusters || provider_accepts_clusters
}

provider_accepts_clusters() {
  admin_kubectl create --dry-run=server -f - <<END
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: accepted, namespace: default}
spec: {instances: 1, storage: {size: 1Gi}}
END
}
