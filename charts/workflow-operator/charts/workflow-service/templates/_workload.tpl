{{/*
Everything that each service has: ServiceAccount, Deployment, Service, PodDisruptionBudget, NetworkPolicy, ServiceMonitor.
  env           further environment variables, a list
  securePort    the aggregated API's port; without it there is none
  tlsSecret     Secret with the certificate of the secure port
  callsEngines  whether it connects to engines
  egressPorts   TCP ports that it connects to anywhere
*/}}
{{- define "workflow-service.workload" -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "workflow-service.metadata" . | nindent 2 }}
  {{- with .root.Values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
---
{{ include "workflow-service.deployment" . }}
---
apiVersion: v1
kind: Service
metadata:
  {{- include "workflow-service.metadata" . | nindent 2 }}
spec:
  selector:
    {{- include "workflow-service.selector" . | nindent 4 }}
  ports:
    {{- if .securePort }}
    - name: https
      port: 443
      targetPort: https
      appProtocol: https
    {{- end }}
    - name: admin
      port: 8080
      targetPort: admin
{{- if and .root.Values.pdb.enabled (gt (int .root.Values.replicas) 1) }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "workflow-service.metadata" . | nindent 2 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels:
      {{- include "workflow-service.selector" . | nindent 6 }}
{{- end }}
{{- if .root.Values.networkPolicy.enabled }}
---
{{ include "workflow-service.network-policy" . }}
{{- end }}
{{- if .root.Values.serviceMonitor.enabled }}
---
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata:
  {{- include "workflow-service.metadata" . | nindent 2 }}
    {{- with .root.Values.serviceMonitor.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "workflow-service.selector" . | nindent 6 }}
  endpoints:
    - port: admin
      path: /metrics
      interval: {{ .root.Values.serviceMonitor.interval }}
{{- end }}
{{- end -}}
