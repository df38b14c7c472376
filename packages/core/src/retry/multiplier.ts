import { LONGEST_DELAY_MS } from "../longest-delay.ts";
import type { RetryOptions } from "../message.ts";
import type { RetryStrategy } from "./strategy.ts";

/** The numbers of Symfony Messenger, so that a team that moves over keeps its behaviour. */
export const DEFAULT_RETRY = Object.freeze({ maxRetries: 3, delayMs: 1000, multiplier: 2, maxDelayMs: 0, jitter: 0.1 });

/** `delayMs × multiplier^(attempt - 1)`, varied by ± `jitter`, never above `maxDelayMs` unless that is 0. */
export function multiplierRetry(options: RetryOptions = {}): RetryStrategy {
  const { maxRetries, delayMs, multiplier, maxDelayMs, jitter } = { ...DEFAULT_RETRY, ...options };
  const cap = maxDelayMs === 0 ? LONGEST_DELAY_MS : Math.min(maxDelayMs, LONGEST_DELAY_MS);
  return {
    maxRetries,
    isRetryable: ({ attempt }) => attempt <= maxRetries,
    getDelayMs({ attempt }, random) {
      // 0 × Infinity is no number, and the power of a late attempt is Infinity.
      const plain = delayMs === 0 ? 0 : Math.min(delayMs * multiplier ** (attempt - 1), cap);
      return Math.min(Math.round(jittered(plain, jitter, random)), cap);
    },
  };
}

/** Spreads `delayMs` evenly over ± `spread` (0 to 1) of itself. */
export const jittered = (delayMs: number, spread: number, random: () => number): number => delayMs * (1 - spread + 2 * spread * random());
