import { type Clock, systemClock } from "../clock.ts";

export interface WaitOptions {
  /** Milliseconds until giving up. Default 10000. */
  readonly timeoutMs?: number;
  /** Milliseconds between two looks. Default 10. */
  readonly intervalMs?: number;
  /** What was waited for, for the error. */
  readonly what?: string;
}

/** Resolves after `delayMs` milliseconds of real time. For polling; to wait for an event use `createSignals`. */
export function pause(delayMs: number, clock: Clock = systemClock): Promise<void> {
  return new Promise((resolve) => {
    clock.schedule(delayMs, resolve);
  });
}

type Truthy<T> = Exclude<T, false | null | undefined | 0 | "">;

/**
 * Looks until `probe` returns something truthy and resolves with it.
 *
 * For what only another process can tell (a row, a port, a log line); inside the process wait for a signal. What
 * `probe` throws ends the waiting.
 *
 * @throws {Error} after `timeoutMs`, naming `what` and the last value seen.
 */
export async function waitFor<T>(probe: () => T | Promise<T>, options: WaitOptions = {}): Promise<Truthy<T>> {
  const { timeoutMs = 10_000, intervalMs = 10, what = "the condition" } = options;
  const deadline = systemClock.monotonic() + timeoutMs;
  for (;;) {
    const seen = await probe();
    if (seen) return seen as Truthy<T>;
    if (systemClock.monotonic() >= deadline)
      throw new Error(`${what} did not come about within ${timeoutMs} ms, last seen: ${String(seen)}`);
    await pause(intervalMs);
  }
}
