import {
  type DeadLetterFilter,
  isRedrivable,
  type Messenger,
  MessengerError,
  type Redrivable,
  type Redrive,
  type RedriveCommand,
  type Runtime,
  type Transport,
} from "@symphony/core";
import { z } from "zod";
import { isWithin, within } from "../auth/queue-limit.ts";
import type { Principal } from "../auth/tokens.ts";
import { openCursor, sealCursor } from "../cursor.ts";
import { invalid } from "../http/problem.ts";
import { capable, inTime, type Named, transportOrDefault, transportsOf } from "../transports.ts";
import { type AnyEndpoint, type Caller, endpoint } from "./endpoint.ts";
import { count, fingerprint, messageId, name, queryInteger, search, success, time, timestamp } from "./fields.ts";

export interface RedriveServices {
  readonly messenger: Messenger;
  /** For what only looks. */
  readonly reader: Messenger;
  readonly runtime: Runtime;
  /** A redrive was made or resumed: this process may carry it out at once. */
  readonly wakeRedrives: () => void;
}

const filterFields = {
  ids: z.array(messageId).min(1).max(1_000).optional(),
  type: name.optional(),
  queue: name.optional(),
  since: time.optional(),
  until: time.optional(),
  fingerprint: fingerprint.optional(),
  search: search.optional(),
};
const filterSchema = z.strictObject(filterFields);

const requestSchema = z
  .strictObject({
    transport: name.optional(),
    filter: filterSchema.optional().meta({ description: "Its fields may also stand beside it." }),
    ...filterFields,
    all: z.literal(true).optional().meta({ description: "Needed to remove without a filter." }),
    dryRun: z.boolean().optional().meta({ description: "Counts, and changes nothing." }),
    rate: z.number().min(0.1).max(100_000).optional().meta({ description: "Messages per second; as fast as it goes without it." }),
    limit: z.int().min(1).max(1_000_000_000).optional().meta({ description: "No more than so many." }),
  })
  .prefault({});

const retrySchema = requestSchema.unwrap().extend({
  canary: z.int().min(1).max(1_000).optional().meta({
    description: "Sends so many first, waits until they are handled, and stops when a message fails again with the same fingerprint.",
  }),
});

const redriveSchema = z.strictObject({
  id: z.string(),
  transport: z.string(),
  action: z.enum(["retry", "remove"]),
  state: z.enum(["running", "paused", "stopped", "cancelled", "done"]),
  filter: filterSchema.extend({
    ids: z.array(z.string()).optional(),
    queues: z.array(z.string()).optional().meta({ description: "Those of the token that asked for it." }),
  }),
  rate: z.number().nullable(),
  canary: z.int().nullable(),
  canaryState: z.enum(["none", "waiting", "passed"]),
  limit: count.nullable(),
  dryRun: z.boolean(),
  matching: count.meta({ description: "Messages that fitted the filter when it was made." }),
  accuracy: z.enum(["exact", "estimated"]),
  done: count.meta({ description: "Sent back, or removed." }),
  conflicts: count.meta({ description: "Left where they are: their queue has a message with this id or key, or is gone." }),
  reason: z.string().nullable().meta({ description: "Why it stopped or paused by itself." }),
  requestedBy: z.string(),
  createdAt: timestamp,
  updatedAt: timestamp,
  finishedAt: timestamp.nullable(),
});

const answer = z.strictObject({ success, redrive: redriveSchema });
const show = (transport: string, redrive: Redrive) => ({ ...redrive, transport });

export const redriveEndpoints = (services: RedriveServices) => ({
  retryManyFailed: createEndpoint(services, "retry"),
  removeManyFailed: createEndpoint(services, "remove"),
  listRedrives: listEndpoint(services),
  showRedrive: showEndpoint(services),
  pauseRedrive: controlEndpoint(services, "pause"),
  resumeRedrive: controlEndpoint(services, "resume"),
  cancelRedrive: controlEndpoint(services, "cancel"),
});

const createEndpoint = ({ messenger, wakeRedrives }: RedriveServices, action: "retry" | "remove"): AnyEndpoint =>
  endpoint({
    summary:
      action === "retry"
        ? "Send many failed messages back to their queues, as a job with progress"
        : "Remove many failed messages, as a job with progress; they can be brought back for seven days",
    body: action === "retry" ? retrySchema.prefault({}) : requestSchema,
    answers: { 202: answer },
    problems: [404, 422],
    action,
    async handle({ body }, caller) {
      const { transport: wanted, filter: nested, all, dryRun, rate, limit, canary, ...beside } = body as z.output<typeof retrySchema>;
      const filter = within(caller, merged(nested ?? {}, beside));
      if (action === "remove" && all !== true && dryRun !== true && Object.keys({ ...nested, ...pick(beside) }).length === 0)
        throw invalid([{ path: "all", message: "must be true to remove every failed message" }]);
      const [transport, source] = redrivable(transportOrDefault(messenger, wanted));
      const options = { ...pick({ dryRun, rate, limit, canary }) };
      const redrive = await caller.action.carryOut([transport, source], { parameters: { ...filter, ...options } }, async () => {
        const made = await source.redrives.create({ action, filter, ...options, requestedBy: nameOf(caller) });
        return { value: made, count: dryRun === true ? 0 : made.matching, target: made.id };
      });
      caller.afterwards(wakeRedrives);
      return { status: 202, body: { success: true, redrive: show(transport, redrive) } };
    },
  });

const listQuery = z.strictObject({
  transport: name.optional(),
  limit: queryInteger({ min: 1, max: 200, default: 50 }),
  cursor: z.string().max(1_000).optional(),
});

const listEndpoint = ({ reader, runtime }: RedriveServices): AnyEndpoint =>
  endpoint({
    summary: "List redrives, newest first",
    query: listQuery,
    answers: {
      200: z.strictObject({
        success,
        redrives: z.array(redriveSchema),
        pagination: z.strictObject({ limit: z.int(), hasMore: z.boolean(), nextCursor: z.string().nullable() }),
      }),
    },
    problems: [404, 422],
    async handle({ query: { transport: wanted, limit, cursor } }, caller) {
      const [transport, source] = redrivable(transportOrDefault(reader, wanted));
      const list = JSON.stringify(["redrives", transport]);
      const { digest } = caller.principal as Principal;
      const place = cursor === undefined ? {} : { cursor: openCursor(cursor, list, digest) };
      const page = await inTime(runtime.clock, source.redrives.list({ limit, ...place }));
      const nextCursor = page.nextCursor === null ? null : sealCursor(page.nextCursor, list, digest);
      const redrives = page.redrives.filter(({ filter }) => isWithin(caller, filter)).map((redrive) => show(transport, redrive));
      return { status: 200, body: { success: true, redrives, pagination: { limit, hasMore: nextCursor !== null, nextCursor } } };
    },
  });

const params = z.strictObject({ id: messageId });
const transportQuery = z.strictObject({ transport: name.optional() });

const showEndpoint = ({ reader, runtime }: RedriveServices): AnyEndpoint =>
  endpoint({
    summary: "Show how far a redrive is",
    params,
    query: transportQuery,
    answers: { 200: answer },
    problems: [404, 422],
    async handle({ params: { id }, query }, caller) {
      const [[transport], redrive] = await inTime(runtime.clock, find(reader, caller, id, query.transport));
      return { status: 200, body: { success: true, redrive: show(transport, redrive) } };
    },
  });

const DOES: Readonly<Record<RedriveCommand, string>> = {
  pause: "Pause a redrive; one that does not run stays as it is",
  resume: "Go on with a paused or stopped redrive; a stopped one sends new canaries first",
  cancel: "End a redrive for good; what it has done stays done",
};

const controlEndpoint = ({ messenger, wakeRedrives }: RedriveServices, command: RedriveCommand): AnyEndpoint =>
  endpoint({
    summary: DOES[command],
    params,
    query: transportQuery,
    answers: { 200: answer },
    problems: [404, 422],
    action: `${command}-redrive`,
    async handle({ params: { id }, query }, caller) {
      const [[transport, source]] = await find(messenger, caller, id, query.transport);
      const redrive = await caller.action.carryOut([transport, source], { target: id }, async () => {
        const value = await source.redrives.control(id, command);
        if (value === undefined) throw notFound(id);
        return { value, count: 0 };
      });
      if (command === "resume") caller.afterwards(wakeRedrives);
      return { status: 200, body: { success: true, redrive: show(transport, redrive) } };
    },
  });

const redrivable = (named: Named<Transport>): Named<Transport & Redrivable> =>
  capable<Redrivable>(named, isRedrivable, "redrive many failed messages");

/** @throws {MessengerError} `REDRIVE_NOT_FOUND` */
async function find(
  messenger: Messenger,
  caller: Caller,
  id: string,
  wanted: string | undefined,
): Promise<[Named<Transport & Redrivable>, Redrive]> {
  for (const named of transportsOf(messenger, wanted)) {
    if (wanted === undefined && !isRedrivable(named[1])) continue;
    const [transport, source] = redrivable(named);
    const redrive = await source.redrives.get(id);
    if (redrive !== undefined && isWithin(caller, redrive.filter)) return [[transport, source], redrive];
  }
  throw notFound(id);
}

const notFound = (id: string): MessengerError =>
  new MessengerError("REDRIVE_NOT_FOUND", `no redrive has the id ${id}`, { details: { id } });

/** Fields beside `filter` and those in it; each only once. */
function merged(nested: Readonly<Record<string, unknown>>, beside: Readonly<Record<string, unknown>>): DeadLetterFilter {
  const twice = Object.keys(beside).filter((field) => beside[field] !== undefined && nested[field] !== undefined);
  if (twice.length > 0) throw invalid(twice.map((field) => ({ path: field, message: "must not stand beside filter and in it" })));
  return pick({ ...nested, ...pick(beside) });
}

/** Without what is undefined. */
const pick = <T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as { [K in keyof T]?: Exclude<T[K], undefined> };

const nameOf = ({ principal }: Caller): string => (principal as Principal).name;
