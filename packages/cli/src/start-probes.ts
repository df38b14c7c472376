import { ConfigError, type Logger } from "@symphony/core";
import { type Check, createProbeListener, type Probe } from "@symphony/worker-runner";

/**
 * Starts the probe listener; resolves with its port, or null without one. Two workers on one machine both want the
 * default port: the second one goes without, unless it was told to have it.
 *
 * @param o.cleanUp - Gets the way to stop it.
 * @throws {ConfigError} `CONFIG_INVALID` a port that was asked for cannot be had.
 */
export async function startProbes(o: {
  readonly port: number;
  /** The port was asked for. */
  readonly wanted: boolean;
  readonly checks: (probe: Probe) => readonly Check[];
  /** What `/metrics` answers. */
  readonly metrics: () => Promise<string>;
  /** What it wants to be shown; undefined: nothing. */
  readonly metricsToken: string | undefined;
  readonly logger: Logger;
  readonly cleanUp: AsyncDisposableStack;
}): Promise<number | null> {
  const { port: wished, checks, metrics, metricsToken, logger } = o;
  const probes = createProbeListener({ port: wished, checks, metrics, metricsToken, logger });
  try {
    const { port } = await probes.start();
    o.cleanUp.defer(() => probes.stop());
    return port;
  } catch (error) {
    const why = `the probe listener cannot have port ${o.port}: ${(error as Error).message}`;
    if (o.wanted) throw new ConfigError(why, { port: o.port }, error);
    o.logger.warn({}, `${why}; going on without probes`);
    return null;
  }
}
