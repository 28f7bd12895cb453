{{- define "larder.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Names of pods and claims hang on it: short enough for "-headless" and a pod's number behind it. */}}
{{- define "larder.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "larder.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (list root component) */}}
{{- define "larder.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "larder.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "larder.labels" -}}
{{- $root := index . 0 -}}
{{ include "larder.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* (list root component name [annotations]): the metadata of an object in the release's namespace */}}
{{- define "larder.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 2 }}
namespace: {{ $root.Release.Namespace }}
{{ include "larder.metadata.rest" . }}
{{- end -}}

{{/* The same for objects of the whole cluster */}}
{{- define "larder.metadata.cluster" -}}
name: {{ index . 2 }}
{{ include "larder.metadata.rest" . }}
{{- end -}}

{{- define "larder.metadata.rest" -}}
{{- $root := index . 0 -}}
{{- $annotations := dict -}}
{{- if gt (len .) 3 }}{{ $annotations = index . 3 | default dict }}{{ end -}}
{{- $annotations = merge (dict) $annotations $root.Values.commonAnnotations -}}
labels:
  {{- include "larder.labels" . | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* (list root image): image in which empty values are those of .Values.image */}}
{{- define "larder.image" -}}
{{- $root := index . 0 -}}
{{- $own := index . 1 -}}
{{- $all := $root.Values.image -}}
{{- $registry := $own.registry | default $all.registry -}}
{{- $repository := $own.repository | default $all.repository -}}
{{- $digest := $own.digest | default (ternary "" $all.digest (not (empty $own.tag))) -}}
{{- $tag := $own.tag | default $all.tag | default $root.Chart.AppVersion -}}
{{- with $registry }}{{ . }}/{{ end }}{{ $repository }}{{ if $digest }}@{{ $digest }}{{ else }}:{{ $tag }}{{ end }}
{{- end -}}

{{- define "larder.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "larder.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "larder.cosi.fullname" -}}{{ include "larder.fullname" . }}-cosi{{- end -}}

{{- define "larder.cosi.serviceAccountName" -}}
{{- if .Values.cosi.serviceAccount.create -}}
{{- .Values.cosi.serviceAccount.name | default (include "larder.cosi.fullname" .) -}}
{{- else -}}
{{- .Values.cosi.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* Roles of the whole cluster: another release of this name in another namespace has others. */}}
{{- define "larder.cosi.clusterName" -}}{{ .Release.Namespace }}-{{ include "larder.cosi.fullname" . }}{{- end -}}

{{- define "larder.secretName" -}}{{ include "larder.fullname" . }}-root{{- end -}}
{{- define "larder.rootSecretName" -}}
{{- .Values.rootCredentials.existingSecret | default (include "larder.secretName" .) -}}
{{- end -}}
{{- define "larder.metricsSecretName" -}}
{{- .Values.metrics.existingSecret | default (include "larder.secretName" .) -}}
{{- end -}}
{{/* Keys of the chart's own Secret are fixed: the names in values are those of existing ones. */}}
{{- define "larder.accessKeyKey" -}}{{ ternary .Values.rootCredentials.accessKeyKey "accessKey" (not (empty .Values.rootCredentials.existingSecret)) }}{{- end -}}
{{- define "larder.secretKeyKey" -}}{{ ternary .Values.rootCredentials.secretKeyKey "secretKey" (not (empty .Values.rootCredentials.existingSecret)) }}{{- end -}}
{{- define "larder.metricsKey" -}}{{ ternary .Values.metrics.key "metricsToken" (not (empty .Values.metrics.existingSecret)) }}{{- end -}}

{{- define "larder.masterKeySecretName" -}}
{{- if .Values.encryption.masterKey.existingSecret -}}
{{- .Values.encryption.masterKey.existingSecret -}}
{{- else if .Values.encryption.masterKey.generate -}}
{{- include "larder.fullname" . }}-master-key
{{- end -}}
{{- end -}}

{{- define "larder.tlsSecretName" -}}
{{- if eq .Values.tls.source "secret" -}}
{{- required "tls.existingSecret: tls.source is `secret`, so name the Secret with tls.crt and tls.key" .Values.tls.existingSecret -}}
{{- else -}}
{{- include "larder.fullname" . }}-tls
{{- end -}}
{{- end -}}

{{/* Numbers of the disks that there are, as a JSON list */}}
{{- define "larder.disks" -}}
{{- $removed := list -}}
{{- range .Values.disks.removed }}{{ $removed = append $removed (int .) }}{{ end -}}
{{- $disks := list -}}
{{- range untilStep 1 (int (add .Values.disks.count 1)) 1 }}{{ if not (has . $removed) }}{{ $disks = append $disks . }}{{ end }}{{ end -}}
{{- if not $disks }}{{ fail "disks: none is left; a store has at least one" }}{{ end -}}
{{- toJson $disks -}}
{{- end -}}

{{- define "larder.serviceHost" -}}{{ include "larder.fullname" . }}.{{ .Release.Namespace }}.svc{{- end -}}

{{/* The names by which the cluster knows the store, as a JSON list */}}
{{- define "larder.serviceNames" -}}
{{- $full := include "larder.fullname" . -}}
{{- $short := printf "%s.%s" $full .Release.Namespace -}}
{{- toJson (list (printf "%s.svc.%s" $short .Values.clusterDomain) (printf "%s.svc" $short) $short) -}}
{{- end -}}

{{- define "larder.domains" -}}
{{- $domains := .Values.server.domains -}}
{{- if .Values.server.serviceDomains }}{{ $domains = concat $domains (include "larder.serviceNames" . | fromJsonArray) }}{{ end -}}
{{- join "," ($domains | uniq) -}}
{{- end -}}

{{/* DNS names of the certificate, as a JSON list: of host style too */}}
{{- define "larder.certificateNames" -}}
{{- $names := list -}}
{{- range .Values.server.domains }}{{ $names = concat $names (list . (printf "*.%s" .)) }}{{ end -}}
{{- $names = concat $names .Values.tls.dnsNames -}}
{{- if .Values.tls.serviceNames -}}
{{- range (include "larder.serviceNames" . | fromJsonArray) }}{{ $names = concat $names (list . (printf "*.%s" .)) }}{{ end -}}
{{- $full := include "larder.fullname" . -}}
{{- $names = concat $names (list $full (printf "*.%s-headless.%s.svc.%s" $full .Release.Namespace .Values.clusterDomain)) -}}
{{- end -}}
{{- toJson ($names | uniq) -}}
{{- end -}}

{{- define "larder.scheme" -}}{{ ternary "https" "http" .Values.tls.enabled }}{{- end -}}

{{/* Clients without a certificate can't use TLS */}}
{{- define "larder.clientCertificates" -}}
{{- if and .Values.tls.enabled .Values.tls.clientCA.existingSecret (eq .Values.tls.clientCA.auth "required") }}true{{ end -}}
{{- end -}}

{{/* Where there are certificates of clients, kubelet has none: it asks the plain port */}}
{{- define "larder.plainEverywhere" -}}
{{- if and .Values.tls.enabled (or .Values.tls.plainHttp.enabled (include "larder.clientCertificates" .)) }}true{{ end -}}
{{- end -}}

{{/* Where the Service's names can't be used with TLS: clients show no certificate, or the certificate does not have them */}}
{{- define "larder.tlsUnfit" -}}
{{- if and .Values.tls.enabled (or (include "larder.clientCertificates" .) (not .Values.tls.serviceNames)) }}true{{ end -}}
{{- end -}}

{{/* Where what belongs to the release reaches S3 */}}
{{- define "larder.endpoint" -}}
{{- if .Values.cosi.endpoint -}}
{{ .Values.cosi.endpoint }}
{{- else if and (include "larder.tlsUnfit" .) .Values.tls.plainHttp.enabled -}}
http://{{ include "larder.serviceHost" . }}:{{ .Values.service.httpPort }}
{{- else -}}
{{ include "larder.scheme" . }}://{{ include "larder.serviceHost" . }}:{{ .Values.service.port }}
{{- end -}}
{{- end -}}

{{- define "larder.hasCA" -}}
{{- if and .Values.tls.enabled (not .Values.tls.publicCA) }}true{{ end -}}
{{- end -}}

{{/* A value as text: numbers beyond a million are no floats */}}
{{- define "larder.text" -}}
{{- if kindIs "slice" . -}}{{ join "," . }}
{{- else if kindIs "float64" . -}}{{ if eq (float64 (int64 .)) . }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* (list root probe): a probe with the port and scheme of the store */}}
{{- define "larder.probe" -}}
{{- $root := index . 0 -}}
{{- $probe := deepCopy (index . 1) -}}
{{- if $probe.httpGet -}}
{{- $target := ternary (dict "port" "http" "scheme" "HTTP") (dict "port" "s3" "scheme" (include "larder.scheme" $root | upper)) (eq (include "larder.clientCertificates" $root) "true") -}}
{{- $_ := set $probe "httpGet" (merge (dict) $probe.httpGet $target) -}}
{{- end -}}
{{- toYaml $probe -}}
{{- end -}}

{{/* How many pods may be away: writes need k+1 shards (k, where m is at most 1). */}}
{{- define "larder.maxUnavailable" -}}
{{- $disks := include "larder.disks" . | fromJsonArray | len -}}
{{- $default := dict "1" 0 "2" 1 "3" 1 "4" 2 "5" 2 "6" 2 "7" 2 "8" 3 -}}
{{- $parity := 4 -}}
{{- if .Values.server.profile -}}
{{- $parity = splitList "+" .Values.server.profile | last | int -}}
{{- else if hasKey $default (toString (mul $disks .Values.replicas)) -}}
{{- $parity = index $default (toString (mul $disks .Values.replicas)) -}}
{{- end -}}
{{- $spare := ternary $parity (sub $parity 1) (le (int $parity) 1) -}}
{{- max 1 (div $spare $disks) -}}
{{- end -}}

{{- define "larder.check" -}}
{{- if and .Values.tls.enabled (eq .Values.tls.source "certManager") (not .Values.tls.certManager.issuerRef.name) -}}
{{- fail "tls.certManager.issuerRef.name: tls.source is `certManager`, so name the issuer" -}}
{{- end -}}
{{- if and (include "larder.tlsUnfit" .) .Values.cosi.enabled (not .Values.tls.plainHttp.enabled) (not .Values.cosi.endpoint) -}}
{{- if include "larder.clientCertificates" . -}}
{{- fail "tls.clientCA.auth is `required`, and the COSI driver shows no certificate: set tls.plainHttp.enabled, tls.clientCA.auth=optional, or cosi.endpoint" -}}
{{- else -}}
{{- fail "tls.serviceNames is off, so that the COSI driver can't check the certificate by the Service's name: set cosi.endpoint to a URL with a name that it has, or tls.plainHttp.enabled" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.rootCredentials.existingSecret (or .Values.rootCredentials.accessKey .Values.rootCredentials.secretKey) -}}
{{- fail "rootCredentials: existingSecret and a key pair are both set: set one" -}}
{{- end -}}
{{- if ne (empty .Values.rootCredentials.accessKey) (empty .Values.rootCredentials.secretKey) -}}
{{- fail "rootCredentials: set accessKey and secretKey, or neither" -}}
{{- end -}}
{{- if and .Values.encryption.masterKey.generate .Values.encryption.masterKey.existingSecret -}}
{{- fail "encryption.masterKey: generate and existingSecret are both set: set one" -}}
{{- end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) -}}
{{- fail "ingress.hosts: the Ingress needs a host name" -}}
{{- end -}}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: the HTTPRoute needs a gateway" -}}
{{- end -}}
{{- if gt (int .Values.disks.count) 32 }}{{ fail "disks.count: 32 at most" }}{{ end -}}
{{- end -}}
