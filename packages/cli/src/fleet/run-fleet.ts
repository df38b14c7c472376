import { fileURLToPath } from "node:url";
import { createMessenger, type Logger, type Messenger, type MetricSeries, queueNames, type StopReason } from "@symphony/core";
import { planTelemetry } from "@symphony/telemetry";
import {
  assess,
  type ChildShape,
  collectAll,
  fleetGauges,
  givenFlags,
  IdleTidy,
  LimitsWatch,
  Supervisor,
  type Vitals,
  v8Flags,
} from "@symphony/worker-runner";
import { CommandFailed, exitCodeOf } from "../exit-codes.ts";
import { startMetrics } from "../metrics.ts";
import { startProbes } from "../start-probes.ts";
import type { FleetEvents } from "./fleet-events.ts";
import type { FleetPlan } from "./plan.ts";
import { type FleetSize, sizeFleet } from "./size.ts";

/** What signals do to a fleet. */
export interface FleetControl {
  stop(reason: StopReason, options?: { readonly deadlineMs?: number }): void;
  pause(): void;
  resume(): void;
  replaceAll(cause: string): void;
}

export interface FleetOptions {
  readonly plan: FleetPlan;
  readonly json: boolean;
  readonly logger: Logger;
  readonly onStarted: (control: FleetControl) => void;
  /** Told what becomes of the fleet. */
  readonly events?: Pick<FleetEvents, "watch" | "drained"> | undefined;
}

/** What a child is told by its environment. */
export interface ChildSettings {
  readonly plan: FleetPlan;
  readonly json: boolean;
}

export interface FleetResult {
  readonly reason: StopReason;
  readonly processed: number;
  readonly failed: number;
}

/**
 * Runs a supervisor with its worker processes until it is stopped; resolves when nothing of it runs any more.
 *
 * @throws {CommandFailed} no worker process can work until something is changed; its exit code says what.
 */
export async function runFleet({ plan, json, logger, onStarted, events }: FleetOptions): Promise<FleetResult> {
  await using cleanUp = new AsyncDisposableStack();
  const messenger = await connect(plan, logger);
  cleanUp.defer(() => messenger.close());
  const supervisor = createSupervisor(plan, json, logger, messenger);
  const gauges = (): readonly MetricSeries[] => fleetGauges(supervisor.state());
  const metrics = await startMetrics({ messenger, transports: plan.consumed, logger, gauges, cleanUp });
  const healthPort = await startProbes({
    port: plan.healthPort,
    wanted: plan.healthPortWanted,
    metricsToken: plan.metricsToken,
    checks: (probe) => assess(probe, vitalsOf(supervisor)),
    metrics,
    logger,
    cleanUp,
  });
  logger.info(describe(plan, healthPort), "fleet starting");
  onStarted({
    stop: (reason, options) => supervisor.stop(reason, options?.deadlineMs),
    pause: () => supervisor.pause(),
    resume: () => supervisor.resume(),
    replaceAll: (cause) => supervisor.replaceAll(cause),
  });
  const watch = followLimits(plan, json, logger, supervisor, messenger.runtime);
  cleanUp.defer(() => watch.stop());
  const tidy = new IdleTidy({ clock: messenger.runtime.clock, work: () => supervisor.state().totals, tidy: collectAll });
  tidy.start();
  cleanUp.defer(() => tidy.stop());
  events?.watch(() => supervisor.state());
  const reason = await supervisor.run();
  const { totals, failure } = supervisor.state();
  const { processed, failed } = totals;
  logger.info({ reason, processed, failed }, "fleet stopped");
  if (failure !== null) throw new CommandFailed(failure.message, exitCodeOf(failure));
  events?.drained({ reason, processed, failed });
  return { reason, processed, failed };
}

/** The supervisor's own connections: few, and nothing is set up through them. */
function connect(plan: FleetPlan, logger: Logger): Promise<Messenger> {
  const transports = Object.entries(plan.transports).map(([name, { dsn, options }]) => [
    name,
    { dsn, options: forSupervisor(dsn, options) },
  ]);
  return createMessenger(
    { transports: Object.fromEntries(transports), routing: { "*": plan.consumed[0] ?? "default" }, queues: plan.queues },
    { logger },
  );
}

const forSupervisor = (dsn: string, options: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  /^(postgres|postgresql|pgboss|embedded):/.test(dsn) ? { ...options, autoSetup: "defer", poolSize: 1 } : options;

function createSupervisor(plan: FleetPlan, json: boolean, logger: Logger, messenger: Messenger): Supervisor {
  const { worker } = plan;
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  return new Supervisor({
    childModule: fileURLToPath(new URL(`./child-main.${extension}`, import.meta.url)),
    childArgv: [],
    childShape: shapeOf(plan, json),
    processes: plan.size.processes,
    transports: Object.fromEntries(plan.consumed.map((name) => [name, messenger.transport(name)])),
    ...(worker.queues === undefined ? {} : { queues: queueNames(worker.queues) }),
    pollIntervalMs: worker.pollInterval,
    shutdownTimeoutMs: worker.shutdownTimeout,
    ...(worker.timeLimit === undefined ? {} : { timeLimitMs: worker.timeLimit }),
    ...(worker.messageLimit === undefined ? {} : { messageLimit: worker.messageLimit }),
    ...(worker.failureLimit === undefined ? {} : { failureLimit: worker.failureLimit }),
    meter: messenger.meter,
    logger,
    runtime: messenger.runtime,
  });
}

function shapeOf(plan: FleetPlan, json: boolean): ChildShape {
  const { processHeapMb, recycleMb, v8Helpers } = plan.size;
  const child: ChildSettings = { plan: { ...plan, transports: {}, worker: withoutFleetLimits(plan) }, json };
  const heap = processHeapMb === undefined ? [] : [`--max-old-space-size=${processHeapMb}`];
  return {
    execArgv: [...process.execArgv, ...v8Flags(v8Helpers, givenFlags()), ...heap, ...tracingFlags()],
    env: { SYMPHONY_FLEET_CHILD: JSON.stringify(child) },
    recycle: { ...plan.recycle, ...(recycleMb === undefined ? {} : { memoryMb: recycleMb }) },
  };
}

/**
 * Follows the container's limits while the fleet runs: heaps and threads are those of a process from its start to its end,
 * so each gets a successor of the new size. How many processes there are stays.
 */
function followLimits(
  plan: FleetPlan,
  json: boolean,
  logger: Logger,
  supervisor: Supervisor,
  { clock }: Messenger["runtime"],
): LimitsWatch {
  const { processes } = plan.size;
  const watch = new LimitsWatch({
    clock,
    onChange: (limits) => {
      const size = sizeFleet(limits, { ...plan.wanted, processes });
      logger.info(describeSize(size), "the limits of this container have changed");
      supervisor.reshape(shapeOf({ ...plan, size }, json), "limits");
    },
  });
  watch.start();
  return watch;
}

/** The supervisor watches time and memory and shares out the messages; failures are counted there and in each process. */
function withoutFleetLimits({ worker }: FleetPlan): FleetPlan["worker"] {
  const { timeLimit: _, messageLimit: __, memoryLimit: ___, ...rest } = worker;
  return rest;
}

/** Spans are made where handlers run, in processes and their threads; this one has none. */
const tracingFlags = (): readonly string[] =>
  planTelemetry(process.env).traces === undefined ? [] : [`--import=${import.meta.resolve("@symphony/telemetry/register")}`];

function vitalsOf(supervisor: Supervisor): Vitals {
  const { wanted, living, ready, everReady, stopping, paused, crashLoop, lastBootError, leaseAgeMs, clockSkewMs } = supervisor.state();
  return {
    wanted,
    living,
    restarting: wanted - living,
    ready,
    everReady,
    stopping,
    paused,
    crashLoop,
    lastBootError,
    leaseAgeMs,
    clockSkewMs,
  };
}

function describe(plan: FleetPlan, healthPort: number | null): object {
  const { maxConcurrency, queues, shutdownTimeout } = plan.worker;
  return {
    config: plan.configFile,
    transports: plan.consumed,
    queues: queues ?? "all",
    ...describeSize(plan.size, { concurrency: maxConcurrency }),
    connections: plan.connections,
    health_port: healthPort,
    shutdown_timeout_ms: shutdownTimeout,
    node: process.version,
  };
}

/** @param more - What else is to be read beside the numbers of processes and threads. */
const describeSize = ({ limits, processes, threads, processHeapMb, threadHeapMb, recycleMb }: FleetSize, more: object = {}): object => ({
  limits,
  processes,
  threads,
  ...more,
  process_heap_mb: processHeapMb ?? null,
  thread_heap_mb: threadHeapMb ?? null,
  ...(recycleMb === undefined ? {} : { recycle_mb: recycleMb }),
});
