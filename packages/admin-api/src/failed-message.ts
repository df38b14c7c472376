import { type DeadLetter, stamps } from "@symphony/core";
import { z } from "zod";
import { count } from "./routes/fields.ts";

export const errorSchema = z.strictObject({
  name: z.string(),
  message: z.string(),
  stack: z.string().optional(),
  code: z.string().optional(),
});

export const reasonSchema = z.enum(["retries_exhausted", "unrecoverable", "no_handler", "undecodable", "crashed", "timed_out", "expired"]);

const attempt = z.strictObject({
  attempt: count,
  at: z.iso.datetime(),
  workerId: z.string(),
  error: z.unknown(),
});

export const failedMessageSchema = z.strictObject({
  id: z.string(),
  type: z.string().nullable().meta({ description: "Null when the record could not be decoded." }),
  payload: z.unknown().optional().meta({ description: "With the scope symphony:payload only." }),
  body: z.string().optional().meta({ description: "The stored bytes instead of a payload, when they could not be decoded." }),
  payloadOmitted: z.literal(true).optional().meta({ description: "The payload is too large for a list: ask for this message." }),
  queue: z.string(),
  transport: z.string(),
  priority: z.int(),
  failedAt: z.iso.datetime(),
  attempts: count,
  reason: reasonSchema,
  error: errorSchema,
  fingerprint: z.string(),
  dispatchedAt: z.iso.datetime().nullable(),
  idempotencyKey: z.string().optional(),
  headers: z.record(z.string(), z.string()),
  metadata: z.record(z.string(), z.unknown()),
  history: z.array(attempt),
});

export type FailedMessage = z.output<typeof failedMessageSchema>;

/** How much of a message the caller may see. */
export interface Visibility {
  /** Has the scope symphony:payload. */
  readonly payload: boolean;
  /** Bytes of the record up to which the payload comes along. */
  readonly maxBytes: number;
}

const HIDDEN = "[redacted]";
/** Of the tracing standard: ids and nothing else. */
const HARMLESS_HEADERS = new Set(["traceparent", "tracestate"]);

export function toFailedMessage(transport: string, letter: DeadLetter, visible: Visibility): FailedMessage {
  const { envelope, failure } = letter;
  const at = envelope?.last(stamps.dispatched)?.at;
  const key = envelope?.last(stamps.idempotencyKey)?.key;
  return {
    id: letter.id,
    type: letter.type,
    ...content(letter, visible),
    queue: letter.queue,
    transport,
    priority: letter.priority,
    failedAt: letter.failedAt,
    attempts: failure.attempts,
    reason: failure.reason,
    error: failure.error,
    fingerprint: failure.fingerprint,
    dispatchedAt: at === undefined ? null : new Date(at).toISOString(),
    ...(key === undefined ? {} : { idempotencyKey: key }),
    headers: shownHeaders(envelope?.last(stamps.headers) ?? {}, visible),
    metadata: shownMetadata(envelope?.last(stamps.metadata) ?? {}, visible),
    history: (envelope?.last(stamps.redelivery)?.history ?? []).map((each) => ({ ...each })),
  };
}

function content({ body, envelope }: DeadLetter, visible: Visibility): Pick<FailedMessage, "payload" | "body" | "payloadOmitted"> {
  if (!visible.payload) return {};
  if (Buffer.byteLength(body) > visible.maxBytes) return { payloadOmitted: true };
  return envelope === undefined ? { body } : { payload: envelope.message.payload };
}

/** Their names help to understand a failure; their values are the application's data like the payload. */
const shownHeaders = (headers: Readonly<Record<string, string>>, visible: Visibility): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, visible.payload || HARMLESS_HEADERS.has(name.toLowerCase()) ? value : HIDDEN]),
  );

const shownMetadata = (metadata: Readonly<Record<string, unknown>>, visible: Visibility): Record<string, unknown> =>
  Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name, visible.payload ? value : HIDDEN]));
