# The project's own images: the services, the engine, the sample's worker and its PostgreSQL.

services=(cluster-controller process-controller worker-controller tenant-controller job-lag-metrics-adapter)
profile=${PROFILE:-dev}

# Every image: its name here -> its repository. A service's tag is a hash of its content, so that a rebuilt binary rolls its
# Deployment; the others have the tags that the sample's manifests name.
image_repository() { # <name>
  case $1 in
    sample-worker) printf 'ghcr.io/example/workflow-operator/sample-worker\n' ;;
    *) printf 'localhost/workflow-operator/%s\n' "$1" ;;
  esac
}

image_tag() { # <name> <hash of the content>
  case $1 in
    workflow-engine) crate_version workflow-engine ;;
    sample-worker) printf '1.2.3\n' ;;
    postgres) printf '15\n' ;;
    *) printf '%s-%s\n' "$profile" "$2" ;;
  esac
}

crate_version() { # <crate>
  cargo metadata --no-deps --format-version 1 --manifest-path "$repository/crates/$1/Cargo.toml" |
    grep -o "\"name\":\"$1\",\"version\":\"[^\"]*\"" | cut -d'"' -f8
}

build_and_load_images() { # [name...]
  local names=("$@") name
  ((${#names[@]} > 0)) || names=("${services[@]}" workflow-engine sample-worker postgres)
  for name in "${names[@]}"; do
    [[ " ${services[*]} workflow-engine sample-worker postgres " == *" $name "* ]] ||
      fail "images: no image is named '$name'; there are: ${services[*]} workflow-engine sample-worker postgres"
  done
  require_root images
  ensure_image_packages
  mkdir -p "$image_cache/refs"
  build_project_binaries "${names[@]}"
  take_lock
  for name in "${names[@]}"; do
    ensure_image "$name"
  done
  if [[ -n $(daemon_pid containerd) ]]; then
    for name in "${names[@]}"; do
      load_project_image "$name"
    done
    write_image_values
  else
    say "the node is not up: the images are built, not loaded; 'images' again after 'up' loads them"
  fi
}

# The engine serves many tenants from one process: its release profile unwinds.
cargo_profile() { # <crate>
  if [[ $profile == release && $1 == workflow-engine ]]; then
    printf 'release-engine\n'
  else
    printf '%s\n' "$profile"
  fi
}

binary_path() { # <crate>
  local folder
  folder=$(cargo_profile "$1")
  [[ $folder != dev ]] || folder=debug
  printf '%s/%s/%s\n' "$CARGO_TARGET_DIR" "$folder" "$1"
}

build_project_binaries() { # <name...>
  local name wanted=() of_profile binaries selection
  # As the justfile has it.
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target/$(printf '%s' "$repository" | sha256sum | cut -d' ' -f1)}
  for name in "$@"; do
    [[ $name == postgres ]] || wanted+=("$name")
  done
  for of_profile in "$profile" release-engine; do
    binaries=()
    for name in "${wanted[@]}"; do
      [[ $(cargo_profile "$name") != "$of_profile" ]] || binaries+=("$name")
    done
    ((${#binaries[@]} > 0)) || continue
    selection=("${binaries[@]/#/--bin=}")
    # What is released has no feature that only a test or a bench of the workspace asks for.
    [[ $of_profile == dev ]] || selection+=("${binaries[@]/#/--package=}")
    step "$cache/log/cargo-$of_profile.log" "compiling ${#binaries[@]} programs (cargo, profile $of_profile)" \
      cargo build --manifest-path "$repository/Cargo.toml" --profile "$of_profile" "${selection[@]}"
  done
}

# Builds the image unless its archive is cached, and notes "<repository> <tag> <archive>" under refs/.
ensure_image() { # <name>
  local name=$1 context hash archive reference
  context=$(mktemp -d)
  if [[ $name == postgres ]]; then
    hash=$(digest_of docker/postgres)
  else
    ensure_base
    strip --strip-debug -o "$context/$name" "$(binary_path "$name")"
    # With the repository: an archive holds its name.
    hash=$({
      sha256sum <"$context/$name"
      digest_of docker/Dockerfile docker/base-rootfs.sh docker/base.Dockerfile
      image_repository "$name"
    } | sha256sum | cut -c1-12)
  fi
  archive=$image_cache/$name-$hash.tar
  reference=$(image_repository "$name"):$(image_tag "$name" "$hash")
  if [[ ! -f $archive ]]; then
    if [[ $name == postgres ]]; then
      step "$cache/log/image-$name.log" "building the image $reference" make_postgres_image "$context" "$archive" "$reference"
    else
      step "$cache/log/image-$name.log" "building the image $reference" \
        build_image "$reference" "$repository/docker/Dockerfile" "$context" "$archive" \
        --build-arg "BASE=$(base_image)" --build-arg "BINARY=$name"
    fi
    forget_older_archives "$archive"
  fi
  printf '%s %s %s\n' "${reference%:*}" "${reference##*:}" "$archive" >"$image_cache/refs/$name"
  rm -rf "$context"
}

make_postgres_image() { # <context> <archive> <reference>
  "$repository/docker/postgres/rootfs.sh" "$1/rootfs"
  build_image "$3" "$repository/docker/postgres/Dockerfile" "$1" "$2"
}

base_image() {
  printf 'localhost/workflow-operator/base:%s\n' "$(digest_of docker/base-rootfs.sh docker/base.Dockerfile)"
}

# The base of the binaries' images stays in buildah's storage.
ensure_base() {
  ! own_buildah inspect --type image "$(base_image)" >/dev/null 2>&1 || return 0
  step "$cache/log/image-base.log" "building the base image" make_base
}

make_base() {
  local context
  context=$(mktemp -d)
  # shellcheck disable=SC2064 # now: the variable is gone when the trap runs
  trap "rm -rf '$context'" EXIT
  "$repository/docker/base-rootfs.sh" "$context/rootfs"
  own_buildah bud --isolation chroot --timestamp 0 --quiet --file "$repository/docker/base.Dockerfile" --tag "$(base_image)" "$context"
}

load_project_image() { # <name>
  local repository_name tag archive
  read -r repository_name tag archive <"$image_cache/refs/$1"
  [[ -f $state/loaded/${archive##*/} ]] ||
    step "$cache/log/load-$1.log" "loading $repository_name:$tag" load_image "$archive"
  printf '%s %s\n' "$repository_name" "$tag" >"$state/loaded/$1"
}

# Helm values that make the chart run what is loaded.
write_image_values() {
  local name repository_name tag
  for name in "${services[@]}"; do
    [[ -f $state/loaded/$name ]] || continue
    read -r repository_name tag <"$state/loaded/$name"
    printf '%s:\n  image:\n    repository: %s\n    tag: %s\n' "$name" "$repository_name" "$tag"
  done >"$state/images.yaml"
}
