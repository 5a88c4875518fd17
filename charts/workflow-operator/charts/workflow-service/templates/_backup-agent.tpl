{{- /* Variables of the services that have Jobs of the backup agent made. */ -}}
{{- define "workflow-service.backup-agent-env" -}}
{{- $agent := .Values.global.backupAgent -}}
{{- $repository := $agent.repository | default (printf "%s/backup-agent" .Values.global.imageRegistry) -}}
{{- $env := list
  (dict "name" "BACKUP_AGENT_IMAGE" "value" (printf "%s:%s" $repository ($agent.tag | default .Chart.AppVersion)))
  (dict "name" "BACKUP_AGENT_IMAGE_PULL_POLICY" "value" $agent.pullPolicy)
-}}
{{- with $agent.pullSecrets -}}
{{- $env = append $env (dict "name" "BACKUP_AGENT_IMAGE_PULL_SECRETS" "value" (join "," .)) -}}
{{- end -}}
{{- toJson $env -}}
{{- end -}}
