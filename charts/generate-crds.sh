#!/usr/bin/env bash
# charts/generate-crds.sh [folder]: writes crds/*.yaml as templates of the chart workflow-crds (a chart cannot reach files outside
# of itself), to charts/workflow-crds/templates or to another folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${1:-charts/workflow-crds/templates}

rm -f "$target"/*.yaml
for crd in crds/*.yaml; do
  # Text that Helm would take for a template stays text; the chart adds labels and annotations.
  sed -e 's/{{/{{ "{{" }}/g' \
    -e '0,/^metadata:$/s//metadata:\n  {{- include "workflow-crds.metadata" . | nindent 2 }}/' \
    "$crd" >"$target/${crd##*/}"
done
