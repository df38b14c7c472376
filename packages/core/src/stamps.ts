import { defineStamp, type Envelope } from "./envelope.ts";

export { type AttemptRecord, NO_TRIES, type Tries } from "./delivery.ts";

import type { AttemptRecord, Receipt, Tries } from "./delivery.ts";

/** The message's id, stable over retries, dead-lettering and redrive. Added by the bus. */
export const messageId = defineStamp<{ id: string }>("messageId", { sendable: true });
/** Which bus handles it. Added by the bus. */
export const busName = defineStamp<{ bus: string }>("busName", { sendable: true });
/** When `dispatch` was called, milliseconds since 1970. Added by the bus. */
export const dispatched = defineStamp<{ at: number }>("dispatched", { sendable: true });
/** First ancestor, direct parent, generations. Added by the bus. */
export const lineage = defineStamp<{ root: string; parent?: string; depth: number }>("lineage", { sendable: true });
/** Strings for transport and tracing (`traceparent`). By the caller, and by telemetry. */
export const headers = defineStamp<Readonly<Record<string, string>>>("headers", { sendable: true });
/** Plain data of the application beside the payload. By the caller. */
export const metadata = defineStamp<Readonly<Record<string, unknown>>>("metadata", { sendable: true });
/** Version of the payload's schema. Added by the bus. */
export const typeVersion = defineStamp<{ version: number }>("typeVersion", { sendable: true });
/** Names that the type had before: for workers that know it by one of them. Added by the bus. */
export const olderNames = defineStamp<{ names: readonly string[] }>("olderNames", { sendable: true });
/** Not to be started after this time, milliseconds since 1970. By the caller or the message type. */
export const expiry = defineStamp<{ at: number }>("expiry", { sendable: true });
/** Not before so many milliseconds from now. By the caller. */
export const delay = defineStamp<{ delayMs: number }>("delay", { sendable: false });
/** Not before this time, milliseconds since 1970. By the caller. */
export const scheduled = defineStamp<{ at: number }>("scheduled", { sendable: false });
/** 1 to 10, higher first; 5 when absent. By the caller or the message type. */
export const priority = defineStamp<{ priority: number }>("priority", { sendable: false });
/** Overrides routing for one dispatch. By the caller. */
export const transportNames = defineStamp<{ names: readonly string[] }>("transportNames", { sendable: false });
/** Which queue of the transport. By the caller or the message type. */
export const queueName = defineStamp<{ queue: string }>("queueName", { sendable: false });
/** At most one message per key, queue and window. By the caller. */
export const idempotencyKey = defineStamp<{ key: string }>("idempotencyKey", { sendable: true });
/** Messages of one key and queue are handled one after the other, in the order in which they were sent. By the caller or the message type. */
export const partitionKey = defineStamp<{ key: string }>("partitionKey", { sendable: true });
/** At most one message per key and queue that is not finished. By the caller or the message type. */
export const deduplicate = defineStamp<{ key: string }>("deduplicate", { sendable: false });
/** The caller's database client: the message joins its transaction. By the caller. */
export const transaction = defineStamp<{ client: unknown }>("transaction", { sendable: false });
/** The transport took it. Added by the route middleware, one per transport. */
export const sent = defineStamp<{ transport: string; queue: string; id: string; duplicate: boolean }>("sent", { sendable: false });
/** It came from a transport: handle it, do not send it. Added by the executor. */
export const received = defineStamp<{ transport: string; queue: string; receipt: Receipt }>("received", { sendable: false });
/** A handler succeeded; a retry leaves it out. Added by the handle middleware. The result stays in the process. */
export const handled = defineStamp<{ handler: string; result?: unknown }>("handled", { sendable: false });
/** It was in flight when so many processes died; run alone until it is cleared or proven guilty. Added by the serializer. */
export const suspect = defineStamp<{ crashes: number }>("suspect", { sendable: true });
/** Counters and history of earlier attempts. Added by the serializer when a record is read. */
export const redelivery = defineStamp<{ tries: Tries; history: readonly AttemptRecord[]; handled: readonly string[] }>("redelivery", {
  sendable: true,
});

/** Which attempt this delivery is, 1-based. */
export function attemptOf({ envelope }: { readonly envelope?: Envelope | undefined }): number {
  const tries = envelope?.last(redelivery)?.tries;
  return tries === undefined ? 1 : tries.failures + tries.crashes + 1;
}
