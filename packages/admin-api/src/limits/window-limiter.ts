import type { Clock } from "@symphony/core";

export interface WindowLimiterOptions {
  /** How often a key may take within the window. */
  readonly limit: number;
  readonly windowMs: number;
  readonly clock: Clock;
  /** Keys remembered; the one that was idle longest is forgotten first. Default 10000. */
  readonly maxKeys?: number;
}

export interface Taken {
  readonly allowed: boolean;
  readonly limit: number;
  readonly remaining: number;
  /** Seconds until the window ends, at least 1. */
  readonly resetS: number;
}

interface Window {
  readonly endsAtMs: number;
  count: number;
}

const DEFAULT_MAX_KEYS = 10_000;

/** Counts per key in fixed windows. Memory is bounded: a flood of new keys pushes out old ones, not the process. */
export class WindowLimiter {
  readonly #o: Required<WindowLimiterOptions>;
  readonly #windows = new Map<string, Window>();

  constructor(options: WindowLimiterOptions) {
    this.#o = { maxKeys: DEFAULT_MAX_KEYS, ...options };
  }

  take(key: string): Taken {
    const { limit, windowMs, clock, maxKeys } = this.#o;
    const now = clock.monotonic();
    const known = this.#windows.get(key);
    const window = known !== undefined && known.endsAtMs > now ? known : { endsAtMs: now + windowMs, count: 0 };
    window.count += 1;
    // Set anew, so that the map stays in order of use.
    this.#windows.delete(key);
    this.#windows.set(key, window);
    for (const oldest of this.#windows.keys()) {
      if (this.#windows.size <= maxKeys) break;
      this.#windows.delete(oldest);
    }
    const resetS = Math.max(1, Math.ceil((window.endsAtMs - now) / 1_000));
    return { allowed: window.count <= limit, limit, remaining: Math.max(0, limit - window.count), resetS };
  }
}
