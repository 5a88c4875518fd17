# Real software that only some tests need: a provider of databases, an object store, backups, a git server, Flux. Each part is built
# when it is first asked for. Its folder under parts/ says all that it is made of, and a hash of that folder names what is built: a part
# that is added or changed leaves the cluster's own programs and the other parts as they are.

parts=$cluster_dir/parts

list_parts() {
  (cd "$parts" && printf '%s\n' */) | tr -d /
}

part_hash() { # <part>
  digest_of "tests/cluster/parts/$1"
}

part_dir() { # <part>
  [[ -n ${1:-} && -d $parts/$1 ]] || fail "expected the name of a part, got '${1:-}'; there are: $(list_parts | xargs)"
  printf '%s/parts/%s-%s\n' "$cache" "$1" "$(part_hash "$1")"
}

part_image() { # <part>
  printf 'localhost/workflow-operator/%s:%s\n' "$1" "$(part_hash "$1")"
}

part_image_tar() { # <part>
  printf '%s/%s-%s.tar\n' "$image_cache" "$1" "$(part_hash "$1")"
}

# The package that a part's go.mod has as its tool: its name is the program's.
part_package() { # <part>
  awk '$1 == "tool" {print $2}' "$parts/$1/go.mod"
}

build_part() { # <part>
  local target
  target=$(part_dir "$1")
  mkdir -p "$target"
  # Two checkouts must not write the same file at once.
  exec 8>"$cache/parts/.lock"
  flock 8
  if [[ -f $parts/$1/go.mod ]]; then
    build_part_program "$1" "$target"
  else
    fill_part_rootfs "$1" "$target"
  fi
  exec 8>&-
}

build_part_program() { # <part> <folder>
  local package program
  package=$(part_package "$1")
  program=${package##*/}
  [[ ! -x $2/$program ]] || return 0
  require_go "$1"
  step "$cache/log/build-$1.log" "building $1" build_binary "$program" "$parts/$1" "$package" plain "$2"
}

# A part without a Go module is Debian packages, which its script unpacks.
fill_part_rootfs() { # <part> <folder>
  [[ ! -d $2/rootfs ]] || return 0
  require_root "part $1"
  ensure_image_packages
  rm -rf "$2/.rootfs.partial"
  step "$cache/log/rootfs-$1.log" "unpacking $1" "$parts/$1/rootfs.sh" "$2/.rootfs.partial"
  mv "$2/.rootfs.partial" "$2/rootfs"
}

# A file that comes with the sources of a part's program, laid beside it.
copy_part_file() { # <part> <module> <path in the module's sources> <name>
  local target
  target=$(part_dir "$1")
  [[ ! -f $target/$4 ]] || return 0
  install -m 0644 "$(module_sources "$parts/$1" "$2")/$3" "$target/.$4.partial"
  mv "$target/.$4.partial" "$target/$4"
}

# Each part has its Dockerfile; the context is the folder of what was built.
build_part_image() { # <part>
  [[ ! -f $(part_image_tar "$1") ]] || return 0
  ensure_image_packages
  mkdir -p "$image_cache"
  step "$cache/log/image-$1.log" "building the image of $1" \
    build_image "$(part_image "$1")" "$parts/$1/Dockerfile" "$(part_dir "$1")" "$(part_image_tar "$1")"
  forget_older_archives "$(part_image_tar "$1")"
}

# Prints what a part's kustomization makes of the files beside it and of those that were built.
render_part() { # <part>
  local folder
  folder=$(mktemp -d)
  # shellcheck disable=SC2064 # now: the variable is gone when the trap runs
  trap "rm -rf '$folder'" EXIT
  cp "$(part_dir "$1")"/*.yaml "$folder" 2>/dev/null || true
  cp "$parts/$1"/*.yaml "$folder"
  sed -i "s|{{image}}|$(part_image "$1")|g" "$folder/kustomization.yaml"
  "$(bin_dir)/kubectl" kustomize "$folder"
}

apply_part() { # <part>
  render_part "$1" | admin_kubectl apply --server-side --force-conflicts -f -
}

require_node() { # <command>
  [[ -n $(daemon_pid containerd) ]] || fail "the node is not up: 'tests/cluster/cluster up' first, then '$1' again"
}

secret_exists() { # <namespace> <name>
  [[ -n $(admin_kubectl -n "$1" get secret "$2" --ignore-not-found -o name) ]]
}

# True while the part's Deployment runs the image of this checkout.
part_runs() { # <part> <namespace> <deployment>
  [[ $(admin_kubectl -n "$2" get deployment "$3" --ignore-not-found \
    -o 'jsonpath={.spec.template.spec.containers[0].image} {.status.availableReplicas}') == "$(part_image "$1") 1" ]]
}
