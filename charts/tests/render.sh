# Checks that need no cluster.

cases=(default full parts)

values_of() { # <case>
  [[ $1 == default ]] || printf -- '--values=charts/tests/values/%s.yaml' "$1"
}

render() { # <case>
  local values
  values=$(values_of "$1")
  # A Kubernetes version of ours: what is rendered must not depend on the machine.
  helm template workflow charts/workflow-operator --namespace workflow-system --kube-version 1.34.0 ${values:+"$values"}
}

rbac_sources_are_tidy() {
  local file
  while IFS= read -r file; do
    awk -v file="$file" '
      /^[ ]*- apiGroups:/ && before !~ /^[ ]*# ./ { print file ":" NR ": a rule without a reason above it"; bad = 1 }
      /(apiGroups|resources|verbs|resourceNames):.*\*/ { print file ":" NR ": a wildcard"; bad = 1 }
      /apiGroups:.*\/v[0-9]/ { print file ":" NR ": a version is no part of a group"; bad = 1 }
      NF { before = $0 }
      END { exit bad }' "$file"
  done < <(grep -rl 'apiGroups:' charts/workflow-operator)
}

crd_chart_is_current() {
  mkdir "$scratch/crds"
  cp charts/workflow-crds/templates/_metadata.tpl "$scratch/crds"
  charts/generate-crds.sh "$scratch/crds"
  diff -ru charts/workflow-crds/templates "$scratch/crds" || {
    printf 'run "just gen" and commit the result\n'
    return 1
  }
}

# Whatever a cluster would pull is ours, was built here, or is at a name that is reserved for examples: nobody else can put an image there.
images_are_ours() {
  local field='(image|repository|imageRegistry)"?: *"?' named
  local ours='(ghcr\.io/example/workflow-operator|localhost/workflow-operator|([a-z0-9-]+\.)*example(\.com)?(:[0-9]+)?)(/|$)'
  named=$({
    grep -rnE "^[ -]*$field[a-z0-9]" README.md docs deploy charts tests --include=*.md --include=*.yaml --include=*.tpl
    grep -rnE '"image": *"' tests --include=*.rs
  } | grep -vE "$field$ours") || return 0
  printf 'not ours:\n%s\n' "$named"
  return 1
}

charts_are_linted() {
  local name values
  helm lint --strict charts/workflow-crds
  helm lint --strict charts/workflow-crds --set keep=false
  for name in "${cases[@]}"; do
    values=$(values_of "$name")
    helm lint --strict charts/workflow-operator ${values:+"$values"}
  done
}

goldens_match() {
  local name
  for name in "${cases[@]}"; do
    render "$name" >"$scratch/$name.yaml"
    if [[ -n ${UPDATE:-} ]]; then
      cp "$scratch/$name.yaml" "charts/tests/golden/$name.yaml"
    else
      diff -u "charts/tests/golden/$name.yaml" "$scratch/$name.yaml"
    fi
  done
}

# refused <what the message must name> <helm --set...>: the schema or a template says no, in words that help.
refused() {
  local named=$1 output
  shift
  if output=$(helm template workflow charts/workflow-operator "$@" 2>&1 >/dev/null); then
    printf 'accepted: %s\n' "$*"
    return 1
  fi
  [[ $output == *"$named"* ]] || {
    printf 'refused without naming %s: %s\n%s\n' "$named" "$*" "$output"
    return 1
  }
}

# Nothing in a rendering can see whether another product has the API, so nothing in it may take the API.
default_rendering_takes_no_api() {
  local rendered
  rendered=$(render default)
  [[ $rendered != *'kind: APIService'* ]]
  [[ $rendered == *'name: API_SERVICE_OWNER'* ]]
  rendered=$(helm template workflow charts/workflow-operator --set job-lag-metrics-adapter.apiService.manager=chart)
  [[ $rendered == *'kind: APIService'* && $rendered != *'name: API_SERVICE_OWNER'* ]]
}

wrong_values_are_refused() {
  refused "'unknown'" --set unknown=1
  refused "/tenant-controller/replica'" --set tenant-controller.replica=2
  refused /worker-controller/engineImage --set worker-controller.engineImage.repository=x
  refused /global/backupAgent/tag --set global.backupAgent.tag=a:b
  refused /cluster-controller/managedPostgresImage --set cluster-controller.managedPostgresImage=postgres
  refused /cluster-controller/securePort --set cluster-controller.securePort=6443
  refused /cluster-controller/replicas --set cluster-controller.replicas=17
  refused /cluster-controller/replicas --set-string cluster-controller.replicas=1
  refused /process-controller/image/pullPolicy --set process-controller.image.pullPolicy=Sometimes
  refused /process-controller/image/tag --set process-controller.image.tag=a:b
  refused /process-controller/podLabels --set 'process-controller.podLabels.app\.kubernetes\.io/name=other'
  refused /process-controller/resources --set process-controller.resources.limits.memory=much
  refused /process-controller/extraEnv/0 --set 'process-controller.extraEnv[0].nam=X'
  refused /process-controller/sourceCacheMegabytes --set process-controller.sourceCacheMegabytes=1
  refused /global/git/allowedNetworks/0 --set 'global.git.allowedNetworks[0]=10.0.0.1'
  refused /global/git/ports/0 --set 'global.git.ports[0]=0'
  refused /global/clusterNamespace --set global.clusterNamespace=Workflow
  refused /global/clusterNamespace --set global.clusterNamespace=
  refused /global/workloadNamespaces/0 --set 'global.workloadNamespaces[0]=*'
  refused /global/kubernetesApiPorts/0 --set 'global.kubernetesApiPorts[0]=0'
  refused /global/otlpEndpoint --set global.otlpEndpoint=collector:4317
  refused /job-lag-metrics-adapter/securePort --set job-lag-metrics-adapter.securePort=443
  refused /job-lag-metrics-adapter/securePort --set job-lag-metrics-adapter.securePort=8080
  refused /job-lag-metrics-adapter/maxSampleAgeSeconds --set job-lag-metrics-adapter.maxSampleAgeSeconds=5
  refused /job-lag-metrics-adapter/apiService/manager --set job-lag-metrics-adapter.apiService.manager=nobody
  refused apiService.manager=chart --set job-lag-metrics-adapter.tls.existingSecret=adapter-tls
  refused apiService.caBundle --set job-lag-metrics-adapter.tls.existingSecret=adapter-tls,job-lag-metrics-adapter.apiService.manager=chart
}

# Names that kustomize makes arrive where our kinds refer to them. Kustomize reads nothing outside of its folder.
kustomize_follows_references() {
  cp -r charts/tests/kustomize deploy/kustomize/name-reference.yaml "$scratch"
  mv "$scratch/name-reference.yaml" "$scratch/kustomize"
  kubectl kustomize "$scratch/kustomize" >"$scratch/kustomize.yaml"
  if [[ -n ${UPDATE:-} ]]; then
    cp "$scratch/kustomize.yaml" charts/tests/golden/kustomize.yaml
  else
    diff -u charts/tests/golden/kustomize.yaml "$scratch/kustomize.yaml"
  fi
}
