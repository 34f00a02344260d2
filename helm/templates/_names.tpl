{{/* Names and labels of objects, and what the configuration says of the application. */}}
{{- define "meterfold.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "meterfold.headless" -}}
{{ include "meterfold.fullname" . }}-headless
{{- end -}}

{{/* Kubernetes puts 11 characters to the name of a CronJob, and allows it 52. */}}
{{- define "meterfold.auditName" -}}
{{ include "meterfold.fullname" . | trunc 46 | trimSuffix "-" }}-audit
{{- end -}}

{{- define "meterfold.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The instances; the test pod has the selector alone. */}}
{{- define "meterfold.instances" -}}
{{ include "meterfold.selector" . }}
app.kubernetes.io/component: processor
{{- end -}}

{{- define "meterfold.labels" -}}
{{ include "meterfold.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Annotations of an object, with the line above: the arguments are the root and its own. */}}
{{- define "meterfold.annotations" -}}
{{- with merge (deepCopy (index . 1)) (index . 0).Values.commonAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- end -}}

{{- define "meterfold.application" -}}
{{- if .Values.application -}}
{{- .Values.application -}}
{{- else -}}
{{- printf "%s.%s" .Release.Namespace (include "meterfold.fullname" .) | replace "-" "_" -}}
{{- end -}}
{{- end -}}

{{- define "meterfold.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Ports of the URLs that the configuration names, as a list. */}}
{{- define "meterfold.urlPorts" -}}
{{- $kafka := list .Values.config.kafka -}}
{{- if .Values.audit.enabled -}}
{{- $kafka = append $kafka .Values.audit.kafka -}}
{{- end -}}
{{- $urls := list (dig "url" "" .Values.config.registry) -}}
{{- range $kafka -}}
{{- $urls = append $urls (dig "sasl.oauthbearer.token.endpoint.url" "" .) -}}
{{- end -}}
{{- $ports := list -}}
{{- range compact $urls -}}
{{- $url := urlParse . -}}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) -}}
{{- $ports = append $ports (default (eq $url.scheme "https" | ternary "443" "80") $port) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{- define "meterfold.rateBookConfigMap" -}}
{{- default (printf "%s-rates" (include "meterfold.fullname" .)) .Values.rateBook.existingConfigMap -}}
{{- end -}}
