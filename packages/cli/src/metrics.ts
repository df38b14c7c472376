import type { Logger, Messenger, MetricSeries } from "@symphony/core";
import { prometheusText, startMetricPush } from "@symphony/telemetry";
import { StoreGauges } from "@symphony/worker-runner";

/**
 * Everything that this container has to tell: what its processes have counted, how its queues are, and what `gauges` says
 * about itself at the moment. Pushed where the `OTEL_*` variables say so; resolves with the text for `/metrics`.
 *
 * @param o.cleanUp - Gets the way to stop pushing.
 */
export async function startMetrics(o: {
  readonly messenger: Messenger;
  readonly transports: readonly string[];
  readonly logger: Logger;
  readonly gauges?: () => readonly MetricSeries[];
  readonly cleanUp: AsyncDisposableStack;
}): Promise<() => Promise<string>> {
  const { messenger, logger } = o;
  const transports = Object.fromEntries(o.transports.map((name) => [name, messenger.transport(name)]));
  const stores = new StoreGauges({ transports, clock: messenger.runtime.clock, logger });
  const read = async (): Promise<readonly MetricSeries[]> => [
    ...messenger.meter.series(),
    ...(o.gauges?.() ?? []),
    ...(await stores.read()),
  ];
  o.cleanUp.defer(await startMetricPush(process.env, read, logger));
  return async () => prometheusText(await read());
}
