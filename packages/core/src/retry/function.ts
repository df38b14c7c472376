import { OptionsError } from "../errors.ts";
import type { FailedAttempt, RetryStrategy } from "./strategy.ts";

/**
 * A retry strategy as one function: milliseconds until the next attempt, or false to give up. It sees the error.
 *
 * Pure, and quick: it may be asked twice about one failure, and `random` (0 up to, but not including, 1) is its only
 * source of chance. When it throws or answers anything else, the default strategy decides.
 */
export type RetryFunction = (failed: FailedAttempt, random: () => number) => number | false;

/** What a function says of `random` when only "again or not" is asked. */
const half = (): number => 0.5;

/** Makes a strategy of a function. Handlers see `maxRetries` as Infinity: how often it will say yes is not known. */
export function functionRetry(decide: RetryFunction): RetryStrategy {
  return {
    maxRetries: Number.POSITIVE_INFINITY,
    isRetryable: (failed) => delayOf(decide(failed, half)) !== false,
    getDelayMs(failed, random) {
      const delayMs = delayOf(decide(failed, random));
      return delayMs === false ? 0 : delayMs;
    },
  };
}

function delayOf(answer: unknown): number | false {
  if (answer === false || (typeof answer === "number" && answer >= 0)) return answer;
  throw new OptionsError("retry", answer, "must answer with milliseconds, or with false");
}
