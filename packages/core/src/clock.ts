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
  // A minute goes by with the same upper part of the time.
  let upper = -1;
  let upperText = "";
  let tails = "";
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
    if (used === tails.length) {
      tails = drawTails(random);
      used = 0;
    }
    const high = Math.floor(lastMs / 0x1_0000);
    if (high !== upper) {
      upper = high;
      upperText = high.toString(16).padStart(8, "0");
    }
    const low = (0x1_0000 + lastMs - high * 0x1_0000).toString(16).slice(1);
    const at = used;
    used += TAIL_CHARS;
    return `${upperText}-${low}-${(0x7000 + sequence).toString(16)}-${tails.slice(at, at + 4)}-${tails.slice(at + 4, used)}`;
  };
}

/** What comes after time and sequence, without its dash. */
const TAIL_CHARS = 16;

/** Variant and random bits of 256 ids: one draw for each costs more than the rest of the id. */
function drawTails(random: (bytes: number) => Buffer): string {
  const bytes = random((256 * TAIL_CHARS) / 2);
  for (let i = 0; i < bytes.length; i += TAIL_CHARS / 2) bytes[i] = ((bytes[i] ?? 0) & 0x3f) | 0x80;
  return bytes.toString("hex");
}

export const systemRuntime: Runtime = { clock: systemClock, random: Math.random, newId: createIdGenerator(systemClock) };
