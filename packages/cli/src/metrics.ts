import type { Logger, Messenger, MetricSeries } from "@symphony/core";
import { prometheusText } from "@symphony/telemetry";
import { QueueGauges } from "@symphony/worker-runner";

/**
 * Everything that this container has to tell, for one scrape: what its processes have counted, how its queues are, and
 * what `gauges` says about itself at the moment.
 */
export function createMetrics(o: {
  readonly messenger: Messenger;
  readonly transports: readonly string[];
  readonly logger: Logger;
  readonly gauges?: () => readonly MetricSeries[];
}): () => Promise<string> {
  const { messenger, logger } = o;
  const transports = Object.fromEntries(o.transports.map((name) => [name, messenger.transport(name)]));
  const queues = new QueueGauges({ transports, clock: messenger.runtime.clock, logger });
  return async () => prometheusText([...messenger.meter.series(), ...(o.gauges?.() ?? []), ...(await queues.read())]);
}
