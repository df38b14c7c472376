import { randomBytes } from "node:crypto";

/** A timer that was set and may be cancelled; cancelling twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

/** The only source of time in the library. Tests pass `ManualClock` from `@symphony/core/testing`. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. For timestamps that are stored or shown; may step backwards. */
  now(): number;
  /**
   * Milliseconds since an arbitrary point, the same one in all processes of a machine; never steps. For durations and
   * deadlines, and to tell another process when something was.
   */
  monotonic(): number;
  /** Calls `run` once after `delayMs` milliseconds; any non-negative number, also over 2^31. Keeps the process alive unless `unref`. */
  schedule(delayMs: number, run: () => void, options?: { unref?: boolean }): Timer;
}

/** Time, randomness and ids, injected together. */
export interface Runtime {
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** A new UUIDv7, greater than all before it from the same runtime. */
  readonly newId: () => string;
}

// Node turns a longer delay into 1 ms.
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** `performance.now` counts from the start of the process, or of the thread; this is where that lies on the machine's clock. */
const ORIGIN_MS = Number(process.hrtime.bigint()) / 1e6 - performance.now();

class SystemTimer implements Timer {
  readonly #run: () => void;
  readonly #unref: boolean;
  #handle: NodeJS.Timeout | undefined;

  constructor(run: () => void, unref: boolean) {
    this.#run = run;
    this.#unref = unref;
  }

  arm(leftMs: number): void {
    const stepMs = Math.min(Math.max(leftMs, 0), LONGEST_TIMER_MS);
    this.#handle = setTimeout(leftMs > stepMs ? () => this.arm(leftMs - stepMs) : this.#run, stepMs);
    if (this.#unref) this.#handle.unref();
  }

  cancel(): void {
    clearTimeout(this.#handle);
  }
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => ORIGIN_MS + performance.now(),
  schedule(delayMs, run, options) {
    const timer = new SystemTimer(run, options?.unref === true);
    timer.arm(delayMs);
    return timer;
  },
};

/** Makes a generator of UUIDv7 that rises strictly, also within one millisecond and when the clock steps back. */
export function createIdGenerator(clock: Clock, random: (bytes: number) => Buffer = randomBytes): () => string {
  let lastMs = 0;
  let sequence = 0;
  let pool: Buffer = Buffer.alloc(0);
  let used = 0;
  return () => {
    const now = clock.now();
    if (now > lastMs) {
      lastMs = now;
      sequence = 0;
    } else if (++sequence > 0xfff) {
      lastMs += 1;
      sequence = 0;
    }
    // Random bytes are drawn 256 ids at a time: one call each costs more than the rest of the id.
    if (used + 8 > pool.length) {
      pool = random(2048);
      used = 0;
    }
    const tail = pool.toString("hex", used, used + 8);
    used += 8;
    const time = lastMs.toString(16).padStart(12, "0");
    const variant = ((Number.parseInt(tail.charAt(0), 16) & 0x3) | 0x8).toString(16);
    return `${time.slice(0, 8)}-${time.slice(8)}-7${sequence.toString(16).padStart(3, "0")}-${variant}${tail.slice(1, 4)}-${tail.slice(4, 16)}`;
  };
}

export const systemRuntime: Runtime = { clock: systemClock, random: Math.random, newId: createIdGenerator(systemClock) };
