# Images without a container engine: buildah makes them, containerd's own client loads them into the node. An image's archive is
# cached under a hash of what it is made of.

image_cache=$cache/images
node_image=localhost/workflow-operator/node:local

digest_of() { # <files or folders of the repository>
  (cd "$repository" && find "$@" -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -c1-12
}

# The storage is ours alone, so that the user's images stay as they are.
own_buildah() {
  buildah --root "$image_cache/storage" --runroot "$image_cache/run" --storage-driver vfs "$@"
}

# build_image <image name> <Dockerfile> <context folder> <archive> [buildah arguments...]
build_image() {
  local name=$1 dockerfile=$2 context=$3 archive=$4
  shift 4
  # A fixed time makes the same input the same image.
  own_buildah bud --isolation chroot --timestamp 0 --pull-never --quiet --file "$dockerfile" --tag "$name" "$@" "$context"
  rm -f "$archive.partial"
  own_buildah push --quiet "$name" "docker-archive:$archive.partial:$name"
  mv "$archive.partial" "$archive"
  own_buildah rmi "$name"
}

# Removes the archives of the same image that are older than this one.
forget_older_archives() { # <archive>
  local name=${1##*/}
  find "$image_cache" -maxdepth 1 -name "${name%-*}-????????????.tar" ! -name "$name" -delete
}

node_image_tar() {
  printf '%s/node-%s.tar\n' "$image_cache" "$({ bin_dir; digest_of tests/cluster/image; } | sha256sum | cut -c1-12)"
}

build_node_image() {
  [[ ! -f $(node_image_tar) ]] || return 0
  ensure_image_packages
  ensure_packages /bin/busybox=busybox-static
  mkdir -p "$image_cache"
  step "$cache/log/image-node.log" "building the image of pause, DNS and storage" make_node_image
}

make_node_image() {
  local context
  context=$(mktemp -d)
  # shellcheck disable=SC2064 # now: the variable is gone when the trap runs
  trap "rm -rf '$context'" EXIT
  "$cluster_dir/image/rootfs.sh" "$(bin_dir)" "$context/rootfs"
  build_image "$node_image" "$cluster_dir/image/Dockerfile" "$context" "$(node_image_tar)"
  forget_older_archives "$(node_image_tar)"
}

# Loads an archive once in a node's life.
load_image() { # <archive>
  local loaded
  loaded=$state/loaded/${1##*/}
  [[ ! -f $loaded ]] || return 0
  node_ctr images import "$1"
  mkdir -p "$state/loaded"
  : >"$loaded"
}

load_image_file() { # <archive>
  [[ -n ${1:-} && -f $1 ]] || fail "load: expected the path of an image archive (docker-archive or oci-archive), got '${1:-}'"
  [[ -n $(daemon_pid containerd) ]] || fail "the node is not up: 'tests/cluster/cluster up' first"
  node_ctr images import "$1"
}
