import type { DeadLetterGroupFilter, Messenger, Runtime } from "@symphony/core";
import { z } from "zod";
import { within } from "../auth/queue-limit.ts";
import { errorSchema, reasonSchema } from "../failed-message.ts";
import { groupable, inTime, transportOrDefault } from "../transports.ts";
import { type AnyEndpoint, endpoint } from "./endpoint.ts";
import { count, name, queryInteger, success, time } from "./fields.ts";

const query = z.strictObject({
  transport: name.optional(),
  limit: queryInteger({ min: 1, max: 1_000, default: 50 }),
  type: name.optional(),
  queue: name.optional(),
  since: time.optional(),
  until: time.optional(),
});

const group = z.strictObject({
  fingerprint: z.string().meta({ description: "Empty for messages that tools of the store gave up on." }),
  count,
  accuracy: z.enum(["exact", "estimated"]).meta({ description: "Of the count." }),
  type: z.string().nullable(),
  queue: z.string(),
  reason: reasonSchema,
  error: errorSchema,
  firstFailedAt: z.iso.datetime(),
  lastFailedAt: z.iso.datetime(),
  lastId: z.string().meta({ description: "The newest message of the group, which type, queue, reason and error are of." }),
});

export const failedGroupsEndpoint = ({ reader, runtime }: { readonly reader: Messenger; readonly runtime: Runtime }): AnyEndpoint =>
  endpoint({
    summary: "Group failed messages by the fingerprint of their error, the largest group first",
    query,
    answers: { 200: z.strictObject({ success, transport: z.string(), groups: z.array(group), hasMore: z.boolean() }) },
    problems: [404, 422],
    async handle({ query: { transport: wanted, limit, ...filter } }, caller) {
      const [transport, source] = groupable(transportOrDefault(reader, wanted));
      const page = await inTime(runtime.clock, source.groupDeadLetters(within(caller, filter as DeadLetterGroupFilter), limit));
      return { status: 200, body: { success: true, transport, ...page } };
    },
  });
