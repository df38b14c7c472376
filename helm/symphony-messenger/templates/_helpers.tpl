{{/* Names. A name that is too long is cut and gets a hash of the whole, so that two of them stay two. */}}
{{- define "symphony.shorten" -}}
{{- $limit := int (default 63 .limit) -}}
{{- if gt (len .name) $limit -}}
{{- printf "%s-%s" (.name | trunc (int (sub $limit 9)) | trimSuffix "-") (.name | sha256sum | trunc 8) -}}
{{- else -}}
{{- .name -}}
{{- end -}}
{{- end -}}

{{- define "symphony.name" -}}
{{- include "symphony.shorten" (dict "name" (default .Chart.Name .Values.nameOverride)) -}}
{{- end -}}

{{- define "symphony.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}{{- .Release.Name -}}{{- else -}}{{- printf "%s-%s" .Release.Name $name -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* dict root, suffix ("" for none), limit */}}
{{- define "symphony.objectName" -}}
{{- $full := include "symphony.fullname" .root -}}
{{- $name := ternary $full (printf "%s-%s" $full .suffix) (eq .suffix "") -}}
{{- include "symphony.shorten" (dict "name" $name "limit" .limit) -}}
{{- end -}}

{{- define "symphony.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "symphony.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "symphony.objectName" (dict "root" . "suffix" "")) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* dict root, component: the three that never change. */}}
{{- define "symphony.selectorLabels" -}}
app.kubernetes.io/name: {{ include "symphony.name" .root }}
app.kubernetes.io/instance: {{ include "symphony.shorten" (dict "name" .root.Release.Name) }}
app.kubernetes.io/component: {{ include "symphony.shorten" (dict "name" .component) }}
{{- end -}}

{{- define "symphony.labels" -}}
{{ include "symphony.selectorLabels" . }}
app.kubernetes.io/version: {{ default .root.Chart.AppVersion .root.Values.image.tag | trunc 63 | quote }}
app.kubernetes.io/part-of: symphony-messenger
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* dict root, name, component, annotations: the metadata of an object. */}}
{{- define "symphony.metadata" -}}
name: {{ .name }}
namespace: {{ include "symphony.namespace" .root }}
labels:
  {{- include "symphony.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "symphony.image" -}}
{{- $registry := default .Values.image.registry .Values.global.imageRegistry -}}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- .Values.image.repository -}}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ default .Chart.AppVersion .Values.image.tag }}{{ end -}}
{{- end -}}

{{- define "symphony.imagePullSecrets" -}}
{{- $names := concat .Values.global.imagePullSecrets .Values.imagePullSecrets | uniq -}}
{{- if $names }}
imagePullSecrets:
  {{- range $names }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Whole CPUs of a quantity such as 500m, 1.5 or 2; 0 for none. */}}
{{- define "symphony.wholeCpus" -}}
{{- $text := toString (default "0" .) -}}
{{- if hasSuffix "m" $text -}}{{- div (int (trimSuffix "m" $text)) 1000 -}}{{- else -}}{{- int (floor (float64 $text)) -}}{{- end -}}
{{- end -}}

{{/* Worker processes of one pod of a pool. */}}
{{- define "symphony.processes" -}}
{{- if eq (toString .processes) "auto" -}}
{{- $limits := default dict (default dict .resources).limits -}}
{{- max 1 (int (include "symphony.wholeCpus" $limits.cpu)) -}}
{{- else -}}
{{- int .processes -}}
{{- end -}}
{{- end -}}

{{- define "symphony.gracePeriod" -}}
{{- if kindIs "invalid" .terminationGracePeriodSeconds -}}{{- add .shutdownTimeoutSeconds 5 -}}{{- else -}}{{- int .terminationGracePeriodSeconds -}}{{- end -}}
{{- end -}}

{{/*
dict root, name, pool: the number of pods. What kubectl scale has set stays as long as the value is the one that the
Deployment was made with; rendered without a cluster, it is the value.
*/}}
{{- define "symphony.replicas" -}}
{{- $live := lookup "apps/v1" "Deployment" (include "symphony.namespace" .root) .name -}}
{{- $made := get (default dict (default dict $live.metadata).annotations) "symphony-messenger/replicas" -}}
{{- if and $live (eq (toString $made) (toString (int .pool.replicas))) -}}{{- int $live.spec.replicas -}}{{- else -}}{{- int .pool.replicas -}}{{- end -}}
{{- end -}}

{{/* What of the database comes from its Secret, as JSON: url, username, password and their keys. */}}
{{- define "symphony.databaseKeys" -}}
{{- $db := .Values.database -}}
{{- $keys := dict -}}
{{- range $name := list "url" "username" "password" -}}
{{- $key := get $db.secretKeys $name -}}
{{- if and $key (not (and $db.url (eq $name "url"))) -}}{{- $_ := set $keys $name $key -}}{{- end -}}
{{- end -}}
{{- toJson $keys -}}
{{- end -}}

{{- define "symphony.messageTimeout" -}}
{{- if not (kindIs "invalid" .messageTimeoutSeconds) }}
- name: SYMPHONY_WORKER_MESSAGE_TIMEOUT
  value: {{ mul .messageTimeoutSeconds 1000 | quote }}
{{- end }}
{{- end -}}

{{- define "symphony.caSecret" -}}
{{- default (ternary .Values.database.existingSecret "" (ne .Values.database.secretKeys.ca "")) .Values.database.tls.existingCaSecret -}}
{{- end -}}

{{/* Most pods of a pool. */}}
{{- define "symphony.mostReplicas" -}}
{{- if and (eq .autoscaling.type "none") (not (kindIs "invalid" .replicas)) -}}{{- int .replicas -}}{{- else -}}{{- int .autoscaling.maxReplicas -}}{{- end -}}
{{- end -}}

{{- define "symphony.fewestReplicas" -}}
{{- if and (eq .autoscaling.type "none") (not (kindIs "invalid" .replicas)) -}}{{- int .replicas -}}{{- else -}}{{- int .autoscaling.minReplicas -}}{{- end -}}
{{- end -}}

{{/* The pools with their defaults filled in, as JSON. */}}
{{- define "symphony.pools" -}}
{{- $pools := dict -}}
{{- range $name, $own := .Values.workers -}}
{{- $pool := mergeOverwrite (deepCopy $.Values.workerDefaults) (deepCopy (default dict $own)) -}}
{{- $_ := set $pools $name $pool -}}
{{- end -}}
{{- toJson $pools -}}
{{- end -}}

{{- define "symphony.apiEnabled" -}}
{{- $a := .Values.api -}}
{{- $able := or (and $a.auth.existingSecret (or $a.auth.secretKeys.tokens $a.auth.secretKeys.token)) $a.auth.oidc.jwksUrl $a.auth.oidc.jwksUri -}}
{{- if and (eq (toString $a.enabled) "true") (not $able) -}}
{{- fail "api.enabled: nobody would be let in. Set api.auth.existingSecret and api.auth.secretKeys.tokens or .token (symphony token create), or api.auth.oidc.jwksUrl" -}}
{{- end -}}
{{- if and (ne (toString $a.enabled) "false") $able -}}true{{- end -}}
{{- end -}}

{{/* Connections to the database at most, all pods up. */}}
{{- define "symphony.connectionBudget" -}}
{{- $sum := 0 -}}
{{- range $name, $pool := (include "symphony.pools" . | fromJson) -}}
{{- $perPod := add $.Values.database.pool.reserved (mul (int (include "symphony.processes" $pool)) $.Values.database.pool.max) -}}
{{- $sum = add $sum (mul $perPod (int (include "symphony.mostReplicas" $pool))) -}}
{{- end -}}
{{- if include "symphony.apiEnabled" . -}}{{- $sum = add $sum (mul .Values.api.replicas .Values.api.connections) -}}{{- end -}}
{{- if or .Values.autoscaler.podDeletionCost (contains "\"type\":\"symphony\"" (include "symphony.pools" .)) -}}{{- $sum = add $sum .Values.database.pool.max -}}{{- end -}}
{{- range $name, $job := .Values.cron -}}
{{- $sum = add $sum (add $.Values.database.pool.reserved $.Values.database.pool.max) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{- define "symphony.configMapName" -}}
{{- if or .Values.config.existingConfigMap .Values.existingConfigMap -}}
{{- default .Values.existingConfigMap .Values.config.existingConfigMap -}}
{{- else if .Values.config.inline -}}
{{- include "symphony.objectName" (dict "root" . "suffix" "config") -}}
{{- end -}}
{{- end -}}

{{/* Out at once; in slowly, since a backlog that is gone may come back. */}}
{{- define "symphony.scalingBehavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - type: Percent
      value: 100
      periodSeconds: 15
    - type: Pods
      value: 4
      periodSeconds: 15
  selectPolicy: Max
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
    - type: Percent
      value: 25
      periodSeconds: 60
{{- end -}}

{{/* dict schema, queues, most: ready and active messages; of each no more than a full fleet would be there for. */}}
{{- define "symphony.backlogQuery" -}}
{{- $names := list -}}
{{- range .queues }}{{ $names = append $names (squote .) }}{{ end -}}
{{- $which := ternary "name NOT IN (SELECT dead_letter FROM SCHEMA.queue WHERE dead_letter IS NOT NULL)" (printf "name IN (%s)" (join ", " $names)) (eq (join "," .queues) "*") -}}
{{- $some := "(SELECT count(*) FROM (SELECT 1 FROM SCHEMA.job WHERE %s AND %s LIMIT %d) AS limited)" -}}
{{- $ready := printf $some "state < 'active' AND NOT blocked AND created_on <= now() AND start_after <= now()" $which (int .most) -}}
{{- printf "SELECT %s + %s" $ready (printf $some "state = 'active'" $which (int .most)) | replace "SCHEMA" .schema -}}
{{- end -}}
