{{/* Every template takes a dict with the service's own scope as "root". */}}

{{/* <release>-<service>: the service's part is never cut, it is what tells the names apart. */}}
{{- define "workflow-service.name" -}}
{{- include "workflow-service.name-of" (dict "root" .root "service" .root.Chart.Name) -}}
{{- end -}}

{{/* The same for another service of the release. */}}
{{- define "workflow-service.name-of" -}}
{{- printf "%s-%s" (.root.Release.Name | trunc (int (sub 62 (len .service))) | trimSuffix "-") .service -}}
{{- end -}}

{{/* ServiceAccounts of services of the release as <namespace>:<name>, with commas. */}}
{{- define "workflow-service.accounts" -}}
{{- $root := .root -}}
{{- $accounts := list -}}
{{- range .services -}}
{{- $accounts = append $accounts (printf "%s:%s" $root.Release.Namespace (include "workflow-service.name-of" (dict "root" $root "service" .))) -}}
{{- end -}}
{{- join "," $accounts -}}
{{- end -}}

{{- define "workflow-service.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{- define "workflow-service.labels" -}}
{{ include "workflow-service.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: workflow
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "workflow-service.metadata" -}}
name: {{ include "workflow-service.name" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "workflow-service.labels" . | nindent 2 }}
{{- end -}}

{{/* For what belongs to no namespace. */}}
{{- define "workflow-service.cluster-metadata" -}}
name: {{ include "workflow-service.name" . }}
labels:
  {{- include "workflow-service.labels" . | nindent 2 }}
{{- end -}}

{{- define "workflow-service.image" -}}
{{- $image := .root.Values.image -}}
{{- $repository := $image.repository | default (printf "%s/%s" .root.Values.global.imageRegistry .root.Chart.Name) -}}
{{- printf "%s:%s" $repository ($image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
