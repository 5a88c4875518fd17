# Checks on a real kube-apiserver. They build on each other, in the order of test.sh.

crds=(workflowclusters workflowtenants workflowprocesses workflowworkers workflowbackups)
crds=("${crds[@]/%/.workflow.example.com}")

crd_chart_lives() {
  # A user who began with kubectl can continue with Helm.
  kubectl apply --server-side -f crds
  helm install workflow-crds charts/workflow-crds --namespace default --take-ownership
  kubectl wait --for=condition=Established --timeout=30s "${crds[@]/#/crd/}"
  helm upgrade workflow-crds charts/workflow-crds --namespace default --set annotations.example\\.com/note=x
  [[ $(kubectl get crd "${crds[0]}" -o 'jsonpath={.metadata.annotations.example\.com/note}') == x ]]
  helm uninstall workflow-crds --namespace default
  kubectl get crd "${crds[@]}"
  helm install workflow-crds charts/workflow-crds --namespace default
}

renderings_are_accepted() {
  local name
  for name in workflow-system engines engines-staging acme-tenant beta-tenant; do
    kubectl create namespace "$name"
  done
  kubectl label namespace workflow-system pod-security.kubernetes.io/{enforce,warn}=restricted
  kubectl apply --server-side -f "$ASSETS/servicemonitor-crd.yaml"
  kubectl wait --for=condition=Established --timeout=30s crd/servicemonitors.monitoring.coreos.com
  for name in "${cases[@]}"; do
    # A pod template that the namespace would refuse is only a warning.
    render "$name" | kubectl apply --dry-run=server --server-side --warnings-as-errors -f -
  done
}

api_service=v1beta1.external.metrics.k8s.io

operator_lives() {
  local bundle
  helm install workflow charts/workflow-operator --namespace workflow-system
  absent apiservice "$api_service"

  # As the adapter does it. Its right to create holds for this one name.
  bundle=$(openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=test -days 1 2>/dev/null | base64 -w0)
  claim "$api_service" v1beta1 "$bundle"
  ! claim v1.external.metrics.k8s.io v1 "$bundle" 2>/dev/null
  ! claim "$api_service" v1beta1 "$bundle" create 2>/dev/null
  helm upgrade workflow charts/workflow-operator --namespace workflow-system --values charts/tests/values/full.yaml \
    --set job-lag-metrics-adapter.tls.existingSecret=,job-lag-metrics-adapter.apiService.manager=adapter
  [[ $(kubectl get apiservice "$api_service" -o 'jsonpath={.spec.caBundle}') == "$bundle" ]]
  [[ $(kubectl -n workflow-system get deployment workflow-tenant-controller -o 'jsonpath={.spec.replicas}') == 2 ]]
  kubectl delete apiservice "$api_service"
  # Managed by the chart, as for an injected authority.
  helm upgrade workflow charts/workflow-operator --namespace workflow-system --values charts/tests/values/full.yaml
  [[ $(kubectl get apiservice "$api_service" -o 'jsonpath={.spec.caBundle}{.spec.insecureSkipTLSVerify}') == '' ]]
  helm upgrade workflow charts/workflow-operator --namespace workflow-system --values charts/tests/values/parts.yaml
  absent apiservice "$api_service"
  absent -n workflow-system deployment workflow-tenant-controller
  # global.allNamespaces
  [[ $(kubectl auth can-i create deployments -n default --as=system:serviceaccount:workflow-system:workflow-worker-controller) == yes ]]
  helm upgrade workflow charts/workflow-operator --namespace workflow-system --set global.allNamespaces=true
  [[ $(kubectl auth can-i create secrets -n default --as=system:serviceaccount:workflow-system:workflow-tenant-controller) == yes ]]
  helm upgrade workflow charts/workflow-operator --namespace workflow-system --set 'global.workloadNamespaces={acme-tenant}' \
    --set 'global.clusterNamespaces={engines}'
}

claim() { # <name> <version> <caBundle> [create]
  local -a how=(apply --server-side --force-conflicts --field-manager=job-lag-metrics-adapter)
  [[ -z ${4:-} ]] || how=(create)
  kubectl "${how[@]}" --as=system:serviceaccount:workflow-system:workflow-job-lag-metrics-adapter -f - <<EOF
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: { name: $1 }
spec:
  group: external.metrics.k8s.io
  version: $2
  groupPriorityMinimum: 100
  versionPriority: 100
  service: { name: workflow-job-lag-metrics-adapter, namespace: workflow-system }
  caBundle: $3
EOF
}

absent() {
  local output
  output=$(kubectl get "$@" --ignore-not-found -o name)
  [[ -z $output ]] || {
    printf 'still there: %s\n' "$output"
    return 1
  }
}

# As the cluster-controller does it for a WorkflowCluster, with its rights, for the readers that its environment names.
engine_access_is_granted_by_name() {
  local access variable readers secret
  local as=--as=system:serviceaccount:workflow-system:workflow-cluster-controller
  for access in controller-token monitor-token worker-key client-key; do
    variable=${access^^}_READERS
    readers=$(kubectl -n workflow-system get deployment workflow-cluster-controller \
      -o "jsonpath={.spec.template.spec.containers[0].env[?(@.name=='${variable//-/_}')].value}")
    [[ -n $readers ]]
    secret=prod-east-engine-$access
    kubectl create role "$secret" --verb=get --resource=secrets --resource-name="$secret" -n workflow-system "$as"
    # shellcheck disable=SC2086 # one word per reader
    kubectl create rolebinding "$secret" --role="$secret" $(printf -- ' --serviceaccount=%s' ${readers//,/ }) \
      -n workflow-system "$as"
  done
  # What it does not hold it cannot give away.
  refuses_escalation kubectl create role too-much --verb=delete --resource=secrets -n workflow-system "$as"
}

refuses_escalation() {
  local output
  if output=$("$@" 2>&1); then
    printf 'accepted: %s\n' "$*"
    return 1
  fi
  [[ $output == *'attempting to grant RBAC permissions not currently held'* ]]
}

# charts/tests/permissions.txt, in the words of kubectl auth can-i.
permissions_are_least() {
  local service expected question output wrong=0
  local -a words
  while read -r service expected question; do
    [[ -n $service && $service != \#* ]] || continue
    read -ra words <<<"$question"
    output=$(kubectl auth can-i "${words[@]}" --as="system:serviceaccount:workflow-system:workflow-$service" 2>/dev/null || true)
    [[ $output == "$expected" ]] || {
      printf '%s: can-i %s: %s, expected %s\n' "$service" "$question" "$output" "$expected"
      wrong=1
    }
  done <charts/tests/permissions.txt
  return "$wrong"
}

# No controller aggregates the roles here: what they hold is asked for by binding each.
people_may_work() {
  local role
  for role in view edit admin; do
    kubectl create rolebinding "$role" -n acme-tenant --clusterrole="workflow-$role" --user="$role"
  done
  may view yes get workflowprocesses
  may_read_metric view
  may view no create workflowprocesses
  may edit yes create workflowprocesses
  may edit yes patch workflowworkers scale
  may edit no patch workflowtenants
  may edit no create workflowclusters
  may view yes get workflowbackups
  may edit no create workflowbackups
  may admin yes patch workflowtenants
  may admin yes create workflowbackups
  may admin yes patch workflowclusters scale
  for role in view edit admin; do
    [[ $(kubectl get clusterrole "workflow-$role" -o "jsonpath={.metadata.labels.rbac\.authorization\.k8s\.io/aggregate-to-$role}") == true ]]
  done
}

may() { # <user> <yes|no> <verb> <resource> [<subresource>]
  local output
  output=$(kubectl auth can-i "$3" "$4" ${5:+"--subresource=$5"} -n acme-tenant --as="$1" 2>/dev/null || true)
  [[ $output == "$2" ]] || {
    printf '%s: can-i %s: %s, expected %s\n' "$1" "${*:3}" "$output" "$2"
    return 1
  }
}

# Nobody serves the group here, and kubectl auth can-i asks only for what it knows.
may_read_metric() { # <user>
  [[ $(kubectl create -o 'jsonpath={.status.allowed}' -f - <<EOF
apiVersion: authorization.k8s.io/v1
kind: LocalSubjectAccessReview
metadata: { namespace: acme-tenant }
spec:
  user: $1
  resourceAttributes: { namespace: acme-tenant, verb: list, group: external.metrics.k8s.io, resource: wf_job_lag_seconds }
EOF
) == true ]]
}

sample_is_accepted() {
  kubectl apply -k deploy/gitops
  kubectl apply -k deploy/demo/postgres
  # Again, as a GitOps tool does it, and with the field manager of a person: nothing changes.
  [[ $(kubectl diff -k deploy/gitops) == '' ]]
  [[ $(kubectl get workflow -A -o name | wc -l) == 6 ]]
  [[ $(kubectl auth can-i create deployments -n beta-tenant --as=system:serviceaccount:workflow-system:workflow-worker-controller) == yes ]]
  [[ $(kubectl auth can-i create secrets -n beta-tenant --as=system:serviceaccount:workflow-system:workflow-tenant-controller) == yes ]]
}

# Argo CD's ConfigMap is Argo CD's: ours are four keys in it.
health_checks_are_added() {
  kubectl create namespace argocd
  kubectl create configmap argocd-cm --namespace argocd --from-literal=url=https://argocd.example
  kubectl apply --server-side -f deploy/argocd/argocd-cm.yaml
  [[ $(kubectl get configmap argocd-cm --namespace argocd -o go-template='{{len .data}}') == 5 ]]
}

foreign_api_service_is_refused() {
  local output before after
  helm upgrade workflow charts/workflow-operator --namespace workflow-system --set job-lag-metrics-adapter.enabled=false
  kubectl apply -f - <<EOF
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: { name: $api_service }
spec:
  group: external.metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  insecureSkipTLSVerify: true
  service: { name: keda-metrics-apiserver, namespace: keda }
EOF
  before=$(kubectl get apiservice "$api_service" -o yaml)
  if output=$(helm upgrade workflow charts/workflow-operator --namespace workflow-system --reset-values 2>&1); then
    printf 'not refused\n'
    return 1
  fi
  [[ $output == *'leads to Service keda/keda-metrics-apiserver'* ]]
  # Where the chart cannot look, as under Argo CD, it renders nothing that takes the API.
  helm template other charts/workflow-operator --namespace workflow-system >"$scratch/other.yaml"
  kubectl apply --server-side --force-conflicts -f "$scratch/other.yaml"
  helm upgrade workflow charts/workflow-operator --namespace workflow-system --set job-lag-metrics-adapter.enabled=false
  after=$(kubectl get apiservice "$api_service" -o yaml)
  [[ $before == "$after" ]] || diff <(printf '%s\n' "$before") <(printf '%s\n' "$after")
  kubectl delete -f "$scratch/other.yaml"
  kubectl delete apiservice "$api_service"
}

uninstall_is_clean() {
  local left
  helm upgrade workflow charts/workflow-operator --namespace workflow-system --set 'global.workloadNamespaces={acme-tenant}'
  helm uninstall workflow --namespace workflow-system
  left=$(kubectl get apiservices,clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,deployments,services,networkpolicies,poddisruptionbudgets,servicemonitors \
    -A -l app.kubernetes.io/instance=workflow -o name)
  [[ -z $left ]] || {
    printf 'still there:\n%s\n' "$left"
    return 1
  }
  # The custom resources are the users': they stay.
  [[ $(kubectl get workflow -A -o name | wc -l) == 6 ]]
}
