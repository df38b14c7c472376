export { correlation } from "./correlation.ts";
export { planTelemetry, type TelemetryPlan } from "./environment.ts";
export * from "./line-writer.ts";
export * from "./logger.ts";
export { startMetricPush } from "./metrics.ts";
export * from "./names.ts";
export * from "./prometheus.ts";
export { type SloType, sloRules } from "./slo-rules.ts";
