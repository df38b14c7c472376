import { setTimeout as wait } from "node:timers/promises";

/** How often a state that the operating system does not announce (a file, a foreign process) is looked at again. */
const POLL_MS = 25;

export interface Deadline {
  readonly passed: boolean;
  readonly leftMs: number;
}

export function deadlineIn(ms: number): Deadline {
  const end = performance.now() + ms;
  return {
    get passed() {
      return performance.now() >= end;
    },
    get leftMs() {
      return Math.max(0, end - performance.now());
    },
  };
}

/** Asks `probe` until it answers with something or the deadline passes. With `unref` the waiting alone keeps no process alive. */
export async function until<T>(
  probe: () => T | undefined | Promise<T | undefined>,
  deadline: Deadline,
  options: { everyMs?: number; unref?: boolean } = {},
): Promise<T | undefined> {
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (deadline.passed) return undefined;
    await wait(options.everyMs ?? POLL_MS, undefined, { ref: options.unref !== true });
  }
}

export interface Timer {
  cancel(): void;
}

/** Calls `run` once after `ms`. */
export function after(ms: number, run: () => void): Timer {
  const timer = setTimeout(run, ms);
  return { cancel: () => clearTimeout(timer) };
}

/** Calls `run` every `ms` for as long as something else keeps the process alive. */
export function every(ms: number, run: () => void): void {
  setInterval(run, ms).unref();
}
