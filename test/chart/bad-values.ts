/** A mistake, and where Helm has to say that it is. */
export interface BadValues {
  readonly mistake: string;
  /** On top of a file that is fine. */
  readonly values: string;
  readonly where: RegExp;
}

const at = (path: string): RegExp => new RegExp(path.replaceAll("/", "[/.]"));

export const BAD_VALUES: readonly BadValues[] = [
  { mistake: "no database", values: "database: { existingSecret: null }", where: /database\.existingSecret/ },
  { mistake: "a connection string in the values", values: "database: { url: 'postgresql://u:p@h/d' }", where: at("/database") },
  { mistake: "a misspelt key", values: "workerDefaults: { replica: 3 }", where: /workerDefaults.*replica/s },
  { mistake: "an unknown key at the top", values: "worker: {}", where: /worker/ },
  { mistake: "replicas as text", values: "workerDefaults: { replicas: three }", where: at("/workerDefaults/replicas") },
  { mistake: "negative replicas", values: "workers: { default: { replicas: -1 } }", where: at("/workers/default/replicas") },
  { mistake: "no queues", values: "workers: { default: { queues: [] } }", where: at("/workers/default/queues") },
  { mistake: "a queue with a space", values: "workers: { default: { queues: ['a b'] } }", where: at("/workers/default/queues/0") },
  { mistake: "a queue twice", values: "workers: { default: { queues: [a, a] } }", where: at("/workers/default/queues") },
  { mistake: "no processes", values: "workers: { default: { processes: 0 } }", where: at("/workers/default/processes") },
  { mistake: "processes as a word", values: "workers: { default: { processes: all } }", where: at("/workers/default/processes") },
  { mistake: "concurrency 0", values: "workerDefaults: { concurrency: 0 }", where: at("/workerDefaults/concurrency") },
  { mistake: "a pool in capitals", values: "workers: { Images: {} }", where: /Images/ },
  {
    mistake: "a grace period below the shutdown timeout",
    values: "workers: { default: { terminationGracePeriodSeconds: 30 } }",
    where: /workers\.default\.terminationGracePeriodSeconds/,
  },
  { mistake: "an unknown autoscaler", values: "workers: { default: { autoscaling: { type: vpa } } }", where: at("/autoscaling/type") },
  {
    mistake: "fewest above most",
    values: "workers: { default: { autoscaling: { type: hpa, minReplicas: 9, maxReplicas: 3 } } }",
    where: /workers\.default\.autoscaling\.minReplicas/,
  },
  {
    mistake: "hpa to zero",
    values: "workers: { default: { autoscaling: { type: hpa, minReplicas: 0 } } }",
    where: /workers\.default\.autoscaling\.minReplicas/,
  },
  {
    mistake: "keda without an API",
    values: "workers: { default: { autoscaling: { type: keda } } }",
    where: /workers\.default\.autoscaling/,
  },
  {
    mistake: "keda without a token",
    values: "{ api: { auth: { existingSecret: t, secretKeys: { token: t } } }, workers: { default: { autoscaling: { type: keda } } } }",
    where: /autoscaling\.keda\.tokenSecret/,
  },
  { mistake: "an API that lets nobody in", values: "api: { enabled: true }", where: /api\.enabled/ },
  { mistake: "a Secret of tokens without keys", values: "api: { auth: { existingSecret: t } }", where: /api\.auth\.secretKeys/ },
  { mistake: "a port that is none", values: "api: { service: { port: 70000 } }", where: at("/api/service/port") },
  { mistake: "a digest that is none", values: "image: { digest: latest }", where: at("/image/digest") },
  { mistake: "an unknown pull policy", values: "image: { pullPolicy: Sometimes }", where: at("/image/pullPolicy") },
  { mistake: "an unknown migration mode", values: "migrations: { mode: auto }", where: at("/migrations/mode") },
  { mistake: "more connections than allowed", values: "database: { maxConnections: 10 }", where: /database\.maxConnections/ },
  { mistake: "a schedule that is none", values: "cron: { nightly: { schedule: daily } }", where: at("/cron/nightly/schedule") },
  { mistake: "cron without a schedule", values: "cron: { nightly: { queues: [a] } }", where: /cron.*nightly.*schedule/s },
  { mistake: "an unknown log level", values: "telemetry: { logLevel: 'debug,info' }", where: at("/telemetry/logLevel") },
  { mistake: "telemetry to nowhere", values: "telemetry: { otlp: { enabled: true } }", where: /telemetry\.otlp\.endpoint/ },
  {
    mistake: "memory that is none",
    values: "workerDefaults: { resources: { limits: { memory: lots } } }",
    where: at("/resources/limits/memory"),
  },
  {
    mistake: "an impatient probe",
    values: "workerDefaults: { probes: { liveness: { timeoutSeconds: 1 } } }",
    where: at("/liveness/timeoutSeconds"),
  },
  { mistake: "two configurations", values: "config: { inline: a, existingConfigMap: b }", where: /config\.inline/ },
  {
    mistake: "a budget of nothing",
    values: "workers: { default: { podDisruptionBudget: { maxUnavailable: null, minAvailable: null } } }",
    where: /workers\.default\.podDisruptionBudget/,
  },
  {
    mistake: "keda asks the database and has no role for it",
    values: "workers: { default: { autoscaling: { type: keda, keda: { trigger: postgresql } } } }",
    where: /workers\.default\.autoscaling\.keda\.authenticationRef/,
  },
  {
    mistake: "a pool that waits for an autoscaler which is off",
    values: "{ autoscaler: { enabled: false }, workers: { default: { autoscaling: { type: symphony } } } }",
    where: /workers\.default\.autoscaling\.type/,
  },
  { mistake: "two configurations, by the short name", values: "{ existingConfigMap: b, config: { inline: a } }", where: /config\.inline/ },
  {
    mistake: "more than all memory",
    values: "workerDefaults: { recycle: { maxMemoryPercent: 101 } }",
    where: at("/recycle/maxMemoryPercent"),
  },
  { mistake: "an alert for some time", values: "telemetry: { rules: { overrides: { A: { for: soon } } } }", where: at("/overrides/A/for") },
  {
    mistake: "a key of a Secret that is not named",
    values: "database: { existingSecret: null, url: 'postgres://h/d', secretKeys: { password: p } }",
    where: /database\.secretKeys/,
  },
  { mistake: "no time to connect", values: "database: { timeouts: { connectMs: 1 } }", where: at("/database/timeouts/connectMs") },
  {
    mistake: "a message without end",
    values: "workerDefaults: { messageTimeoutSeconds: 0 }",
    where: at("/workerDefaults/messageTimeoutSeconds"),
  },
  {
    mistake: "isolation by the chart",
    values: "workers: { default: { isolation: process } }",
    where: /workers\.default\.isolation: .*execution/,
  },
  {
    mistake: "an API for everybody",
    values: "api: { auth: { mode: none, allowNone: true } }",
    where: /api\.auth\.mode: .*symphony token create/,
  },
  { mistake: "tokens that nobody made", values: "api: { auth: { mode: token } }", where: /api\.auth\.mode is token/ },
  { mistake: "an issuer without keys", values: "api: { auth: { mode: oidc } }", where: /api\.auth\.mode is oidc/ },
  {
    mistake: "a token for each scope",
    values: "api: { auth: { secretKeys: { read: r } } }",
    where: /api\.auth\.secretKeys\.read: .*symphony token create/,
  },
  {
    mistake: "scopes of one's own",
    values: "api: { auth: { oidc: { readScope: r } } }",
    where: /api\.auth\.oidc\.readScope: .*auth\.roles/,
  },
  { mistake: "a dashboard", values: "api: { dashboard: { enabled: true } }", where: /api\.dashboard: there is no dashboard yet/ },
  { mistake: "eleven proxies", values: "api: { trustedProxies: 11 }", where: at("/api/trustedProxies") },
  {
    mistake: "two autoscalers on the CPU",
    values: "workers: { default: { autoscaling: { type: hpa, vertical: { enabled: true, updateMode: Recreate } } } }",
    where: /workers\.default\.autoscaling\.vertical\.updateMode/,
  },
  {
    mistake: "a vertical autoscaler that is on",
    values: "workerDefaults: { autoscaling: { vertical: { updateMode: Auto } } }",
    where: at("/vertical/updateMode"),
  },
  { mistake: "some events", values: "events: { enabled: drained }", where: at("/events/enabled") },
  { mistake: "a check of sorts", values: "config: { check: strictly }", where: at("/config/check") },
  { mistake: "a schema in capitals", values: "database: { schema: Symphony }", where: at("/database/schema") },
];
