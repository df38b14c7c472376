import { once } from "node:events";
import {
  createMessenger,
  integer,
  isCountable,
  isReapable,
  listOf,
  type Messenger,
  MessengerError,
  object,
  parseOptions,
  string,
} from "@symphony/core";
import { Autoscaler, createApi, inClusterAddress, type LoadSource, type ScaledPool } from "@symphony/kubernetes";
import { defineCommand, text, toggle } from "../command.ts";
import { UsageError } from "../exit-codes.ts";
import { startMetrics } from "../metrics.ts";
import { chosenTransports, openSession, withoutAutoSetup } from "../session.ts";
import { startProbes } from "../start-probes.ts";
import { workerLogger } from "./consume.ts";
import { asUsage } from "./failed/selection.ts";

const poolSchema = object({
  deployment: string({ pattern: /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/ }),
  queues: listOf(string(), { default: [] }),
  minReplicas: integer({ min: 0, max: 1_000 }),
  maxReplicas: integer({ min: 1, max: 1_000 }),
  targetBacklogPerReplica: integer({ min: 1 }),
  slotsPerReplica: integer({ min: 1 }),
});

/** @throws {UsageError} */
function poolsOf(given: string): readonly ScaledPool[] {
  try {
    const list = JSON.parse(given) as unknown;
    if (!Array.isArray(list)) throw new Error("must be a list of pools");
    return list.map((pool, i) => parseOptions(poolSchema, pool, `pools[${i}]`));
  } catch (cause) {
    throw new UsageError(`--pools: ${(cause as Error).message}`, { cause });
  }
}

/** Counts of all transports, and who is busy. */
function sourceOf(messenger: Messenger): LoadSource {
  const transports = chosenTransports(messenger).map(([, transport]) => transport);
  return {
    async counts() {
      const countable = transports.filter(isCountable);
      if (countable.length === 0) throw new MessengerError("CAPABILITY_MISSING", "no transport here can count its messages");
      return (await Promise.all(countable.map((transport) => transport.getCounts()))).flat();
    },
    async pods() {
      const workers = (await Promise.all(transports.filter(isReapable).map((transport) => transport.listWorkers()))).flat();
      // In a pod the host name is the pod's.
      return workers.map(({ hostname, inFlight }) => ({ pod: hostname, inFlight }));
    },
  };
}

export const autoscale = defineCommand({
  usage: "autoscale",
  describe: "Scale worker pools on Kubernetes by their backlog, in a pod of the cluster, until it is stopped",
  options: {
    pools: {
      ...text("JSON: [{ deployment, queues, minReplicas, maxReplicas, targetBacklogPerReplica, slotsPerReplica }]"),
      demandOption: true,
    },
    interval: text("Seconds between two looks (15)"),
    "pod-deletion-cost": toggle("Keep the deletion cost of the pods up to date, so that idle ones go first"),
    "health-port": text("Port of the probes (8081)"),
  },
  examples: [["symphony autoscale --pools '[…]'", "the chart writes it: autoscaling.type: symphony"]],
  async run(io, flags) {
    const pools = poolsOf(flags.pools);
    if (pools.length === 0 && !flags["pod-deletion-cost"])
      throw new UsageError("--pools is empty, and there are no deletion costs to write");
    const everyMs = asUsage(integer({ min: 1, max: 3_600 }), flags.interval ?? "15", "--interval") * 1_000;
    const session = await openSession(io, flags, { "health-port": flags["health-port"] });
    const logger = workerLogger(session, flags.json === true);
    await using cleanUp = new AsyncDisposableStack();
    cleanUp.defer(() => logger.flushSync());
    const api = createApi(inClusterAddress(io.environment));
    const messenger = await createMessenger(withoutAutoSetup(session.loaded.config), { logger });
    cleanUp.defer(() => messenger.close());
    const metrics = await startMetrics({ messenger, transports: messenger.transportNames, logger, cleanUp });
    const { healthPort, metricsToken } = session.settings;
    await startProbes({
      port: healthPort.value ?? 0,
      wanted: healthPort.source !== "default",
      metricsToken: metricsToken.value,
      checks: () => [],
      ...{ metrics, logger, cleanUp },
    });
    const deletionCost = flags["pod-deletion-cost"];
    const scaler = new Autoscaler({ api, pools, source: sourceOf(messenger), everyMs, deletionCost, clock: io.clock, logger });
    scaler.start();
    logger.info({ pools: pools.map(({ deployment }) => deployment), every_ms: everyMs }, "autoscaler started");
    if (!io.signal.aborted) await once(io.signal, "abort");
    await scaler.stop();
  },
});
