{{/* What a schema cannot say. Rendered once, by the workers; every message says what to do. */}}
{{- define "symphony.checks" -}}
{{- include "symphony.checkUnsupported" . -}}
{{- $db := .Values.database -}}
{{- if and $db.url (not $db.existingSecret) (or $db.secretKeys.username $db.secretKeys.password) -}}
{{- fail "database.secretKeys.username and .password are keys of a Secret: name it with database.existingSecret" -}}
{{- end -}}
{{- if not (or $db.existingSecret $db.url) -}}
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
{{- $auth := .Values.api.auth -}}
{{- if and (eq $auth.mode "token") (not (and $auth.existingSecret (or $auth.secretKeys.tokens $auth.secretKeys.token))) -}}
{{- fail "api.auth.mode is token: set api.auth.existingSecret and api.auth.secretKeys.tokens or .token (symphony token create)" -}}
{{- end -}}
{{- if and (eq $auth.mode "oidc") (not (or $auth.oidc.jwksUrl $auth.oidc.jwksUri)) -}}
{{- fail "api.auth.mode is oidc: set api.auth.oidc.jwksUri" -}}
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

{{/* Values that charts like this one have and that mean nothing here: refused with what to do, and not as misspelt. */}}
{{- define "symphony.checkUnsupported" -}}
{{- $pools := merge (dict "workerDefaults" .Values.workerDefaults) (dict) -}}
{{- range $name, $own := .Values.workers -}}{{- $_ := set $pools (printf "workers.%s" $name) (default dict $own) -}}{{- end -}}
{{- range $path, $pool := $pools -}}
{{- if hasKey $pool "isolation" -}}
{{- fail (printf "%s.isolation: where a handler runs is said by the handler itself, defineHandler(…, { execution: \"thread\" or \"inline\" })" $path) -}}
{{- end -}}
{{- end -}}
{{- $auth := .Values.api.auth -}}
{{- if or (eq $auth.mode "none") (hasKey $auth "allowNone") -}}
{{- fail "api.auth.mode: there is no admin API that lets everybody in. Make a token (symphony token create) and name its Secret with api.auth.existingSecret" -}}
{{- end -}}
{{- range $key := list "read" "operate" -}}
{{- if hasKey $auth.secretKeys $key -}}
{{- fail (printf "api.auth.secretKeys.%s: tokens of several scopes are in one file, api.auth.secretKeys.tokens (symphony token create NAME --scopes read,operate)" $key) -}}
{{- end -}}
{{- if hasKey $auth.oidc (printf "%sScope" $key) -}}
{{- fail (printf "api.auth.oidc.%sScope: scopes have fixed names; roles of an issuer are mapped to them by auth.roles of the configuration" $key) -}}
{{- end -}}
{{- end -}}
{{- if hasKey .Values.api "dashboard" -}}
{{- fail "api.dashboard: there is no dashboard yet; telemetry.dashboards has those for Grafana" -}}
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
{{- if and $a.vertical.enabled (eq $a.type "hpa") (ne $a.vertical.updateMode "Off") (not $a.hpa.metrics) (has "cpu" $a.vertical.controlledResources) -}}
{{- fail (printf "%s.autoscaling.vertical.updateMode is %s: it and the hpa would both act on the CPU. Leave it to the hpa (controlledResources: [memory]), or only recommend (Off)" $path $a.vertical.updateMode) -}}
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
