# Flux: the controller that fetches sources, and the one that applies them.

flux_namespace=flux-system

install_flux() {
  require_root flux
  take_lock
  require_node flux
  # The second one watches kinds of the first.
  install_flux_controller source-controller
  install_flux_controller kustomize-controller
  say "Flux runs in the namespace $flux_namespace"
}

install_flux_controller() { # <part>
  ! part_runs "$1" "$flux_namespace" "$1" || return 0
  build_flux_controller "$1"
  step "$cache/log/load-$1.log" "loading Flux's $1" load_image "$(part_image_tar "$1")"
  step "$state/log/$1.log" "installing Flux's $1" apply_flux_controller "$1"
}

build_flux_controller() { # <part>
  build_part "$1"
  [[ -f $(part_dir "$1")/release.yaml ]] ||
    step "$cache/log/manifest-$1.log" "putting together the manifest of Flux's $1" write_flux_release "$1"
  build_part_image "$1"
}

# Its module has the manifest in folders, as its project's releases are made of.
write_flux_release() { # <part>
  local target sources folder
  target=$(part_dir "$1")
  sources=$(module_sources "$parts/$1" "github.com/fluxcd/$1")
  for folder in crd rbac manager; do
    printf -- '---\n'
    "$(bin_dir)/kubectl" kustomize "$sources/config/$folder"
  done >"$target/.release.yaml.partial"
  mv "$target/.release.yaml.partial" "$target/release.yaml"
}

apply_flux_controller() { # <part>
  apply_part "$1"
  admin_kubectl -n "$flux_namespace" rollout status "deployment/$1" --timeout=180s
}
