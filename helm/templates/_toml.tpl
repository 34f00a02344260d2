{{/* The configuration file. The instance's name and where it is reached come from the pod, as variables. */}}
{{- define "meterfold.toml" -}}
application = {{ include "meterfold.application" . | quote }}
rates = "/etc/meterfold/rates/{{ .Values.rateBook.key }}"
state_dir = "/var/lib/meterfold/state"
{{- $sections := list "kafka" "topics" "commit" "output" "registry" }}
{{- range $key, $value := .Values.config }}
{{- if not (has $key $sections) }}
{{ $key }} = {{ include "meterfold.tomlValue" $value }}
{{- end }}
{{- end }}
{{- range $section := $sections }}
{{- with index $.Values.config $section }}

[{{ $section }}]
{{- range $key, $value := . }}
{{ $key | quote }} = {{ include "meterfold.tomlValue" $value }}
{{- end }}
{{- end }}
{{- end }}

[http]
listen = "0.0.0.0:8080"
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
