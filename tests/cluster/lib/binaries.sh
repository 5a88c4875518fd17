# The programs that are built from pinned Go modules.

modules=$cluster_dir/modules

# A hash of what the programs are made of: a checkout with the same modules finds them built.
bin_dir() {
  local hash
  hash=$(cd "$modules" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
  printf '%s/bin/%s\n' "$cache" "$hash"
}

module_version() { # <module folder> <module path>
  awk -v module="$2" '$1 == module {print $2; exit} $1 == "require" && $2 == module {print $3; exit}' "$1/go.mod"
}

# The folder of a required module's sources.
module_sources() { # <module folder> <module path>
  cd "$1"
  GOWORK=off GOFLAGS=-mod=readonly go mod download -json "$2" | sed -n 's/^\t"Dir": "\(.*\)",\?$/\1/p'
}

link_flags() { # <kind>
  local version minor flags="-s -w" package
  version=$(module_version "$modules/kubernetes" k8s.io/kubernetes)
  minor=$(cut -d. -f2 <<<"$version")
  case $1 in
    plain) ;;
    # Without a version clients and the server refuse features to one another.
    kubernetes)
      package=k8s.io/component-base/version
      flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor"
      ;;
    # `helm template` assumes the Kubernetes that helm was linked for: this cluster's.
    helm)
      flags+=" -X helm.sh/helm/v3/internal/version.version=$(module_version "$modules/helm" helm.sh/helm/v3)"
      for package in helm.sh/helm/v3/pkg/chartutil helm.sh/helm/v3/pkg/lint/rules; do
        flags+=" -X $package.k8sVersionMajor=1 -X $package.k8sVersionMinor=$minor"
      done
      ;;
    *) fail "tests/cluster/modules/binaries: unknown linker settings '$1'" ;;
  esac
  printf '%s\n' "$flags"
}

build_binary() { # <name> <module folder> <package> <linker settings> <folder>
  cd "$2"
  CGO_ENABLED=0 GOWORK=off GOFLAGS='-mod=readonly -buildvcs=false' \
    go build -trimpath -ldflags "$(link_flags "$4")" -o "$5/.$1.partial" "$3"
  mv "$5/.$1.partial" "$5/$1"
}

require_go() { # <what is built>
  command -v go >/dev/null || fail "no 'go' found to build $1: run this through ./dev, which brings one"
}

build_binaries() {
  local target name module package flags
  target=$(bin_dir)
  mkdir -p "$target"
  # Two checkouts must not write the same file at once.
  exec 8>"$cache/bin/.lock"
  flock 8
  while read -r name module package flags; do
    [[ -n $name && $name != \#* && ! -x $target/$name ]] || continue
    require_go "$name"
    step "$cache/log/build-$name.log" "building $name" build_binary "$name" "$modules/$module" "$package" "$flags" "$target"
  done <"$modules/binaries"
  [[ -f $target/servicemonitor-crd.yaml ]] ||
    step "$cache/log/servicemonitor-crd.log" "fetching the ServiceMonitor CRD" copy_service_monitor_crd "$target"
  exec 8>&-
}

# The ServiceMonitor CRD comes as a file of its project's module.
copy_service_monitor_crd() { # <folder>
  local source
  source=$(module_sources "$modules/prometheus-operator" github.com/prometheus-operator/prometheus-operator)
  install -m 0644 "$source/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml" \
    "$1/servicemonitor-crd.yaml"
}
