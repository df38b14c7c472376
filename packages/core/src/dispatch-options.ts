import type { Stamp } from "./envelope.ts";
import type { MessengerError } from "./errors.ts";
import type { AnyMessageType } from "./message.ts";

/** How one message is to be sent. Everything has a default on the message type or in the routing. */
export interface DispatchOptions {
  readonly queue?: string;
  /** 1 to 10, higher first. */
  readonly priority?: number;
  /** Not before so many milliseconds from now. */
  readonly delayMs?: number;
  /** Not before this time. Date or RFC 3339. Not together with `delayMs`. */
  readonly scheduledAt?: Date | string;
  /** Milliseconds from when it is due. What was not started by then becomes a dead letter with the reason `expired`. */
  readonly expiresInMs?: number;
  /** The same as a time; not together with `expiresInMs`. */
  readonly expiresAt?: Date | string;
  /** 1 to 255 characters. The same key within the window gives the first message's id. */
  readonly idempotencyKey?: string;
  /** 1 to 255 characters. While a message with this key is not finished, the same again gets its id and nothing is sent. Not together with `idempotencyKey`. */
  readonly deduplicate?: string;
  /** 1 to 255 characters. Messages of one key and queue are handled one after the other, in the order in which they were sent. */
  readonly partitionKey?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** Name of a configured transport; overrides the routing. */
  readonly transport?: string;
  /**
   * A transaction that the caller has opened: the message is sent with its commit. The PostgreSQL transport takes a client of
   * `pg`, and what `fromKnex`, `fromKysely`, `fromDrizzle` and `fromPrisma` of its package make.
   */
  readonly transaction?: unknown;
  /**
   * Inside a handler: send it when the handler has succeeded, together with everything else that it held back, and not at
   * all when it failed. If sending fails, the handler counts as failed. Elsewhere it is sent at once.
   */
  readonly afterCurrent?: boolean;
  /** Stamps of the application. */
  readonly stamps?: readonly Stamp[];
  /** Name of a configured bus, which also handles the message. Default: the default bus. */
  readonly bus?: string;
}

/** What a question can be asked with; everything else is about sending. */
export type HandleOptions = Pick<DispatchOptions, "headers" | "metadata" | "stamps" | "bus">;

/** Tells where a message went. */
export interface DispatchReceipt {
  readonly messageId: string;
  /** Where it was sent; empty when it was handled in place for want of a route. */
  readonly transport: string;
  readonly queue: string;
  /** The idempotency key was known, or a message to be deduplicated with is not finished: nothing was sent, `messageId` is the first one's. */
  readonly duplicate: boolean;
  readonly scheduledAt?: Date;
  /** It waits for the current handler to succeed: nothing was sent yet. */
  readonly held?: true;
}

/** What most messages are dispatched with. */
export const NO_OPTIONS: DispatchOptions = Object.freeze({});

export interface DispatchItem {
  readonly type: AnyMessageType;
  readonly payload: unknown;
  readonly options?: DispatchOptions;
}

/** Per message: where it went, or why it was refused. */
export type DispatchResult = DispatchReceipt | { readonly error: MessengerError };
