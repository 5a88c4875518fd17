#!/usr/bin/env bash
# charts/test.sh: tests the charts and the sample's manifests: what they render, and what a real kube-apiserver makes of that.
#   PATH must have helm; ASSETS=<folder with etcd, kube-apiserver, kubectl> (without it the second half is skipped, and says so)
#   UPDATE=1 writes tests/golden anew instead of comparing
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for part in output render apiserver server; do
  # shellcheck source=/dev/null
  source "charts/tests/$part.sh"
done

scratch=$(mktemp -d)
trap 'end_apiserver; rm -rf "$scratch"' EXIT

check "every RBAC rule has a reason, none a wildcard" rbac_sources_are_tidy
check "every image is ours" images_are_ours
check "the CRD chart holds the CRDs of crds/" crd_chart_is_current
check "helm lint" charts_are_linted
check "rendered manifests are as reviewed (UPDATE=1 accepts them)" goldens_match
check "a default rendering takes nobody's external metrics" default_rendering_takes_no_api
check "wrong values are refused" wrong_values_are_refused

if [[ -z ${ASSETS:-} ]]; then
  if [[ -n ${REQUIRE_APISERVER:-} ]]; then fail "REQUIRE_APISERVER is set, and ASSETS names no kube-apiserver"; fi
  skip "ASSETS is not set: nothing was tried on a kube-apiserver"
else
  start_apiserver
  check "kustomize renames what our kinds refer to, with deploy/kustomize" kustomize_follows_references
  check "the CRD chart is installed, upgraded, uninstalled and installed again" crd_chart_lives
  check "every rendering is accepted by the apiserver, in a namespace of Pod Security restricted" renderings_are_accepted
  check "the operator is installed and upgraded; caBundle survives" operator_lives
  check "what a cluster permits is within its controller's rights" engine_access_is_granted_by_name
  check "every service may do what it needs, and no more" permissions_are_least
  check "people's roles see and edit our kinds" people_may_work
  check "the sample is accepted by the apiserver in one command" sample_is_accepted
  check "Argo CD's ConfigMap takes our health checks and keeps its own keys" health_checks_are_added
  check "a foreign APIService is not touched" foreign_api_service_is_refused
  check "uninstalling leaves nothing of the chart behind" uninstall_is_clean
fi
finish
