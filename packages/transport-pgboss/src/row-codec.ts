import { createHash } from "node:crypto";
import { type Envelope, LazyDelivery, type Receipt, type Received, type Serializer, stamps } from "@symphony/core";
import type { Row } from "./connection.ts";

/**
 * A receipt of this transport. `kept` only saves a round trip: whether a message has an idempotency key is decided by
 * its row, and a receipt without it is settled all the same.
 */
export interface PgBossReceipt extends Receipt {
  readonly kept?: true;
}

/** A message on its way into the database: one element of the JSON recordset that the statements take. */
export interface OutgoingRow {
  readonly id: string;
  readonly name: string;
  readonly priority: number;
  /** Milliseconds from the database's now. */
  readonly delay: number;
  /** Milliseconds since 1970; beats `delay`. */
  readonly at: number | null;
  readonly key: string | null;
  /** Partition and deduplication key; absent, not null, for the many that have none. */
  readonly part?: string;
  readonly single?: string;
  /** The record as JSON text. As a string inside the parameter: no record can break out of its place. */
  readonly data: string;
}

/** Whether the queue must be prepared for it. */
export const isKeyed = (row: OutgoingRow): boolean => row.part !== undefined || row.single !== undefined;

export const DEFAULT_PRIORITY = 5;
export const UUID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * What is stored of an envelope.
 *
 * @throws {MessengerError} of the serializer, when the message cannot be stored.
 */
export function toRow(envelope: Envelope, queue: string, transport: string, serializer: Serializer): OutgoingRow {
  const key = envelope.last(stamps.idempotencyKey)?.key;
  const own = envelope.last(stamps.messageId)?.id ?? "";
  const id = key === undefined ? own : idOfKey(transport, queue, key);
  const at = envelope.last(stamps.scheduled)?.at;
  const part = envelope.last(stamps.partitionKey)?.key;
  const single = envelope.last(stamps.deduplicate)?.key;
  return {
    id,
    name: queue,
    priority: envelope.last(stamps.priority)?.priority ?? DEFAULT_PRIORITY,
    delay: Math.max(0, envelope.last(stamps.delay)?.delayMs ?? 0),
    at: at ?? null,
    key: key ?? null,
    ...(part === undefined ? {} : { part }),
    ...(single === undefined ? {} : { single }),
    data: serializer.encode(key === undefined ? envelope : renamed(envelope, own, id)),
  };
}

/** The id is the key's: whoever sends the same key finds the same row. Version 8: made from a hash, no time in it. */
function idOfKey(transport: string, queue: string, key: string): string {
  const hash = createHash("sha256")
    .update(JSON.stringify([transport, queue, key]))
    .digest("hex");
  const variant = ((Number.parseInt(hash.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-${variant}${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
}

/** Store, answer and record agree on the id; a message without a parent is its own root. */
function renamed(envelope: Envelope, from: string, to: string): Envelope {
  const line = envelope.last(stamps.lineage);
  const renamedEnvelope = envelope.with(stamps.messageId({ id: to }));
  return line?.root === from ? renamedEnvelope.with(stamps.lineage({ ...line, root: to })) : renamedEnvelope;
}

/** A delivery as columns of a JSON recordset. */
export const deliveryOf = ({ id, fence, claim }: Receipt) => ({ id, rc: fence, claim });

/** A delivery from a row: `[block, number, id, fence, priority, kept, body]`. @param claim - That it is of; absent for one that was passed on. */
export function toReceived(row: Row, queue: string, serializer: Serializer, claim?: number): Received {
  const [, , id, retryCount, priority, kept, body] = row as [number, null, string, string, string, boolean, string | null];
  const fence = Number(retryCount);
  const receipt: PgBossReceipt = { id, queue, fence, ...(claim === undefined ? {} : { claim }), ...(kept ? { kept } : {}) };
  return new LazyDelivery(receipt, Number(priority), body ?? "null", serializer);
}
