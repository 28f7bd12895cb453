{{/* (list root name disk): a template of volume claims. Nothing of the chart's version is in it: it can't be changed. */}}
{{- define "larder.claim" -}}
{{- $root := index . 0 -}}
{{- $disk := index . 2 -}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata:
    name: {{ index . 1 }}
    labels:
      {{- include "larder.selector" (list $root "server") | nindent 6 }}
      {{- with $disk.labels }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with $disk.annotations }}
    annotations:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  spec:
    accessModes:
      {{- toYaml $disk.accessModes | nindent 6 }}
    {{- if eq $disk.storageClass "-" }}
    storageClassName: ""
    {{- else if $disk.storageClass }}
    storageClassName: {{ $disk.storageClass }}
    {{- end }}
    {{- with $disk.selector }}
    selector:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    resources:
      requests:
        storage: {{ $disk.size }}
{{- end -}}

{{- define "larder.env" -}}
- {name: {{ index . 0 }}, value: {{ include "larder.text" (index . 1) | quote }}}
{{- end -}}

{{/* The settings of `larder server`, and what makes commands work within the pod (`kubectl exec ... -- larder status`) */}}
{{- define "larder.server.env" -}}
{{- $secrets := "/etc/larder/secrets" -}}
{{- $server := .Values.server -}}
{{- $directories := list -}}
{{- range (include "larder.disks" . | fromJsonArray) }}{{ $directories = append $directories (printf "/data/disk-%v" .) }}{{ end -}}
{{ include "larder.env" (list "LARDER_LISTEN" (printf "%s:%v" $server.listenAddress $server.port)) }}
{{ include "larder.env" (list "LARDER_DATA" $directories) }}
{{- with $server.profile }}
{{ include "larder.env" (list "LARDER_PROFILE" .) }}
{{- end }}
{{ include "larder.env" (list "LARDER_REGION" $server.region) }}
{{- with (include "larder.domains" .) }}
{{ include "larder.env" (list "LARDER_DOMAIN" .) }}
{{- end }}
{{ include "larder.env" (list "LARDER_LOG_FORMAT" $server.logFormat) }}
{{ include "larder.env" (list "LARDER_LOG_LEVEL" $server.logLevel) }}
{{ include "larder.env" (list "LARDER_STOP_GRACE" (printf "%vs" (max 1 (sub .Values.terminationGracePeriodSeconds 5)))) }}
{{- if .Values.view.enabled }}
{{ include "larder.env" (list "LARDER_VIEW_DIR" "/view") }}
{{- end }}
{{ include "larder.env" (list "LARDER_ROOT_ACCESS_KEY_FILE" (printf "%s/access-key" $secrets)) }}
{{ include "larder.env" (list "LARDER_ROOT_SECRET_KEY_FILE" (printf "%s/secret-key" $secrets)) }}
{{- if or .Values.metrics.existingSecret (not .Values.rootCredentials.existingSecret) }}
{{ include "larder.env" (list "LARDER_METRICS_TOKEN_FILE" (printf "%s/metrics-token" $secrets)) }}
{{- end }}
{{- if include "larder.masterKeySecretName" . }}
{{ include "larder.env" (list "LARDER_MASTER_KEY_FILE" (printf "%s/master-key" $secrets)) }}
{{- end }}
{{- with .Values.encryption.kms }}
{{- if .keysSecret }}
{{ include "larder.env" (list "LARDER_KMS_KEYS_FILE" (printf "%s/kms-keys" $secrets)) }}
{{- end }}
{{- if .vaultTokenSecret }}
{{ include "larder.env" (list "LARDER_KMS_VAULT_TOKEN_FILE" (printf "%s/vault-token" $secrets)) }}
{{- end }}
{{- if .vaultCaSecret }}
{{ include "larder.env" (list "LARDER_KMS_VAULT_CA_FILE" (printf "%s/vault-ca.crt" $secrets)) }}
{{- end }}
{{- end }}
{{- if .Values.accounts.existingSecret }}
{{ include "larder.env" (list "LARDER_ACCOUNTS" (printf "%s/accounts.toml" $secrets)) }}
{{- end }}
{{- if .Values.notifications.existingSecret }}
{{ include "larder.env" (list "LARDER_NOTIFY_TARGETS" (printf "%s/notify-targets.toml" $secrets)) }}
{{- end }}
{{- if or .Values.oidc.caConfigMap .Values.oidc.clusterIssuer.enabled }}
{{ include "larder.env" (list "LARDER_OIDC_CA_FILE" "/etc/larder/oidc-ca/ca.crt") }}
{{- end }}
{{- if .Values.audit.enabled }}
{{ include "larder.env" (list "LARDER_AUDIT_LOG" .Values.audit.path) }}
{{- end }}
{{- if .Values.tls.enabled }}
{{ include "larder.env" (list "LARDER_TLS_CERT" "/etc/larder/tls/tls.crt") }}
{{ include "larder.env" (list "LARDER_TLS_KEY" "/etc/larder/tls/tls.key") }}
{{ include "larder.env" (list "LARDER_TLS_MIN_VERSION" .Values.tls.minVersion) }}
{{- if .Values.tls.clientCA.existingSecret }}
{{ include "larder.env" (list "LARDER_TLS_CLIENT_CA" "/etc/larder/client-ca/ca.crt") }}
{{ include "larder.env" (list "LARDER_TLS_CLIENT_AUTH" .Values.tls.clientCA.auth) }}
{{- end }}
{{- $plain := ternary $server.listenAddress "127.0.0.1" (eq (include "larder.plainEverywhere" .) "true") }}
{{ include "larder.env" (list "LARDER_HTTP_LISTEN" (printf "%s:%v" $plain $server.httpPort)) }}
{{- end }}
{{ include "larder.env" (list "LARDER_ENDPOINT" (printf "http://127.0.0.1:%v" (ternary $server.httpPort $server.port .Values.tls.enabled))) }}
{{- $names := dict "trustedProxies" "LARDER_TRUSTED_PROXY" }}
{{- range $name, $value := $server.settings }}
{{ include "larder.env" (list (index $names $name | default (printf "LARDER_%s" (snakecase $name | upper))) $value) }}
{{- end }}
{{- end -}}
