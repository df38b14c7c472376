import type { Logger, MetricSeries } from "@symphony/core";
import { planTelemetry } from "./environment.ts";

/**
 * Pushes these metrics when the `OTEL_*` variables ask for it; otherwise nothing of OpenTelemetry is loaded. Resolves
 * with what stops it, within about a second, whether the collector answers or not.
 */
export async function startMetricPush(
  environment: Readonly<Record<string, string | undefined>>,
  read: () => Promise<readonly MetricSeries[]>,
  logger: Logger,
): Promise<() => Promise<void>> {
  const plan = planTelemetry(environment);
  for (const warning of plan.warnings) logger.warn({}, warning);
  if (plan.metrics === undefined) return () => Promise.resolve();
  const { pushMetrics } = await import("./push-metrics.ts");
  const push = await pushMetrics(plan, plan.metrics, read);
  return () => push.stop();
}
