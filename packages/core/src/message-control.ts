import type { Receipt, Receiver, Sender, Transport } from "./transport.ts";

/** What an operator, or the application, can learn of one message and do to it, on whatever node it is. */

export type MessageState = "waiting" | "scheduled" | "active" | "failed" | "handled" | "cancelled";

/** Where a message is now. */
export interface MessageWhereabouts {
  readonly id: string;
  /** The wire name, null when the record is no message. */
  readonly type: string | null;
  readonly queue: string;
  readonly priority: number;
  readonly state: MessageState;
  /** RFC 3339. Waiting and scheduled: when it was or is due; active: when this delivery began; else when it came to its end. */
  readonly at: string;
  /** Who works on it, while it is active. */
  readonly workerId: string | null;
  /** Who cancelled it, when that was said. */
  readonly cancelledBy: string | null;
}

/** Can tell where a message is. */
export interface Findable {
  /**
   * One look-up per queue, no scan. Undefined: no such message, or it was handled, of which nothing stays unless it has
   * an idempotency key.
   */
  findMessage(id: string): Promise<MessageWhereabouts | undefined>;
}

/** What a cancellation came to. */
export type Cancellation =
  /** It was waiting; it will not be delivered. */
  | { readonly kind: "removed"; readonly queue: string }
  /** It was being handled, perhaps by `workerId`: its signal aborts, and whatever comes of it is not recorded. */
  | { readonly kind: "interrupted"; readonly queue: string; readonly workerId: string | null }
  /** Too late: it has ended before. */
  | { readonly kind: "over"; readonly queue: string; readonly state: "failed" | "handled" | "cancelled" }
  | { readonly kind: "unknown" };

/** Can end a message for good. */
export interface Cancellable {
  /**
   * Ends a message at once: no delivery follows, and a delivery that is under way cannot settle it any more, nor commit
   * a transaction with it. It stays findable as cancelled, under `by`, for the window of idempotency keys; its own key
   * stays known for as long.
   */
  cancelMessage(id: string, by?: string): Promise<Cancellation>;
  /** Those of these deliveries that were cancelled; for workers, about what they hold. */
  findCancelled(receipts: readonly Receipt[]): Promise<readonly Receipt[]>;
  /**
   * Calls `listener` when messages that somebody holds were cancelled, until the returned function is called. A hint as
   * `onWake` is: it comes at once where the store can tell, and with the next receive or pulse otherwise.
   */
  onCancel(listener: () => void): Promise<() => Promise<void>>;
}

export interface MessageControlOptions {
  /** Only this transport. Default: all that can. */
  readonly transport?: string;
}

interface Transports {
  readonly transportNames: readonly string[];
  transport(name: string): Transport;
}

/** Where a message is, over all transports. */
export async function findMessage(
  messenger: Transports,
  id: string,
  { transport }: MessageControlOptions = {},
): Promise<(MessageWhereabouts & { readonly transport: string }) | undefined> {
  for (const name of transport === undefined ? messenger.transportNames : [transport]) {
    const source = messenger.transport(name);
    const found = isFindable(source) ? await source.findMessage(id) : undefined;
    if (found !== undefined) return { transport: name, ...found };
  }
  return undefined;
}

/** Cancels a message on the transport that has it. */
export async function cancelMessage(
  messenger: Transports,
  id: string,
  { transport, by }: MessageControlOptions & { readonly by?: string } = {},
): Promise<Cancellation & { readonly transport?: string }> {
  for (const name of transport === undefined ? messenger.transportNames : [transport]) {
    const source = messenger.transport(name);
    const done: Cancellation = isCancellable(source) ? await source.cancelMessage(id, by) : { kind: "unknown" };
    if (done.kind !== "unknown") return { transport: name, ...done };
  }
  return { kind: "unknown" };
}

type Maybe = Transport | Sender | Receiver;
const has = (target: Maybe, ...methods: string[]): boolean =>
  methods.every((method) => typeof (target as unknown as Record<string, unknown>)[method] === "function");

export const isFindable = <T extends Maybe>(t: T): t is T & Findable => has(t, "findMessage");
export const isCancellable = <T extends Maybe>(t: T): t is T & Cancellable => has(t, "cancelMessage", "findCancelled", "onCancel");
