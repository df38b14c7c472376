import { type Auditable, type AuditRecord, isAuditable, type Messenger, MessengerError, type Runtime } from "@symphony/core";
import { z } from "zod";
import { isLimited, mayTouch } from "../auth/queue-limit.ts";
import type { Principal } from "../auth/tokens.ts";
import { openCursor, sealCursor } from "../cursor.ts";
import { auditable, inTime, transportOrDefault, transportsOf } from "../transports.ts";
import { type AnyEndpoint, type Caller, endpoint } from "./endpoint.ts";
import { count, messageId as id, name, queryInteger, success, timestamp } from "./fields.ts";

const recordSchema = z.strictObject({
  id: z.string(),
  at: timestamp,
  actor: z.strictObject({
    name: z.string(),
    kind: z.enum(["token", "jwt", "cron", "cli"]),
    tokenId: z.string().optional().meta({ description: "First digits of the credential's SHA-256." }),
    address: z.string().optional(),
  }),
  action: z.string(),
  target: z.string().nullable().meta({ description: "The message or queue that was meant; null when it was a selection." }),
  parameters: z.record(z.string(), z.unknown()).meta({ description: "Filter and options as they were given." }),
  requestId: z.string().nullable(),
  count: count.meta({ description: "Messages that were changed." }),
  outcome: z.string().meta({ description: "`done`, or the code of the refusal." }),
  undoable: z.boolean().meta({ description: "What it removed is still in the trash." }),
});

const listQuery = z.strictObject({
  transport: name.optional(),
  limit: queryInteger({ min: 1, max: 200, default: 50 }),
  cursor: z.string().max(1_000).optional(),
});

interface Services {
  readonly messenger: Messenger;
  /** For what only looks. */
  readonly reader: Messenger;
  readonly runtime: Runtime;
}

export const auditEndpoints = (services: Services) => ({ listAudit: listAudit(services), undo: undo(services) });

const listAudit = ({ reader, runtime }: Services): AnyEndpoint =>
  endpoint({
    summary: "List who did what, newest first",
    query: listQuery,
    answers: {
      200: z.strictObject({
        success,
        records: z.array(recordSchema),
        pagination: z.strictObject({ limit: z.int(), hasMore: z.boolean(), nextCursor: z.string().nullable() }),
      }),
    },
    problems: [404, 422],
    async handle({ query: { transport: wanted, limit, cursor } }, caller) {
      const [transport, source] = auditable(transportOrDefault(reader, wanted));
      const list = JSON.stringify(["audit", transport]);
      const { digest } = caller.principal as Principal;
      const place = cursor === undefined ? {} : { cursor: openCursor(cursor, list, digest) };
      const page = await inTime(runtime.clock, source.listAudit({ limit, ...place }));
      const nextCursor = page.nextCursor === null ? null : sealCursor(page.nextCursor, list, digest);
      return {
        status: 200,
        body: {
          success: true,
          records: page.records.filter((record) => isOwn(caller, record)),
          pagination: { limit, hasMore: nextCursor !== null, nextCursor },
        },
      };
    },
  });

/** Actions whose target is the name of a queue. */
const ON_QUEUES = new Set(["pause", "resume", "purge"]);

/** A token of some queues sees what was done with it, and what was done to its queues by name. */
function isOwn(caller: Caller, { actor, action, target }: AuditRecord): boolean {
  const { principal } = caller;
  if (principal === undefined || !isLimited(caller)) return true;
  // A user has a new JWT every hour; two API tokens may have one name.
  const isSameToken = principal.kind === "jwt" || actor.tokenId === principal.tokenId;
  if (actor.kind === principal.kind && actor.name === principal.name && isSameToken) return true;
  return ON_QUEUES.has(action) && mayTouch(caller, target);
}

async function mayUndo(source: Auditable, id: string, caller: Caller): Promise<boolean> {
  if (!isLimited(caller)) return true;
  const { records } = await source.listAudit({ limit: 1, id });
  return records.some((record) => isOwn(caller, record));
}

const undo = ({ messenger }: Services): AnyEndpoint =>
  endpoint({
    summary: "Bring back what an action removed, within seven days",
    params: z.strictObject({ id }),
    query: z.strictObject({ transport: name.optional() }),
    answers: {
      200: z.strictObject({
        success,
        auditId: z.string().meta({ description: "Of this undoing." }),
        restored: count,
        conflicts: count.meta({ description: "Messages that are there again, or whose queue is gone; they stay in the trash." }),
      }),
    },
    problems: [404, 409, 422],
    action: "undo",
    async handle({ params, query }, caller) {
      const { entry } = caller.action;
      for (const [, transport] of transportsOf(messenger, query.transport)) {
        if (!isAuditable(transport) || !(await mayUndo(transport, params.id, caller))) continue;
        try {
          const done = await transport.undoAudited(params.id, { ...entry, target: params.id });
          return { status: 200, body: { success: true, ...done } };
        } catch (error) {
          // Another transport may have it.
          if (!(error instanceof MessengerError) || error.code !== "AUDIT_NOT_FOUND") throw error;
        }
      }
      throw new MessengerError("AUDIT_NOT_FOUND", `no action is recorded as ${params.id}`, { details: { id: params.id } });
    },
  });
