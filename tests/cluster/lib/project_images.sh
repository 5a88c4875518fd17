# The project's own images: the services, the engine, the backup agent, the sample's worker and its PostgreSQL.

services=(cluster-controller process-controller worker-controller tenant-controller backup-controller job-lag-metrics-adapter)
profile=${PROFILE:-dev}

# Versions of the engine, each an image of its own: workflow-engine-<version>.
engine_versions=$cluster_dir/engine-versions

# A column of the table: 2 = revision, 3 = defect.
engine_column() { # <image> <column>
  awk -v version="${1#workflow-engine-}" -v column="$2" '$1 == version { print $column }' "$engine_versions"
}

# Made from a commit, not from this checkout.
is_former() { # <image>
  [[ $1 == workflow-engine-* && $(engine_column "$1" 2) != source ]]
}

# Made from this checkout, and said to be another version.
is_successor() { # <image>
  [[ $1 == workflow-engine-* && $1 != "workflow-engine-$(crate_version workflow-engine)" ]] && ! is_former "$1"
}

# Successors need a feature that no release has.
list_images() {
  local version
  printf '%s\n' "${services[@]}" backup-agent sample-worker postgres
  while read -r version _; do
    [[ $profile != dev ]] && is_successor "workflow-engine-$version" || printf 'workflow-engine-%s\n' "$version"
  done < <(grep '^[0-9]' "$engine_versions")
}

# The crate whose binary the image runs.
image_crate() { # <name>
  case $1 in
    workflow-engine-*) printf 'workflow-engine\n' ;;
    *) printf '%s\n' "$1" ;;
  esac
}

# Every image: its name here -> its repository. The tag of a service and of the backup agent is a hash of its content, so that a
# rebuilt binary rolls its Deployment; the others have the tags that manifests name.
image_repository() { # <name>
  case $1 in
    workflow-engine-*) printf 'localhost/workflow-operator/workflow-engine\n' ;;
    sample-worker) printf 'ghcr.io/example/workflow-operator/sample-worker\n' ;;
    *) printf 'localhost/workflow-operator/%s\n' "$1" ;;
  esac
}

image_tag() { # <name> <hash of the content>
  case $1 in
    workflow-engine-*) printf '%s\n' "${1#workflow-engine-}" ;;
    sample-worker) printf '1.2.3\n' ;;
    postgres) printf '15\n' ;;
    *) printf '%s-%s\n' "$profile" "$2" ;;
  esac
}

build_and_load_images() { # [name...]
  local names=("$@") name known
  mapfile -t known < <(list_images)
  ((${#names[@]} > 0)) || names=("${known[@]}")
  for name in "${names[@]}"; do
    [[ " ${known[*]} " == *" $name "* ]] || fail "images: no image is named '$name'; there are: ${known[*]}"
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

# The engine serves many tenants from one process, and the process-controller reads git servers of many: their release profile unwinds.
cargo_profile() { # <crate>
  if [[ $profile == release && ($1 == workflow-engine || $1 == process-controller) ]]; then
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
    [[ $name == postgres ]] || is_former "$name" || wanted+=("$(image_crate "$name")")
  done
  ((${#wanted[@]} > 0)) || return 0
  mapfile -t wanted < <(printf '%s\n' "${wanted[@]}" | sort -u)
  for of_profile in "$profile" release-engine; do
    binaries=()
    for name in "${wanted[@]}"; do
      [[ $(cargo_profile "$name") != "$of_profile" ]] || binaries+=("$name")
    done
    ((${#binaries[@]} > 0)) || continue
    selection=("${binaries[@]/#/--bin=}")
    if [[ $of_profile == dev ]]; then
      # As it is compiled for the tests of the whole workspace.
      selection+=(--features=workflow-engine/successors)
    else
      # What is released has no feature that only a test or a bench of the workspace asks for.
      selection+=("${binaries[@]/#/--package=}")
    fi
    step "$cache/log/cargo-$of_profile.log" "compiling ${#binaries[@]} programs (cargo, profile $of_profile)" \
      cargo build --manifest-path "$repository/Cargo.toml" --profile "$of_profile" "${selection[@]}"
  done
}

# Builds the image unless its archive is cached, and notes "<repository> <tag> <archive>" under refs/.
ensure_image() { # <name>
  local name=$1 context hash archive reference crate environment
  context=$(mktemp -d)
  crate=$(image_crate "$name")
  mapfile -t environment < <(image_environment "$name")
  if [[ $name == postgres ]]; then
    hash=$(digest_of docker/postgres)
  else
    ensure_base "$name"
    # With the repository: an archive holds its name.
    hash=$({
      if is_former "$name"; then
        printf '%s %s\n' "$(engine_column "$name" 2)" "$profile"
      else
        strip --strip-debug -o "$context/$crate" "$(binary_path "$crate")"
        sha256sum <"$context/$crate"
      fi
      base_image "$name"
      digest_of "$(image_dockerfile "$name")"
      image_repository "$name"
      printf '%s\n' "${environment[@]}"
    } | sha256sum | cut -c1-12)
  fi
  archive=$image_cache/$name-$hash.tar
  reference=$(image_repository "$name"):$(image_tag "$name" "$hash")
  if [[ ! -f $archive ]]; then
    if [[ $name == postgres ]]; then
      step "$cache/log/image-$name.log" "building the image $reference" make_postgres_image "$context" "$archive" "$reference"
    else
      ! is_former "$name" || build_former_engine "$name" "$context/$crate"
      step "$cache/log/image-$name.log" "building the image $reference" \
        build_image "$reference" "$repository/$(image_dockerfile "$name")" "$context" "$archive" \
        --build-arg "BASE=$(base_image "$name")" --build-arg "BINARY=$crate" "${environment[@]}"
    fi
    forget_older_archives "$archive"
  fi
  printf '%s %s %s\n' "${reference%:*}" "${reference##*:}" "$archive" >"$image_cache/refs/$name"
  rm -rf "$context"
}

# Arguments that tell a version for tests what it is; none for a real version.
image_environment() { # <name>
  local defect
  is_successor "$1" || return 0
  printf -- '--env\nWORKFLOW_ENGINE_SUCCESSOR_VERSION=%s\n' "${1#workflow-engine-}"
  defect=$(engine_column "$1" 3)
  [[ $defect == - ]] || printf -- '--env\nWORKFLOW_ENGINE_SUCCESSOR_DEFECT=%s\n' "$defect"
}

crate_version() { # <crate>
  sed -n '0,/^version = "\(.*\)"$/s//\1/p' "$repository/crates/$1/Cargo.toml"
}

# Builds the engine of a former version from its commit, in a target folder of its own: cargo would mix up two checkouts in one.
build_former_engine() { # <name> <where the binary goes>
  local revision sources target
  revision=$(engine_column "$1" 2)
  sources=$(mktemp -d)
  target=$cache/target/former-$revision-$profile
  ensure_commit "$1" "$revision"
  git -C "$repository" archive "$revision" | tar -x -C "$sources"
  step "$cache/log/cargo-$1.log" "compiling the engine ${1#workflow-engine-} from commit ${revision:0:12} (cargo)" \
    env CARGO_TARGET_DIR="$target" CARGO_INCREMENTAL=0 cargo build --locked --manifest-path "$sources/Cargo.toml" \
    --profile "$(cargo_profile workflow-engine)" --package workflow-engine --bin workflow-engine
  strip --strip-debug -o "$2" "$(CARGO_TARGET_DIR=$target binary_path workflow-engine)"
  rm -rf "$sources" "$target"
}

ensure_commit() { # <name> <revision>
  ! git -C "$repository" cat-file -e "$2^{commit}" 2>/dev/null || return 0
  git -C "$repository" fetch --quiet --depth 1 origin "$2" 2>/dev/null ||
    fail "images: commit $2, which $1 is built from, is not in this clone and cannot be fetched from its origin: clone the repository with its history"
}

make_postgres_image() { # <context> <archive> <reference>
  "$repository/docker/postgres/rootfs.sh" bookworm "$1/rootfs"
  build_image "$3" "$repository/docker/postgres/Dockerfile" "$1" "$2"
}

image_dockerfile() { # <name>
  case $1 in
    backup-agent) printf 'docker/backup-agent.Dockerfile\n' ;;
    *) printf 'docker/Dockerfile\n' ;;
  esac
}

# The image that a binary is added to, with the hash of what it is made of. The backup agent needs PostgreSQL's programs.
base_image() { # <name>
  case $1 in
    backup-agent) printf 'localhost/workflow-operator/backup-agent-base:%s\n' "$(agent_rootfs_hash)-$(digest_of docker/base.Dockerfile)" ;;
    *) printf 'localhost/workflow-operator/base:%s\n' "$(digest_of docker/base-rootfs.sh docker/base.Dockerfile)" ;;
  esac
}

agent_rootfs_hash() {
  { printf '%s\n' "${POSTGRES_SUITE:-}"; digest_of docker/backup-agent-rootfs.sh docker/postgres; } | sha256sum | cut -c1-12
}

# What the backup agent's image has beside the agent. It is kept, because tests run its PostgreSQL without the image.
agent_rootfs() {
  printf '%s/rootfs/backup-agent-%s/rootfs\n' "$cache" "$(agent_rootfs_hash)"
}

ensure_agent_rootfs() {
  [[ ! -d $(agent_rootfs) ]] || return 0
  ensure_packages mmdebstrap=mmdebstrap
  require_root test-packages
  step "$cache/log/agent-rootfs.log" "unpacking the backup agent's PostgreSQL" make_agent_rootfs
}

make_agent_rootfs() {
  local rootfs
  rootfs=$(agent_rootfs)
  mkdir -p "${rootfs%/*}"
  # Two checkouts must not write the same folder at once.
  exec 8>"$cache/rootfs/.lock"
  flock 8
  if [[ ! -d $rootfs ]]; then
    rm -rf "$rootfs.partial"
    "$repository/docker/backup-agent-rootfs.sh" "$rootfs.partial"
    mv "$rootfs.partial" "$rootfs"
  fi
  exec 8>&-
}

# The bases of the binaries' images stay in buildah's storage.
ensure_base() { # <name>
  ! own_buildah inspect --type image "$(base_image "$1")" >/dev/null 2>&1 || return 0
  step "$cache/log/image-base.log" "building the base image of $1" make_base "$1"
}

make_base() { # <name>
  local context
  if [[ $1 == backup-agent ]]; then
    make_agent_rootfs
    context=$(dirname "$(agent_rootfs)")
  else
    context=$(mktemp -d)
    # shellcheck disable=SC2064 # now: the variable is gone when the trap runs
    trap "rm -rf '$context'" EXIT
    "$repository/docker/base-rootfs.sh" "$context/rootfs"
  fi
  own_buildah bud --isolation chroot --timestamp 0 --quiet --file "$repository/docker/base.Dockerfile" --tag "$(base_image "$1")" "$context"
}

load_project_image() { # <name>
  local repository_name tag archive
  read -r repository_name tag archive <"$image_cache/refs/$1"
  if [[ ! -f $state/loaded/${archive##*/} ]]; then
    # The tag is that of the archive that was loaded last: one that was loaded before it must be loaded again.
    rm -f "$state/loaded/$1"-*.tar
    step "$cache/log/load-$1.log" "loading $repository_name:$tag" load_image "$archive"
  fi
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
  # What services have Jobs run.
  if [[ -f $state/loaded/backup-agent ]]; then
    read -r repository_name tag <"$state/loaded/backup-agent"
    printf 'global:\n  backupAgent:\n    repository: %s\n    tag: %s\n' "$repository_name" "$tag" >>"$state/images.yaml"
  fi
}
