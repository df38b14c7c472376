import { randomUUID } from "node:crypto";
import { type Runtime, systemRuntime } from "./clock.ts";
import { OptionsError } from "./errors.ts";
import type { Executor } from "./execute.ts";
import type { HandlerDescriptor } from "./handlers.ts";
import { type Logger, silentLogger } from "./logger.ts";
import type { Cancellable } from "./message-control.ts";
import type { Messenger } from "./messenger.ts";
import { anything, boolean, integer, listOf, object, optional, parseOptions, string } from "./options.ts";
import { type QueueSelection, queueSelection } from "./queue-order.ts";
import type { Meter } from "./telemetry/meter.ts";
import type { Received, Transport, Wakeable } from "./transport.ts";

export interface WorkerOptions {
  readonly transport: Transport;
  /** The transport's name in the configuration. Default "default". */
  readonly transportName?: string;
  /** What runs the handlers. Without one, the handlers of `messenger`, or `handlers`, run in this process. */
  readonly executor?: Executor;
  readonly messenger?: Messenger;
  readonly handlers?: readonly HandlerDescriptor[];
  /** A list is precedence, an object of numbers weights. Default: all queues of the transport. */
  readonly queues?: QueueSelection;
  /** Messages per receive at most, 1 to 10000. Default 10. */
  readonly batchSize?: number;
  /** Handlers at a time, 1 to 10000; never more than the executor's size. Default 5. */
  readonly maxConcurrency?: number;
  /** Messages held beyond the free slots. Default "auto": what is consumed during one receive, or in 20 ms. */
  readonly prefetch?: number | "auto";
  /** Milliseconds between two receives when there is nothing to do, 10 to 3600000. Default 1000. */
  readonly pollInterval?: number;
  /** Stop after so many messages; none more is started. */
  readonly messageLimit?: number;
  /** Stop after so many milliseconds, also when idle. */
  readonly timeLimit?: number;
  /** Stop when the resident set passes so many MB. */
  readonly memoryLimit?: number;
  /** Stop after so many failed attempts. */
  readonly failureLimit?: number;
  /** Milliseconds for messages in flight when the worker stops. Default 30000. */
  readonly shutdownTimeout?: number;
  /** Stop as soon as nothing is ready and nothing in flight. Default false. */
  readonly stopWhenEmpty?: boolean;
  /** Milliseconds between two `health_check` events. Default 30000. */
  readonly healthCheckInterval?: number;
  /** In whose name messages are leased. Default: a new UUID. */
  readonly workerId?: string;
  readonly fleet?: FleetHooks;
  /** Where it counts what it does. Default: the messenger's. */
  readonly meter?: Meter;
  readonly logger?: Logger;
  readonly runtime?: Runtime;
}

/** What ties a worker into a fleet of processes; a worker on its own needs none of it. */
export interface FleetHooks {
  /** Where wake-ups come from, instead of the transport: one listener serves all processes of a container. */
  readonly onWake?: Wakeable["onWake"];
  /** Where news of cancellations come from, instead of the transport. */
  readonly onCancel?: Cancellable["onCancel"];
  /** A receive came back with as many messages as were asked for: there may be work for others. */
  readonly onFull?: () => void;
  /** Takes over messages that were in flight when a process died: they must run alone. The worker lets go of them. */
  readonly isolate?: (suspects: readonly Received[]) => void;
}

const schema = object({
  transport: anything<Transport>(),
  transportName: string({ default: "default" }),
  executor: optional(anything<Executor>()),
  messenger: optional(anything<Messenger>()),
  handlers: optional(listOf(anything<HandlerDescriptor>())),
  queues: optional(queueSelection),
  batchSize: integer({ min: 1, max: 10_000, default: 10 }),
  maxConcurrency: integer({ min: 1, max: 10_000, default: 5 }),
  prefetch: {
    parse: (value: unknown, path: string): number | "auto" =>
      value === undefined || value === "auto" ? "auto" : integer({ min: 0, max: 10_000 }).parse(value, path),
  },
  pollInterval: integer({ min: 10, max: 3_600_000, default: 1_000 }),
  messageLimit: optional(integer({ min: 1 })),
  timeLimit: optional(integer({ min: 1 })),
  memoryLimit: optional(integer({ min: 1 })),
  failureLimit: optional(integer({ min: 1 })),
  shutdownTimeout: integer({ min: 0, max: 86_400_000, default: 30_000 }),
  stopWhenEmpty: boolean({ default: false }),
  healthCheckInterval: integer({ min: 10, max: 3_600_000, default: 30_000 }),
  workerId: optional(string()),
  fleet: { parse: (value: unknown): FleetHooks => (value as FleetHooks | undefined) ?? {} },
  meter: optional(anything<Meter>()),
  logger: { parse: (value: unknown): Logger => (value as Logger | undefined) ?? silentLogger },
  runtime: { parse: (value: unknown): Runtime => (value as Runtime | undefined) ?? systemRuntime },
});

/** @throws {OptionsError} `OPTIONS_INVALID`, naming the field. */
export function parseWorkerOptions(input: WorkerOptions) {
  const parsed = parseOptions(schema, input, "");
  if (typeof (parsed.transport as Partial<Transport> | undefined)?.receive !== "function") {
    throw new OptionsError("transport", input.transport, "must be a transport (send, receive, acknowledge, reject, getQueueDepth)");
  }
  if (parsed.executor === undefined && parsed.messenger === undefined && parsed.handlers === undefined) {
    throw new OptionsError(
      "executor",
      undefined,
      "or messenger or handlers must be given: a worker without handlers would dead-letter everything",
    );
  }
  return { ...parsed, workerId: parsed.workerId ?? randomUUID() };
}

export type ParsedWorkerOptions = ReturnType<typeof parseWorkerOptions>;
