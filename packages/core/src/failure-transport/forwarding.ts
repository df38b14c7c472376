import type { Failure, Receiver, Sender, Transport } from "../transport.ts";

/** A dead letter on its way from one store to another, with all that its transport needs to bring it back to life. */
export interface DeadLetterParcel {
  readonly id: string;
  /** Of its own transport. */
  readonly queue: string;
  readonly priority: number;
  /** The record as it is stored. */
  readonly body: string;
  readonly failure: Failure;
  /** RFC 3339. */
  readonly failedAt: string;
  /** Fence of its last delivery: later ones are higher. */
  readonly fence: number;
  readonly idempotencyKey?: string;
  readonly partitionKey?: string;
}

/** Asks the transport `from` to send dead letters of its own back to their queues; resolves with the ids of those that are there. */
export type CarryHome = (from: string, parcels: readonly DeadLetterParcel[]) => Promise<readonly string[]>;

/**
 * Can give its dead letters to another store, and keep those of others. A dead letter that is kept for another
 * transport has the queue `TRANSPORT/QUEUE`, which no queue here can be called: it cannot come into a wrong one.
 */
export interface Forwardable {
  /** Dead letters of its own, the oldest first; none that it keeps for others. */
  exportDeadLetters(limit: number): Promise<readonly DeadLetterParcel[]>;
  /**
   * Stores dead letters: its own, or those of the transport `from`. Idempotent by id; a newer one of the same id takes the
   * place of the older.
   */
  importDeadLetters(parcels: readonly DeadLetterParcel[], from?: string): Promise<void>;
  /**
   * Removes dead letters that another store has now, if they are the same ones (`failedAt`) still; their idempotency keys
   * stay known. Resolves with the ids of those.
   */
  forgetDeadLetters(letters: readonly Pick<DeadLetterParcel, "id" | "failedAt">[]): Promise<readonly string[]>;
  /** How dead letters that are kept for others get back when they are redriven; without it they are conflicts. */
  sendHomeBy(carry: CarryHome): void;
}

const SEPARATOR = "/";

/** How the queue of another transport is called here. */
export const foreignQueue = (from: string | undefined, queue: string): string =>
  from === undefined ? queue : `${from}${SEPARATOR}${queue}`;

/** The transport and its queue; undefined for a queue of one's own. */
export function parseForeignQueue(name: string): { readonly from: string; readonly queue: string } | undefined {
  const at = name.indexOf(SEPARATOR);
  return at < 0 ? undefined : { from: name.slice(0, at), queue: name.slice(at + 1) };
}

export const isForwardable = <T extends Transport | Sender | Receiver>(t: T): t is T & Forwardable =>
  ["exportDeadLetters", "importDeadLetters", "forgetDeadLetters", "sendHomeBy"].every(
    (method) => typeof (t as unknown as Record<string, unknown>)[method] === "function",
  );
