{{/* Names, labels, images and security contexts, each said once. */}}

{{- define "tapline.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 30 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 36 letters: what is appended must fit into a label's 63. */}}
{{- define "tapline.fullname" -}}
{{- $name := include "tapline.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- .Values.fullnameOverride | default $full | trunc 36 | trimSuffix "-" -}}
{{- end -}}

{{- define "tapline.selector" -}}
app.kubernetes.io/name: {{ include "tapline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* (list root component) */}}
{{- define "tapline.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{ include "tapline.selector" $root }}
app.kubernetes.io/component: {{ index . 1 }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- end -}}

{{/* (list root component). Of pods: without what a new version of the chart changes, or each would restart all of them. */}}
{{- define "tapline.podLabels" -}}
{{ include "tapline.selector" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* (list root image): registry/repository:tag@digest, without what is empty. */}}
{{- define "tapline.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $registry := $root.Values.imageRegistry | default $image.registry -}}
{{- with $registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}{{ with $image.tag }}:{{ . }}{{ end }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end -}}

{{/* (list root placement): what every pod of this chart has, and where it may run; agents' pods are made by the operator. */}}
{{- define "tapline.pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with (index . 0).Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (index . 1).priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with (index . 1).nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (index . 1).tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "tapline.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* As JSON, a list. A Service's name without the cluster's domain, which nobody knows for sure: agents resolve with ClusterFirstWithHostNet. */}}
{{- define "tapline.natsUrls" -}}
{{- $own := printf "tls://%s-nats.%s.svc:4222" (include "tapline.fullname" .) .Release.Namespace -}}
{{- .Values.nats.url | default (list $own) | toJson -}}
{{- end -}}

{{- define "tapline.natsLogin" -}}
{{- ternary .Values.nats.login "user" (gt (len .Values.nats.url) 0) -}}
{{- end -}}

{{/* (list root role): the Secret with the role's login; role ca: with ca.crt, or nothing */}}
{{- define "tapline.natsSecret" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.nats.url }}{{ index $root.Values.nats.secrets (index . 1) }}{{ else }}{{ include "tapline.fullname" $root }}-nats-{{ index . 1 }}{{ end }}
{{- end -}}

{{/* (list root role): volumes login and ca */}}
{{- define "tapline.natsVolumes" -}}
- name: login
  secret: {secretName: {{ include "tapline.natsSecret" . }}, defaultMode: 0440}
{{- with include "tapline.natsSecret" (list (index . 0) "ca") }}
- name: ca
  secret: {secretName: {{ . }}, defaultMode: 0444, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end -}}

{{- define "tapline.natsMounts" -}}
- {name: login, mountPath: /nats/login, readOnly: true}
{{- if include "tapline.natsSecret" (list . "ca") }}
- {name: ca, mountPath: /nats/ca, readOnly: true}
{{- end }}
{{- end -}}
