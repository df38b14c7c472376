/**
 * Every name that leaves the process for logs, metrics and traces; nowhere else is one written out. They follow the
 * OpenTelemetry messaging conventions where these have one, and start with `symphony.` where they have none.
 */

/** Release of the semantic conventions that the names below are taken from; its messaging part is still in development. */
export const SEMANTIC_CONVENTIONS_VERSION = "1.44.0";
export const SCHEMA_URL = `https://opentelemetry.io/schemas/${SEMANTIC_CONVENTIONS_VERSION}`;

/** Instrumentation scope of the library's own spans. */
export const TRACER_SCOPE = "@symphony/core";

/** Value of `messaging.system`. */
export const MESSAGING_SYSTEM = "symphony";

/** Fields of a log line. Never a payload. */
export const LOG_FIELDS = {
  messageId: "message_id",
  messageType: "message_type",
  queue: "queue",
  attempt: "attempt",
  traceId: "trace_id",
  spanId: "span_id",
  workerPid: "worker_pid",
} as const;

/** What is done to a message; a span's name is this and the queue: `process images`. */
export const OPERATIONS = {
  send: "send",
  /** One message of a batch. */
  create: "create",
  receive: "receive",
  process: "process",
  settle: "settle",
} as const;

export type Operation = (typeof OPERATIONS)[keyof typeof OPERATIONS];

export const spanName = (operation: Operation, queue: string): string => `${operation} ${queue}`;

export const ATTRIBUTES = {
  system: "messaging.system",
  operationName: "messaging.operation.name",
  operationType: "messaging.operation.type",
  /** The queue. */
  destinationName: "messaging.destination.name",
  messageId: "messaging.message.id",
  /** On spans of batches only. */
  batchMessageCount: "messaging.batch.message_count",
  errorType: "error.type",
  serverAddress: "server.address",
  serverPort: "server.port",
  messageType: "symphony.message.type",
  /** 1-based. */
  messageAttempt: "symphony.message.attempt",
  /** What an attempt came to, on spans. */
  outcome: "symphony.outcome",
  /** Why a message was dead-lettered, or a worker process replaced. */
  reason: "symphony.reason",
  /** Name of a schedule. */
  schedule: "symphony.schedule",
  /** What a worker process is doing. */
  state: "symphony.state",
  transport: "symphony.transport",
} as const;

/** Value of a label whose own would be one too many, or is not fit for a label. */
export const OTHER = "_OTHER";

export interface MetricDefinition {
  readonly name: string;
  readonly kind: "counter" | "histogram" | "gauge";
  /** In UCUM, as OpenTelemetry has it. */
  readonly unit: string;
  readonly description: string;
  /** Every attribute that it may carry; all have few values. */
  readonly attributes: readonly string[];
}

const metric = (
  name: string,
  kind: MetricDefinition["kind"],
  unit: string,
  description: string,
  attributes: readonly string[] = [],
): MetricDefinition => Object.freeze({ name, kind, unit, description, attributes });

const {
  destinationName: QUEUE,
  errorType: ERROR,
  operationName: OPERATION,
  messageType: TYPE,
  reason: REASON,
  state: STATE,

  transport: TRANSPORT,
} = ATTRIBUTES;

export const METRICS = {
  sentMessages: metric("messaging.client.sent.messages", "counter", "{message}", "Messages that were sent", [QUEUE, ERROR]),
  consumedMessages: metric("messaging.client.consumed.messages", "counter", "{message}", "Messages that were received, once per delivery", [
    QUEUE,
  ]),
  operationDuration: metric("messaging.client.operation.duration", "histogram", "s", "Time of a send, receive or settle", [
    OPERATION,
    QUEUE,
    ERROR,
  ]),
  processDuration: metric("messaging.process.duration", "histogram", "s", "Time that an attempt took, by how it ended", [
    QUEUE,
    TYPE,
    ERROR,
  ]),
  queueReady: metric("symphony.queue.ready", "gauge", "{message}", "Messages that could be received now", [QUEUE]),
  queueScheduled: metric("symphony.queue.scheduled", "gauge", "{message}", "Messages that are due later", [QUEUE]),
  queueActive: metric("symphony.queue.active", "gauge", "{message}", "Messages in flight", [QUEUE]),
  queueFailed: metric("symphony.queue.failed", "gauge", "{message}", "Dead letters", [QUEUE]),
  queueOldestAge: metric("symphony.queue.oldest.age", "gauge", "s", "Age of the oldest ready message, 0 when there is none", [QUEUE]),
  workerSlots: metric("symphony.worker.slots", "gauge", "{slot}", "Messages that the fleet can handle at once"),
  workerInFlight: metric("symphony.worker.in_flight", "gauge", "{message}", "Messages that were received and are not settled"),
  workerProcesses: metric("symphony.worker.processes", "gauge", "{process}", "Worker processes", [STATE]),
  workerRestarts: metric("symphony.worker.restarts", "counter", "{process}", "Worker processes that were replaced", [REASON]),
  messageRetries: metric("symphony.message.retries", "counter", "{message}", "Attempts that failed and are tried again", [QUEUE]),
  messageDeadLetters: metric("symphony.message.dead_letters", "counter", "{message}", "Messages that were given up on", [QUEUE, REASON]),
  messageCrashes: metric("symphony.message.crashes", "counter", "{message}", "Attempts that ended with their thread or process", [QUEUE]),
  messageLeaseLost: metric(
    "symphony.message.lease_lost",
    "counter",
    "{message}",
    "Deliveries that passed to others before they were settled",
    [QUEUE],
  ),
  scheduleRuns: metric("symphony.schedule.runs", "counter", "{run}", "Messages that schedules dispatched", [ATTRIBUTES.schedule]),
  scheduleMissed: metric("symphony.schedule.missed", "counter", "{run}", "Due times of schedules that nobody dispatched in time", [
    ATTRIBUTES.schedule,
  ]),
  scheduleFailures: metric("symphony.schedule.failures", "counter", "{run}", "Runs of schedules whose message could not be made or sent", [
    ATTRIBUTES.schedule,
  ]),
  scheduleOverdue: metric("symphony.schedule.overdue", "gauge", "s", "Time by which the next run of a schedule is late, 0 when it is not", [
    ATTRIBUTES.schedule,
  ]),
  storeConnections: metric("symphony.store.connections", "gauge", "{connection}", "Connections to the database server, of everybody", [
    TRANSPORT,
  ]),
  storeMaxConnections: metric("symphony.store.connections.max", "gauge", "{connection}", "Connections that the database server allows", [
    TRANSPORT,
  ]),
  storeTransactionAge: metric("symphony.store.transaction.age", "gauge", "s", "Age of the oldest open transaction on the database server", [
    TRANSPORT,
  ]),
  storeHorizonAge: metric(
    "symphony.store.horizon.age",
    "gauge",
    "{transaction}",
    "Transactions by which the removal of dead rows lags behind",
    [TRANSPORT],
  ),
  storeDeadRows: metric("symphony.store.rows.dead", "gauge", "{row}", "Dead rows in the tables of the transport", [TRANSPORT]),
  storeRetention: metric(
    "symphony.store.retention",
    "gauge",
    "s",
    "Time after which the store deletes what waits, in the queue where it is shortest",
    [TRANSPORT],
  ),
  pollLastAge: metric(
    "symphony.poll.last.age",
    "gauge",
    "s",
    "Time since a worker of this fleet last received from, or looked into, its queues",
  ),
} as const;

/** Seconds: what the conventions advise for both duration histograms, and three more for long handlers. */
export const DURATION_BUCKETS_S: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 120, 600,
];

/** A metric's name in Prometheus text: dots become underscores, the unit in words and `_total` are added. */
export function prometheusName(definition: MetricDefinition): string {
  const base = definition.name.replaceAll(".", "_");
  const withUnit = definition.unit === "s" ? `${base}_seconds` : base;
  return definition.kind === "counter" ? `${withUnit}_total` : withUnit;
}
