{{/* What the pods of instances and of the test share: no rights, and the same files at the same places. */}}
{{- define "meterfold.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "meterfold.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "meterfold.fileMounts" -}}
- name: config
  mountPath: /etc/meterfold/config
  readOnly: true
- name: rates
  mountPath: /etc/meterfold/rates
  readOnly: true
{{- range .Values.secretFiles }}
- name: secret-{{ .name }}
  mountPath: /etc/meterfold/secrets/{{ .name }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "meterfold.fileVolumes" -}}
- name: config
  configMap:
    name: {{ include "meterfold.fullname" . }}
- name: rates
  configMap:
    name: {{ include "meterfold.rateBookConfigMap" . }}
{{- range .Values.secretFiles }}
- name: secret-{{ .name }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
{{- end }}
{{- end -}}
