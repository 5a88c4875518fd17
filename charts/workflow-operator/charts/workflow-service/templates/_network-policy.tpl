{{/* Nothing in and nothing out but what is listed. */}}
{{- define "workflow-service.network-policy" -}}
{{- $values := .root.Values -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  {{- include "workflow-service.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- include "workflow-service.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    # Probes come from the nodes, scrapes from wherever Prometheus runs.
    - ports:
        - port: admin
    {{- if .securePort }}
    # kube-apiserver, whose address no selector can name; who may read what is decided by its client certificate.
    - ports:
        - port: https
    {{- end }}
  egress:
    # DNS, which may run on the nodes.
    - ports:
        - port: 53
          protocol: UDP
        - port: 53
          protocol: TCP
    # kube-apiserver, whose address no selector can name.
    - ports:
        {{- range $values.global.kubernetesApiPorts }}
        - port: {{ . }}
        {{- end }}
    {{- if .callsEngines }}
    # Engines of every namespace: which ones is decided by their credentials.
    - to:
        - namespaceSelector: {}
          podSelector:
            matchLabels:
              app.kubernetes.io/name: workflow-engine
      ports:
        - port: 26500
    {{- end }}
    {{- with .egressPorts }}
    # Databases, which may be anywhere.
    - ports:
        {{- range . }}
        - port: {{ . }}
        {{- end }}
    {{- end }}
    {{- with .gitPorts }}
    # Git servers: which addresses is decided by global.git.
    - ports:
        {{- range . }}
        - port: {{ . }}
        {{- end }}
    {{- end }}
    {{- with .artifactPorts }}
    # Artifacts of Flux, whose pods may be in any namespace: which hosts is decided by global.flux.
    - to:
        - namespaceSelector: {}
      ports:
        {{- range . }}
        - port: {{ . }}
        {{- end }}
    {{- end }}
    {{- with $values.otlpEndpoint | default $values.global.otlpEndpoint }}
    # The trace collector.
    - ports:
        - port: {{ regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" | default (ternary "443" "80" (hasPrefix "https:" .)) }}
    {{- end }}
{{- end -}}
