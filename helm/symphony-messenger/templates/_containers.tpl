{{/* dict root, component, values (of the pool), secret: the environment of a worker. */}}
{{- define "symphony.workerEnvironment" -}}
{{ include "symphony.environment" . | trim }}
{{- if ne (join "," .values.queues) "*" }}
- name: SYMPHONY_WORKER_QUEUES
  value: {{ join "," .values.queues | quote }}
{{- end }}
- name: SYMPHONY_WORKER_PROCESSES
  value: {{ include "symphony.processes" .values | quote }}
{{- if .values.threads }}
- name: SYMPHONY_WORKER_THREADS
  value: {{ int .values.threads | quote }}
{{- else if not (default dict (default dict .values.resources).limits).cpu }}
# Without a CPU limit the node's CPUs are seen, and they are not the pod's.
- name: SYMPHONY_WORKER_THREADS
  value: "1"
{{- end }}
{{- if .root.Values.events.enabled }}
- name: SYMPHONY_KUBERNETES_EVENTS
  value: "true"
- name: POD_UID
  valueFrom:
    fieldRef:
      fieldPath: metadata.uid
{{- end }}
- name: SYMPHONY_WORKER_MAX_CONCURRENCY
  value: {{ int .values.concurrency | quote }}
- name: SYMPHONY_WORKER_BATCH_SIZE
  value: {{ int .values.batchSize | quote }}
- name: SYMPHONY_WORKER_POLL_INTERVAL
  value: {{ int .values.pollIntervalMs | quote }}
- name: SYMPHONY_SHUTDOWN_TIMEOUT
  value: {{ int .values.shutdownTimeoutSeconds | quote }}
{{- with include "symphony.messageTimeout" .values }}
{{ . | trim }}
{{- end }}
{{- with .values.recycle }}
{{- if .maxMessages }}
- name: SYMPHONY_WORKER_RECYCLE_MESSAGES
  value: {{ int .maxMessages | quote }}
{{- end }}
{{- if .maxMemoryMB }}
- name: SYMPHONY_WORKER_MEMORY_LIMIT
  value: {{ int .maxMemoryMB | quote }}
{{- else if .maxMemoryPercent }}
# Of the limit that the pod has, also after it was resized.
- name: SYMPHONY_WORKER_MEMORY_PERCENT
  value: {{ int .maxMemoryPercent | quote }}
{{- end }}
{{- if .maxAgeSeconds }}
- name: SYMPHONY_WORKER_RECYCLE_TIME
  value: {{ printf "%d000" (int .maxAgeSeconds) | quote }}
{{- end }}
{{- end }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* dict root, component, values (of the API), secret */}}
{{- define "symphony.apiEnvironment" -}}
{{ include "symphony.environment" . | trim }}
- name: SYMPHONY_SHUTDOWN_TIMEOUT
  value: {{ int .values.shutdownTimeoutSeconds | quote }}
{{- with .values.auth }}
{{- if and .existingSecret .secretKeys.tokens }}
- name: SYMPHONY_AUTH_TOKENS_FILE
  value: /etc/symphony/auth/tokens.json
{{- end }}
{{- if and .existingSecret .secretKeys.token }}
- name: SYMPHONY_AUTH_TOKEN_FILE
  value: /etc/symphony/auth/token
{{- end }}
{{- if and .existingSecret .secretKeys.cronSecret }}
- name: CRON_SECRET_FILE
  value: /etc/symphony/auth/cron-secret
{{- end }}
{{- with default .oidc.jwksUri .oidc.jwksUrl }}
- name: SYMPHONY_AUTH_JWKS_URL
  value: {{ . | quote }}
{{- end }}
{{- range $key, $variable := dict "issuer" "SYMPHONY_AUTH_ISSUER" "audience" "SYMPHONY_AUTH_AUDIENCE" }}
{{- with get $.values.auth.oidc $key }}
- name: {{ $variable }}
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- range $variable, $value := dict "TRUSTED_PROXIES" $.values.trustedProxies "REQUESTS_PER_MINUTE" $.values.rateLimit.perMinute "FAILURES_PER_MINUTE" $.values.rateLimit.failuresPerMinute }}
{{- if not (kindIs "invalid" $value) }}
- name: SYMPHONY_ADMIN_{{ $variable }}
  value: {{ int $value | quote }}
{{- end }}
{{- end }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* dict root, values (of the API) */}}
{{- define "symphony.apiVolumeMounts" -}}
{{ include "symphony.volumeMounts" . | trim }}
{{- if .values.auth.existingSecret }}
- name: auth
  mountPath: /etc/symphony/auth
  readOnly: true
{{- end }}
{{- end -}}

{{/*
dict root, component, values, secret; for, env, mounts: what the container after them does and has. The operator's own come
first: what they fetch may be a part of what is checked.
*/}}
{{- define "symphony.initContainers" -}}
{{- with .values.initContainers }}
{{ toYaml . }}
{{- end }}
{{- if .root.Values.config.check }}
- name: check-config
  {{- include "symphony.containerBase" . | nindent 2 }}
  {{- include "symphony.args" (dict "root" .root "words" (list "config" "check" "--for" .for)) | nindent 2 }}
  env:
    {{- include .env . | trim | nindent 4 }}
  {{- with .values.extraEnvFrom }}
  envFrom:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  # Those of the container after it: the pod asks for no more than without.
  resources:
    {{- toYaml .values.resources | nindent 4 }}
  volumeMounts:
    {{- include .mounts . | trim | nindent 4 }}
{{- end }}
{{- end -}}
