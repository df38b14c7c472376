import {
  ConfigError,
  createMessenger,
  type Logger,
  type Messenger,
  type MessengerConfig,
  MessengerError,
  type StopReason,
  systemClock,
  toErrorRecord,
} from "@symphony/core";
import { assess, runWorkerProcess, type WorkerRun } from "@symphony/worker-runner";
import { assertHandlers } from "./assert-handlers.ts";
import { startMetrics } from "./metrics.ts";
import { startProbes } from "./start-probes.ts";
import type { WorkerPlan } from "./worker-settings.ts";

/** The part of a fleet that signals and probes need; one process has it as well as many. */
export type ConsumeControl = Pick<WorkerRun, "stop" | "pause" | "resume" | "vitals" | "health">;

export interface ConsumeOptions {
  /** Absolute path of the configuration module: threads load it again. */
  readonly configFile: string | null;
  readonly config: MessengerConfig;
  readonly plan: WorkerPlan;
  /** Which transports. Default: all that can be consumed. */
  readonly transports?: readonly string[];
  readonly logger: Logger;
  /** Called once, before the first message; from then on the worker can be stopped and paused. */
  readonly onStarted?: (control: ConsumeControl) => void;
  /** Ends the start while there is nothing to stop yet. */
  readonly signal?: AbortSignal;
}

export interface ConsumeResult {
  readonly reason: StopReason;
  readonly processed: number;
  readonly failed: number;
}

/** Milliseconds for closing connections at the end: a database that is away must not keep the process. */
const CLOSE_MS = 2_000;

const REASONS: Readonly<Record<StopReason, string>> = {
  manual: "it was asked to",
  signal: "a signal asked it to",
  message_limit: "the message limit was reached",
  time_limit: "the time limit was reached",
  memory_limit: "the memory limit was passed",
  failure_limit: "the failure limit was reached",
  error: "of an error",
};

/**
 * Consumes until a limit is met or it is stopped; resolves when nothing of it runs any more. What was in flight is
 * handled within the shutdown timeout, or handed back uncounted.
 *
 * @throws {ConfigError} `CONFIG_INVALID` there is no handler, no such transport, or a thread cannot load the configuration.
 * @throws {TransportError} `TRANSPORT_UNAVAILABLE`, `SCHEMA_VERSION_MISMATCH`, `QUEUE_NOT_FOUND` at the start.
 */
export async function runConsume(o: ConsumeOptions): Promise<ConsumeResult> {
  const { logger, plan } = o;
  const configFile = assertHandlers(o.configFile, o.config.handlers ?? []);
  const messenger = await connect(o);
  await using cleanUp = new AsyncDisposableStack();
  cleanUp.defer(() => closeInTime(messenger, logger));
  const transports = chosen(messenger, o.transports);
  const run = runWorkerProcess({ configPath: configFile, messenger, transports, worker: plan.worker, threads: plan.threads, logger });
  const metrics = await startMetrics({ messenger, transports, logger, gauges: () => run.gauges(), cleanUp });
  const healthPort = await startProbes({
    port: plan.healthPort,
    wanted: plan.healthPortWanted,
    metricsToken: plan.metricsToken,
    checks: (probe) => assess(probe, run.vitals()),
    metrics,
    logger,
    cleanUp,
  });
  o.onStarted?.(run);
  logger.info(describe(o, run, transports, healthPort), "worker starting");
  const reason = await run.start();
  const { processed, failed } = run.health();
  const end = { reason, processed, failed };
  if (reason === "error") logger.error(end, `worker stopped because ${REASONS[reason]}`);
  else logger.info(end, `worker stopped because ${REASONS[reason]}`);
  return end;
}

async function connect({ config, plan: { handling }, logger, signal }: ConsumeOptions): Promise<Messenger> {
  const connecting = createMessenger({ ...config, worker: { ...config.worker, ...handling } }, { logger });
  if (signal === undefined) return connecting;
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(new MessengerError("INTERRUPTED", "stopped before it had started"));
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([connecting, aborted.promise]);
  } catch (error) {
    // Whether it still gets there or not: nobody waits for it any more.
    connecting.then((late) => late.close()).catch((late: unknown) => logger.debug({ err: toErrorRecord(late) }, "the start was given up"));
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function chosen(messenger: Messenger, wanted: readonly string[] | undefined): readonly string[] {
  const known = messenger.transportNames;
  const unknown = wanted?.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new ConfigError(`no transport "${unknown}" to consume from; configured: ${known.join(", ")}`);
  const transports = wanted ?? known;
  if (transports.length === 0) throw new ConfigError("no transport can be consumed from: sync transports handle messages at once");
  return transports;
}

function describe({ plan, configFile }: ConsumeOptions, run: WorkerRun, transports: readonly string[], healthPort: number | null): object {
  const { maxConcurrency, queues, shutdownTimeout } = plan.worker;
  return {
    config: configFile,
    transports,
    queues: queues ?? "all",
    processes: plan.processes,
    threads: plan.threads,
    concurrency: maxConcurrency,
    connections: run.connections,
    health_port: healthPort,
    shutdown_timeout_ms: shutdownTimeout,
    node: process.version,
  };
}

async function closeInTime(messenger: Messenger, logger: Logger): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = systemClock.schedule(CLOSE_MS, () => {
    logger.warn({}, "the connections did not close in time");
    late.resolve();
  });
  await Promise.race([messenger.close(), late.promise]);
  timer.cancel();
}
