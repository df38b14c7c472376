import { ConfigError, createMessenger, type Messenger } from "@symphony/core";
import type { LogLevel } from "@symphony/telemetry";
import { countConnections, readContainerLimits, type WorkerSettings } from "@symphony/worker-runner";
import { assertHandlers } from "../assert-handlers.ts";
import { chooseTransports } from "../choose-transports.ts";
import type { Io } from "../io.ts";
import { commandLogger, type GlobalFlags, openSession, type Session } from "../session.ts";
import type { Flags } from "../settings.ts";
import { resolveWorkerOptions, type WorkerPlan } from "../worker-settings.ts";
import { type FleetSize, sizeFleet, type Wanted, wantedOf } from "./size.ts";

/** How `consume` was called. */
export interface ConsumeCall {
  readonly global: GlobalFlags;
  readonly flags: Flags;
  readonly transports: readonly string[];
  readonly all: boolean;
  readonly exclude: readonly string[];
}

/** Everything a supervisor needs to know, as plain data: it does not load the configuration, which is user code. */
export interface FleetPlan {
  readonly configFile: string;
  readonly directory: string;
  /** What the supervisor connects to. */
  readonly transports: Readonly<Record<string, { readonly dsn: string; readonly options: Readonly<Record<string, unknown>> }>>;
  readonly queues: readonly string[];
  readonly consumed: readonly string[];
  /** By the container's limits at the start. */
  readonly size: FleetSize;
  readonly wanted: Wanted;
  readonly handling: WorkerPlan["handling"];
  readonly worker: WorkerSettings & { readonly shutdownTimeout: number; readonly pollInterval: number };
  /** When a worker process is replaced: messages, milliseconds. */
  readonly recycle: { readonly messages?: number; readonly ageMs?: number };
  readonly healthPort: number;
  readonly healthPortWanted: boolean;
  readonly metricsToken?: string;
  readonly logLevel?: LogLevel;
  /** Connections to stores that the fleet may hold at most; null when a transport does not tell. */
  readonly connections: number | null;
}

/**
 * Loads the configuration, connects once, sets up what is missing, and says what there is. Run in a process of its own.
 *
 * @throws {ConfigError} `CONFIG_INVALID`, {OptionsError} `OPTIONS_INVALID`, {UsageError}, {TransportError}.
 */
export async function planConsume(io: Io, call: ConsumeCall): Promise<FleetPlan> {
  const session = await openSession(io, call.global, call.flags);
  const configFile = assertHandlers(session.loaded.file, session.loaded.parsed.handlers);
  const named = chooseTransports(session, call.transports, call.all, call.exclude);
  const messenger = await createMessenger(session.loaded.config, { logger: commandLogger(session) });
  try {
    return describe(session, configFile, messenger, named ?? messenger.transportNames);
  } finally {
    await messenger.close();
  }
}

function describe(session: Session, configFile: string, messenger: Messenger, consumed: readonly string[]): FleetPlan {
  const { settings, loaded } = session;
  if (consumed.length === 0) throw new ConfigError("no transport can be consumed from: sync transports handle messages at once");
  const resolved = resolveWorkerOptions(settings);
  const size = fleetSize(settings);
  const level = settings.logLevel.value;
  const dsns = consumed.flatMap((name) => {
    const transport = loaded.config.transports[name];
    return transport === undefined ? [] : [[name, { dsn: transport.dsn, options: transport.options ?? {} }] as const];
  });
  return {
    configFile,
    directory: loaded.home,
    transports: Object.fromEntries(dsns),
    queues: [...new Set([...loaded.parsed.queues, ...messenger.registry.all().map((type) => type.queue)])],
    consumed,
    size,
    wanted: wantedOf(settings),
    handling: resolved.handling,
    worker: resolved.worker,
    recycle: recycleLimits(settings),
    healthPort: resolved.healthPort,
    healthPortWanted: resolved.healthPortWanted,
    ...(resolved.metricsToken === undefined ? {} : { metricsToken: resolved.metricsToken }),
    ...(level === undefined ? {} : { logLevel: level }),
    connections: fleetConnections(messenger, consumed, size),
  };
}

/** Of the supervisor, per transport: one to work, one for leases, one that listens. */
const SUPERVISOR_CONNECTIONS = 3;

/** What a fleet of this size opens at most; null when a transport does not tell. */
export function fleetConnections(
  messenger: Messenger,
  consumed: readonly string[],
  size: { readonly processes: number; readonly threads: number },
): number | null {
  const each = countConnections(messenger, consumed, size.threads).total;
  return each === null ? null : SUPERVISOR_CONNECTIONS * consumed.length + size.processes * each;
}

/** How many processes and threads the settings make of this container. */
export const fleetSize = (settings: Session["settings"]): FleetSize => sizeFleet(readContainerLimits(), wantedOf(settings));

function recycleLimits({ recycleMessages, recycleTime }: Session["settings"]): FleetPlan["recycle"] {
  return {
    ...(recycleMessages.value === undefined ? {} : { messages: recycleMessages.value }),
    ...(recycleTime.value === undefined ? {} : { ageMs: recycleTime.value }),
  };
}
