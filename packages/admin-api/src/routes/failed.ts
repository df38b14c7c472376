import {
  type DeadLetter,
  type DeadLetterFilter,
  type Listable,
  type Messenger,
  MessengerError,
  type Runtime,
  type Transport,
} from "@symphony/core";
import { z } from "zod";
import { within } from "../auth/queue-limit.ts";
import type { Principal } from "../auth/tokens.ts";
import { openCursor, sealCursor } from "../cursor.ts";
import { failedMessageSchema, toFailedMessage, type Visibility } from "../failed-message.ts";
import { HttpProblem } from "../http/problem.ts";
import { inTime, listable, transportOrDefault, transportsOf } from "../transports.ts";
import { type AnyEndpoint, type Caller, endpoint } from "./endpoint.ts";
import { failedGroupsEndpoint } from "./failed-groups.ts";
import { count, fingerprint, messageId, name, queryInteger, search, success, time } from "./fields.ts";

const idParams = z.strictObject({ id: messageId });
const transportQuery = z.strictObject({ transport: name.optional() });

const listQuery = z.strictObject({
  transport: name.optional(),
  limit: queryInteger({ min: 1, max: 200, default: 50 }),
  offset: queryInteger({ min: 0, max: 10_000, default: 0 }),
  cursor: z.string().max(1_000).optional(),
  type: name.optional(),
  queue: name.optional(),
  since: time.optional(),
  until: time.optional(),
  fingerprint: fingerprint.optional(),
  search: search.optional(),
});

const pagination = z.strictObject({
  total: count,
  limit: z.int(),
  offset: count,
  hasMore: z.boolean(),
  nextCursor: z.string().nullable(),
  accuracy: z.enum(["exact", "estimated"]).meta({ description: "Of the total." }),
});

/** Bytes. 200 messages of a megabyte each are no list. */
const LISTED_BYTES = 65_536;
const SHOWN_BYTES = Number.POSITIVE_INFINITY;

interface Services {
  readonly messenger: Messenger;
  /** For what only looks. */
  readonly reader: Messenger;
  readonly runtime: Runtime;
}

export const failedEndpoints = (services: Services) => ({
  listFailed: listFailed(services),
  failedGroups: failedGroupsEndpoint(services),
  showFailed: showFailed(services),
  retryFailed: retryFailed(services),
  removeFailed: removeFailed(services),
});

const visibility = ({ principal }: Caller, maxBytes: number): Visibility => ({
  payload: principal?.scopes.has("symphony:payload") ?? false,
  maxBytes,
});

const listFailed = ({ reader, runtime }: Services): AnyEndpoint =>
  endpoint({
    summary: "List messages that were given up on, newest first",
    query: listQuery,
    answers: { 200: z.strictObject({ success, messages: z.array(failedMessageSchema), pagination }) },
    problems: [404, 422],
    async handle({ query }, caller) {
      const { transport: wanted, limit, offset, cursor, ...filter } = query;
      const [transport, source] = listable(transportOrDefault(reader, wanted));
      const list = JSON.stringify([transport, filter]);
      const { digest } = caller.principal as Principal;
      const place = cursor === undefined ? {} : { cursor: openCursor(cursor, list, digest) };
      const page = await inTime(
        runtime.clock,
        source.listDeadLetters(within(caller, filter as DeadLetterFilter), { limit, offset, ...place }),
      );
      const nextCursor = page.nextCursor === null ? null : sealCursor(page.nextCursor, list, digest);
      return {
        status: 200,
        body: {
          success: true,
          messages: page.deadLetters.map((letter) => toFailedMessage(transport, letter, visibility(caller, LISTED_BYTES))),
          pagination: { total: page.total, limit, offset, hasMore: nextCursor !== null, nextCursor, accuracy: page.accuracy },
        },
      };
    },
  });

const showFailed = ({ reader, runtime }: Services): AnyEndpoint =>
  endpoint({
    summary: "Show one failed message with the history of its attempts",
    params: idParams,
    query: transportQuery,
    answers: { 200: z.strictObject({ success, message: failedMessageSchema }) },
    problems: [404, 422],
    async handle({ params, query }, caller) {
      const { transport, letter } = await inTime(runtime.clock, find(reader, caller, params.id, query.transport));
      return { status: 200, body: { success: true, message: toFailedMessage(transport, letter, visibility(caller, SHOWN_BYTES)) } };
    },
  });

const retryFailed = ({ messenger }: Services): AnyEndpoint =>
  endpoint({
    summary: "Send a failed message back to its queue, with its counters at zero",
    params: idParams,
    query: transportQuery,
    answers: {
      200: z.strictObject({ success, messageId: z.string(), newMessageId: z.string(), transport: z.string(), queue: z.string() }),
    },
    problems: [404, 409, 422],
    action: "retry",
    async handle({ params: { id }, query }, caller) {
      const { transport, source, letter } = await find(messenger, caller, id, query.transport);
      await caller.action.carryOut([transport, source], { target: id }, async () => {
        const { redriven } = await source.redriveDeadLetters({ ids: [id] }, 1);
        if (!redriven.includes(id)) throw conflict(id);
        return { value: null, count: 1 };
      });
      // A message keeps its id for life; both names are there for clients that expect a new one.
      return { status: 200, body: { success: true, messageId: id, newMessageId: id, transport, queue: letter.queue } };
    },
  });

const removeFailed = ({ messenger }: Services): AnyEndpoint =>
  endpoint({
    summary: "Remove a failed message; it can be brought back for seven days",
    params: idParams,
    query: transportQuery,
    answers: { 200: z.strictObject({ success, messageId: z.string() }) },
    problems: [404, 409, 422],
    action: "remove",
    async handle({ params: { id }, query }, caller) {
      const { transport, source } = await find(messenger, caller, id, query.transport);
      await caller.action.carryOut([transport, source], { target: id }, async () => {
        const { removed } = await source.removeDeadLetters({ ids: [id] }, 1);
        if (!removed.includes(id)) throw conflict(id);
        return { value: null, count: 1 };
      });
      return { status: 200, body: { success: true, messageId: id } };
    },
  });

interface Found {
  readonly transport: string;
  readonly source: Transport & Listable;
  readonly letter: DeadLetter;
}

/** @throws {MessengerError} `DEAD_LETTER_NOT_FOUND` */
async function find(messenger: Messenger, caller: Caller, id: string, wanted: string | undefined): Promise<Found> {
  for (const [transport, source] of transportsOf(messenger, wanted).map(listable)) {
    const { deadLetters } = await source.listDeadLetters(within(caller, { ids: [id] }), { limit: 1 });
    const letter = deadLetters[0];
    if (letter !== undefined) return { transport, source, letter };
  }
  throw new MessengerError("DEAD_LETTER_NOT_FOUND", `no failed message has the id ${id}`, { details: { id } });
}

const conflict = (id: string): HttpProblem =>
  new HttpProblem(
    409,
    "CONFLICT",
    `the message ${id} was retried or removed by somebody else at the same moment, or is in its queue again`,
  );
