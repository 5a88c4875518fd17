{{/* What is granted everywhere; takes the rules. */}}
{{- define "workflow-service.cluster-role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  {{- include "workflow-service.cluster-metadata" . | nindent 2 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  {{- include "workflow-service.cluster-metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include "workflow-service.name" . }}
subjects:
  {{- include "workflow-service.subjects" . | nindent 2 }}
{{- end -}}

{{/*
What is granted in some namespaces only: a ClusterRole that by itself gives nothing, and a RoleBinding in each namespace.
  suffix      tells the role's name from the service's other one
  rules       the rules
  namespaces  where it holds
*/}}
{{- define "workflow-service.namespaced-role" -}}
{{- $scope := . -}}
{{- $name := printf "%s-%s" (include "workflow-service.name" .) .suffix -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $name }}
  labels:
    {{- include "workflow-service.labels" . | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
{{- range .namespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ . }}
  labels:
    {{- include "workflow-service.labels" $scope | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $name }}
subjects:
  {{- include "workflow-service.subjects" $scope | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The rights in namespaces with applications and workers: global.workloadNamespaces, all of them, or those that bind the role. */}}
{{- define "workflow-service.workload-role" -}}
{{- $global := .root.Values.global -}}
{{- $namespaces := ternary (list) ($global.workloadNamespaces | uniq | sortAlpha) $global.allNamespaces -}}
{{ include "workflow-service.namespaced-role" (merge (dict "suffix" "workload-namespace" "namespaces" $namespaces) .) }}
{{- if $global.allNamespaces }}
---
# global.allNamespaces: in every namespace, which includes the Secrets there.
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ include "workflow-service.name" . }}-workload-namespace
  labels:
    {{- include "workflow-service.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ include "workflow-service.name" . }}-workload-namespace
subjects:
  {{- include "workflow-service.subjects" . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "workflow-service.subjects" -}}
- kind: ServiceAccount
  name: {{ include "workflow-service.name" . }}
  namespace: {{ .root.Release.Namespace }}
{{- end -}}

{{/* The namespaces where WorkflowClusters live, each once. */}}
{{- define "workflow-service.cluster-namespaces" -}}
{{- $global := .root.Values.global -}}
{{- prepend $global.clusterNamespaces $global.clusterNamespace | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* One replica writes at a time; which one stands in a Lease of the service's name, beside its pods. */}}
{{- define "workflow-service.leader-election" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "workflow-service.metadata" . | nindent 2 }}
rules:
  # Look who leads; take over, renew and release.
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    resourceNames: [{{ .root.Chart.Name }}]
    verbs: [get, update]
  # The first leader makes the Lease; RBAC cannot limit a creation by name.
  - apiGroups: [coordination.k8s.io]
    resources: [leases]
    verbs: [create]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "workflow-service.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ include "workflow-service.name" . }}
subjects:
  {{- include "workflow-service.subjects" . | nindent 2 }}
{{- end -}}

{{/* Rules that several services need, each said once. */}}

{{- define "workflow-service.event-rules" -}}
# Publish events about an object in its namespace.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{- define "workflow-service.reference-rules" -}}
# Follow clusterRef and tenantRef, and notice when what they lead to changes.
- apiGroups: [workflow.example.com]
  resources: [workflowclusters, workflowtenants]
  verbs: [list, watch]
# Read the label by which a namespace is granted a tenant; only the metadata is asked for.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end -}}

{{- define "workflow-service.engine-access-rules" -}}
# The public authority of an engine's certificate: ConfigMap <cluster>-engine-ca, by name. The Secret with the token or key
# is permitted by a Role that the cluster-controller makes for each cluster: names of clusters are not known ahead.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
{{- end -}}
