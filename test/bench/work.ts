import { setTimeout as sleep } from "node:timers/promises";
import type { Ledger } from "./ledger.ts";
import type { BenchPayload } from "./payload.ts";

/** What a handler does with a message before it counts it. */
export type Work =
  | { readonly kind: "noop" }
  | { readonly kind: "latency" }
  /** Waits as for a remote service. */
  | { readonly kind: "io"; readonly ms: number }
  /** Keeps a core busy, always with the same number of operations, see `calibrate`. */
  | { readonly kind: "cpu"; readonly operations: number };

export const NOOP: Work = { kind: "noop" };

export function handlerOf(work: Work, ledger: Ledger): (payload: BenchPayload) => void | Promise<void> {
  switch (work.kind) {
    case "noop":
      return ({ number }) => ledger.note(number);
    case "latency":
      return ({ number, at = 0 }) => {
        ledger.notePickUp(number, at);
        ledger.note(number);
      };
    case "io":
      return async ({ number }) => {
        await sleep(work.ms);
        ledger.note(number);
      };
    case "cpu":
      return ({ number }) => {
        burn(work.operations);
        ledger.note(number);
      };
  }
}

/** Arithmetic that no compiler can leave out. A duration would not do: on a busy core it would pass without any work done. */
export function burn(operations: number): number {
  let value = 1;
  for (let i = 0; i < operations; i++) value = (Math.imul(value, 1_664_525) + 1_013_904_223) | 0;
  return value;
}

/** The number of operations that take so many milliseconds on this machine: the fastest of some tries. */
export function calibrate(ms: number): number {
  const operations = 2_000_000;
  burn(operations);
  const tries = Array.from({ length: 15 }, () => {
    const from = performance.now();
    burn(operations);
    return performance.now() - from;
  });
  return Math.round((operations / Math.min(...tries)) * ms);
}
