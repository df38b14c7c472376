import type { Messenger, QueueCounts, Runtime } from "@symphony/core";
import { z } from "zod";
import type { AccessState } from "../auth/credentials.ts";
import { isLimited, mayTouch } from "../auth/queue-limit.ts";
import { type QueueReading, readQueues, readWorkers, type StatusReadings, type WorkerReading } from "../status-readings.ts";
import { countable, inTime, transportOrDefault } from "../transports.ts";
import { type AnyEndpoint, type Caller, endpoint } from "./endpoint.ts";
import { count, name, success, timestamp } from "./fields.ts";

const queueSchema = z.strictObject({
  transport: z.string(),
  queue: z.string(),
  ready: count,
  scheduled: count,
  active: count,
  failed: count,
  completed: count,
  oldestReadyAgeMs: count.nullable(),
  accuracy: z.enum(["exact", "estimated"]),
  paused: z.boolean().meta({ description: "No worker is given messages of this queue." }),
  pausedTypes: z.array(z.string()).meta({ description: "Nor messages of these types in it." }),
});

const workerSchema = z.strictObject({
  transport: z.string(),
  workerId: z.string(),
  hostname: z.string(),
  pid: z.int(),
  queues: z.array(z.string()),
  slots: count,
  inFlight: count,
  startedAt: timestamp,
  lastBeatAt: timestamp,
});

const transportQuery = z.strictObject({ transport: name.optional() });

interface Services {
  readonly reader: Messenger;
  readonly readings: Pick<StatusReadings, "of">;
  readonly credentials: { state(): Promise<AccessState> };
  readonly runtime: Runtime;
}

export const statusEndpoints = (services: Services) => ({
  status: status(services),
  queues: queues(services),
  workers: workers(services),
});

const accessSchema = z.strictObject({
  tokens: count,
  expired: z.array(z.strictObject({ name: z.string(), expiresAt: timestamp })).meta({ description: "Tokens that are refused by now." }),
  issuer: z
    .strictObject({
      url: z.string(),
      keys: count,
      fetchedAt: timestamp.nullable(),
      ageMs: count.nullable(),
      usable: z.boolean().meta({ description: "JWTs can be checked; false: they get 503." }),
      lastError: z.string().nullable(),
    })
    .nullable()
    .meta({ description: "The keys that JWTs are checked with; null without a JWKS address." }),
});

const statusSchema = z.strictObject({
  success,
  transport: z.string(),
  queue: z.strictObject({ depth: count, pending: count, processing: count, completed: count, failed: count }),
  failedMessages: count,
  scheduledMessages: count,
  oldestPendingAgeMs: count.nullable(),
  queues: z.array(queueSchema),
  workers: z.array(workerSchema),
  accuracy: z.enum(["exact", "estimated"]),
  access: accessSchema.optional().meta({ description: "Who is let in; not for tokens that are limited to some queues." }),
  stale: z.boolean().meta({ description: "The database did not answer; this is what it said at `timestamp`, at most 5 s ago." }),
  timestamp,
});

const status = ({ reader, readings, credentials }: Services): AnyEndpoint =>
  endpoint({
    summary: "Show how much is where, and who works on it",
    query: transportQuery,
    answers: { 200: statusSchema },
    problems: [404, 422],
    async handle({ query }, caller) {
      const [transport] = countable(transportOrDefault(reader, query.transport));
      const { value, at, isStale } = await readings.of(transport);
      const access = isLimited(caller) ? {} : { access: showAccess(await credentials.state()) };
      const own = { queues: ownQueues(caller, value.queues), workers: ownWorkers(caller, value.workers) };
      return {
        status: 200,
        body: { success: true, transport, ...totals(own.queues), ...own, ...access, stale: isStale, timestamp: iso(at) },
      };
    },
  });

const queues = ({ reader, runtime }: Services): AnyEndpoint =>
  endpoint({
    summary: "List the queues of all transports, or of one",
    query: transportQuery,
    answers: { 200: z.strictObject({ success, queues: z.array(queueSchema), timestamp }) },
    problems: [404, 422],
    async handle({ query }, caller) {
      const found = await inTime(runtime.clock, readQueues(reader, query.transport));
      return { status: 200, body: { success: true, queues: ownQueues(caller, found), timestamp: iso(runtime.clock.now()) } };
    },
  });

const workers = ({ reader, runtime }: Services): AnyEndpoint =>
  endpoint({
    summary: "List the running workers of the whole fleet",
    query: transportQuery,
    answers: { 200: z.strictObject({ success, workers: z.array(workerSchema), timestamp }) },
    problems: [404],
    async handle({ query }, caller) {
      const found = await inTime(runtime.clock, readWorkers(reader, query.transport));
      return { status: 200, body: { success: true, workers: ownWorkers(caller, found), timestamp: iso(runtime.clock.now()) } };
    },
  });

const ownQueues = (caller: Caller, rows: readonly QueueReading[]): readonly QueueReading[] =>
  rows.filter(({ queue }) => mayTouch(caller, queue));

/** Workers that may take messages of the caller's queues, and of what they take only these. */
const ownWorkers = (caller: Caller, rows: readonly WorkerReading[]): readonly WorkerReading[] =>
  rows
    .map((row) => ({ ...row, queues: row.queues.filter((queue) => mayTouch(caller, queue)) }))
    .filter(({ queues: own }, i) => own.length > 0 || rows[i]?.queues.length === 0);

function totals(rows: readonly QueueCounts[]) {
  const sum = (pick: (row: QueueCounts) => number): number => rows.reduce((total, row) => total + pick(row), 0);
  const ready = sum((row) => row.ready);
  const failed = sum((row) => row.failed);
  const ages = rows.flatMap((row) => (row.oldestReadyAgeMs === null ? [] : [row.oldestReadyAgeMs]));
  return {
    queue: { depth: ready, pending: ready, processing: sum((row) => row.active), completed: sum((row) => row.completed), failed },
    failedMessages: failed,
    scheduledMessages: sum((row) => row.scheduled),
    oldestPendingAgeMs: ages.length === 0 ? null : Math.max(...ages),
    accuracy: rows.some((row) => row.accuracy === "estimated") ? "estimated" : "exact",
  } as const;
}

const showAccess = ({ tokens, expired, issuer }: AccessState) => ({
  tokens,
  expired: expired.map(({ name: of, expiresAt }) => ({ name: of, expiresAt: iso(expiresAt) })),
  issuer: issuer === null ? null : { ...issuer, fetchedAt: issuer.fetchedAt === null ? null : iso(issuer.fetchedAt) },
});

const iso = (ms: number): string => new Date(ms).toISOString();
