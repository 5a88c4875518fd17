{{- define "workflow-service.deployment" -}}
{{- $values := .root.Values -}}
{{- $global := $values.global -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "workflow-service.metadata" . | nindent 2 }}
spec:
  replicas: {{ $values.replicas }}
  # A new pod is there before the old one goes: a standby takes over within seconds, and the metrics are never away.
  strategy:
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- include "workflow-service.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- include "workflow-service.selector" . | nindent 8 }}
        app.kubernetes.io/part-of: workflow
      {{- with $values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "workflow-service.name" . }}
      automountServiceAccountToken: true
      enableServiceLinks: false
      {{- with $global.imagePullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        seccompProfile:
          type: RuntimeDefault
      # A service drains for at most ten seconds after SIGTERM.
      terminationGracePeriodSeconds: 30
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      topologySpreadConstraints:
        {{- if $values.topologySpreadConstraints }}
        {{- toYaml $values.topologySpreadConstraints | nindent 8 }}
        {{- else }}
        - topologyKey: kubernetes.io/hostname
          maxSkew: 1
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "workflow-service.selector" . | nindent 14 }}
        {{- end }}
      containers:
        - name: {{ .root.Chart.Name }}
          image: {{ include "workflow-service.image" . }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          env:
            {{- include "workflow-service.env" . | nindent 12 }}
          ports:
            - name: admin
              containerPort: 8080
            {{- with .securePort }}
            - name: https
              containerPort: {{ . }}
            {{- end }}
          startupProbe:
            httpGet:
              path: /livez
              port: admin
            periodSeconds: 1
            failureThreshold: 60
          livenessProbe:
            httpGet:
              path: /livez
              port: admin
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            httpGet:
              path: /readyz
              {{- if .securePort }}
              # The port that is used: ready means that TLS works there.
              port: https
              scheme: HTTPS
              {{- else }}
              port: admin
              {{- end }}
            periodSeconds: 5
            timeoutSeconds: 5
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities:
              drop: [ALL]
          terminationMessagePolicy: FallbackToLogsOnError
          {{- if or .tlsSecret .cache }}
          volumeMounts:
            {{- if .tlsSecret }}
            - name: tls
              mountPath: /etc/workflow/tls
              readOnly: true
            {{- end }}
            {{- with .cache }}
            - name: cache
              mountPath: {{ .path }}
            {{- end }}
          {{- end }}
      {{- if or .tlsSecret .cache }}
      volumes:
        {{- with .tlsSecret }}
        - name: tls
          secret:
            secretName: {{ . }}
            defaultMode: 0440
        {{- end }}
        {{- with .cache }}
        - name: cache
          emptyDir:
            sizeLimit: {{ .megabytes }}Mi
        {{- end }}
      {{- end }}
{{- end -}}

{{- define "workflow-service.env" -}}
{{- $values := .root.Values -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: ADMIN_ADDRESS
  value: {{ printf "%s:8080" $values.global.listenAddress | quote }}
- name: CLUSTER_NAMESPACE
  value: {{ $values.global.clusterNamespace }}
{{- with $values.logFilter | default $values.global.logFilter }}
- name: LOG_FILTER
  value: {{ quote . }}
{{- end }}
{{- with $values.otlpEndpoint | default $values.global.otlpEndpoint }}
- name: OTLP_ENDPOINT
  value: {{ quote . }}
{{- end }}
{{- range .env }}
- name: {{ .name }}
  value: {{ quote .value }}
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
