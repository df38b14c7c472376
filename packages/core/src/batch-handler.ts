import { currentAttempt } from "./attempt.ts";
import { systemClock, type Timer } from "./clock.ts";
import { Snooze } from "./context.ts";
import { MessengerError, OptionsError } from "./errors.ts";
import { defineHandler, type HandlerContext, type HandlerDescriptor, type HandlerOptions } from "./handlers.ts";
import type { MessageType } from "./message.ts";
import { integer } from "./options.ts";
import { inTrace, type TraceContext, traceHere } from "./telemetry/carry.ts";
import { Tracing } from "./telemetry/tracing.ts";

/** One message of a batch. Its first outcome counts, later ones are ignored. */
export interface BatchItem<Output> {
  readonly payload: Output;
  readonly context: HandlerContext;
  /** It is handled. */
  ack(): void;
  /** It failed, as if a handler of its own had thrown `error`. */
  fail(error: unknown): void;
  /** Back after `delayMs`, uncounted. */
  snooze(delayMs: number): void;
}

export type BatchFunction<Output> = (items: readonly BatchItem<Output>[]) => Promise<void> | void;

export interface BatchOptions extends Omit<HandlerOptions, "transactional"> {
  /** Messages in a batch at most, 2 to 10000. More than a worker handles at a time never come together. */
  readonly size: number;
  /** Milliseconds that the first message of a batch waits for others, 0 to 60000. Default 50. */
  readonly maxWaitMs?: number;
}

const schema = { size: integer({ min: 2, max: 10_000 }), maxWaitMs: integer({ min: 0, max: 60_000, default: 50 }) };

/**
 * Binds a function to a message type that takes several messages at a time: what one thread, or with `inline` one
 * process, has of this type at the same time, in the order in which they came.
 *
 * Each message keeps an outcome, attempts and timeout of its own; the timeout starts with the batch. Say the outcome of
 * every item, or of none: when the function returns, all are handled, unless it has said something about some; then one
 * that was left out fails with `BATCH_OUTCOME_MISSING`. When it throws, everything fails that has no outcome yet.
 *
 * At least once, as with any handler: after a crash the messages come again, perhaps in other company. A batch that
 * takes its thread down is taken apart, and its messages run alone.
 *
 * @throws {OptionsError} `OPTIONS_INVALID`, naming the field.
 * @example
 * const store = defineBatchHandler(Reading, async (items) => {
 *   await insertAll(items.map((item) => item.payload));
 * }, { size: 100, maxWaitMs: 200 });
 */
export function defineBatchHandler<Input, Output>(
  message: MessageType<Input, Output>,
  handle: BatchFunction<Output>,
  options: BatchOptions,
): HandlerDescriptor {
  const where = `batch handler of "${message?.name}"`;
  if (typeof handle !== "function") throw new OptionsError(where, handle, "must be a function");
  const { size, maxWaitMs, ...rest } = options ?? {};
  if ("transactional" in rest)
    throw new OptionsError(`${where}.transactional`, rest.transactional, "is not possible: a transaction acknowledges one message");
  const batch = {
    size: schema.size.parse(size, `${where}.size`),
    maxWaitMs: schema.maxWaitMs.parse(maxWaitMs, `${where}.maxWaitMs`),
  };
  const collector = new Collector(handle, batch);
  const name = handle.name === "" ? {} : { name: handle.name };
  const descriptor = defineHandler(message, (payload: Output, context) => collector.add(payload, context), { ...name, ...rest });
  return Object.freeze({ ...descriptor, batch });
}

class Item<Output> implements BatchItem<Output> {
  readonly payload: Output;
  /** What ran when it came: its attempt. Absent without tracing. */
  readonly trace: TraceContext | undefined;
  readonly #context: HandlerContext;
  readonly #outcome = Promise.withResolvers<void>();
  isDecided = false;

  constructor(payload: Output, context: HandlerContext, trace: TraceContext | undefined) {
    this.payload = payload;
    this.trace = trace;
    this.#context = context;
  }

  get context(): HandlerContext {
    // The logger takes the trace that it is made in, and there it must be the message's and not the batch's.
    if (this.trace !== undefined) inTrace(this.trace, () => this.#context.logger);
    return this.#context;
  }

  heartbeat(): void {
    this.#context.heartbeat();
  }

  get outcome(): Promise<void> {
    return this.#outcome.promise;
  }

  ack(): void {
    this.isDecided = true;
    this.#outcome.resolve();
  }

  fail(error: unknown): void {
    this.isDecided = true;
    this.#outcome.reject(error);
  }

  snooze(delayMs: number): void {
    // Checks the delay, and throws what the executor knows.
    try {
      this.#context.snooze(delayMs);
    } catch (error) {
      if (!(error instanceof Snooze)) throw error;
      this.fail(error);
    }
  }
}

/** Gathers the messages of one handler and gives them to it, a batch at a time. */
class Collector<Output> {
  readonly #handle: BatchFunction<Output>;
  readonly #o: { readonly size: number; readonly maxWaitMs: number };
  #waiting: Item<Output>[] = [];
  #timer: Timer | undefined;
  #tracing: { readonly found: Tracing | undefined } | undefined;

  constructor(handle: BatchFunction<Output>, options: { readonly size: number; readonly maxWaitMs: number }) {
    this.#handle = handle;
    this.#o = options;
  }

  add(payload: Output, context: HandlerContext): Promise<void> {
    // Now and not at definition: whoever defines a handler has not set up anything yet.
    this.#tracing ??= { found: Tracing.find() };
    const item = new Item(payload, context, this.#tracing.found === undefined ? undefined : traceHere());
    const { signal } = context;
    if (signal.aborted) item.fail(signal.reason);
    else {
      this.#waiting.push(item);
      // Nobody waits any more for one that is cancelled, or whose worker stops, before its batch has begun.
      const leave = (): void => this.#leave(item);
      signal.addEventListener("abort", leave, { once: true });
      this.#schedule();
    }
    return item.outcome;
  }

  #leave(item: Item<Output>): void {
    if (!this.#waiting.includes(item)) return;
    this.#waiting = this.#waiting.filter((each) => each !== item);
    if (this.#waiting.length === 0) this.#stopTimer();
    item.fail(item.context.signal.reason);
  }

  #stopTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #schedule(): void {
    // Never within the call of one message: what the batch does must not be taken for that one's doing.
    if (this.#waiting.length === this.#o.size) queueMicrotask(() => this.#flush(this.#o.size));
    else if (this.#waiting.length < this.#o.size)
      this.#timer ??= (currentAttempt.getStore()?.clock ?? systemClock).schedule(this.#o.maxWaitMs, () => this.#flush(1));
  }

  /** Runs a batch if so many are there. */
  #flush(atLeast: number): void {
    if (this.#waiting.length < atLeast) return;
    this.#stopTimer();
    const items = this.#waiting.splice(0, this.#o.size);
    for (const item of items) item.heartbeat();
    void currentAttempt.exit(() => this.#run(items));
    if (this.#waiting.length > 0) this.#schedule();
  }

  /** The queue is the first one's: a batch may be from several. */
  #traced(items: readonly Item<Output>[], handle: () => Promise<void>): Promise<void> {
    const [first] = items;
    const tracing = this.#tracing?.found;
    if (tracing === undefined || first === undefined) return handle();
    const { queue, type } = first.context;
    return tracing.batch({ queue, type, attempts: items.flatMap(({ trace }) => trace ?? []) }, handle);
  }

  /** Never rejects. */
  async #run(items: readonly Item<Output>[]): Promise<void> {
    let otherwise: (item: Item<Output>) => void;
    try {
      await this.#traced(items, async () => this.#handle(items));
      const missing = (item: Item<Output>): void => item.fail(noOutcome(item.context));
      otherwise = items.some((item) => item.isDecided) ? missing : (item) => item.ack();
    } catch (error) {
      otherwise = (item) => item.fail(error);
    }
    for (const item of items) if (!item.isDecided) otherwise(item);
  }
}

const noOutcome = ({ messageId }: HandlerContext): MessengerError =>
  new MessengerError("BATCH_OUTCOME_MISSING", `the batch handler said nothing about the message ${messageId}`, { details: { messageId } });
