import type { Attempt } from "./attempt.ts";
import { execution } from "./attempt.ts";
import type { DispatchOptions, DispatchReceipt } from "./dispatch-options.ts";
import type { Envelope } from "./envelope.ts";
import { MessengerError } from "./errors.ts";
import type { HandlerContext, HandlerDescriptor } from "./handlers.ts";
import { type Logger, silentLogger } from "./logger.ts";
import { DEFAULT_PRIORITY, type MessageType } from "./message.ts";
import { attemptOf, dispatched, headers, messageId, metadata, partitionKey, priority, received } from "./stamps.ts";
import { activeLogFields } from "./telemetry/process-span.ts";

/** Thrown by `context.snooze`; the executor knows it, nobody else should. */
export class Snooze extends Error {
  readonly delayMs: number;

  constructor(delayMs: number) {
    super("snoozed");
    this.delayMs = delayMs;
  }
}

export type DispatchFunction = (
  type: MessageType<unknown, unknown>,
  payload: unknown,
  options: DispatchOptions,
  parent: Envelope,
  db: unknown,
) => Promise<DispatchReceipt>;

/** What a handler sees of its message; values are read from the envelope when they are asked for. */
export class EnvelopeContext implements HandlerContext {
  readonly #envelope: Envelope;
  readonly #handler: HandlerDescriptor;
  readonly #dispatch: DispatchFunction;
  readonly #attempt: Attempt | undefined;
  #logger: Logger | undefined;

  constructor(envelope: Envelope, handler: HandlerDescriptor, dispatch: DispatchFunction) {
    this.#envelope = envelope;
    this.#handler = handler;
    this.#dispatch = dispatch;
    this.#attempt = envelope.last(execution)?.attempt;
  }

  get messageId(): string {
    return this.#envelope.last(messageId)?.id ?? "";
  }
  get type(): string {
    return this.#envelope.message.type;
  }
  get queue(): string {
    return this.#envelope.last(received)?.queue ?? "";
  }
  get transport(): string {
    return this.#envelope.last(received)?.transport ?? "";
  }
  get attempt(): number {
    return attemptOf({ envelope: this.#envelope });
  }
  get maxRetries(): number {
    return this.#attempt?.maxRetries ?? 0;
  }
  get priority(): number {
    return this.#envelope.last(priority)?.priority ?? this.#attempt?.received.priority ?? DEFAULT_PRIORITY;
  }
  get dispatchedAt(): Date {
    return new Date(this.#envelope.last(dispatched)?.at ?? 0);
  }
  get headers(): Readonly<Record<string, string>> {
    return this.#envelope.last(headers) ?? {};
  }
  get metadata(): Readonly<Record<string, unknown>> {
    return this.#envelope.last(metadata) ?? {};
  }
  get partitionKey(): string | undefined {
    return this.#envelope.last(partitionKey)?.key;
  }
  get signal(): AbortSignal {
    return this.#attempt?.signal ?? neverAborted;
  }
  get logger(): Logger {
    this.#logger ??= (this.#attempt?.logger ?? silentLogger).child({
      message_id: this.messageId,
      message_type: this.type,
      queue: this.queue,
      attempt: this.attempt,
      ...activeLogFields(),
    });
    return this.#logger;
  }
  get db(): unknown {
    if (this.#handler.transactional && this.#attempt?.db !== undefined) return this.#attempt.db;
    throw new MessengerError(
      "CAPABILITY_MISSING",
      `handler "${this.#handler.name}" has no context.db: declare it with { transactional: true }`,
    );
  }

  dispatch<Input>(type: MessageType<Input, unknown>, payload: Input, options: DispatchOptions = {}): Promise<DispatchReceipt> {
    return this.#dispatch(
      type as MessageType<unknown, unknown>,
      payload,
      options,
      this.#envelope,
      this.#handler.transactional ? this.#attempt?.db : undefined,
    );
  }

  heartbeat(): void {
    this.#attempt?.heartbeat();
  }

  snooze(delayMs: number): never {
    if (!Number.isFinite(delayMs) || delayMs < 0) {
      throw new MessengerError("DISPATCH_OPTIONS_INVALID", `snooze(delayMs) must be 0 or more milliseconds, got ${delayMs}`);
    }
    throw new Snooze(delayMs);
  }
}

const neverAborted = new AbortController().signal;
