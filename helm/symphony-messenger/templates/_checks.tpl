{{/* What a schema cannot say. Rendered once, by the workers; every message says what to do. */}}
{{- define "symphony.checks" -}}
{{- if not .Values.database.existingSecret -}}
{{- fail "database.existingSecret is not set. Make a Secret with the connection string and name it: kubectl create secret generic messenger-database --from-literal=url=postgresql://USER:PASSWORD@HOST:5432/DATABASE" -}}
{{- end -}}
{{- if and .Values.config.inline (or .Values.config.existingConfigMap .Values.existingConfigMap) -}}
{{- fail "config.inline and config.existingConfigMap are both set: choose one" -}}
{{- end -}}
{{- if and .Values.telemetry.otlp.enabled (not .Values.telemetry.otlp.endpoint) -}}
{{- fail "telemetry.otlp.endpoint is not set: where is the collector?" -}}
{{- end -}}
{{- if and .Values.api.auth.existingSecret (not (or .Values.api.auth.secretKeys.tokens .Values.api.auth.secretKeys.token .Values.api.auth.secretKeys.cronSecret)) -}}
{{- fail "api.auth.existingSecret is set, but none of api.auth.secretKeys says what is in it" -}}
{{- end -}}
{{- range $name, $pool := (include "symphony.pools" . | fromJson) -}}
{{- include "symphony.checkPool" (dict "root" $ "name" $name "pool" $pool) -}}
{{- end -}}
{{- $budget := int (include "symphony.connectionBudget" .) -}}
{{- if not (kindIs "invalid" .Values.database.maxConnections) -}}
{{- if gt $budget (int .Values.database.maxConnections) -}}
{{- fail (printf "the fleet could open %d connections, database.maxConnections allows %d: fewer replicas or processes, or a smaller poolSize (database.pool.max)" $budget (int .Values.database.maxConnections)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "symphony.checkPool" -}}
{{- $p := .pool -}}
{{- $path := printf "workers.%s" .name -}}
{{- $least := int (add $p.shutdownTimeoutSeconds 5) -}}
{{- if lt (int (include "symphony.gracePeriod" $p)) $least -}}
{{- fail (printf "%s.terminationGracePeriodSeconds is %d: less than shutdownTimeoutSeconds and five (%d), so messages in flight would be killed" $path (int $p.terminationGracePeriodSeconds) $least) -}}
{{- end -}}
{{- $a := $p.autoscaling -}}
{{- if gt (int $a.minReplicas) (int $a.maxReplicas) -}}
{{- fail (printf "%s.autoscaling.minReplicas is %d, more than maxReplicas (%d)" $path (int $a.minReplicas) (int $a.maxReplicas)) -}}
{{- end -}}
{{- if and (eq $a.type "hpa") (lt (int $a.minReplicas) 1) -}}
{{- fail (printf "%s.autoscaling.minReplicas is 0: a HorizontalPodAutoscaler does not come back from there" $path) -}}
{{- end -}}
{{- if and (eq $a.type "symphony") (eq (toString .root.Values.autoscaler.enabled) "false") -}}
{{- fail (printf "%s.autoscaling.type is symphony, and autoscaler.enabled false: nobody would scale it" $path) -}}
{{- end -}}
{{- if and (eq $a.type "keda") (eq $a.keda.trigger "postgresql") -}}
{{- if not $a.keda.authenticationRef -}}
{{- fail (printf "%s.autoscaling.keda.authenticationRef is not set: a TriggerAuthentication whose parameter connection is that of a role that may read" $path) -}}
{{- end -}}
{{- else if eq $a.type "keda" -}}
{{- if not (include "symphony.apiEnabled" .root) -}}
{{- fail (printf "%s.autoscaling.type is keda, whose trigger asks the admin API: configure api.auth" $path) -}}
{{- end -}}
{{- if not (or $a.keda.tokenSecret $a.keda.authenticationRef) -}}
{{- fail (printf "%s.autoscaling.keda.tokenSecret is not set: a Secret with a token of scope symphony:read" $path) -}}
{{- end -}}
{{- end -}}
{{- if and $p.podDisruptionBudget.enabled (kindIs "invalid" $p.podDisruptionBudget.minAvailable) (kindIs "invalid" $p.podDisruptionBudget.maxUnavailable) -}}
{{- fail (printf "%s.podDisruptionBudget has neither minAvailable nor maxUnavailable" $path) -}}
{{- end -}}
{{- end -}}
