import { AsyncLocalStorage } from "node:async_hooks";
import type { Clock, Timer } from "./clock.ts";
import { defineStamp } from "./envelope.ts";
import { MessageCancelledError, MessengerError } from "./errors.ts";
import type { AbortReason } from "./execute.ts";
import type { HeldDispatch, Holder } from "./held-dispatches.ts";
import type { Logger } from "./logger.ts";
import type { Received } from "./transport.ts";

/** Why an attempt's signal was aborted. */
export type AbortCause =
  | { readonly kind: "timedOut"; readonly timeoutMs: number }
  | { readonly kind: "interrupted"; readonly reason: AbortReason };

/**
 * One run of the handlers of one message in this process: its signal, its timeout and what its context needs.
 * The controller is made when somebody asks for the signal: most handlers of small messages never do.
 */
export class Attempt implements Holder {
  readonly received: Received;
  readonly transport: string;
  readonly logger: Logger;
  readonly maxRetries: number;
  /** The open client of a transactional attempt. */
  db: unknown;
  cause: AbortCause | undefined;
  /** Dispatches that wait for the handlers to succeed. */
  held: HeldDispatch[] | undefined;
  isOver = false;
  #controller: AbortController | undefined;
  #timer: Timer | undefined;
  #ended: ((cause: AbortCause) => void) | undefined;
  readonly clock: Clock;
  readonly #graceMs: number;
  readonly #timeoutMs: number;
  readonly #onArm: ((timeoutMs: number) => void) | undefined;

  constructor(o: {
    received: Received;
    transport: string;
    logger: Logger;
    maxRetries: number;
    clock: Clock;
    timeoutMs: number;
    graceMs: number;
    onArm?: ((timeoutMs: number) => void) | undefined;
  }) {
    this.received = o.received;
    this.transport = o.transport;
    this.logger = o.logger;
    this.maxRetries = o.maxRetries;
    this.clock = o.clock;
    this.#graceMs = o.graceMs;
    this.#timeoutMs = o.timeoutMs;
    this.#onArm = o.onArm;
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.cause !== undefined && !this.#controller.signal.aborted)
      this.#controller.abort(abortReason(this.cause, this.received.receipt.id));
    return this.#controller.signal;
  }

  /** Starts the timeout. `ended` is called once, a grace after the abort, when the handler has still not come back. */
  start(ended: (cause: AbortCause) => void): void {
    this.#ended = ended;
    this.#arm();
  }

  /** The timeout starts anew. */
  heartbeat(): void {
    if (this.cause === undefined) this.#arm();
  }

  abort(cause: AbortCause): void {
    if (this.cause !== undefined) return;
    this.cause = cause;
    this.#controller?.abort(abortReason(cause, this.received.receipt.id));
    this.#timer?.cancel();
    this.#timer = this.clock.schedule(this.#graceMs, () => this.#ended?.(cause));
  }

  /** The handlers came back, or nobody waits for them any more. */
  finish(): void {
    this.#timer?.cancel();
    this.#ended = undefined;
  }

  #arm(): void {
    this.#timer?.cancel();
    this.#onArm?.(this.#timeoutMs);
    this.#timer = this.clock.schedule(this.#timeoutMs, () => this.abort({ kind: "timedOut", timeoutMs: this.#timeoutMs }));
  }
}

function abortReason(cause: AbortCause, messageId: string): MessengerError {
  if (cause.kind === "timedOut") return new MessengerError("HANDLER_TIMED_OUT", `the handler ran longer than ${cause.timeoutMs} ms`);
  if (cause.reason === "cancelled") return new MessageCancelledError(messageId);
  return cause.reason === "lease_lost"
    ? new MessengerError("LEASE_LOST", "another worker has taken the message over")
    : new MessengerError("INTERRUPTED", "the worker is stopping");
}

/** Carries the attempt through the middleware to the handlers; ends with the process. Added by the executor. */
export const execution = defineStamp<{ attempt: Attempt }>("execution", { sendable: false });

/** The attempt in whose context code runs: for lineage, logs and late errors. */
export const currentAttempt = new AsyncLocalStorage<Attempt>();
