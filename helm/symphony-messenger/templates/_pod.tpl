{{/* dict root, component, values (placement, extra things), labels, annotations: metadata of a pod template. */}}
{{- define "symphony.podMetadata" -}}
labels:
  {{- /* Not the chart's version: a new chart that changes nothing else must not roll the pods. */}}
  {{- include "symphony.selectorLabels" . | nindent 2 }}
  app.kubernetes.io/part-of: symphony-messenger
  {{- with .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := dict -}}
{{- if .root.Values.config.inline -}}{{- $_ := set $annotations "checksum/config" (sha256sum .root.Values.config.inline) -}}{{- end -}}
{{- $annotations = merge $annotations (default dict .values.podAnnotations) .root.Values.commonAnnotations -}}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* dict root, component, values: everything of a pod's spec that is not its containers. */}}
{{- define "symphony.podPlacement" -}}
serviceAccountName: {{ default (include "symphony.serviceAccountName" .root) .serviceAccountName }}
automountServiceAccountToken: {{ default false .automount }}
enableServiceLinks: false
{{- include "symphony.imagePullSecrets" .root }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .values.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- if not (kindIs "invalid" .values.hostUsers) }}
hostUsers: {{ .values.hostUsers }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if eq (toString .values.topologySpreadConstraints) "default" }}
topologySpreadConstraints:
  {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    matchLabelKeys: [pod-template-hash]
    labelSelector:
      matchLabels:
        {{- include "symphony.selectorLabels" $ | nindent 8 }}
  {{- end }}
{{- else if .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml .values.topologySpreadConstraints | nindent 2 }}
{{- end }}
{{- end -}}

{{/* dict root, secret (of the database), values: the volumes of every pod of ours. */}}
{{- define "symphony.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .root.Values.temporaryVolumeSize }}
{{- $keys := include "symphony.databaseKeys" .root | fromJson }}
{{- if and .root.Values.database.mountAsFile $keys }}
- name: database
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items:
      {{- range $path, $key := $keys }}
      - key: {{ $key }}
        path: {{ $path }}
      {{- end }}
{{- end }}
{{- with include "symphony.caSecret" .root }}
- name: database-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - key: {{ ternary $.root.Values.database.tls.caKey $.root.Values.database.secretKeys.ca (ne $.root.Values.database.tls.existingCaSecret "") }}
        path: ca.crt
{{- end }}
{{- with include "symphony.configMapName" .root }}
- name: config
  configMap:
    name: {{ . }}
{{- end }}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "symphony.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if and .root.Values.database.mountAsFile (include "symphony.databaseKeys" .root | fromJson) }}
- name: database
  mountPath: /etc/symphony/database
  readOnly: true
{{- end }}
{{- if include "symphony.caSecret" .root }}
- name: database-ca
  mountPath: /etc/symphony/database-ca
  readOnly: true
{{- end }}
{{- if include "symphony.configMapName" .root }}
- name: config
  mountPath: /symphony/app/symphony.config.mjs
  subPath: symphony.config.mjs
  readOnly: true
{{- end }}
{{- with .values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* dict root, component, secret, container (its name): the environment of every container of ours. */}}
{{- define "symphony.environment" -}}
{{- with .root.Values.database.url }}
- name: DATABASE_URL
  value: {{ . | quote }}
{{- end }}
{{- range $path, $key := include "symphony.databaseKeys" .root | fromJson }}
{{- if $.root.Values.database.mountAsFile }}
- name: DATABASE_{{ upper $path }}_FILE
  value: /etc/symphony/database/{{ $path }}
{{- else }}
- name: DATABASE_{{ upper $path }}
  valueFrom:
    secretKeyRef:
      name: {{ $.secret }}
      key: {{ $key }}
{{- end }}
{{- end }}
{{- range $key, $what := dict "connectMs" "CONNECT" "queryMs" "STATEMENT" "lockMs" "LOCK" }}
{{- with get $.root.Values.database.timeouts $key }}
- name: SYMPHONY_DATABASE_{{ $what }}_TIMEOUT
  value: {{ int . | quote }}
{{- end }}
{{- end }}
{{- $ca := include "symphony.caSecret" .root }}
{{- if $ca }}
- name: NODE_EXTRA_CA_CERTS
  value: /etc/symphony/database-ca/ca.crt
{{- end }}
{{- with default (ternary "verify-full" "" (ne $ca "")) .root.Values.database.tls.mode }}
- name: PGSSLMODE
  value: {{ . }}
{{- end }}
- name: SYMPHONY_HEALTH_PORT
  value: "8081"
- name: SYMPHONY_LOG_LEVEL
  value: {{ .root.Values.telemetry.logLevel }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: OTEL_SERVICE_NAME
  value: {{ include "symphony.objectName" (dict "root" .root "suffix" .component) }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: "service.namespace={{ include "symphony.namespace" .root }},service.version={{ default .root.Chart.AppVersion .root.Values.image.tag }},service.instance.id=$(POD_NAME),k8s.pod.name=$(POD_NAME),k8s.namespace.name={{ include "symphony.namespace" .root }},k8s.node.name=$(NODE_NAME){{ with .container }},k8s.container.name={{ . }}{{ end }}"
{{- with .root.Values.telemetry.otlp }}
{{- if .enabled }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ .protocol }}
{{- with .headersExistingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: headers
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What every container of ours begins with. */}}
{{- define "symphony.containerBase" -}}
image: {{ include "symphony.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- toYaml .root.Values.containerSecurityContext | nindent 2 }}
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{/* dict root, words: arguments of the command, with --config where there is one. */}}
{{- define "symphony.args" -}}
{{- $words := .words -}}
{{- with .root.Values.config.file -}}{{- $words = concat $words (list "--config" .) -}}{{- end -}}
args: {{ toJson $words }}
{{- end -}}

{{/* list path, failureThreshold */}}
{{- define "symphony.probe" -}}
httpGet:
  path: {{ index . 0 }}
  port: probes
periodSeconds: 5
timeoutSeconds: 3
failureThreshold: {{ index . 1 }}
{{- end -}}
