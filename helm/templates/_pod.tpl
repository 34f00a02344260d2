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

{{/* Configuration, rate book and secrets: the arguments of both are the root, the ConfigMaps of
     configuration and rate book, and the list of secrets. */}}
{{- define "meterfold.fileMounts" -}}
- name: config
  mountPath: /etc/meterfold/config
  readOnly: true
- name: rates
  mountPath: /etc/meterfold/rates
  readOnly: true
{{- range index . 3 }}
- name: secret-{{ .name }}
  mountPath: /etc/meterfold/secrets/{{ .name }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "meterfold.fileVolumes" -}}
- name: config
  configMap:
    name: {{ index . 1 }}
- name: rates
  configMap:
    name: {{ index . 2 }}
{{- range index . 3 }}
- name: secret-{{ .name }}
  {{- if .volume }}
  {{- toYaml .volume | nindent 2 }}
  {{- else }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
  {{- end }}
{{- end }}
{{- end -}}

{{/* What every pod has, but for its containers and volumes. */}}
{{- define "meterfold.anyPod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
securityContext:
  {{- include "meterfold.podSecurity" . | nindent 2 }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Metadata of a pod that runs one command. */}}
{{- define "meterfold.onceMetadata" -}}
labels:
  {{- include "meterfold.selector" . | nindent 2 }}
  {{- with .Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Such a pod. Affinity is about instances: it may keep them apart. */}}
{{- define "meterfold.oncePod" -}}
restartPolicy: Never
{{ include "meterfold.anyPod" . }}
{{- end -}}

{{/* What checks configuration, topics and rights: the arguments are the root and the two ConfigMaps. */}}
{{- define "meterfold.validatePod" -}}
{{- $files := append . (index . 0).Values.secretFiles -}}
{{- with index . 0 -}}
{{ include "meterfold.oncePod" . }}
serviceAccountName: {{ include "meterfold.fullname" . }}
containers:
  - name: validate
    image: {{ include "meterfold.image" . }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args: [validate, --config, /etc/meterfold/config/meterfold.toml, --against-cluster]
    resources:
      requests: { cpu: 50m, memory: 128Mi }
      limits: { memory: 128Mi }
    securityContext:
      {{- include "meterfold.containerSecurity" . | nindent 6 }}
    volumeMounts:
      {{- include "meterfold.fileMounts" $files | nindent 6 }}
volumes:
  {{- include "meterfold.fileVolumes" $files | nindent 2 }}
{{- end -}}
{{- end -}}
