import type { StopReason } from "@symphony/core";

/** When a worker process is replaced by a fresh one; the fleet goes on. */
export interface RecycleLimits {
  readonly messages?: number;
  readonly ageMs?: number;
  /** MB of resident set. */
  readonly memoryMb?: number;
}

/** What is known of one process. */
export interface Wear {
  readonly processed: number;
  readonly livedMs: number;
  readonly rssBytes: number;
}

const MB = 1_048_576;
/** Milliseconds. A limit below what a fresh process takes must not turn the fleet into one that only starts processes. */
const SHORTEST_LIFE_MS = 5_000;

/** Pure. Why this process is to be replaced; undefined: it is not. */
export function recycleReason(limits: RecycleLimits, wear: Wear): StopReason | undefined {
  const { messages, ageMs, memoryMb } = limits;
  if (messages !== undefined && wear.processed >= messages) return "message_limit";
  if (ageMs !== undefined && wear.livedMs >= ageMs) return "time_limit";
  if (memoryMb !== undefined && wear.rssBytes > memoryMb * MB && wear.livedMs >= SHORTEST_LIFE_MS) return "memory_limit";
  return undefined;
}
