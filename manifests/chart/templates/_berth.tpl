{{/* The labels of every object. */}}
{{- define "berth.labels" -}}
app.kubernetes.io/part-of: berth
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The objects of .file in base as they stand there, in the namespace of the release .root; .annotations are added. */}}
{{- define "berth.base" -}}
{{- $labels := include "berth.labels" .root | fromYaml }}
{{- $text := .root.Files.Get (print "base/" .file) | required (print "the chart lacks base/" .file) }}
{{- range $document := regexSplit "(?m)^---$" ($text | replace "berth-system" $.root.Release.Namespace) -1 }}
{{- $object := fromYaml $document }}
{{- $metadata := $object.metadata }}
{{- $_ := set $metadata "labels" (merge $labels ($metadata.labels | default dict)) }}
{{- with get ($.annotations | default dict) (print $object.kind "/" $metadata.name) }}
{{- $_ := set $metadata "annotations" . }}
{{- end }}
---
{{ toYaml $object }}
{{ end }}
{{- end }}

{{/* The configuration file, as an object. */}}
{{- define "berth.configuration" -}}
{{- $configuration := deepCopy .Values.configuration }}
{{- if .Values.certManager.enabled }}
{{- $configuration = mergeOverwrite $configuration (dict "certificates" (dict "source" "secret")) }}
{{- end }}
{{- toYaml $configuration }}
{{- end }}

{{- define "berth.image" -}}
{{- $image := .Values.image }}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* What the Pods of both Deployments have in common, and those of hooks: who they are. */}}
{{- define "berth.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "berth.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where the Pods of .deployment (a section of the values) go; .name is that of the Deployment. */}}
{{- define "berth.scheduling" -}}
{{- with .deployment.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .deployment.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .deployment.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .deployment.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .deployment.spread }}
topologySpreadConstraints:
  {{- range .deployment.spread }}
  - {{ toYaml . | nindent 4 | trim }}
    labelSelector:
      matchLabels:
        app.kubernetes.io/name: {{ $.name }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The image and everything else that containers of both Deployments have in common. */}}
{{- define "berth.container" -}}
image: {{ include "berth.image" . }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- with .Values.env }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "berth.securityContext" . | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/berth/config
    readOnly: true
  {{- with .Values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "berth.volumes" -}}
- name: config
  configMap:
    name: berth
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "berth.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
