{{/* The configuration file of instances. Their names and where they are reached come from the pod, as variables. */}}
{{- define "meterfold.toml" -}}
{{ include "meterfold.tomlWithout" (list . .Values.config) }}

[http]
listen = "0.0.0.0:8080"
{{- with .Values.queries.tokenFile }}
bearer_token_file = {{ . | quote }}
{{- end }}
{{- end -}}

{{/* That of audits, with an identity of their own. */}}
{{- define "meterfold.auditToml" -}}
{{- $kafka := include "meterfold.auditKafka" . | fromYaml -}}
{{ include "meterfold.tomlWithout" (list . (merge (dict "kafka" $kafka "registry" (pick .Values.config.registry "url")) (omit .Values.config "kafka" "registry"))) }}
{{- end -}}

{{/* An archive is read without a broker, so without credentials for one. */}}
{{- define "meterfold.auditKafka" -}}
{{- if .Values.audit.archive -}}
{{ merge (dict "security.protocol" "ssl") (pick .Values.config.kafka "bootstrap.servers") | toYaml }}
{{- else -}}
{{ mergeOverwrite (deepCopy .Values.config.kafka) .Values.audit.kafka | toYaml }}
{{- end -}}
{{- end -}}

{{/* Without [http]: the arguments are the root and the configuration. */}}
{{- define "meterfold.tomlWithout" -}}
{{- $config := index . 1 -}}
{{- with index . 0 -}}
application = {{ include "meterfold.application" . | quote }}
rates = "/etc/meterfold/rates/{{ .Values.rateBook.key }}"
state_dir = "/var/lib/meterfold/state"
{{- $sections := list "kafka" "topics" "commit" "output" "registry" }}
{{- range $key, $value := $config }}
{{- if not (has $key $sections) }}
{{ $key }} = {{ include "meterfold.tomlValue" $value }}
{{- end }}
{{- end }}
{{- range $section := $sections }}
{{- with index $config $section }}

[{{ $section }}]
{{- range $key, $value := . }}
{{ $key | quote }} = {{ include "meterfold.tomlValue" $value }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Numbers in values are floats, and the configuration wants whole ones. */}}
{{- define "meterfold.tomlValue" -}}
{{- if kindIs "float64" . -}}
{{- int64 . -}}
{{- else if kindIs "bool" . -}}
{{- . -}}
{{- else -}}
{{- toString . | toJson -}}
{{- end -}}
{{- end -}}
