import { type AbortCause, Attempt, AttemptEntry, type AttemptHost, execution } from "./attempt.ts";
import type { Clock } from "./clock.ts";
import { Snooze } from "./context.ts";
import { Deadlines } from "./deadlines.ts";
import { Envelope } from "./envelope.ts";
import { toErrorRecord } from "./error-record.ts";
import { LeaseLostError, MessengerError, ValidationError } from "./errors.ts";
import type { Executor, FailureReport, Outcome } from "./execute.ts";
import type { HandlerDescriptor } from "./handlers.ts";
import type { Logger } from "./logger.ts";
import type { AnyMessageType } from "./message.ts";
import type { Messenger } from "./messenger.ts";
import { HandlerFailedError } from "./middleware/handle.ts";
import { GatedExecutor, type ResetError } from "./resets.ts";
import { Roster } from "./roster.ts";
import { expiry, NO_TRIES, received as receivedStamp, redelivery, typeVersion } from "./stamps.ts";
import { isTransactional, type Received } from "./transport.ts";
import { START_TOGETHER } from "./worker-state.ts";

export interface InProcessExecutorOptions {
  readonly messenger: Messenger;
  /** Where the messages come from. */
  readonly transport: string;
  /** Attempts at a time. */
  readonly size: number;
  readonly logger?: Logger;
  /** Milliseconds between the abort of the signal and giving the attempt up. Default 1000 (design, section 3). */
  readonly graceMs?: number;
  /** Called when the timeout of an attempt starts, and again with each `context.heartbeat()`: for a watchdog outside the thread. */
  readonly onArm?: (received: Received, timeoutMs: number) => void;
  /** A service could not be reset: nothing should be handled here any more. What waits was given back. */
  readonly onResetFailed?: (error: ResetError) => void;
}

const DEFAULT_GRACE_MS = 1_000;
const KEPT_SIGNALS = 16;

/**
 * Runs handlers in this process, or in this thread: the bus under a timeout and a signal.
 *
 * A handler that ignores its signal cannot be stopped here; its late result is ignored and its place is given away after
 * the grace. The thread pool ends the thread instead.
 */
export function createInProcessExecutor(options: InProcessExecutorOptions): Executor {
  const executor = new InProcessExecutor(options);
  const gate = options.messenger.resets;
  return gate === undefined ? executor : new GatedExecutor(executor, gate, options.onResetFailed ?? (() => undefined));
}

/** What is known before the first handler runs. */
interface Prepared {
  readonly envelope: Envelope;
  readonly handlers: readonly HandlerDescriptor[];
  readonly type: AnyMessageType;
}

class InProcessExecutor implements Executor {
  readonly size: number;
  readonly startTogether = START_TOGETHER;
  readonly #messenger: Messenger;
  readonly #transport: string;
  readonly #host: AttemptHost;
  readonly #deadlines: Deadlines;
  readonly #running = new Map<AbortSignal, Roster<Attempt>>();
  #attempts = 0;
  readonly #closing = new AbortController();
  readonly #entry = new AttemptEntry();
  /** Runs in the context of the attempt. */
  readonly #handle = (attempt: Attempt, prepared: Prepared): Envelope | Promise<Envelope | Outcome> => {
    const { receipt, queue } = attempt.received;
    const envelope = prepared.envelope.with(receivedStamp({ transport: this.#transport, queue, receipt }), execution({ attempt }));
    return inTransaction(prepared) ? this.#runTransactional(attempt, envelope) : this.#messenger.buses.handling(envelope).run(envelope);
  };

  constructor(options: InProcessExecutorOptions) {
    this.size = options.size;
    this.#messenger = options.messenger;
    this.#transport = options.transport;
    const { messenger, transport } = options;
    const { clock } = messenger.runtime;
    this.#deadlines = new Deadlines(clock, (now) => this.#timeOut(now));
    this.#host = {
      transport,
      clock,
      logger: options.logger ?? messenger.logger,
      graceMs: options.graceMs ?? DEFAULT_GRACE_MS,
      maxRetriesOf: ({ envelope, queue }) => {
        const type = envelope === undefined ? undefined : messenger.registry.typeOf(envelope);
        return messenger.retryStrategy(type?.name ?? "", transport, queue).maxRetries;
      },
      onArm: options.onArm,
      watch: (deadline) => this.#deadlines.watch(deadline),
      giveUp: (attempt, cause) => this.#end(attempt, abandoned(cause)),
    };
  }

  execute(received: Received, signal: AbortSignal): Outcome | Promise<Outcome> {
    const { envelope, decodeError } = received;
    if (envelope === undefined) {
      const error = toErrorRecord(decodeError ?? new MessengerError("RECORD_UNDECODABLE", "the record was not decoded"));
      return { kind: decodeError?.code === "RECORD_TOO_NEW" ? "tooNew" : "undecodable", error };
    }
    const prepared = this.#prepare(envelope);
    if ("kind" in prepared) return prepared;
    if (signal.aborted) return { kind: "interrupted", reason: interruption(signal) };
    return this.#attempt(received, prepared, signal);
  }

  cancel(received: Received): void {
    for (const attempts of this.#running.values()) {
      for (const attempt of attempts.all()) if (attempt.received === received) attempt.abort({ kind: "interrupted", reason: "cancelled" });
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const attempts of this.#running.values())
      for (const attempt of attempts.all()) attempt.abort({ kind: "interrupted", reason: "shutdown" });
    this.#running.clear();
    this.#deadlines.clear();
  }

  /** Aborts what is past its deadline; the next one. */
  #timeOut(now: number): number {
    let next = Number.POSITIVE_INFINITY;
    for (const attempts of this.#running.values()) {
      for (const attempt of attempts.all()) {
        if (attempt.deadline <= now) attempt.timeOut();
        else next = Math.min(next, attempt.deadline);
      }
    }
    return next;
  }

  /** Type, version and handlers: what can end a message before any of its handlers runs. */
  #prepare(envelope: Envelope): Outcome | Prepared {
    const name = envelope.message.type;
    const type = this.#messenger.registry.typeOf(envelope);
    const bus = this.#messenger.buses.handling(envelope);
    const handlers = type === undefined ? [] : this.#messenger.handlers.for(type.name, { transport: this.#transport, bus: bus.name });
    if (type === undefined || (handlers.length === 0 && !bus.allowNoHandlers)) {
      const code = type === undefined ? "MESSAGE_TYPE_UNKNOWN" : "HANDLER_NOT_FOUND";
      return { kind: "noHandler", error: toErrorRecord(new MessengerError(code, `no handler is registered for message "${name}"`)) };
    }
    const version = envelope.last(typeVersion)?.version ?? 1;
    if (version > type.version) {
      return {
        kind: "tooNew",
        error: toErrorRecord(new MessengerError("RECORD_TOO_NEW", `"${name}" has version ${version}, this worker knows ${type.version}`)),
      };
    }
    const late = expired(envelope, this.#messenger.runtime.clock);
    if (late !== undefined) return { kind: "expired", error: toErrorRecord(late) };
    try {
      return { envelope: this.#adapt(envelope, type, version), handlers, type };
    } catch (error) {
      return { kind: "undecodable", error: toErrorRecord(error) };
    }
  }

  #adapt(envelope: Envelope, type: AnyMessageType, version: number): Envelope {
    let payload = envelope.message.payload;
    for (let from = version; from < type.version; from++) payload = type.upcast[from]?.(payload) ?? payload;
    const current =
      payload === envelope.message.payload && type.name === envelope.message.type
        ? envelope
        : envelope.withMessage({ type: type.name, payload });
    return current;
  }

  #attempt(received: Received, prepared: Prepared, signal: AbortSignal): Outcome | Promise<Outcome> {
    const { handlers, type } = prepared;
    const timeoutMs = timeoutOf(handlers, type, this.#messenger.config.defaults.timeoutMs);
    const running = this.#followers(signal);
    const attempt = new Attempt(received, this.#host, { timeoutMs, running });
    this.#attempts += 1;
    attempt.start();
    const ending = this.#entry.run(attempt, this.#handle, prepared);
    if (ending instanceof Envelope) {
      this.#end(attempt, HANDLED);
      return HANDLED;
    }
    return new Promise<Outcome>((report) => {
      attempt.report = report;
      // Two callbacks, and no asynchronous function: its frame would be the largest thing that a message leaves behind.
      ending.then(
        (result) => this.#end(attempt, result instanceof Envelope ? HANDLED : result),
        (error: unknown) => this.#end(attempt, classify(error, attempt.cause)),
      );
    });
  }

  #end(attempt: Attempt, outcome: Outcome): void {
    if (!attempt.end(outcome)) return;
    this.#attempts -= 1;
    if (this.#attempts === 0) this.#deadlines.release();
  }

  /** The running attempts that this signal ends. One listener per signal: a worker passes the same one for thousands of messages. */
  #followers(signal: AbortSignal): Roster<Attempt> {
    let attempts = this.#running.get(signal);
    if (attempts === undefined) {
      // A caller may pass a signal of its own with every message: those that are done with are let go.
      if (this.#running.size >= KEPT_SIGNALS) for (const [idle, { size }] of this.#running) if (size === 0) this.#running.delete(idle);
      const followers = new Roster<Attempt>();
      const onAbort = (): void => {
        this.#running.delete(signal);
        for (const attempt of followers.all()) attempt.abort({ kind: "interrupted", reason: interruption(signal) });
      };
      signal.addEventListener("abort", onAbort, { once: true, signal: this.#closing.signal });
      this.#running.set(signal, followers);
      attempts = followers;
    }
    return attempts;
  }

  async #runTransactional(attempt: Attempt, envelope: Envelope): Promise<Outcome> {
    const transport = this.#messenger.transport(this.#transport);
    if (!isTransactional(transport))
      throw new MessengerError(
        "CAPABILITY_MISSING",
        `transport "${this.#transport}" has no transactions: drop { transactional: true } or move the message`,
      );
    await transport.transaction(attempt.received.receipt, async (client) => {
      attempt.db = client;
      await this.#messenger.buses.handling(envelope).dispatch(envelope);
      // Past its time or its lease: the commit must not race with whoever has the message next.
      if (attempt.cause !== undefined) throw new MessengerError("INTERRUPTED", "the attempt was aborted before its commit");
    });
    return { kind: "handled", settled: true };
  }
}

const HANDLED: Outcome = { kind: "handled" };

/** Whether a handler that is still to run wants one. */
function inTransaction({ envelope, handlers }: Prepared): boolean {
  for (const { transactional, name } of handlers)
    if (transactional && envelope.last(redelivery)?.handled.includes(name) !== true) return true;
  return false;
}

/** Once it was started, a message has the time that its attempts take. */
function expired(envelope: Envelope, clock: Clock): MessengerError | undefined {
  const at = envelope.last(expiry)?.at;
  if (at === undefined || clock.now() <= at) return undefined;
  const tries = envelope.last(redelivery)?.tries ?? NO_TRIES;
  if (tries.failures + tries.crashes > 0) return undefined;
  return new MessengerError("MESSAGE_EXPIRED", `the message had to be started by ${new Date(at).toISOString()}`);
}

function timeoutOf(handlers: readonly HandlerDescriptor[], type: AnyMessageType, otherwise: number): number {
  if (handlers.length === 0) return type.timeoutMs ?? otherwise;
  let longest = 0;
  for (const handler of handlers) longest = Math.max(longest, handler.timeoutMs ?? type.timeoutMs ?? otherwise);
  return longest;
}

const interruption = (signal: AbortSignal): "shutdown" | "lease_lost" =>
  signal.reason instanceof LeaseLostError ? "lease_lost" : "shutdown";

function abandoned(cause: AbortCause): Outcome {
  return cause.kind === "timedOut" ? { kind: "timedOut", timeoutMs: cause.timeoutMs } : { kind: "interrupted", reason: cause.reason };
}

/** What was thrown, as an outcome. An attempt that was aborted ended because of that, whatever it threw on the way out. */
function classify(error: unknown, cause: AbortCause | undefined): Outcome {
  if (error instanceof LeaseLostError) return { kind: "interrupted", reason: "lease_lost" };
  const done = error instanceof HandlerFailedError ? error.handled : [];
  if (cause?.kind === "interrupted") return { kind: "interrupted", reason: cause.reason };
  if (cause?.kind === "timedOut") return { kind: "timedOut", timeoutMs: cause.timeoutMs, handled: done };
  if (error instanceof ValidationError) return { kind: "undecodable", error: toErrorRecord(error) };
  if (!(error instanceof HandlerFailedError)) return { kind: "failed", failure: toReport([error]) };
  const thrown = error.failures.map((failure) => failure.error);
  const snooze = thrown.find((one) => one instanceof Snooze);
  if (snooze instanceof Snooze && thrown.length === 1) return { kind: "snoozed", delayMs: snooze.delayMs };
  return { kind: "failed", failure: toReport(thrown.filter((one) => !(one instanceof Snooze))), handled: done };
}

interface Marked {
  readonly unrecoverable?: unknown;
  readonly recoverable?: unknown;
  readonly retryDelayMs?: unknown;
  readonly stopsWorker?: unknown;
}

/** One report for all that was thrown: final only when every error is, to be repeated when any is. */
function toReport(thrown: readonly unknown[]): FailureReport {
  const marks = thrown.map((one): Marked => (typeof one === "object" && one !== null ? readMarks(one) : {}));
  const again = marks.some((mark) => mark.recoverable === true);
  const final = !again && marks.every((mark) => mark.unrecoverable === true);
  const delays = marks
    .map((mark) => mark.retryDelayMs)
    .filter((ms): ms is number => typeof ms === "number" && ms >= 0 && Number.isFinite(ms));
  return {
    error: toErrorRecord(thrown[0]),
    ...(final ? { unrecoverable: true } : {}),
    ...(again ? { recoverable: true } : {}),
    ...(marks.some((mark) => mark.stopsWorker === true) ? { stopsWorker: true } : {}),
    ...(delays.length > 0 ? { retryDelayMs: Math.max(...delays) } : {}),
  };
}

function readMarks(thrown: object): Marked {
  try {
    const { unrecoverable, recoverable, retryDelayMs, stopsWorker } = thrown as Marked;
    return { unrecoverable, recoverable, retryDelayMs, stopsWorker };
  } catch {
    // A getter that throws says nothing about the failure: the strategy decides.
    return {};
  }
}
