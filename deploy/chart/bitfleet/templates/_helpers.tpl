{{- define "bitfleet.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels by which pods are found; they never change. Takes {root, component}. */}}
{{- define "bitfleet.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "bitfleet.labels" -}}
{{ include "bitfleet.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "bitfleet.image" -}}
{{- $device := ternary "cpu" "cuda12" (eq (int .Values.workers.gpu) 0) -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default (printf "%s-%s" .Chart.AppVersion $device) .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "bitfleet.secret" -}}
{{ default (include "bitfleet.fullname" .) .Values.auth.existingSecret }}
{{- end -}}

{{- define "bitfleet.storeClaim" -}}
{{ default (printf "%s-store" (include "bitfleet.fullname" .)) .Values.store.existingClaim }}
{{- end -}}

{{- define "bitfleet.dataClaim" -}}
{{ default (printf "%s-data" (include "bitfleet.fullname" .)) .Values.data.existingClaim }}
{{- end -}}

{{- define "bitfleet.scales" -}}
{{- if or .Values.scaleRole .Values.autoscale.enabled }}true{{ end -}}
{{- end -}}

{{/* The pod's security context: level "restricted". */}}
{{- define "bitfleet.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "bitfleet.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end -}}

{{/* Labels and annotations of a pod, beside the chart's own. Takes {root, component, part}. */}}
{{- define "bitfleet.podMetadata" -}}
labels:
  {{- include "bitfleet.labels" . | nindent 2 }}
  {{- with mergeOverwrite dict .root.Values.podLabels .part.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with mergeOverwrite dict .root.Values.podAnnotations .part.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where a pod may run. Takes {root, component, part, tolerations}. */}}
{{- define "bitfleet.placement" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat (default list .tolerations) .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if .part.topologySpreadConstraints }}
  {{- toYaml .part.topologySpreadConstraints | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "bitfleet.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{/* What every process of ours reads. */}}
{{- define "bitfleet.commonEnv" -}}
- name: POD_IP
  valueFrom: { fieldRef: { fieldPath: status.podIP } }
- { name: LOG_LEVEL, value: {{ .Values.logLevel | quote }} }
# The root file system is read-only: what is written goes below /tmp.
- { name: HOME, value: /tmp }
- { name: BITFLEET_HOME, value: /tmp/bitfleet }
{{- end -}}

{{/* Of a dict with the values of the bucket, `s3`, and the name of the secret with its keys, `secret`. */}}
{{- define "bitfleet.storeEnv" -}}
{{- $secret := .secret }}
{{- with .s3 }}
{{- if .url }}
- { name: BITFLEET_STORE, value: {{ .url | quote }} }
{{- with .endpoint }}
- { name: BITFLEET_S3_ENDPOINT, value: {{ . | quote }} }
{{- end }}
{{- with .region }}
- { name: BITFLEET_S3_REGION, value: {{ . | quote }} }
{{- end }}
{{- with $secret }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: { secretKeyRef: { name: {{ . }}, key: AWS_ACCESS_KEY_ID } }
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: { secretKeyRef: { name: {{ . }}, key: AWS_SECRET_ACCESS_KEY } }
{{- end }}
{{- else }}
- { name: BITFLEET_STORE, value: /store }
{{- end }}
{{- end }}
{{- end -}}

{{- define "bitfleet.tlsEnv" -}}
- { name: BITFLEET_TLS_CERT_FILE, value: /etc/bitfleet/tls/tls.crt }
- { name: BITFLEET_TLS_KEY_FILE, value: /etc/bitfleet/tls/tls.key }
- { name: BITFLEET_TLS_CA_FILE, value: /etc/bitfleet/tls/ca.crt }
{{- end -}}

{{- define "bitfleet.natsUser" -}}
{{ ternary "coordinator" .Values.nats.external.user .Values.nats.enabled }}
{{- end -}}

{{- define "bitfleet.natsWorkerUser" -}}
{{ ternary "worker" .Values.nats.external.workerUser .Values.nats.enabled }}
{{- end -}}

{{/* Only the coordinator has these; the workers learn from it where NATS is and who they are there. */}}
{{- define "bitfleet.natsEnv" -}}
{{- if .Values.nats.enabled -}}
- { name: NATS_URL, value: {{ printf "%s://%s-nats:4222" (ternary "nats" "tls" (eq .Values.tls.natsSecret "")) (include "bitfleet.fullname" .) | quote }} }
{{- else -}}
- { name: NATS_URL, value: {{ .Values.nats.external.url | quote }} }
{{- end }}
{{- with (include "bitfleet.natsUser" .) }}
- { name: NATS_USER, value: {{ . }} }
- { name: NATS_PASSWORD_FILE, value: /etc/bitfleet/auth/nats-password }
{{- end }}
{{- with (include "bitfleet.natsWorkerUser" .) }}
- { name: NATS_WORKER_USER, value: {{ . }} }
- { name: NATS_WORKER_PASSWORD_FILE, value: /etc/bitfleet/auth/nats-worker-password }
{{- end }}
{{- end -}}

{{/* What a process trusts, and shows where it has a certificate of its own. Takes {root, own}. */}}
{{- define "bitfleet.natsTlsEnv" -}}
{{- if .root.Values.tls.natsSecret -}}
- { name: NATS_CA_FILE, value: /etc/bitfleet/nats/ca.crt }
{{- if .own }}
- { name: NATS_CERT_FILE, value: /etc/bitfleet/tls/tls.crt }
- { name: NATS_KEY_FILE, value: /etc/bitfleet/tls/tls.key }
{{- end }}
{{- end -}}
{{- end -}}
