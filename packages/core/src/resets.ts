import type { Clock } from "./clock.ts";
import { LeaseLostError, MessengerError, OptionsError } from "./errors.ts";
import type { Executor, Outcome } from "./execute.ts";
import type { OptionParser } from "./options.ts";
import type { Received } from "./transport.ts";

/** Something that keeps state in memory and can put it back to how it was at the start: a cache, a tenant, a unit of work. */
export type Resettable = (() => void | Promise<void>) | { reset(): void | Promise<void> };

export const resettable: OptionParser<Resettable> = {
  parse(value, path) {
    if (typeof value === "function" || typeof (value as { reset?: unknown } | null | undefined)?.reset === "function")
      return value as Resettable;
    throw new OptionsError(path, value, "must be a function, or an object with a method reset()");
  },
};

/** What was in memory could not be put back: the next message must not meet it. */
export class ResetError extends MessengerError {
  constructor(service: string, cause: unknown) {
    super("RESET_FAILED", `the service "${service}" could not be reset between two messages`, { cause, details: { service } });
  }
}

/** Milliseconds for one reset: what takes longer is not put back between two messages. */
const RESET_TIMEOUT_MS = 10_000;

interface GateOptions {
  readonly services: Readonly<Record<string, Resettable>>;
  /** Messages between two resets, 1 or more. */
  readonly every: number;
  readonly clock: Clock;
  /** Milliseconds for one reset. Default 10000. */
  readonly timeoutMs?: number;
}

/**
 * Resets services between messages, in the thread or process that they belong to. Messages that run at the same time
 * share them: once one of these has ended, the next ones wait until all of them have, and everything is reset. So no
 * message meets what an earlier one left behind, and no reset meets a running handler.
 */
export class ResetGate {
  readonly #o: GateOptions;
  readonly #onFailed = new Set<(error: ResetError) => void>();
  #running = 0;
  #ended = 0;
  #opening: PromiseWithResolvers<ResetError | undefined> | undefined;
  #resetting = false;

  constructor(options: GateOptions) {
    this.#o = options;
  }

  /** Calls `listener` with every reset that fails, until the returned function is called. */
  onFailed(listener: (error: ResetError) => void): () => void {
    this.#onFailed.add(listener);
    return () => this.#onFailed.delete(listener);
  }

  /** False: a reset is due. Whoever got in calls `leave`. */
  tryEnter(): boolean {
    if (this.#ended >= this.#o.every) return false;
    this.#running += 1;
    return true;
  }

  /** After `tryEnter` was refused: resolves when it is worth another try, with the error of a reset that failed. */
  whenOpen(): Promise<ResetError | undefined> {
    this.#opening ??= Promise.withResolvers();
    const { promise } = this.#opening;
    // Due, and nothing runs: the last one failed.
    if (this.#running === 0 && !this.#resetting) void this.#reset();
    return promise;
  }

  leave(): void {
    this.#running -= 1;
    this.#ended += 1;
    if (this.#running === 0 && this.#ended >= this.#o.every) void this.#reset();
  }

  /** Resolves when no reset is under way. */
  async idle(): Promise<void> {
    if (this.#resetting) await this.#opening?.promise;
  }

  async #reset(): Promise<void> {
    this.#resetting = true;
    this.#opening ??= Promise.withResolvers();
    const opening = this.#opening;
    let failed: ResetError | undefined;
    // All of them, one after the other: one that fails does not keep the others from being reset.
    for (const [name, service] of Object.entries(this.#o.services)) {
      try {
        await this.#resetOne(service);
      } catch (error) {
        failed ??= new ResetError(name, error);
      }
    }
    if (failed === undefined) this.#ended = 0;
    this.#resetting = false;
    this.#opening = undefined;
    if (failed !== undefined) for (const listener of this.#onFailed) listener(failed);
    opening.resolve(failed);
  }

  async #resetOne(service: Resettable): Promise<void> {
    const { clock, timeoutMs = RESET_TIMEOUT_MS } = this.#o;
    const late = Promise.withResolvers<never>();
    const timer = clock.schedule(timeoutMs, () => late.reject(new Error(`it took longer than ${timeoutMs} ms`)));
    try {
      await Promise.race([typeof service === "function" ? service() : service.reset(), late.promise]);
    } finally {
      timer.cancel();
    }
  }
}

/** Lets messages through the gate, one executor of perhaps several in this thread or process. */
export class GatedExecutor implements Executor {
  readonly #inner: Executor;
  readonly #gate: ResetGate;
  readonly #forget: () => void;
  readonly #waiting = new Map<Received, (outcome: Outcome) => void>();

  constructor(inner: Executor, gate: ResetGate, onFailed: (error: ResetError) => void) {
    this.#inner = inner;
    this.#gate = gate;
    this.#forget = gate.onFailed(onFailed);
  }

  get size(): number {
    return this.#inner.size;
  }

  get startTogether(): number | undefined {
    return this.#inner.startTogether;
  }

  async execute(received: Received, signal: AbortSignal): Promise<Outcome> {
    while (!this.#gate.tryEnter()) {
      const refusal = await this.#wait(received, signal);
      if (refusal !== undefined) return refusal;
    }
    try {
      return await this.#inner.execute(received, signal);
    } finally {
      this.#gate.leave();
    }
  }

  cancel(received: Received): void {
    const waiting = this.#waiting.get(received);
    if (waiting === undefined) this.#inner.cancel?.(received);
    else waiting({ kind: "interrupted", reason: "cancelled" });
  }

  async close(): Promise<void> {
    for (const end of this.#waiting.values()) end({ kind: "interrupted", reason: "shutdown" });
    await this.#inner.close();
    await this.#gate.idle();
    this.#forget();
  }

  /** Undefined: the gate has opened. */
  async #wait(received: Received, signal: AbortSignal): Promise<Outcome | undefined> {
    const { promise, resolve } = Promise.withResolvers<Outcome | undefined>();
    const leave = (): void => resolve({ kind: "interrupted", reason: interruption(signal) });
    this.#waiting.set(received, resolve);
    signal.addEventListener("abort", leave, { once: true });
    if (signal.aborted) leave();
    // Not this message's fault: it goes back uncounted, to be handled where everything is in order.
    void this.#gate.whenOpen().then((error) => resolve(error === undefined ? undefined : { kind: "interrupted", reason: "neighbour" }));
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", leave);
      this.#waiting.delete(received);
    }
  }
}

const interruption = (signal: AbortSignal): "shutdown" | "lease_lost" =>
  signal.reason instanceof LeaseLostError ? "lease_lost" : "shutdown";
