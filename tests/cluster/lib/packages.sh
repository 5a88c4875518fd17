# Debian packages: installed when a program is missing, otherwise apt is not touched.

# program -> package
ensure_packages() {
  local missing=() pair
  for pair in "$@"; do
    [[ -e ${pair%%=*} ]] || command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  ((${#missing[@]} > 0)) || return 0
  [[ $EUID -eq 0 ]] || fail "these Debian packages are missing: ${missing[*]}; install them as root"
  command -v apt-get >/dev/null || fail "these programs are missing and there is no apt-get to install them: ${missing[*]}"
  step "$cache/log/packages.log" "installing ${missing[*]}" install_packages "${missing[@]}"
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  apt-get install -y --no-install-recommends "$@"
}

ensure_node_packages() {
  ensure_packages containerd=containerd runc=runc /usr/lib/cni/bridge=containernetworking-plugins iptables=iptables \
    ip=iproute2 openssl=openssl mount=mount sysctl=procps
}

ensure_image_packages() {
  ensure_packages buildah=buildah mmdebstrap=mmdebstrap cc=gcc strip=binutils /usr/include/stdlib.h=libc6-dev
}

# For tests that start a PostgreSQL server or a kube-apiserver of their own.
ensure_test_packages() {
  ensure_packages /usr/lib/postgresql/15/bin/initdb=postgresql-15 openssl=openssl
  ensure_agent_rootfs
}
