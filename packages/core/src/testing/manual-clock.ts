import { type Clock, createIdGenerator, type Runtime, type Timer } from "../clock.ts";

interface PendingTimer {
  readonly dueMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** A timer that sets itself anew without end would hang the test; this many in one `advance` are no honest program. */
const MOST_TIMERS = 1_000_000;

/** Time that stands still until a test moves it. Nothing here keeps a process alive. */
export class ManualClock implements Clock {
  #passedMs = 0;
  #wallMs: number;
  #order = 0;
  readonly #pending = new Set<PendingTimer>();

  /** @param startAt - Wall clock at the start, milliseconds since 1970. Default: 2026-01-01T00:00:00Z. */
  constructor(startAt: number = Date.UTC(2026, 0, 1)) {
    this.#wallMs = startAt;
  }

  now(): number {
    return Math.floor(this.#wallMs + this.#passedMs);
  }

  monotonic(): number {
    return this.#passedMs;
  }

  schedule(delayMs: number, run: () => void): Timer {
    this.#order += 1;
    const timer = { dueMs: this.#passedMs + Math.max(0, delayMs), order: this.#order, run };
    this.#pending.add(timer);
    return {
      cancel: () => {
        this.#pending.delete(timer);
      },
    };
  }

  /** Timers that are set and have neither fired nor been cancelled. A test that ends with some has left something running. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Milliseconds until the next timer fires; undefined when none is set. */
  get nextInMs(): number | undefined {
    const next = this.#next();
    return next === undefined ? undefined : next.dueMs - this.#passedMs;
  }

  /**
   * Lets `ms` milliseconds pass: runs every timer that falls due on the way, in order, those too that were set
   * meanwhile, and after each lets promises settle.
   *
   * @throws whatever a timer throws; the time stays where it was due.
   */
  async advance(ms: number): Promise<void> {
    const target = this.#passedMs + ms;
    await settle();
    for (let ran = 0; ; ran++) {
      const next = this.#next();
      if (next === undefined || next.dueMs > target) break;
      if (ran >= MOST_TIMERS) throw new Error(`more than ${MOST_TIMERS} timers fired within ${ms} ms: one sets itself anew without end`);
      this.#passedMs = Math.max(this.#passedMs, next.dueMs);
      this.#pending.delete(next);
      next.run();
      await settle();
    }
    this.#passedMs = target;
  }

  /** Sets the wall clock forwards or backwards, as an operator or NTP does; durations and timers do not notice. */
  stepWall(ms: number): void {
    this.#wallMs += ms;
  }

  #next(): PendingTimer | undefined {
    let first: PendingTimer | undefined;
    for (const timer of this.#pending) {
      if (first === undefined || timer.dueMs < first.dueMs || (timer.dueMs === first.dueMs && timer.order < first.order)) first = timer;
    }
    return first;
  }
}

/** Lets everything run that waits for settled promises only: a macrotask comes after all of them. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export interface ManualRuntime extends Runtime {
  readonly clock: ManualClock;
}

/**
 * Time, randomness and ids that are the same in every run.
 *
 * @param options.seed - Another seed, another course of "random" events. Default 1.
 */
export function createManualRuntime(options: { startAt?: number; seed?: number } = {}): ManualRuntime {
  const clock = new ManualClock(options.startAt);
  const random = seededRandom(options.seed ?? 1);
  const bytes = (count: number): Buffer => Buffer.from(Array.from({ length: count }, () => Math.floor(random() * 256)));
  return { clock, random, newId: createIdGenerator(clock, bytes) };
}

/** Uniform in [0, 1); a linear congruential generator modulo 2^48, of which the upper bits are used. */
export function seededRandom(seed: number): () => number {
  const mask = (1n << 48n) - 1n;
  let state = (BigInt(Math.trunc(seed)) ^ 0x5deece66dn) & mask;
  return () => {
    state = (state * 0x5deece66dn + 0xbn) & mask;
    return Number(state >> 16n) / 2 ** 32;
  };
}
