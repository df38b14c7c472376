import type { Clock } from "./clock.ts";
import type { Decision } from "./decide.ts";
import { MessengerError } from "./errors.ts";
import type { Logger } from "./logger.ts";
import type { ProcessSpan } from "./telemetry/process-span.ts";
import type { Receipt, Receiver, Rejection, Settled } from "./transport.ts";

/** How a span calls what was done. */
const SETTLEMENTS = { acknowledge: "ack", retry: "retry", deadLetter: "dead_letter", release: "release" } as const;

interface Traced {
  readonly receipt: Receipt;
  readonly span: ProcessSpan;
  readonly operation: string;
}

/**
 * Performs decisions; the only caller of `acknowledge` and `reject`. Decisions that come while a write is under way go
 * out together with the next one, so that batches grow with the load and a single message at idle does not wait.
 *
 * A write that failed is repeated, never the handler: the caller calls `flush` again while the lease lives. Rejections
 * that could not be written are set aside until then, so that they hold up nothing else: where they are to go (the dead
 * letters) may be closed while everything else works.
 */
export class Settler {
  readonly #receiver: Receiver;
  readonly #logger: Logger;
  readonly #onLost: (receipt: Receipt) => void;
  readonly #onRetried: (receipt: Receipt, delayMs: number) => void;
  readonly #onWritten: (durationMs: number, error?: unknown) => void;
  readonly #clock: Clock;
  #acknowledgements: Receipt[] = [];
  #rejections: Rejection[] = [];
  /** Could not be written. */
  #failed: Rejection[] = [];
  #writing = 0;
  /** Those of the acknowledgements whose attempts are traced, in the same order: few, or none. */
  #traced: Traced[] = [];
  /** Of the rejections whose attempts are traced. */
  readonly #spans = new Map<string, Traced>();

  constructor(o: {
    receiver: Receiver;
    logger: Logger;
    onLost: (receipt: Receipt) => void;
    /** A retry is stored. Not for what is released, perhaps for later, without an attempt's being counted. */
    onRetried?: (receipt: Receipt, delayMs: number) => void;
    /** After every write of its own, successful or not; what rides with a receive is not one. */
    onWritten?: (durationMs: number, error?: unknown) => void;
    clock: Clock;
  }) {
    this.#receiver = o.receiver;
    this.#logger = o.logger;
    this.#onLost = o.onLost;
    this.#onRetried = o.onRetried ?? (() => undefined);
    this.#onWritten = o.onWritten ?? (() => undefined);
    this.#clock = o.clock;
  }

  /** Decisions that are not recorded yet, those under way included. */
  get pending(): number {
    return this.waiting + this.#failed.length + this.#writing;
  }

  /** Rejections whose write has failed, until they are taken up again. */
  get failed(): number {
    return this.#failed.length;
  }

  /** Decisions that nobody has tried to write down yet. */
  get waiting(): number {
    return this.#acknowledgements.length + this.#rejections.length;
  }

  get hasRejections(): boolean {
    return this.#rejections.length > 0;
  }

  add(receipt: Receipt, decision: Decision, span?: ProcessSpan): void {
    const traced = span?.isRecorded === true ? { receipt, span, operation: SETTLEMENTS[decision.kind] } : undefined;
    if (decision.kind === "acknowledge") {
      if (decision.alreadySettled) return;
      this.#acknowledgements.push(receipt);
      if (traced !== undefined) this.#traced.push(traced);
      return;
    }
    if (traced !== undefined) this.#spans.set(receipt.id, traced);
    switch (decision.kind) {
      case "retry":
        this.#rejections.push({ receipt, retryInMs: decision.delayMs, patch: decision.patch });
        return;
      case "deadLetter":
        this.#rejections.push({ receipt, deadLetter: decision.failure, patch: decision.patch });
        return;
      case "release":
        if (decision.delayMs > 0) this.#rejections.push({ receipt, retryInMs: decision.delayMs, patch: decision.patch });
        else this.#rejections.push({ receipt, release: true, patch: decision.patch });
        return;
    }
  }

  /** Takes waiting acknowledgements out, to be written by `ride` or `flush`. */
  take(max: number): readonly Receipt[] {
    const taken = this.#acknowledgements.splice(0, max);
    this.#writing += taken.length;
    return taken;
  }

  /** Follows receipts from `take` that ride with a receive: without a word of their outcome by the `end`, they go again. */
  ride(receipts: readonly Receipt[]): { settled: (settled: readonly Settled[]) => void; end: () => void } {
    let known = receipts.length === 0;
    const startedAt = this.#clock.monotonic();
    const traced = this.#takeTraced(receipts);
    return {
      settled: (settled) => {
        known = true;
        this.#report(settled);
        this.#trace(traced, settled, startedAt);
      },
      end: () => {
        this.#writing -= receipts.length;
        if (known) return;
        this.#acknowledgements.unshift(...receipts);
        this.#traced.unshift(...traced);
      },
    };
  }

  #takeTraced(receipts: readonly Receipt[]): readonly Traced[] {
    if (this.#traced.length === 0) return [];
    let count = 0;
    for (const receipt of receipts) if (receipt === this.#traced[count]?.receipt) count += 1;
    return this.#traced.splice(0, count);
  }

  /**
   * Writes everything, also what has failed before.
   *
   * @throws {TransportError} `TRANSPORT_UNAVAILABLE`; nothing is forgotten, call again.
   */
  async flush(): Promise<void> {
    this.takeUpFailed();
    await Promise.all([this.flushAcknowledgements(), this.flushRejections()]);
  }

  /** Those whose write has failed wait with the others again. */
  takeUpFailed(): void {
    this.#rejections = [...this.#failed.splice(0), ...this.#rejections];
  }

  /** @throws {TransportError} nothing is forgotten: the acknowledgements wait again. */
  async flushAcknowledgements(): Promise<void> {
    if (this.#acknowledgements.length === 0) return;
    const receipts = this.take(this.#acknowledgements.length);
    const ride = this.ride(receipts);
    try {
      ride.settled(await this.#timed(() => this.#receiver.acknowledge(receipts)));
    } finally {
      ride.end();
    }
  }

  /** @throws {TransportError} nothing is forgotten: what could not be written is set aside. */
  async flushRejections(): Promise<void> {
    if (this.#rejections.length === 0) return;
    const [dead, back] = partition(this.#rejections, (rejection) => "deadLetter" in rejection);
    this.#rejections = [];
    await Promise.all([this.#reject(back), this.#reject(dead)]);
  }

  async #reject(rejections: readonly Rejection[]): Promise<void> {
    if (rejections.length === 0) return;
    this.#writing += rejections.length;
    try {
      const startedAt = this.#clock.monotonic();
      this.#rejected(await this.#timed(() => this.#receiver.reject(rejections)), startedAt, rejections);
    } catch (error) {
      if (isUnavailable(error) || rejections.length === 1) {
        this.#failed.push(...rejections);
        throw error;
      }
      // One of them may be what the store cannot take: the others must not wait for it.
      await this.#rejectOneByOne(rejections, error);
    } finally {
      this.#writing -= rejections.length;
    }
  }

  async #timed<T>(write: () => Promise<T>): Promise<T> {
    const startedAt = this.#clock.monotonic();
    try {
      const result = await write();
      this.#onWritten(this.#clock.monotonic() - startedAt);
      return result;
    } catch (error) {
      this.#onWritten(this.#clock.monotonic() - startedAt, error);
      throw error;
    }
  }

  async #rejectOneByOne(rejections: readonly Rejection[], cause: unknown): Promise<void> {
    this.#logger.warn({ err: cause, count: rejections.length }, "a batch of rejections failed, writing them one by one");
    const errors: unknown[] = [];
    for (const rejection of rejections) {
      try {
        const startedAt = this.#clock.monotonic();
        this.#rejected(await this.#receiver.reject([rejection]), startedAt, [rejection]);
      } catch (error) {
        this.#failed.push(rejection);
        errors.push(error);
        if (!isUnavailable(error))
          this.#logger.error({ err: error, message_id: rejection.receipt.id }, "a rejection cannot be written; it is tried again");
      }
    }
    if (errors.length > 0) throw errors[0];
  }

  /** Forgets everything: the lease is gone, others have the messages. */
  discard(): void {
    for (const receipt of this.#acknowledgements) this.#onLost(receipt);
    for (const { receipt } of [...this.#rejections, ...this.#failed]) this.#onLost(receipt);
    this.#acknowledgements = [];
    this.#rejections = [];
    this.#failed = [];
    this.#traced = [];
    this.#spans.clear();
  }

  #report(settled: readonly Settled[]): void {
    for (const { receipt, status } of settled) if (status === "lease_lost") this.#onLost(receipt);
  }

  #rejected(settled: readonly Settled[], startedAt: number, rejections: readonly Rejection[]): void {
    this.#tellRetried(settled, rejections);
    this.#report(settled);
    if (this.#spans.size === 0) return;
    const traced = rejections.flatMap(({ receipt }) => this.#spans.get(receipt.id) ?? []);
    for (const { receipt } of traced) this.#spans.delete(receipt.id);
    this.#trace(traced, settled, startedAt);
  }

  #trace(traced: readonly Traced[], settled: readonly Settled[], startedAt: number): void {
    if (traced.length === 0) return;
    const now = this.#clock.monotonic();
    const lost = new Set(settled.filter(({ status }) => status === "lease_lost").map(({ receipt }) => receipt.id));
    for (const { receipt, span, operation } of traced) span.settled(operation, startedAt, now, lost.has(receipt.id));
  }

  #tellRetried(settled: readonly Settled[], rejections: readonly Rejection[]): void {
    if (!rejections.some((rejection) => "retryInMs" in rejection)) return;
    const stored = new Set(settled.filter(({ status }) => status === "settled").map(({ receipt }) => receipt.id));
    for (const rejection of rejections) {
      const counts = "retryInMs" in rejection && rejection.patch?.tries !== undefined;
      if (counts && stored.has(rejection.receipt.id)) this.#onRetried(rejection.receipt, rejection.retryInMs);
    }
  }
}

const isUnavailable = (error: unknown): boolean => error instanceof MessengerError && error.code === "TRANSPORT_UNAVAILABLE";

function partition<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  const [yes, no]: [T[], T[]] = [[], []];
  for (const item of items) (test(item) ? yes : no).push(item);
  return [yes, no];
}
