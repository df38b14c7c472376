import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";
import { context } from "@opentelemetry/api";
import type { Clock, Timer } from "./clock.ts";
import { defineStamp } from "./envelope.ts";
import { MessageCancelledError, MessengerError } from "./errors.ts";
import type { AbortReason, Outcome } from "./execute.ts";
import type { HeldDispatch, Holder } from "./held-dispatches.ts";
import type { Logger } from "./logger.ts";
import type { Listed, Roster } from "./roster.ts";
import type { Received } from "./transport.ts";

/** Why an attempt's signal was aborted. */
export type AbortCause =
  | { readonly kind: "timedOut"; readonly timeoutMs: number }
  | { readonly kind: "interrupted"; readonly reason: AbortReason };

/** What all attempts of an executor have in common. */
export interface AttemptHost {
  readonly transport: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Milliseconds between the abort of the signal and giving the attempt up. */
  readonly graceMs: number;
  readonly maxRetriesOf: (received: Received) => number;
  /** Called when the timeout of an attempt starts, and again with each `context.heartbeat()`. */
  readonly onArm: ((received: Received, timeoutMs: number) => void) | undefined;
  /** Sees to it that `timeOut` is called on an attempt that is past this deadline. */
  readonly watch: (deadline: number) => void;
  /** Called once, a grace after the abort of an attempt, when its handler has still not come back. */
  readonly giveUp: (attempt: Attempt, cause: AbortCause) => void;
}

/**
 * One run of the handlers of one message in this process: its signal, its timeout and what its context needs.
 * The controller is made when somebody asks for the signal: most handlers of small messages never do.
 */
export class Attempt implements Holder, Listed {
  readonly received: Received;
  place = -1;
  /** The open client of a transactional attempt. */
  db: unknown;
  cause: AbortCause | undefined;
  /** Dispatches that wait for the handlers to succeed. */
  held: HeldDispatch[] | undefined;
  isOver = false;
  /** Called with its outcome, unless that is there before anybody waits for it. */
  report: ((outcome: Outcome) => void) | undefined;
  /** Monotonic milliseconds; infinite before the start and after the abort. */
  deadline = Number.POSITIVE_INFINITY;
  #controller: AbortController | undefined;
  /** Of the grace. */
  #timer: Timer | undefined;
  readonly #host: AttemptHost;
  readonly #timeoutMs: number;
  readonly #running: Roster<Attempt>;

  /** @param o.running - Those that run, this one among them until it ends. */
  constructor(received: Received, host: AttemptHost, o: { readonly timeoutMs: number; readonly running: Roster<Attempt> }) {
    this.received = received;
    this.#host = host;
    this.#timeoutMs = o.timeoutMs;
    this.#running = o.running;
    this.#running.add(this);
  }

  get transport(): string {
    return this.#host.transport;
  }

  get logger(): Logger {
    return this.#host.logger;
  }

  get clock(): Clock {
    return this.#host.clock;
  }

  get maxRetries(): number {
    return this.#host.maxRetriesOf(this.received);
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.cause !== undefined && !this.#controller.signal.aborted)
      this.#controller.abort(abortReason(this.cause, this.received.receipt.id));
    return this.#controller.signal;
  }

  /** Starts the timeout. */
  start(): void {
    this.#arm();
  }

  /** The timeout starts anew. */
  heartbeat(): void {
    if (this.cause === undefined) this.#arm();
  }

  /** Past its deadline. */
  timeOut(): void {
    this.abort({ kind: "timedOut", timeoutMs: this.#timeoutMs });
  }

  abort(cause: AbortCause): void {
    if (this.cause !== undefined) return;
    this.cause = cause;
    this.deadline = Number.POSITIVE_INFINITY;
    this.#controller?.abort(abortReason(cause, this.received.receipt.id));
    this.#timer = this.#host.clock.schedule(this.#host.graceMs, () => this.#host.giveUp(this, cause));
  }

  /** Reports the outcome. False: there is one already, the handlers came back after they were given up. */
  end(outcome: Outcome): boolean {
    if (!this.#running.delete(this)) return false;
    this.#timer?.cancel();
    this.report?.(outcome);
    return true;
  }

  #arm(): void {
    this.#host.onArm?.(this.received, this.#timeoutMs);
    this.deadline = this.#host.clock.monotonic() + this.#timeoutMs;
    this.#host.watch(this.deadline);
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

/**
 * Enters attempts from the same context again and again, that of the worker's loop.
 *
 * `AsyncLocalStorage.run` makes a new frame to enter, and another one, as large, to come back; a resource comes back to
 * the frame that was there. Whoever has entered something meanwhile, such as a span, gets `run`.
 */
export class AttemptEntry {
  readonly #outer = context.active();
  #resource: AsyncResource | undefined;

  run<A, T>(attempt: Attempt, work: (attempt: Attempt, argument: A) => T, argument: A): T {
    if (currentAttempt.getStore() !== undefined || context.active() !== this.#outer)
      return currentAttempt.run(attempt, work, attempt, argument);
    this.#resource ??= new AsyncResource("symphony.attempt");
    return this.#resource.runInAsyncScope(enter<A, T>, undefined, attempt, work, argument);
  }
}

function enter<A, T>(attempt: Attempt, work: (attempt: Attempt, argument: A) => T, argument: A): T {
  currentAttempt.enterWith(attempt);
  return work(attempt, argument);
}
