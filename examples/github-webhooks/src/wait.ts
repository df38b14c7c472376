import { type Clock, systemClock } from "@symphony/core";

/** Resolves after `ms` milliseconds, or at once when `signal` aborts. Never rejects. */
export function wait(ms: number, signal: AbortSignal, clock: Clock = systemClock): Promise<void> {
  if (ms <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = clock.schedule(ms, finish);
    function finish(): void {
      timer.cancel();
      signal.removeEventListener("abort", finish);
      resolve();
    }
    signal.addEventListener("abort", finish, { once: true });
  });
}
